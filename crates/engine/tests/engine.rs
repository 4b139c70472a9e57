//! The life of a task on the embedded rooms: SQLite, the queue and the cache in this process, and this
//! machine as every host (`local://NAME`).

#![expect(unreachable_pub, reason = "a test binary has no outside")]
#![expect(clippy::expect_used, clippy::panic, reason = "tests fail by a panic")]

mod support;

#[path = "cases/ahead.rs"]
mod ahead;
#[path = "cases/follow.rs"]
mod follow;
#[path = "cases/life.rs"]
mod life;
#[path = "cases/limits.rs"]
mod limits;
#[path = "cases/lost_work.rs"]
mod lost_work;
#[path = "cases/restart.rs"]
mod restart;
#[path = "cases/several.rs"]
mod several;
#[path = "cases/several_failures.rs"]
mod several_failures;
#[path = "cases/wrong.rs"]
mod wrong;

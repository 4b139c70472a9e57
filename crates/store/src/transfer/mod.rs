//! Everything in a database at once: what it holds, and a copy of it in another one, of any engine.
//!
//! A copy is made from one snapshot of its source, page by page in the order of the keys, and proved: each row is
//! written down in one form that all engines share, a checksum is taken of that on both sides (on the target by reading
//! back), and the two are compared. Until then the target carries a mark that keeps everybody else from opening it.
//!
//! Nothing here names a table. Which there are is read from a schema made anew by the migrations, so none can be
//! forgotten; a database with other tables than those is refused.

mod copy;
pub(crate) mod insert;
mod logs;
pub(crate) mod mark;
pub(crate) mod pages;
pub(crate) mod plan;
pub(crate) mod prepare;
mod row;
mod sequence;
pub(crate) mod side;
mod stats;
mod status;
pub(crate) mod sum;

pub use copy::{Copied, Proof, Source, Told, backup, copy, restore};
pub use mark::Mark;
pub use stats::{OutputStats, SharedStats, Stats, TableStats, TaskStats, stats};
pub use status::{Status, status};

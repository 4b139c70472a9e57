//! Stories: random lives of tasks, in a world that is small enough to be looked at after every step.
//!
//! A [`Story`] is a list of steps: a submit, a delivery, a commit whose answer is lost, a process that dies. A
//! [`World`] plays it. Its database, queue, processes and hosts are a simulation, but everything that it decides
//! about a run goes through the rules of the product ([`Rules::OURS`]), so that a rule that is wrong breaks a
//! promise in some story. After every step the promises are checked. A [`Hunt`] tries many stories and reduces
//! one that breaks a promise until no step can be left out.
//!
//! The same stories are played against real databases: a world notes what it asked of the database and what the
//! answer was ([`Asked`]), and a store must give the same answers.
//!
//! Seeds are ours (no library's generator), so that a seed names the same story for as long as the steps stay
//! as they are.

mod check;
mod database;
mod dispatcher;
mod executor;
mod hunt;
mod process;
mod random;
mod rules;
mod step;
mod story;
mod sweeper;
mod world;

pub use database::{Asked, NewTask, Row, Task};
pub use hunt::{Failure, Hunt};
pub use random::Random;
pub use rules::{Habits, Rules};
pub use step::{Begun, Committed, Reached, Step};
pub use story::{Shape, Story};
pub use world::{Broken, Call, World};

//! Showing what happened: pure pieces that turn events and runs into bytes, and the console that writes
//! them. What a host says passes through [`sanitise`] before it reaches a terminal, and stays as it is
//! everywhere else.

pub mod console;
pub mod grouped;
pub mod json;
pub mod live;
pub mod progress;
pub mod screen;
pub mod table;
pub mod words;

pub use console::{Closed, Console};
pub use muster_model::sanitise;
pub use screen::Screen;

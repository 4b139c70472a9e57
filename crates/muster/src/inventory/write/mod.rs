//! From a document to the formats of other tools.

mod ansible;
mod document;
mod tables;

pub use document::write;

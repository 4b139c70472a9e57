//! Selectors: which hosts, said by what is known of them: `os.id == "debian" && mem_gb >= 8 && "web" in groups`.
//!
//! [`Selector::parse`] checks everything once, types and names of fields too, so that matching is a walk over small
//! values: it allocates nothing and cannot fail. [`Selector::explain`] says which part let a host in or kept it out.
//! `docs/guide/selectors.md` is the guide for users, with the grammar.
//!
//! A test of a value that is missing is false, whatever it asks: `os.id != "debian"` does not take hosts of which
//! nothing is known. `not` turns an answer round, that one too; `has(os.id)` asks whether there is a value.

mod check;
mod error;
mod evaluate;
mod explain;
mod expression;
mod field;
mod glob;
mod known;
mod number;
mod parse;
mod token;
mod version;

#[cfg(test)]
mod tests;

pub use error::Error;
pub use evaluate::{Gathered, Subject};
pub use explain::Explanation;
pub use expression::{Needs, Selector};
pub use known::{Host, Mounted, System, Word};

/// The longest selector, in bytes.
pub const SELECTOR_BYTES: usize = 64 * 1024;
/// How deep parentheses and `not` go.
pub const DEPTH: usize = 64;

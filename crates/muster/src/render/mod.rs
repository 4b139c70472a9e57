//! Showing what happened.

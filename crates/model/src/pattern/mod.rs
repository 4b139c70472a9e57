//! Host patterns.

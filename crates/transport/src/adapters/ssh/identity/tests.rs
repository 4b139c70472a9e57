//! Keys of every kind, from files.

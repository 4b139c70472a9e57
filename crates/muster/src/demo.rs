//! `muster demo`.

//! The inventory's verbs: hosts and groups.

mod verbs;

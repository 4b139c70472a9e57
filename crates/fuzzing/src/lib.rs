#![doc = include_str!("../README.md")]

pub mod events;
pub mod facts;
pub mod frames;
pub mod known_hosts;
pub mod pattern;
pub mod selector;
pub mod ssh_config;
pub mod terminal;
pub mod where_expression;
pub mod wire;

/// What a target does with an input: it panics where a promise is broken.
pub type Check = fn(&[u8]);

/// Every target. The programs in `fuzz/`, the folders of the corpus and its replay are compared with this list.
pub const TARGETS: &[(&str, Check)] = &[
    ("events", events::check),
    ("facts", facts::check),
    ("frames", frames::check),
    ("known_hosts", known_hosts::check),
    ("pattern", pattern::check),
    ("selector", selector::check),
    ("ssh_config", ssh_config::check),
    ("terminal", terminal::check),
    ("where_expression", where_expression::check),
    ("wire", wire::check),
];

//! The inventories of Ansible: INI, YAML, the output of `ansible-inventory --list`, folders of them, and the
//! variables that stand beside them.

pub(super) mod ini;
pub(super) mod json;
pub(super) mod literal;
pub(super) mod ranges;
pub(super) mod sources;
pub(super) mod variables;
pub(super) mod words;
pub(super) mod yaml;

mod effective;
mod tree;

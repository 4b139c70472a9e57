//! What Redis runs in one piece. Each is sent by its name; in full where the server does not know it yet.

use redis::{Cmd, Script, cmd};

/// Appends where the value ends at the given place; returns where it ended.
const APPEND: &str = "
local there = redis.call('STRLEN', KEYS[1])
if there == tonumber(ARGV[1]) then
    redis.call('APPEND', KEYS[1], ARGV[2])
    redis.call('PEXPIRE', KEYS[1], ARGV[3])
end
return there";

/// Counts; returns the count as text.
const INCREMENT: &str = "
redis.call('INCRBY', KEYS[1], ARGV[1])
redis.call('PEXPIRE', KEYS[1], ARGV[2])
return redis.call('GET', KEYS[1])";

/// Sets a bit; returns what it was.
const SET_BIT: &str = "
local before = redis.call('SETBIT', KEYS[1], ARGV[1], ARGV[2])
redis.call('PEXPIRE', KEYS[1], ARGV[3])
return before";

/// The scripts.
pub(super) struct Scripts {
    pub(super) append: Named,
    pub(super) increment: Named,
    pub(super) set_bit: Named,
}

impl Scripts {
    pub(super) fn new() -> Self {
        Self {
            append: Named::new(APPEND),
            increment: Named::new(INCREMENT),
            set_bit: Named::new(SET_BIT),
        }
    }
}

/// A script and its name.
pub(super) struct Named {
    text: &'static str,
    hash: String,
}

impl Named {
    fn new(text: &'static str) -> Self {
        Self {
            text,
            hash: Script::new(text).get_hash().to_owned(),
        }
    }

    /// Returns the command that runs it on one key.
    pub(super) fn by_name(&self, key: &str, arguments: &[&[u8]]) -> Cmd {
        run("EVALSHA", &self.hash, key, arguments)
    }

    /// The same where the server does not know the script yet.
    pub(super) fn in_full(&self, key: &str, arguments: &[&[u8]]) -> Cmd {
        run("EVAL", self.text, key, arguments)
    }
}

fn run(how: &str, what: &str, key: &str, arguments: &[&[u8]]) -> Cmd {
    let mut command = cmd(how);
    command.arg(what).arg(1).arg(key).arg(arguments);
    command
}

//! What was probably meant by a command that there is not.
//!
//! The parser proposes words by a measure for longer ones: of `rnu` and `run` it says that they have nothing to do with
//! each other.

use clap::Command;
use clap::error::{ContextKind, ContextValue, Error, ErrorKind};

/// Adds to an error the commands that are one slip away from the one that was typed, where the parser has no proposal.
/// `words` are all that was typed, and `commands` what there is.
pub fn propose(error: &mut Error, words: impl Iterator<Item = String>, commands: &Command) {
    if error.kind() != ErrorKind::InvalidSubcommand || error.get(ContextKind::SuggestedSubcommand).is_some() {
        return;
    }
    let Some(ContextValue::String(typed)) = error.get(ContextKind::InvalidSubcommand) else {
        return;
    };
    let mut within = commands;
    for word in words.take_while(|word| word != typed) {
        within = within.find_subcommand(&word).unwrap_or(within);
    }
    let known = within.get_subcommands().filter(|command| !command.is_hide_set());
    let near = known
        .map(Command::get_name)
        .filter(|name| is_one_slip(typed, name));
    let near: Vec<String> = near.map(str::to_owned).collect();
    if !near.is_empty() {
        error.insert(ContextKind::SuggestedSubcommand, ContextValue::Strings(near));
    }
}

/// Tells whether one letter too many, too few or a wrong one makes the difference, or two that changed places.
fn is_one_slip(typed: &str, meant: &str) -> bool {
    let (typed, meant): (Vec<char>, Vec<char>) = (typed.chars().collect(), meant.chars().collect());
    let start = typed
        .iter()
        .zip(&meant)
        .take_while(|(one, other)| one == other)
        .count();
    let (typed, meant) = (&typed[start..], &meant[start..]);
    match (typed, meant) {
        ([one, two, typed @ ..], [first, second, meant @ ..]) if one == second && two == first => {
            typed == meant
        }
        ([_, typed @ ..], [_, rest @ ..]) if typed == rest => true,
        ([_, rest @ ..], _) if rest == meant => true,
        (_, [_, rest @ ..]) => typed == rest,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_is_one_letter_or_two_that_changed_places() {
        for typed in ["rnu", "urn", "rn", "ru", "un", "runn", "rrun", "ruj", "gun"] {
            assert!(is_one_slip(typed, "run"), "{typed}");
        }
        for typed in ["run", "", "r", "nur", "rnuu", "script", "rm"] {
            assert!(!is_one_slip(typed, "run"), "{typed}");
        }
    }
}

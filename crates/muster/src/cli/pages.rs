//! What is made from the definition of the command line: completions, the manual, the reference page.

use std::io;

use clap::{Command, CommandFactory};
use muster_model::{Problem, problem::Code};

use super::args::Line;

/// Returns the completions of a shell.
#[must_use]
pub fn completions(shell: clap_complete::Shell) -> Vec<u8> {
    let mut page = Vec::new();
    clap_complete::generate(shell, &mut Line::command(), "muster", &mut page);
    page
}

/// Returns the manual page of all, or of one command.
///
/// # Errors
///
/// `invalid-request` where there is no such command.
pub fn manual(words: &[String]) -> Result<Vec<u8>, Problem> {
    let mut root = Line::command();
    root.build();
    let mut command = &root;
    let mut name = vec!["muster".to_owned()];
    for word in words {
        command = command.find_subcommand(word).ok_or_else(|| {
            Problem::new(
                Code::InvalidRequest,
                format!("there is no command '{}'", words.join(" ")),
            )
        })?;
        name.push(command.get_name().to_owned());
    }
    let renamed = command.clone().name(name.join("-"));
    let mut page = Vec::new();
    let written: io::Result<()> = clap_mangen::Man::new(renamed).render(&mut page);
    written.map_err(|error| Problem::new(Code::Internal, format!("the manual cannot be made: {error}")))?;
    Ok(page)
}

/// Returns the reference page: every command with its help, in Markdown.
#[must_use]
pub fn reference() -> String {
    let mut page = String::from(
        "# The command line\n\n\
         This page is made from the program (`muster reference`) and compared with it by a test; what it says \
         is what `--help` says.\n",
    );
    let mut root = Line::command().term_width(100);
    root.build();
    describe(&root, "muster", &mut page);
    page
}

fn describe(command: &Command, name: &str, page: &mut String) {
    let help = command
        .clone()
        .disable_help_subcommand(true)
        .bin_name(name)
        .term_width(100)
        .render_long_help()
        .to_string();
    let help: Vec<&str> = help.lines().map(str::trim_end).collect();
    page.push_str(&format!(
        "\n## `{name}`\n\n```text\n{}\n```\n",
        help.join("\n").trim_end()
    ));
    for inner in command.get_subcommands() {
        if !inner.is_hide_set() && inner.get_name() != "help" {
            describe(inner, &format!("{name} {}", inner.get_name()), page);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reference_page_is_what_the_program_says() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/reference/cli.md");
        let made = reference();
        #[expect(
            clippy::disallowed_methods,
            reason = "a switch for whoever changes the command line"
        )]
        if std::env::var_os("UPDATE").is_some() {
            std::fs::write(path, &made).expect("written");
        }
        let kept = std::fs::read_to_string(path).unwrap_or_default();
        assert!(
            kept == made,
            "docs/reference/cli.md is not what the program says: \
             run the tests of crates/muster once with UPDATE=1"
        );
    }

    #[test]
    fn each_shell_gets_completions_with_every_command() {
        for shell in [
            clap_complete::Shell::Bash,
            clap_complete::Shell::Zsh,
            clap_complete::Shell::Fish,
        ] {
            let page = String::from_utf8(completions(shell)).expect("text");
            for command in ["check_task", "retry", "groups", "completions"] {
                assert!(page.contains(command), "{shell}: {command}");
            }
        }
    }

    #[test]
    fn the_manual_has_a_page_for_all_and_for_each_command() {
        let all = String::from_utf8(manual(&[]).expect("a page")).expect("text");
        assert!(all.contains(".TH muster 1") && all.contains("check_task"));
        let one = manual(&["hosts".into(), "add".into()]).expect("a page");
        assert!(String::from_utf8(one).expect("text").contains("address"));
        assert!(manual(&["nothing".into()]).is_err());
    }
}

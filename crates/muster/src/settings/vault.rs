//! The setting `vault_key`: where the key comes from that credentials are sealed with.

use std::path::Path;

use muster_engine::KeySource;
use muster_model::Secret;

use super::Environment;

/// Returns what the setting is where nobody sets it.
pub(super) fn in_folder(folder: &Path) -> String {
    format!("file:{}", folder.join("vault.key").display())
}

/// Reads `file:/path`, `env:NAME` or `command:PROGRAM ARG…`.
pub(super) fn source(text: &str, environment: &Environment) -> Result<KeySource, String> {
    const FORM: &str = "write file:/path, env:NAME or command:PROGRAM ARG...";
    match text.split_once(':') {
        Some(("file", path)) if !path.is_empty() => Ok(KeySource::File(environment.absolute(path))),
        Some(("env", name)) if is_name(name) => Ok(KeySource::Variable {
            name: name.to_owned(),
            text: environment
                .text(name)
                .map_err(|problem| problem.detail)?
                .map(Secret::new),
        }),
        Some(("command", line)) => match shlex::split(line) {
            Some(words) if !words.is_empty() => Ok(KeySource::Command(words)),
            Some(_) => Err(format!("'command:' names no program; {FORM}")),
            None => Err(format!("the quotes of 'command:' do not match; {FORM}")),
        },
        // What stands there may be the key itself.
        _ => Err(format!("it names no place; {FORM}")),
    }
}

fn is_name(name: &str) -> bool {
    name.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn a_place_has_one_of_three_forms_and_a_key_in_its_place_is_not_shown() {
        let variables = BTreeMap::from([
            ("HOME".into(), "/home/me".into()),
            ("KEY".into(), "hunter2".into()),
        ]);
        let environment = Environment::new(variables, "/srv".into()).expect("an environment");
        let read = |text: &str| source(text, &environment);
        assert_eq!(read("file:~/k"), Ok(KeySource::File("/home/me/k".into())));
        assert_eq!(read("file:k"), Ok(KeySource::File("/srv/k".into())));
        let name = |name: &str, text: Option<&str>| KeySource::Variable {
            name: name.to_owned(),
            text: text.map(|text| Secret::new(text.to_owned())),
        };
        assert_eq!(read("env:KEY"), Ok(name("KEY", Some("hunter2"))));
        assert_eq!(read("env:NONE"), Ok(name("NONE", None)));
        let words = ["pass", "show", "my key"].map(str::to_owned).to_vec();
        assert_eq!(read("command:pass show 'my key'"), Ok(KeySource::Command(words)));
        for text in [
            "",
            "hunter2",
            "file:",
            "env:",
            "env:A B",
            "command:",
            "command:'hunter2",
            "key:hunter2",
        ] {
            let why = read(text).expect_err(text);
            assert!(why.contains("file:/path") && !why.contains("hunter2"), "{why}");
        }
    }
}

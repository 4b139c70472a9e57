//! Tokens in values: `%h` and its relatives, and `~`.

use std::path::{Path, PathBuf};

/// What the tokens stand for; None: not allowed in this value.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Tokens<'a> {
    /// `%h`: the name to connect to.
    pub(crate) host: Option<&'a str>,
    /// `%n`: the name as it was asked for.
    pub(crate) original: Option<&'a str>,
    /// `%k`: the name in `known_hosts`.
    pub(crate) key_name: Option<&'a str>,
    /// `%p`: the port.
    pub(crate) port: Option<u16>,
    /// `%r`: the user on the host.
    pub(crate) user: Option<&'a str>,
    /// `%u`: the local user.
    pub(crate) local_user: Option<&'a str>,
    /// `%d`: the local user's home folder.
    pub(crate) home: Option<&'a Path>,
}

impl<'a> Tokens<'a> {
    /// Returns those of `HostName`: `%h` alone, which is the name as it was asked for.
    pub(crate) fn host_only(host: &'a str) -> Self {
        Self {
            host: Some(host),
            ..Self::default()
        }
    }
}

/// Expands the tokens of a value.
///
/// # Errors
///
/// What is wrong, for people.
pub(crate) fn expand(value: &str, tokens: &Tokens<'_>) -> Result<String, String> {
    let mut expanded = String::with_capacity(value.len());
    let mut characters = value.chars();
    while let Some(c) = characters.next() {
        if c != '%' {
            expanded.push(c);
            continue;
        }
        let token = characters.next();
        let stands_for = match token {
            Some('%') => Some("%".to_owned()),
            Some('h') => tokens.host.map(str::to_owned),
            Some('n') => tokens.original.map(str::to_owned),
            Some('k') => tokens.key_name.map(str::to_owned),
            Some('p') => tokens.port.map(|port| port.to_string()),
            Some('r') => tokens.user.map(str::to_owned),
            Some('u') => tokens.local_user.map(str::to_owned),
            Some('i') => tokens
                .local_user
                .map(|_| nix::unistd::Uid::effective().to_string()),
            Some('d') => tokens.home.map(|home| home.to_string_lossy().into_owned()),
            _ => None,
        };
        match (stands_for, token) {
            (Some(text), _) => expanded.push_str(&text),
            (None, Some(token)) => {
                return Err(format!("'{value}': the token %{token} cannot be used here"));
            }
            (None, None) => {
                return Err(format!(
                    "'{value}' ends with a lone %: write %% for the character itself"
                ));
            }
        }
    }
    Ok(expanded)
}

/// Replaces a leading `~/` by the home folder.
pub(crate) fn home(value: &str, home: &Path) -> String {
    match value.strip_prefix('~') {
        Some("") => home.to_string_lossy().into_owned(),
        Some(rest) if rest.starts_with('/') => home
            .join(rest.trim_start_matches('/'))
            .to_string_lossy()
            .into_owned(),
        _ => value.to_owned(),
    }
}

/// Expands a value that names a file: `~/`, then tokens. A relative path is taken from the home folder,
/// since a server has no folder that a person would expect.
///
/// # Errors
///
/// What is wrong, for people.
pub(crate) fn expand_path(value: &str, tokens: &Tokens<'_>, home_folder: &Path) -> Result<PathBuf, String> {
    if value.contains("${") {
        return Err(format!(
            "'{value}': environment variables are not replaced: write the path, ~ or %d"
        ));
    }
    if value.starts_with('~') && value != "~" && !value.starts_with("~/") {
        return Err(format!(
            "'{value}': only ~/ is known, not another user's home folder"
        ));
    }
    let expanded = expand(&home(value, home_folder), tokens)?;
    Ok(home_folder.join(expanded))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tokens() -> Tokens<'static> {
        Tokens {
            host: Some("10.0.0.5"),
            original: Some("web1"),
            key_name: Some("web1"),
            port: Some(2222),
            user: Some("deploy"),
            local_user: Some("me"),
            home: Some(Path::new("/home/me")),
        }
    }

    #[test]
    fn tokens_stand_for_what_openssh_says() {
        let path = |value| expand_path(value, &tokens(), Path::new("/home/me"));
        assert_eq!(
            path("~/.ssh/%h-%p-%r.%u"),
            Ok("/home/me/.ssh/10.0.0.5-2222-deploy.me".into())
        );
        assert_eq!(path("%d/%n/100%%"), Ok("/home/me/web1/100%".into()));
        assert_eq!(path("keys/a"), Ok("/home/me/keys/a".into()));
    }

    #[test]
    fn what_cannot_be_expanded_is_named() {
        let path = |value| expand_path(value, &tokens(), Path::new("/home/me")).unwrap_err();
        assert!(path("~/%C").contains("%C"));
        assert!(path("~/50%").contains("lone %"));
        assert!(path("${KEYS}/a").contains("environment"));
        assert!(path("~root/key").contains("another user"));
        assert!(expand("%r", &Tokens::host_only("a")).is_err());
    }
}

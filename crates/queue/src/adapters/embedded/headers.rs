//! Matching by headers, for exchanges of that kind.

/// What a binding to a headers exchange asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Match {
    any: bool,
    wanted: Vec<(String, String)>,
}

impl Match {
    /// Reads a binding's arguments, which have been checked: all has to match where `x-match` is not `any`.
    ///
    /// As RabbitMQ has it, other arguments that begin with `x-` do not take part.
    pub(super) fn parse(arguments: &[(String, String)]) -> Self {
        let mut any = false;
        let mut wanted = Vec::new();
        for (name, value) in arguments {
            match (name.as_str(), value.as_str()) {
                ("x-match", "any") => any = true,
                ("x-match", _) => any = false,
                (name, _) if name.starts_with("x-") => {}
                _ => wanted.push((name.clone(), value.clone())),
            }
        }
        wanted.sort();
        wanted.dedup();
        Self { any, wanted }
    }

    /// Tells whether a message with these headers matches.
    pub(super) fn matches(&self, headers: &[(String, String)]) -> bool {
        let mut wanted = self.wanted.iter();
        if self.any {
            wanted.any(|pair| headers.contains(pair))
        } else {
            wanted.all(|pair| headers.contains(pair))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(text: &str) -> Vec<(String, String)> {
        text.split_whitespace()
            .filter_map(|pair| pair.split_once('='))
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect()
    }

    #[test]
    fn all_and_any_are_told_apart() {
        for (arguments, headers, expected) in [
            ("x-match=all os=linux arch=arm", "os=linux arch=arm more=1", true),
            ("x-match=all os=linux arch=arm", "os=linux", false),
            ("os=linux arch=arm", "os=linux arch=x86", false),
            ("x-match=any os=linux arch=arm", "os=linux", true),
            ("x-match=any os=linux arch=arm", "os=bsd", false),
            ("x-match=all", "", true),
            ("x-match=any", "os=linux", false),
            ("x-match=all x-note=1 os=linux", "os=linux", true),
        ] {
            let asked = Match::parse(&pairs(arguments));
            assert_eq!(
                asked.matches(&pairs(headers)),
                expected,
                "{arguments} / {headers}"
            );
        }
    }
}

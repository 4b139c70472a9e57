//! The place of a request in a trace, as W3C Trace Context writes it: <https://www.w3.org/TR/trace-context/>.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The name of the header, and of the environment variable in capitals, that carries it.
pub const HEADER: &str = "traceparent";
/// The environment variable that carries it from a program to those that it starts.
pub const VARIABLE: &str = "TRACEPARENT";

/// The trace that something belongs to, and the step of it that asked.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct TraceParent {
    /// Not zero.
    trace: u128,
    /// Not zero.
    span: u64,
    flags: u8,
}

/// A text is no `traceparent`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a traceparent: 00-, 32 hexadecimal digits, -, 16, -, 2, small letters, ids that are not zero")]
pub struct InvalidTraceParent;

impl TraceParent {
    /// Returns the parent of these ids and flags; None where an id is zero.
    #[must_use]
    pub fn new(trace: u128, span: u64, flags: u8) -> Option<Self> {
        (trace != 0 && span != 0).then_some(Self { trace, span, flags })
    }

    /// Returns the id of the trace.
    #[must_use]
    pub fn trace(self) -> u128 {
        self.trace
    }

    /// Returns the id of the span that is the parent.
    #[must_use]
    pub fn span(self) -> u64 {
        self.span
    }

    /// Returns the flags; see [`Self::is_sampled`].
    #[must_use]
    pub fn flags(self) -> u8 {
        self.flags
    }

    /// Tells whether the caller may have recorded it.
    #[must_use]
    pub fn is_sampled(self) -> bool {
        self.flags & 1 == 1
    }
}

impl fmt::Display for TraceParent {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            out,
            "00-{:032x}-{:016x}-{:02x}",
            self.trace, self.span, self.flags
        )
    }
}

impl fmt::Debug for TraceParent {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, out)
    }
}

impl FromStr for TraceParent {
    type Err = InvalidTraceParent;

    /// Reads version 00, and of a later version what it has in common with that, as the specification asks.
    fn from_str(text: &str) -> Result<Self, InvalidTraceParent> {
        let mut parts = text.splitn(5, '-');
        let mut next = |digits| parts.next().and_then(|part| hexadecimal(part, digits));
        let found = (next(2), next(32), next(16), next(2));
        let (Some(version), Some(trace), Some(span), Some(flags)) = found else {
            return Err(InvalidTraceParent);
        };
        if version == 0xff || (version == 0 && parts.next().is_some()) {
            return Err(InvalidTraceParent);
        }
        let (Ok(span), Ok(flags)) = (u64::try_from(span), u8::try_from(flags)) else {
            return Err(InvalidTraceParent);
        };
        Self::new(trace, span, flags).ok_or(InvalidTraceParent)
    }
}

/// Reads exactly so many digits. Capitals are none: the specification forbids them.
fn hexadecimal(part: &str, digits: usize) -> Option<u128> {
    let is_digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    if part.len() != digits || !part.bytes().all(is_digit) {
        return None;
    }
    u128::from_str_radix(part, 16).ok()
}

impl From<TraceParent> for String {
    fn from(parent: TraceParent) -> Self {
        parent.to_string()
    }
}

impl TryFrom<String> for TraceParent {
    type Error = InvalidTraceParent;

    fn try_from(text: String) -> Result<Self, InvalidTraceParent> {
        text.parse()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const EXAMPLE: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    #[test]
    fn the_example_of_the_specification_is_read_and_written() {
        let parent: TraceParent = EXAMPLE.parse().expect("it is one");
        assert_eq!(parent.trace(), 0x0af7_6519_16cd_43dd_8448_eb21_1c80_319c);
        assert_eq!(parent.span(), 0xb7ad_6b71_6920_3331);
        assert!(parent.is_sampled());
        assert_eq!(parent.to_string(), EXAMPLE);
        let json = serde_json::to_string(&parent).expect("json");
        assert_eq!(json, format!("\"{EXAMPLE}\""));
        assert_eq!(serde_json::from_str::<TraceParent>(&json).expect("json"), parent);
    }

    #[test]
    fn a_later_version_is_read_as_far_as_it_is_known() {
        let later = format!("cc{}-what-comes-then", &EXAMPLE[2..]);
        assert_eq!(later.parse(), EXAMPLE.parse::<TraceParent>());
    }

    #[test]
    fn what_is_not_one_is_refused() {
        for wrong in [
            "",
            "00",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-more",
            "00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b716920333-001",
            "00-00000000000000000000000000000000-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
            "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-+af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            " 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        ] {
            assert_eq!(wrong.parse::<TraceParent>(), Err(InvalidTraceParent), "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(trace in 1_u128.., span in 1_u64.., flags: u8) {
            let parent = TraceParent::new(trace, span, flags).expect("not zero");
            prop_assert_eq!(parent.to_string().parse(), Ok(parent));
        }

        #[test]
        fn no_text_does_harm(text in "[0-9a-f-]{0,60}|.*") {
            let _ = text.parse::<TraceParent>();
        }
    }
}

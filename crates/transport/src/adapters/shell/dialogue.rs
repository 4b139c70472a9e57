//! Talking to sudo: when it asks, when it has let us in, and what of its words belongs to the user.
//!
//! The password is written as the first line of standard input. What follows must not go the same way before
//! it is known that sudo has not asked again, or a second password would be read from the command's input; and
//! where sudo did not ask at all, the password must not be read by the command. So a program that runs behind
//! sudo says [`Password::go`] on stderr, reads lines up to [`Password::end`], and starts the command then.

use bytes::{Bytes, BytesMut};

use super::launch::Password;

/// What stderr said about the login by sudo.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Said {
    /// The program behind sudo runs: the command's input may follow.
    Go,
    /// Sudo asked a second time: the password was wrong.
    AskedAgain,
}

/// Reads stderr until sudo has let us in; takes our own words out of it.
pub(crate) struct Dialogue {
    ask: Vec<u8>,
    go: Vec<u8>,
    asked: u32,
    held: BytesMut,
    over: bool,
}

impl Dialogue {
    /// Returns a reader for the words of one command.
    pub(crate) fn new(password: &Password) -> Self {
        Self {
            ask: password.ask().into_bytes(),
            go: password.go().into_bytes(),
            asked: 0,
            held: BytesMut::new(),
            over: false,
        }
    }

    /// Takes what came on stderr; returns what of it is for the user, and what it said.
    pub(crate) fn stderr(&mut self, bytes: Bytes) -> (Bytes, Option<Said>) {
        if self.over {
            return (bytes, None);
        }
        self.held.extend_from_slice(&bytes);
        let mut said = None;
        loop {
            let ask = find(&self.held, &self.ask);
            let go = find(&self.held, &self.go);
            match (ask, go) {
                (Some(at), go) if go.is_none_or(|go| at < go) => {
                    self.cut(at, self.ask.len());
                    self.asked += 1;
                    if self.asked == 2 {
                        said = Some(Said::AskedAgain);
                    }
                }
                (_, Some(at)) => {
                    self.cut(at, self.go.len());
                    self.over = true;
                    return (self.held.split().freeze(), Some(Said::Go));
                }
                (_, None) => break,
            }
        }
        let keep = partial(&self.held, &self.ask).max(partial(&self.held, &self.go));
        (self.held.split_to(self.held.len() - keep).freeze(), said)
    }

    /// Returns what was held back, at the end of stderr.
    pub(crate) fn end(&mut self) -> Bytes {
        self.over = true;
        self.held.split().freeze()
    }

    fn cut(&mut self, at: usize, length: usize) {
        let tail = self.held.split_off(at + length);
        self.held.truncate(at);
        self.held.extend_from_slice(&tail);
    }
}

fn find(text: &[u8], word: &[u8]) -> Option<usize> {
    text.windows(word.len()).position(|window| window == word)
}

/// How many bytes at the end of `text` may be the start of `word`.
fn partial(text: &[u8], word: &[u8]) -> usize {
    (1..word.len().min(text.len() + 1))
        .rev()
        .find(|&length| text.ends_with(&word[..length]))
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use muster_model::Secret;

    use super::*;

    fn dialogue() -> (Dialogue, String, String) {
        let password = Password::new(Secret::new("x".into()), "n0nce".into());
        (Dialogue::new(&password), password.ask(), password.go())
    }

    fn all(dialogue: &mut Dialogue, text: &str, piece: usize) -> (String, Vec<Said>) {
        let mut shown = Vec::new();
        let mut said = Vec::new();
        for bytes in text.as_bytes().chunks(piece) {
            let (bytes, what) = dialogue.stderr(Bytes::copy_from_slice(bytes));
            shown.extend_from_slice(&bytes);
            said.extend(what);
        }
        shown.extend_from_slice(&dialogue.end());
        (String::from_utf8(shown).expect("is text"), said)
    }

    #[test]
    fn our_words_are_taken_out_however_they_are_cut() {
        for piece in [1, 2, 7, 1000] {
            let (mut dialogue, ask, go) = dialogue();
            let text = format!("lecture {ask}{go}error {ask}{go}");
            let (shown, said) = all(&mut dialogue, &text, piece);
            assert_eq!(shown, format!("lecture error {ask}{go}"), "pieces of {piece}");
            assert_eq!(said, [Said::Go]);
        }
    }

    #[test]
    fn a_second_question_says_that_the_password_was_wrong() {
        for piece in [1, 5, 1000] {
            let (mut dialogue, ask, _) = dialogue();
            let (shown, said) = all(&mut dialogue, &format!("{ask}Sorry.\n{ask}sudo: no\n"), piece);
            assert_eq!(shown, "Sorry.\nsudo: no\n");
            assert_eq!(said, [Said::AskedAgain]);
        }
    }

    #[test]
    fn half_a_word_at_the_end_is_not_lost() {
        let (mut dialogue, ask, _) = dialogue();
        let (shown, said) = all(&mut dialogue, &ask[..ask.len() - 1], 1);
        assert_eq!(shown, ask[..ask.len() - 1]);
        assert!(said.is_empty());
    }
}

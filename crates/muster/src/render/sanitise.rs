//! Making what a host says harmless for a terminal. Pure.
//!
//! Of control characters only line feed and tab come through. The others are shown as pictures (`␛`), C1
//! controls and characters that reorder or hide text by their number (`<U+202E>`), and bytes that are no
//! UTF-8 as U+FFFD. A carriage return right before a line feed is left out.

use std::fmt::Write as _;

/// Cleans a stream of bytes that comes in pieces of any size.
#[derive(Debug, Default)]
pub struct Sanitiser {
    /// The beginning of a character whose rest has not come yet.
    begun: Vec<u8>,
    /// A carriage return that waits for what follows it.
    carriage_return: bool,
}

impl Sanitiser {
    /// Appends what is safe to show of `bytes` to `into`.
    pub fn feed(&mut self, bytes: &[u8], into: &mut Vec<u8>) {
        let joined;
        let mut rest = if self.begun.is_empty() {
            bytes
        } else {
            joined = [&std::mem::take(&mut self.begun), bytes].concat();
            &joined
        };
        loop {
            match std::str::from_utf8(rest) {
                Ok(text) => return self.text(text, into),
                Err(error) => {
                    let (good, bad) = rest.split_at(error.valid_up_to());
                    // What is valid is text: the error said so.
                    self.text(&String::from_utf8_lossy(good), into);
                    match error.error_len() {
                        None => {
                            self.begun = bad.to_vec();
                            return;
                        }
                        Some(length) => {
                            self.text("\u{fffd}", into);
                            rest = &bad[length..];
                        }
                    }
                }
            }
        }
    }

    /// Appends what was held back: the stream has ended.
    pub fn finish(&mut self, into: &mut Vec<u8>) {
        if !std::mem::take(&mut self.begun).is_empty() {
            self.text("\u{fffd}", into);
        }
        if std::mem::take(&mut self.carriage_return) {
            into.extend_from_slice(picture('\r').encode_utf8(&mut [0; 4]).as_bytes());
        }
    }

    fn text(&mut self, text: &str, into: &mut Vec<u8>) {
        for character in text.chars() {
            if std::mem::take(&mut self.carriage_return) && character != '\n' {
                into.extend_from_slice(picture('\r').encode_utf8(&mut [0; 4]).as_bytes());
            }
            match character {
                '\r' => self.carriage_return = true,
                '\n' | '\t' => into.push(if character == '\n' { b'\n' } else { b'\t' }),
                '\0'..='\u{1f}' | '\u{7f}' => {
                    into.extend_from_slice(picture(character).encode_utf8(&mut [0; 4]).as_bytes());
                }
                _ if is_treacherous(character) => {
                    let mut number = String::new();
                    let _ = write!(number, "<U+{:04X}>", u32::from(character));
                    into.extend_from_slice(number.as_bytes());
                }
                _ => into.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes()),
            }
        }
    }
}

/// Returns the picture of a control character of ASCII.
fn picture(control: char) -> char {
    match control {
        '\u{7f}' => '\u{2421}',
        _ => char::from_u32(0x2400 + u32::from(control)).unwrap_or('\u{fffd}'),
    }
}

/// Tells whether a character moves the cursor, reorders text or hides in it.
fn is_treacherous(character: char) -> bool {
    matches!(
        character,
        '\u{80}'..='\u{9f}'
            | '\u{61c}'
            | '\u{200e}'..='\u{200f}'
            | '\u{2028}'..='\u{202e}'
            | '\u{2066}'..='\u{206f}'
            | '\u{fff9}'..='\u{fffb}'
            | '\u{e0000}'..='\u{e007f}'
    )
}

/// Returns a text made safe to show within one line: line feeds and tabs too become pictures.
#[must_use]
pub fn line(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut sanitiser = Sanitiser::default();
    sanitiser.feed(text.as_bytes(), &mut bytes);
    sanitiser.finish(&mut bytes);
    String::from_utf8_lossy(&bytes)
        .replace('\n', "\u{240a}")
        .replace('\t', " ")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn clean(pieces: &[&[u8]]) -> String {
        let mut sanitiser = Sanitiser::default();
        let mut into = Vec::new();
        for piece in pieces {
            sanitiser.feed(piece, &mut into);
        }
        sanitiser.finish(&mut into);
        String::from_utf8(into).expect("text")
    }

    #[test]
    fn what_moves_the_cursor_becomes_visible() {
        assert_eq!(clean(&[b"a\x1b[2Jb\x07\x7f\tc\r\nd\re\r"]), "a␛[2Jb␇␡\tc\nd␍e␍");
        assert_eq!(
            clean(&["x\u{9b}31m\u{202e}y\u{2066}".as_bytes()]),
            "x<U+009B>31m<U+202E>y<U+2066>"
        );
        assert_eq!(clean(&[b"\xff\xc3", b"\xa9\xe2\x82"]), "\u{fffd}é\u{fffd}");
        assert_eq!(line("two\nlines\x1b"), "two␊lines␛");
    }

    #[test]
    fn ordinary_text_stays_as_it_is() {
        let text = "Größe\t12 €\n日本語 😀 ok\n";
        assert_eq!(clean(&[text.as_bytes()]), text);
    }

    proptest! {
        #[test]
        fn nothing_dangerous_comes_through_however_it_is_split(
            bytes in proptest::collection::vec(prop_oneof![
                4 => any::<u8>(), 1 => Just(0x1b), 1 => Just(b'\r'), 1 => Just(b'\n'), 1 => Just(0xc2), 1 => Just(0xe2),
                1 => Just(0x80)], 0..200),
            cut in 0usize..200,
        ) {
            let cut = cut.min(bytes.len());
            let whole = clean(&[&bytes]);
            prop_assert_eq!(&whole, &clean(&[&bytes[..cut], &bytes[cut..]]));
            for character in whole.chars() {
                prop_assert!(!is_treacherous(character));
                prop_assert!(!character.is_control() || character == '\n' || character == '\t');
            }
        }
    }
}

//! Making what a host says harmless for a terminal. Pure; nothing here is needed for files and JSON, which
//! keep every byte.
//!
//! What comes out is UTF-8 in which a terminal finds nothing to obey but line feeds and tabs:
//! - control characters of ASCII become pictures (`␛`, `␍`); a carriage return right before a line feed is
//!   left out;
//! - C1 controls, line and paragraph separators, and what Unicode calls default-ignorable (characters that
//!   reorder, hide or join text), become their number: `<U+202E>`. Variation selectors of the first block
//!   stay, since emoji are written with them and they do nothing else;
//! - bytes that are no UTF-8, raw C1 controls among them, become U+FFFD.
//!
//! What is harmless is not changed, so that sanitising twice gives what sanitising once gave. The visible
//! forms are for eyes: a host that prints `␛` itself looks the same. Whoever has to tell takes the bytes.

use std::borrow::Cow;
use std::fmt::Write as _;

/// The longest character, in bytes.
const LONGEST: usize = 4;

/// Cleans a stream of bytes that comes in pieces of any size: how it is cut changes nothing.
#[derive(Clone, Debug, Default)]
pub struct Sanitiser {
    /// The beginning of a character whose rest has not come yet: so many bytes of it.
    begun: [u8; LONGEST],
    begun_length: usize,
    /// A carriage return that waits for what follows it.
    carriage_return: bool,
}

impl Sanitiser {
    /// Appends what is safe to show of `bytes` to `into`.
    pub fn feed(&mut self, bytes: &[u8], into: &mut Vec<u8>) {
        let mut rest = self.end_of_character(bytes, into);
        if self.carriage_return && !rest.is_empty() {
            self.carriage_return = false;
            if rest[0] != b'\n' {
                show('\r', into);
            }
        }
        loop {
            let harmless = harmless(rest);
            into.extend_from_slice(&rest[..harmless]);
            rest = &rest[harmless..];
            if rest.is_empty() {
                return;
            }
            rest = match first_character(rest) {
                First::Character('\r') => self.end_of_line(&rest[1..], into),
                First::Character(treacherous) => {
                    show(treacherous, into);
                    &rest[treacherous.len_utf8()..]
                }
                First::Broken(length) => {
                    push(char::REPLACEMENT_CHARACTER, into);
                    &rest[length..]
                }
                First::Unfinished => {
                    self.begun[..rest.len()].copy_from_slice(rest);
                    self.begun_length = rest.len();
                    return;
                }
            };
        }
    }

    /// Returns what is safe to show of `bytes`: the same bytes where they are harmless as they stand.
    pub fn pass<'a>(&mut self, bytes: &'a [u8]) -> Cow<'a, [u8]> {
        let nothing_waits = self.begun_length == 0 && !self.carriage_return;
        if nothing_waits && harmless(bytes) == bytes.len() {
            return Cow::Borrowed(bytes);
        }
        let mut safe = Vec::with_capacity(bytes.len() + 16);
        self.feed(bytes, &mut safe);
        Cow::Owned(safe)
    }

    /// Appends what was held back: the stream has ended, and the next one may begin.
    pub fn finish(&mut self, into: &mut Vec<u8>) {
        if std::mem::take(&mut self.begun_length) > 0 {
            push(char::REPLACEMENT_CHARACTER, into);
        }
        if std::mem::take(&mut self.carriage_return) {
            show('\r', into);
        }
    }

    /// Takes what belongs to a character that was begun, and returns the rest.
    fn end_of_character<'a>(&mut self, bytes: &'a [u8], into: &mut Vec<u8>) -> &'a [u8] {
        let mut rest = bytes;
        while self.begun_length > 0 {
            let Some((byte, after)) = rest.split_first() else {
                return rest;
            };
            self.begun[self.begun_length] = *byte;
            match first_character(&self.begun[..=self.begun_length]) {
                First::Character(whole) => {
                    self.begun_length = 0;
                    if is_treacherous(whole) {
                        show(whole, into);
                    } else {
                        push(whole, into);
                    }
                    rest = after;
                }
                First::Unfinished => {
                    self.begun_length += 1;
                    rest = after;
                }
                // What was begun never ends; this byte begins something else.
                First::Broken(_) => {
                    self.begun_length = 0;
                    push(char::REPLACEMENT_CHARACTER, into);
                }
            }
        }
        rest
    }

    /// Decides about a carriage return by what follows it.
    fn end_of_line<'a>(&mut self, after: &'a [u8], into: &mut Vec<u8>) -> &'a [u8] {
        match after.first() {
            None => self.carriage_return = true,
            Some(b'\n') => {}
            Some(_) => show('\r', into),
        }
        after
    }
}

/// What stands at the front of some bytes.
enum First {
    Character(char),
    /// So many bytes that are no character and never will be.
    Broken(usize),
    /// The beginning of a character.
    Unfinished,
}

/// Looks at the front of `bytes`, which are not empty.
fn first_character(bytes: &[u8]) -> First {
    let front = &bytes[..bytes.len().min(LONGEST)];
    let (text, error) = match std::str::from_utf8(front) {
        Ok(text) => (text, None),
        Err(error) => {
            let valid = &front[..error.valid_up_to()];
            (std::str::from_utf8(valid).unwrap_or_default(), Some(error))
        }
    };
    match (text.chars().next(), error.and_then(|error| error.error_len())) {
        (Some(character), _) => First::Character(character),
        (None, Some(length)) => First::Broken(length),
        (None, None) => First::Unfinished,
    }
}

/// Returns how many bytes at the front can be shown as they are: whole characters.
fn harmless(bytes: &[u8]) -> usize {
    let mut length = plain(bytes);
    while length < bytes.len() {
        match first_character(&bytes[length..]) {
            First::Character(character) if !is_treacherous(character) => length += character.len_utf8(),
            _ => break,
        }
        length += plain(&bytes[length..]);
    }
    length
}

/// Returns how many bytes at the front are printable ASCII, line feeds and tabs. This is what nearly all
/// output is made of: it is looked at in blocks that the compiler turns into vector instructions.
fn plain(bytes: &[u8]) -> usize {
    const BLOCK: usize = 32;
    let is_plain = |byte: u8| (byte.wrapping_sub(b' ') < 0x5f) | (byte == b'\n') | (byte == b'\t');
    let (blocks, _) = bytes.as_chunks::<BLOCK>();
    let whole = blocks
        .iter()
        .take_while(|block| block.iter().fold(true, |all, byte| all & is_plain(*byte)))
        .count();
    let rest = &bytes[whole * BLOCK..];
    whole * BLOCK + rest.iter().take_while(|byte| is_plain(**byte)).count()
}

fn push(character: char, into: &mut Vec<u8>) {
    into.extend_from_slice(character.encode_utf8(&mut [0; LONGEST]).as_bytes());
}

/// Appends the visible form of a treacherous character.
fn show(character: char, into: &mut Vec<u8>) {
    match character {
        '\0'..='\u{1f}' => push(picture(character), into),
        '\u{7f}' => push('\u{2421}', into),
        _ => into.extend_from_slice(format!("<U+{:04X}>", u32::from(character)).as_bytes()),
    }
}

/// Returns the picture of one of the first 32 control characters.
fn picture(control: char) -> char {
    char::from_u32(0x2400 + u32::from(control)).unwrap_or(char::REPLACEMENT_CHARACTER)
}

/// Tells whether a character steers a terminal, reorders text or hides in it.
#[must_use]
pub fn is_treacherous(character: char) -> bool {
    match character {
        '\n' | '\t' => false,
        '\0'..='\u{1f}' | '\u{7f}'..='\u{9f}' => true,
        '\u{2028}' | '\u{2029}' | '\u{fff9}'..='\u{fffb}' => true,
        _ => is_ignorable(character),
    }
}

/// Tells whether Unicode calls a character default-ignorable, without U+FE00 to U+FE0F.
fn is_ignorable(character: char) -> bool {
    matches!(
        character,
        '\u{ad}'
            | '\u{34f}'
            | '\u{61c}'
            | '\u{115f}'..='\u{1160}'
            | '\u{17b4}'..='\u{17b5}'
            | '\u{180b}'..='\u{180f}'
            | '\u{200b}'..='\u{200f}'
            | '\u{202a}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}'
            | '\u{3164}'
            | '\u{feff}'
            | '\u{ffa0}'
            | '\u{fff0}'..='\u{fff8}'
            | '\u{1bca0}'..='\u{1bca3}'
            | '\u{1d173}'..='\u{1d17a}'
            | '\u{e0000}'..='\u{e0fff}'
    )
}

/// Returns a text made safe to show within one line: line feeds become pictures too, and tabs spaces.
#[must_use]
pub fn line(text: &str) -> Cow<'_, str> {
    let breaks = |character: char| matches!(character, '\n' | '\t') || is_treacherous(character);
    if harmless(text.as_bytes()) == text.len() && !text.contains(breaks) {
        return Cow::Borrowed(text);
    }
    let mut safe = Vec::with_capacity(text.len() + 16);
    let mut rest = text.chars().peekable();
    while let Some(character) = rest.next() {
        match character {
            '\t' => safe.push(b' '),
            '\r' if rest.peek() == Some(&'\n') => {}
            '\n' => push(picture('\n'), &mut safe),
            _ if is_treacherous(character) => show(character, &mut safe),
            _ => push(character, &mut safe),
        }
    }
    Cow::Owned(String::from_utf8_lossy(&safe).into_owned())
}

/// Returns JSON in which treacherous characters are written as `\u009b`: the same values, safe to show.
/// JSON writers leave those beyond ASCII as they are.
#[must_use]
pub fn json(text: &str) -> Cow<'_, str> {
    if harmless(text.as_bytes()) == text.len() {
        return Cow::Borrowed(text);
    }
    let mut safe = String::with_capacity(text.len() + 16);
    for character in text.chars() {
        if is_treacherous(character) {
            for unit in character.encode_utf16(&mut [0; 2]) {
                let _ = write!(safe, "\\u{unit:04x}");
            }
        } else {
            safe.push(character);
        }
    }
    Cow::Owned(safe)
}

#[cfg(test)]
mod tests;

//! The terminal sanitiser: nothing that a terminal obeys but line feeds and tabs, however the bytes are cut.
//!
//! The first byte says how they are cut; the rest is what a host prints.

use muster_model::sanitise::{self, Sanitiser};

/// Checks one input.
pub fn check(input: &[u8]) {
    let Some((seed, bytes)) = input.split_first() else {
        return;
    };
    let whole = fed(&[bytes]);
    assert_eq!(obeyed(&whole), None);
    // The longest visible form of one byte has three; of a character of four bytes, nine.
    assert!(
        whole.len() <= 4 * bytes.len(),
        "{} from {}",
        whole.len(),
        bytes.len()
    );

    assert_eq!(whole, fed(&pieces(*seed, bytes)), "cut into pieces");
    assert_eq!(whole, passed(&pieces(*seed, bytes)), "passed in pieces");
    assert_eq!(whole, fed(&[&whole]), "sanitised twice");

    let text = String::from_utf8_lossy(bytes);
    let line = sanitise::line(&text);
    assert_eq!(obeyed(line.as_bytes()), None);
    assert!(!line.contains(['\n', '\t']), "{line:?} is not one line");
    assert_eq!(sanitise::line(&line), line, "a line sanitised twice");
    json(&text);
}

/// JSON of any text is safe to show, and says the same.
fn json(text: &str) {
    let written = serde_json::Value::from(text).to_string();
    let safe = sanitise::json(&written);
    assert_eq!(obeyed(safe.as_bytes()), None);
    let read: Option<String> = serde_json::from_str(&safe).ok();
    assert_eq!(read.as_deref(), Some(text));
}

/// Returns the first byte of `shown` that a terminal would obey, or that is no UTF-8. Written from what
/// terminals obey, without the sanitiser's own tables.
fn obeyed(shown: &[u8]) -> Option<usize> {
    let Ok(text) = std::str::from_utf8(shown) else {
        return Some(0);
    };
    let steers = |character: char| {
        (character.is_control() && !matches!(character, '\n' | '\t'))
            || matches!(u32::from(character), 0x61c | 0x200b..=0x200f | 0x2028..=0x202e | 0x2060..=0x206f)
            || matches!(u32::from(character), 0xfeff | 0xfff9..=0xfffb | 0xe0000..=0xe007f)
    };
    text.char_indices()
        .find(|(_, character)| steers(*character))
        .map(|(at, _)| at)
}

/// Cuts bytes into pieces of one to eight bytes and, now and then, of many.
fn pieces(seed: u8, bytes: &[u8]) -> Vec<&[u8]> {
    let mut pieces = Vec::new();
    let (mut rest, mut state) = (bytes, u32::from(seed) + 1);
    while !rest.is_empty() {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let wish = match state >> 29 {
            7 => 100,
            small => small as usize + 1,
        };
        let (piece, after) = rest.split_at(wish.min(rest.len()));
        pieces.push(piece);
        rest = after;
    }
    pieces
}

fn fed(pieces: &[&[u8]]) -> Vec<u8> {
    let mut sanitiser = Sanitiser::default();
    let mut shown = Vec::new();
    pieces.iter().for_each(|piece| sanitiser.feed(piece, &mut shown));
    sanitiser.finish(&mut shown);
    shown
}

fn passed(pieces: &[&[u8]]) -> Vec<u8> {
    let mut sanitiser = Sanitiser::default();
    let mut shown = Vec::new();
    for piece in pieces {
        shown.extend_from_slice(&sanitiser.pass(piece));
    }
    sanitiser.finish(&mut shown);
    shown
}

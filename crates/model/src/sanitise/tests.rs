//! What a terminal must never get, and what must not be changed.

use proptest::prelude::*;

use super::*;

fn clean(pieces: &[&[u8]]) -> String {
    let mut sanitiser = Sanitiser::default();
    let mut into = Vec::new();
    for piece in pieces {
        sanitiser.feed(piece, &mut into);
    }
    sanitiser.finish(&mut into);
    String::from_utf8(into).unwrap()
}

#[test]
fn what_steers_a_terminal_becomes_visible() {
    for (printed, shown) in [
        (&b"a\x1b[2Jb\x07\x7f\tc\r\nd\re\r"[..], "a␛[2Jb␇␡\tc\nd␍e␍"),
        (b"\x1b]0;title\x07", "␛]0;title␇"),
        (b"\x1b]52;c;ZWNobw==\x1b\\", "␛]52;c;ZWNobw==␛\\"),
        (
            b"\x1bP$qm\x1b\\ \x1b_x\x1b\\ \x1b^y\x1b\\",
            "␛P$qm␛\\ ␛_x␛\\ ␛^y␛\\",
        ),
        (b"\x9b31m\x9d0;t\x9c", "\u{fffd}31m\u{fffd}0;t\u{fffd}"),
        (b"sure\x08\x08\x08\x08rm\x0e\x0f\x05", "sure␈␈␈␈rm␎␏␅"),
        (b"\xff\xc3(\xe2\x82", "\u{fffd}\u{fffd}(\u{fffd}"),
        (b"\r\r\n", "␍\n"),
    ] {
        assert_eq!(clean(&[printed]), shown);
    }
    assert_eq!(
        clean(&["x\u{9b}31m\u{202e}y\u{2066}\u{200b}\u{e0041}".as_bytes()]),
        "x<U+009B>31m<U+202E>y<U+2066><U+200B><U+E0041>"
    );
}

#[test]
fn ordinary_text_stays_as_it_is_and_is_not_copied() {
    let text = "Größe\t12 €\n日本語 😀 ❤\u{fe0f} ok, and a line that is longer than one block of bytes\n";
    assert_eq!(clean(&[text.as_bytes()]), text);
    assert!(matches!(
        Sanitiser::default().pass(text.as_bytes()),
        Cow::Borrowed(_)
    ));
    assert!(matches!(line("web01: größer"), Cow::Borrowed(_)));
    assert!(matches!(json("{\"a\":\"größer\"}"), Cow::Borrowed(_)));
}

#[test]
fn a_character_in_two_pieces_is_one() {
    assert_eq!(clean(&[b"\xc3", b"\xa9\xe2\x82", b"\xac"]), "é€");
    assert_eq!(clean(&[b"\xc2", b"\x9b31m"]), "<U+009B>31m");
    assert_eq!(clean(&[b"\xe2\x80", b"A"]), "\u{fffd}A");
    assert_eq!(clean(&[b"a\r", b"", b"\nb\r", b"c"]), "a\nb␍c");
}

#[test]
fn a_line_stays_one_line() {
    assert_eq!(line("two\r\nlines\x1b\tend\r"), "two␊lines␛ end␍");
}

#[test]
fn json_says_the_same_with_other_words() {
    let value = serde_json::json!({"stdout": "\u{9b}31m\u{202e}\u{7f}\u{e0041} é\n"});
    let written = value.to_string();
    let safe = json(&written);
    assert_eq!(safe, r#"{"stdout":"\u009b31m\u202e\u007f\udb40\udc41 é\n"}"#);
    assert_eq!(serde_json::from_str::<serde_json::Value>(&safe).unwrap(), value);
}

/// Bytes in which trouble is frequent.
fn bytes() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        4 => any::<u8>().prop_map(|byte| vec![byte]),
        2 => Just(vec![0x1b]),
        2 => Just(b"\r".to_vec()),
        2 => Just(b"\n".to_vec()),
        2 => any::<char>().prop_map(|character| character.to_string().into_bytes()),
        2 => (0x7f_u32..0xa0).prop_filter_map("a character", char::from_u32)
            .prop_map(|character| character.to_string().into_bytes()),
        2 => (0x2000_u32..0x2070).prop_filter_map("a character", char::from_u32)
            .prop_map(|character| character.to_string().into_bytes()),
        1 => "[a-z ]{0,70}".prop_map(String::into_bytes),
    ];
    proptest::collection::vec(piece, 0..40).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn nothing_that_steers_a_terminal_comes_through_however_it_is_cut(
        bytes in bytes(),
        cuts in proptest::collection::vec(0usize..200, 0..5),
    ) {
        let whole = clean(&[&bytes]);
        prop_assert!(!whole.chars().any(is_treacherous));
        let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(bytes.len())).collect();
        cuts.extend([0, bytes.len()]);
        cuts.sort_unstable();
        let pieces: Vec<&[u8]> = cuts.windows(2).map(|pair| &bytes[pair[0]..pair[1]]).collect();
        prop_assert_eq!(&whole, &clean(&pieces));
        let single: Vec<&[u8]> = bytes.chunks(1).collect();
        prop_assert_eq!(&whole, &clean(&single));
        prop_assert_eq!(&whole, &clean(&[whole.as_bytes()]));
        let mut sanitiser = Sanitiser::default();
        let mut passed = Vec::new();
        for piece in pieces {
            passed.extend_from_slice(&sanitiser.pass(piece));
        }
        sanitiser.finish(&mut passed);
        prop_assert_eq!(whole.as_bytes(), passed);
    }

    #[test]
    fn what_is_called_harmless_is_not_touched(bytes in bytes()) {
        let length = harmless(&bytes);
        let text = std::str::from_utf8(&bytes[..length]);
        prop_assert!(text.is_ok_and(|text| !text.chars().any(is_treacherous)));
        prop_assert_eq!(plain(&bytes), bytes.iter()
            .take_while(|byte| matches!(byte, b' '..=b'~' | b'\n' | b'\t')).count());
    }
}

//! `known_hosts`: the index finds what trying every line finds, and a verdict is what the lines say.
//!
//! The first line is the host's name; the rest is the file.

use muster_model::HostKey;
use muster_transport::fuzzing::{self, Known, Line};

/// Checks one input.
pub fn check(input: &[u8]) {
    // As it is read from the disk.
    let text = String::from_utf8_lossy(input);
    let (name, file) = text.split_once('\n').unwrap_or((&text, ""));
    let name = name.trim().to_lowercase();
    let known = Known::read(file);
    let lines = known.lines(&name);
    assert_eq!(lines, fuzzing::lines_one_by_one(file, &name), "the index");
    assert_eq!(lines, known.lines(&name), "asked twice");

    for line in &lines {
        assert_eq!(
            known.verdict(&name, &line.key),
            expected(&lines, &line.key),
            "{line:?}"
        );
    }
    let stranger = b"\0\0\0\x0bssh-ed25519 and some more bytes";
    assert_eq!(
        known.verdict(&name, stranger),
        expected(&lines, stranger),
        "a stranger's key"
    );
    hashed(&name, &lines);
}

/// What the lines for a name say about a key, without certificates.
fn expected(lines: &[Line], key: &[u8]) -> &'static str {
    let any = |marker: &str| lines.iter().any(|line| line.marker == marker && line.key == key);
    if HostKey::read(key.to_vec()).is_err() {
        "NoKey"
    } else if any("Revoked") {
        "Revoked"
    } else if any("None") {
        "Known"
    } else if lines.iter().any(|line| line.marker == "None") {
        "Changed"
    } else {
        "Unknown"
    }
}

/// The keys of a name, written with the name hashed, are the keys of that name and of no other.
fn hashed(name: &str, lines: &[Line]) {
    let salt = b"twenty bytes of salt";
    let word = format!("|1|{}|{}", base64(salt), base64(&fuzzing::hash(name, salt)));
    let own: Vec<&Line> = lines.iter().filter(|line| line.marker == "None").collect();
    let written: Vec<String> = own
        .iter()
        .filter_map(|line| {
            Some(format!(
                "{word} {} {}\n",
                algorithm(&line.key)?,
                base64(&line.key)
            ))
        })
        .collect();
    let known = Known::read(&written.concat());
    let keys: Vec<Vec<u8>> = known.lines(name).into_iter().map(|line| line.key).collect();
    let expected: Vec<Vec<u8>> = own.iter().map(|line| line.key.clone()).collect();
    assert_eq!(keys, expected, "hashed");
    assert_eq!(known.lines(&format!("{name}x")), [], "another name");
}

fn algorithm(key: &[u8]) -> Option<&str> {
    let length = usize::try_from(u32::from_be_bytes(*key.first_chunk()?)).ok()?;
    std::str::from_utf8(key.get(4..)?.get(..length)?).ok()
}

fn base64(bytes: &[u8]) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(bytes)
}

//! What is written to databases stays readable: these bytes never change.

use muster_model::Secret;
use zeroize::Zeroizing;

use crate::vault::contents::Contents;
use crate::vault::seal::{About, MasterKey};

const ABOUT: About<'_> = About {
    what: "credential",
    name: "web",
    user: Some("deploy"),
    holds: "password",
    public_key: None,
};

fn key(byte: u8) -> MasterKey {
    MasterKey::new(Zeroizing::new([byte; 32]))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn whole() -> Contents {
    let secret = |text: &str| Some(Secret::new(text.to_owned()));
    Contents {
        key: secret("-----BEGIN"),
        certificate: secret("ssh-ed25519-cert"),
        passphrase: secret("ä"),
        password: secret("hunter2"),
        sudo_password: secret(&"x".repeat(400)),
    }
}

#[test]
fn a_record_of_version_1_is_these_bytes() {
    let plain = Contents {
        password: Some(Secret::new("hunter2".to_owned())),
        ..Contents::default()
    };
    let plain = plain.encode();
    assert_eq!(hex(&plain[..14]), "040000000768756e7465723200".to_owned() + "00");
    assert_eq!(plain.len(), 256, "the length tells little of the password's");
    let sealed = key(7).seal_with([9; 24], &ABOUT, &plain).expect("sealed");
    assert_eq!(sealed.len(), 1 + 24 + 256 + 16);
    assert_eq!(hex(&sealed), include_str!("golden-1.hex").trim());
    let opened = key(7).open(&ABOUT, &sealed).expect("it opens");
    assert_eq!(opened.as_slice(), plain.as_slice());
}

#[test]
fn a_key_is_known_by_these_names() {
    assert_eq!(key(7).id(), "0bea777035c776e3");
    assert_eq!(
        key(0).text().as_str(),
        "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="
    );
    let again = MasterKey::parse(&key(7).text()).expect("a key");
    assert_eq!(again.id(), key(7).id());
    for text in ["", "AAAA", "not base64", &"A".repeat(43), &"A".repeat(88)] {
        assert!(MasterKey::parse(text).is_none(), "{text}");
    }
}

#[test]
fn nothing_opens_that_was_changed_or_moved() {
    let sealed = key(7).seal(&ABOUT, b"secret").expect("sealed");
    assert_eq!(
        key(7).open(&ABOUT, &sealed).expect("it opens").as_slice(),
        b"secret"
    );
    assert!(key(8).open(&ABOUT, &sealed).is_none(), "another key");
    for place in 0..sealed.len() {
        let mut changed = sealed.to_vec();
        changed[place] ^= 1;
        assert!(key(7).open(&ABOUT, &changed).is_none(), "byte {place}");
        assert!(key(7).open(&ABOUT, &sealed[..place]).is_none(), "cut at {place}");
    }
    let moved = [
        About { name: "db", ..ABOUT },
        About { user: None, ..ABOUT },
        About {
            user: Some("root"),
            ..ABOUT
        },
        About {
            user: Some(""),
            ..ABOUT
        },
        About {
            holds: "key",
            ..ABOUT
        },
        About {
            public_key: Some(""),
            ..ABOUT
        },
        About {
            what: "canary",
            ..ABOUT
        },
        About {
            name: "webdeploy",
            user: Some(""),
            ..ABOUT
        },
    ];
    for about in moved {
        assert!(key(7).open(&about, &sealed).is_none());
    }
}

#[test]
fn the_same_is_never_sealed_to_the_same() {
    let seal = || key(7).seal(&ABOUT, b"secret").expect("sealed");
    assert_ne!(seal(), seal());
}

#[test]
fn contents_come_back_whole_and_nothing_else_is_read() {
    let bytes = whole().encode();
    assert_eq!(bytes.len(), 512);
    assert!(Contents::decode(&bytes).is_some_and(|contents| contents == whole()));
    assert_eq!(
        whole().holds(),
        "key,certificate,passphrase,password,sudo-password"
    );
    assert!(Contents::decode(&[]).is_some_and(|contents| contents == Contents::default()));
    let wrong: [&[u8]; 7] = [
        &[9, 0, 0, 0, 0],
        &[4],
        &[4, 0, 0, 0],
        &[4, 0, 0, 0, 2, b'x'],
        &[4, 0, 0, 0, 1, 0xff],
        &[4, 0, 0, 0, 1, b'x', 4, 0, 0, 0, 1, b'y'],
        &[0, 1],
    ];
    for bytes in wrong {
        assert!(Contents::decode(bytes).is_none(), "{bytes:?}");
    }
}

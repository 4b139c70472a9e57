//! What a host answers to the facts script: facts or a message, in bounded room, and nothing for a terminal to obey.

use muster_model::facts::{self, ADDRESSES, ANSWER_BYTES, DISKS, Facts, TEXT_BYTES};
use muster_model::sanitise::is_treacherous;

/// Checks one input: as the whole answer, and as the lines between header and end.
pub fn check(input: &[u8]) {
    one(input);
    one(&[b"muster-facts 1\n", input, b"\nend\n"].concat());
}

fn one(answer: &[u8]) {
    match facts::parse(answer) {
        Ok(facts) => {
            assert!(answer.len() <= ANSWER_BYTES);
            bounded(&facts);
            let json = serde_json::to_string(&facts).unwrap_or_default();
            assert_eq!(serde_json::from_str::<Facts>(&json).ok(), Some(facts), "as JSON");
        }
        Err(error) => {
            let text = error.to_string();
            assert!(text.len() < 1000 && !text.contains(is_treacherous), "{text:?}");
        }
    }
}

fn bounded(facts: &Facts) {
    let os = &facts.os;
    let own = [
        &os.id,
        &os.version,
        &os.name,
        &facts.kernel,
        &facts.kernel_release,
        &facts.arch,
    ];
    let more = [&facts.hostname, &facts.virt, &facts.pkg, &facts.init];
    let disks = facts.disks.iter().flat_map(|disk| [&disk.device, &disk.mount]);
    for text in own.into_iter().chain(more).flatten().chain(&os.like).chain(disks) {
        assert!(
            text.len() <= TEXT_BYTES && !text.contains(is_treacherous),
            "{text:?}"
        );
    }
    assert!(facts.disks.len() <= DISKS && facts.addresses.len() <= ADDRESSES);
    for disk in &facts.disks {
        assert!(
            disk.free_bytes <= disk.size_bytes && disk.mount.starts_with('/'),
            "{disk:?}"
        );
    }
}

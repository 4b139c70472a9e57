//! At every step: the host falls silent, says one byte after the other, closes the connection, or resets it.

use super::{Case, Ends, case};
use crate::hostile::peer::{Peer, Step};

/// How a host leaves off.
type Way = fn(&mut Peer) -> std::io::Result<()>;

const WAYS: [(&str, Way); 4] = [
    ("is_silent", Peer::silence),
    ("drips", Peer::drip),
    ("closes", Peer::close),
    ("resets", Peer::reset),
];

/// Each step, and what is said about a host that waits there, and about one that ends there.
const STEPS: [(&str, Step, Ends, Ends); 8] = [
    (
        "at_once",
        Step::Accepted,
        Ends::Unreachable("waiting for its first line"),
        Ends::Unreachable("before the host said anything"),
    ),
    (
        "after_its_version",
        Step::Greeted,
        Ends::Unreachable("in the key exchange"),
        Ends::Unreachable("in the key exchange"),
    ),
    (
        "after_kexinit",
        Step::KexInit,
        Ends::Unreachable("in the key exchange"),
        Ends::Unreachable("in the key exchange"),
    ),
    (
        "after_newkeys",
        Step::NewKeys,
        Ends::Unreachable("while logging in"),
        Ends::Unreachable("while logging in"),
    ),
    (
        "at_the_login",
        Step::AuthRequest,
        Ends::Unreachable("while logging in"),
        Ends::Unreachable("while logging in"),
    ),
    (
        "at_the_channel",
        Step::ChannelOpen,
        Ends::Unreachable("opening a session"),
        Ends::Unreachable("opening a session"),
    ),
    (
        "at_the_command",
        Step::Exec,
        Ends::Lost("the host does not"),
        Ends::Lost("the connection broke"),
    ),
    (
        "while_it_runs",
        Step::Running,
        Ends::Unkillable,
        Ends::Lost("how it ended is not known"),
    ),
];

pub(super) fn cases() -> Vec<Case> {
    let mut all = Vec::new();
    for (place, step, waits, ended) in STEPS {
        for (way, leave_off) in WAYS {
            let ends = if (step, way) == (Step::Accepted, "resets") {
                // Sometimes before we know that we are connected.
                Ends::Unreachable("reset by peer")
            } else if matches!(way, "is_silent" | "drips") {
                waits
            } else {
                ended
            };
            all.push(case(&format!("{way}_{place}"), ends, move |peer| {
                peer.up_to(step)?;
                leave_off(peer)
            }));
        }
    }
    all
}

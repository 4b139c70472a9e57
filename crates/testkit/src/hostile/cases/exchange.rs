//! Before the login: the first line, the packets, the key exchange.

use super::{Case, Ends, case, debug, disconnect, ignore};
use crate::hostile::exchange::{self, Proof};
use crate::hostile::message as m;
use crate::hostile::message::Message;
use crate::hostile::peer::{Peer, Step};

pub(super) fn cases() -> Vec<Case> {
    let mut all = greetings();
    all.extend(packets());
    all.extend(exchanges());
    all
}

fn greetings() -> Vec<Case> {
    let not_ssh = Ends::Unreachable("does not speak SSH");
    vec![
        case("endless_lines_before_its_version", not_ssh, |peer| {
            loop {
                peer.bytes(b"welcome \x1b[2J\r\n")?;
            }
        }),
        case("a_first_line_without_an_end", not_ssh, |peer| {
            loop {
                peer.bytes(&[b'A'; 4096])?;
            }
        }),
        case("a_first_line_of_zeros", not_ssh, |peer| {
            loop {
                peer.bytes(&[0; 4096])?;
            }
        }),
        case("noise_instead_of_ssh", not_ssh, |peer| {
            // Every byte there is but the one that ends a line.
            let noise: Vec<u8> = (0..=u8::MAX).filter(|byte| *byte != b'\n').collect();
            loop {
                peer.bytes(&noise)?;
            }
        }),
        case("an_answer_of_another_protocol", not_ssh, |peer| {
            peer.bytes(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n\x1b[2J")?;
            peer.close()
        }),
        case("a_version_of_a_megabyte", not_ssh, |peer| {
            peer.bytes(b"SSH-2.0-")?;
            peer.bytes(&vec![b'v'; 1 << 20])?;
            peer.silence()
        }),
        case(
            "a_version_that_nobody_speaks",
            Ends::Unreachable("nothing that speaks SSH"),
            |peer| {
                peer.bytes(b"SSH-1.5-\x1b]0;old\x07\r\n")?;
                peer.silence()
            },
        ),
    ]
}

fn packets() -> Vec<Case> {
    let failed = Ends::Unreachable("the key exchange failed");
    let raw = |bytes: Vec<u8>| {
        move |peer: &mut Peer| {
            peer.up_to(Step::Greeted)?;
            peer.bytes(&bytes)?;
            peer.silence()
        }
    };
    vec![
        case("a_packet_of_four_gibibytes", failed, raw(vec![0xff; 4096])),
        case(
            "a_packet_over_the_limit",
            failed,
            raw([0, 0x04, 0x10, 0].repeat(64)),
        ),
        case(
            "a_packet_of_no_bytes",
            Ends::Unreachable("in the key exchange"),
            raw(vec![0; 64]),
        ),
        case(
            "a_packet_that_is_all_padding",
            failed,
            raw([&[0, 0, 0, 12, 0xff][..], &[0; 64]].concat()),
        ),
        case("padding_of_zero", Ends::Exits(0), |peer| {
            peer.up_to(Step::Running)?;
            // Eleven bytes of payload, and the one that says so, make a block of sixteen with four more.
            peer.send_padded(&ignore(10), 0)?;
            peer.exit(0)?;
            peer.attend()
        }),
        case(
            "noise_under_the_new_keys",
            Ends::Unreachable("while logging in"),
            |peer| {
                peer.up_to(Step::NewKeys)?;
                peer.bytes(&[&[0, 0, 0, 32][..], &[0x5a; 48]].concat())?;
                peer.silence()
            },
        ),
        case(
            "four_gibibytes_under_the_new_keys",
            Ends::Unreachable("while logging in"),
            |peer| {
                peer.up_to(Step::NewKeys)?;
                peer.bytes(&[0xff; 4096])?;
                peer.silence()
            },
        ),
        case(
            "four_gibibytes_while_it_runs",
            Ends::Lost("how it ended is not known"),
            |peer| {
                peer.up_to(Step::Running)?;
                peer.bytes(&[0xff; 4096])?;
                peer.silence()
            },
        ),
        case(
            "noise_while_it_runs",
            Ends::Lost("how it ended is not known"),
            |peer| {
                peer.up_to(Step::Running)?;
                peer.bytes(&[&[0, 0, 0, 32][..], &[0x5a; 48]].concat())?;
                peer.silence()
            },
        ),
    ]
}

fn exchanges() -> Vec<Case> {
    let failed = Ends::Unreachable("key exchange");
    let says = |payload: Vec<u8>| {
        move |peer: &mut Peer| {
            peer.up_to(Step::Greeted)?;
            peer.send(&payload)?;
            peer.silence()
        }
    };
    let proves = |proof: Proof| {
        move |peer: &mut Peer| {
            peer.up_to(Step::KexInit)?;
            let init = peer.receive(m::KEXINIT)?;
            peer.exchange(&exchange::usual(), &init, proof)?;
            peer.silence()
        }
    };
    let group = |prime: Vec<u8>, generator: Vec<u8>| {
        move |peer: &mut Peer| {
            peer.up_to(Step::Greeted)?;
            peer.send(&exchange::kexinit("diffie-hellman-group-exchange-sha256"))?;
            peer.receive(m::GEX_REQUEST)?;
            peer.send(&Message::new(m::GEX_GROUP).mpint(&prime).mpint(&generator).done())?;
            peer.silence()
        }
    };
    vec![
        case(
            "garbage_instead_of_kexinit",
            failed,
            says([vec![m::KEXINIT], vec![0xee; 500]].concat()),
        ),
        case("a_kexinit_of_nothing", failed, says(vec![m::KEXINIT])),
        case(
            "no_algorithm_in_common",
            Ends::Unreachable("no key exchange algorithm in common"),
            says(exchange::kexinit("rot13\u{1b}[31m,none")),
        ),
        case(
            "algorithms_without_end",
            failed,
            says(exchange::kexinit(&"a,".repeat(120_000))),
        ),
        case(
            "a_message_of_the_login_before_the_keys",
            failed,
            says(vec![m::USERAUTH_SUCCESS]),
        ),
        case("newkeys_at_once", failed, says(vec![m::NEWKEYS])),
        case(
            "good_bye_at_once",
            Ends::Unreachable("the host ended the connection"),
            says(disconnect(b"\x1b]0;gone\x07go away")),
        ),
        case(
            "a_forged_proof_of_its_key",
            Ends::Unreachable("could not prove"),
            proves(Proof::Forged),
        ),
        case(
            "a_key_of_another_type",
            Ends::Unreachable("key"),
            proves(Proof::OtherType),
        ),
        case(
            "a_group_of_a_million_bits",
            failed,
            group(vec![0xff; 128 * 1024], vec![2]),
        ),
        case("a_group_of_nothing", failed, group(Vec::new(), vec![2])),
        case(
            "an_even_group",
            failed,
            group([&[0x80][..], &[0; 511]].concat(), vec![2]),
        ),
        case(
            "a_generator_of_a_million_bits",
            failed,
            group(vec![0xff; 512], vec![0xfe; 128 * 1024]),
        ),
        case(
            "idle_talk_instead_of_kexinit",
            Ends::Unreachable("key exchange"),
            |peer| {
                peer.up_to(Step::Greeted)?;
                peer.flood(&debug("\u{1b}[2J"))
            },
        ),
        case("endless_kexinits", failed, |peer| {
            peer.up_to(Step::Greeted)?;
            peer.flood(&exchange::usual())
        }),
    ]
}

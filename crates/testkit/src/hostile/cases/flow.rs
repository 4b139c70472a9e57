//! More than anybody asked for, and windows that leave no room or no end of it.

use super::running::{UNKNOWN, channel_open, runs};
use super::{Case, Ends, case, debug, ignore};
use crate::hostile::message as m;
use crate::hostile::message::Message;
use crate::hostile::peer::{Peer, Step, confirmation, exit_status, output};

pub(super) fn cases() -> Vec<Case> {
    let mut all = floods();
    all.extend(windows());
    all
}

fn floods() -> Vec<Case> {
    let until_killed = |payloads: fn(u32) -> Vec<Vec<u8>>| {
        move |peer: &mut Peer| {
            peer.let_kill().up_to(Step::Running)?;
            let payloads = payloads(peer.channel);
            peer.flood_until_killed(&payloads)
        }
    };
    let for_ever = |payload: fn(u32) -> Vec<u8>| {
        move |peer: &mut Peer| {
            peer.up_to(Step::Running)?;
            let payload = payload(peer.channel);
            peer.flood(&payload)
        }
    };
    vec![
        case(
            "output_without_end",
            Ends::Killed,
            until_killed(|channel| vec![output(channel, None, &[b'o'; 30_000])]),
        ),
        case(
            "errors_without_end",
            Ends::Killed,
            until_killed(|channel| vec![output(channel, Some(1), &[b'e'; 30_000])]),
        ),
        case(
            "both_outputs_without_end",
            Ends::Killed,
            until_killed(|channel| {
                vec![
                    output(channel, None, &[b'o'; 100]),
                    output(channel, Some(1), &[b'e'; 100]),
                ]
            }),
        ),
        case(
            "single_bytes_without_end",
            Ends::Killed,
            until_killed(|channel| vec![output(channel, None, b"o"), output(channel, Some(1), b"e")]),
        ),
        case(
            "output_without_end_or_reading",
            Ends::Unkillable,
            for_ever(|channel| output(channel, None, &[b'o'; 30_000])),
        ),
        case(
            "output_in_packets_beyond_ours",
            Ends::Killed,
            until_killed(|channel| vec![output(channel, None, &[b'o'; 250_000])]),
        ),
        case(
            "output_of_an_unknown_kind_without_end",
            Ends::Killed,
            until_killed(|channel| {
                vec![
                    output(channel, Some(2), &[b'x'; 30_000]),
                    output(channel, Some(u32::MAX), b"x"),
                ]
            }),
        ),
        case(
            "idle_talk_without_end",
            Ends::Killed,
            until_killed(|_| vec![ignore(30_000), debug("\u{1b}[2J")]),
        ),
        case(
            "successes_without_end",
            Ends::Killed,
            until_killed(|channel| vec![Message::new(m::CHANNEL_SUCCESS).number(channel).done()]),
        ),
        case(
            "ends_of_output_without_end",
            Ends::Killed,
            until_killed(|channel| vec![Message::new(m::CHANNEL_EOF).number(channel).done()]),
        ),
        case(
            "exit_codes_without_end",
            Ends::Killed,
            until_killed(|channel| vec![exit_status(channel, 1)]),
        ),
        case(
            "wishes_without_end",
            Ends::Killed,
            until_killed(|_| {
                vec![
                    Message::new(m::GLOBAL_REQUEST)
                        .string("please@evil")
                        .byte(1)
                        .done(),
                ]
            }),
        ),
        case(
            "wishes_without_end_or_reading",
            UNKNOWN,
            for_ever(|_| {
                Message::new(m::GLOBAL_REQUEST)
                    .string("keepalive@evil")
                    .byte(1)
                    .done()
            }),
        ),
        case(
            "host_keys_without_end",
            Ends::Killed,
            until_killed(|_| {
                let announced = Message::new(m::GLOBAL_REQUEST)
                    .string("hostkeys-00@openssh.com")
                    .byte(0);
                vec![announced.string(vec![0x11; 10_000]).done()]
            }),
        ),
        case(
            "channels_without_end_or_reading",
            Ends::Lost("does not take what is sent to it"),
            for_ever(|_| channel_open("forwarded-tcpip", 1)),
        ),
        case(
            "channels_without_end",
            Ends::Killed,
            until_killed(|_| vec![channel_open("forwarded-tcpip", 1)]),
        ),
    ]
}

fn windows() -> Vec<Case> {
    let opens = |window: u32, packet: u32| {
        move |peer: &mut Peer| {
            peer.window = window;
            peer.packet = packet;
            peer.let_kill().up_to(Step::Running)
        }
    };
    let (none, one, all) = (opens(0, 1 << 15), opens(1 << 21, 1), opens(u32::MAX, u32::MAX));
    let nothing = opens(1 << 21, 0);
    vec![
        case("a_window_of_zero", Ends::Killed, move |peer| {
            none(peer)?;
            peer.attend()
        })
        .with_input(1 << 20),
        case("a_window_of_zero_and_silence", Ends::Unkillable, |peer| {
            peer.window = 0;
            peer.up_to(Step::Running)?;
            peer.swallow()
        })
        .with_input(1 << 20),
        case("a_window_of_zero_and_an_exit", Ends::Exits(0), move |peer| {
            none(peer)?;
            peer.exit(0)?;
            peer.attend()
        })
        .with_input(1 << 20),
        case(
            "packets_of_nothing",
            Ends::Unreachable("opening a session"),
            move |peer| {
                nothing(peer)?;
                peer.attend()
            },
        )
        .with_input(1 << 16),
        case("packets_of_one_byte", Ends::Exits(0), move |peer| {
            one(peer)?;
            peer.receive(m::CHANNEL_EOF)?;
            peer.exit(0)?;
            peer.attend()
        })
        .with_input(1 << 14),
        case("packets_of_four_gibibytes", Ends::Exits(0), move |peer| {
            all(peer)?;
            peer.receive(m::CHANNEL_EOF)?;
            peer.exit(0)?;
            peer.attend()
        })
        .with_input(1 << 20),
        case(
            "a_window_that_overflows",
            Ends::Exits(0),
            runs(|peer| {
                for _ in 0..3 {
                    let more = Message::new(m::CHANNEL_WINDOW_ADJUST).number(peer.channel);
                    peer.send(&more.number(u32::MAX).done())?;
                }
                peer.exit(0)
            }),
        )
        .with_input(1 << 16),
        case("a_window_that_shrinks", Ends::Killed, |peer| {
            peer.let_kill().up_to(Step::Exec)?;
            // As much as was promised is now on its way, and there is no room for it any more.
            peer.send(&confirmation(peer.channel, 40, 0, 1 << 15))?;
            peer.tell(m::CHANNEL_SUCCESS)?;
            peer.attend()
        })
        .with_input(1 << 20),
        case(
            "output_beyond_our_window",
            Ends::Exits(0),
            runs(|peer| {
                for _ in 0..1000 {
                    peer.output(None, &[b'o'; 30_000])?;
                }
                peer.exit(0)
            }),
        ),
    ]
}

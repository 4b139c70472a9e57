//! While a command runs, or is about to.

use std::io;
use std::time::{Duration, Instant};

use super::{Case, Ends, case, disconnect, ignore};
use crate::hostile::exchange::{self, Proof};
use crate::hostile::message as m;
use crate::hostile::message::Message;
use crate::hostile::peer::{Peer, Step, confirmation, exit_signal, exit_status, output, request};

pub(super) const UNKNOWN: Ends = Ends::Lost("how it ended is not known");

pub(super) fn cases() -> Vec<Case> {
    let mut all = starts();
    all.extend(ends());
    all.extend(strangers());
    all.extend(keys());
    all
}

/// A host that does this while a command runs, and is honest otherwise.
pub(super) fn runs(conduct: impl Fn(&mut Peer) -> io::Result<()>) -> impl Fn(&mut Peer) -> io::Result<()> {
    move |peer| {
        peer.up_to(Step::Running)?;
        conduct(peer)?;
        peer.attend()
    }
}

fn starts() -> Vec<Case> {
    vec![
        case("the_command_is_refused", Ends::Refused, |peer| {
            peer.up_to(Step::Exec)?;
            peer.tell(m::CHANNEL_FAILURE)?;
            peer.attend()
        }),
        case("output_before_success", Ends::Exits(0), |peer| {
            peer.up_to(Step::Exec)?;
            peer.output(None, b"early\n")?;
            peer.tell(m::CHANNEL_SUCCESS)?;
            peer.exit(0)?;
            peer.attend()
        }),
        case("success_never", Ends::Exits(0), |peer| {
            peer.up_to(Step::Exec)?;
            peer.output(None, b"early\n")?;
            peer.exit(0)?;
            peer.attend()
        }),
        case("refused_after_it_ran", Ends::Exits(0), |peer| {
            peer.up_to(Step::Running)?;
            peer.tell(m::CHANNEL_FAILURE)?;
            peer.exit(0)?;
            peer.attend()
        }),
        case(
            "closed_instead_of_started",
            Ends::Lost("the connection broke"),
            |peer| {
                peer.up_to(Step::Exec)?;
                peer.tell(m::CHANNEL_CLOSE)?;
                peer.attend()
            },
        ),
        case(
            "idle_talk_instead_of_an_answer",
            Ends::Lost("does not say whether"),
            |peer| {
                peer.up_to(Step::Exec)?;
                peer.flood(&ignore(30_000))
            },
        ),
    ]
}

fn ends() -> Vec<Case> {
    let says = |payload: fn(u32) -> Vec<u8>| {
        runs(move |peer| {
            let payload = payload(peer.channel);
            peer.send(&payload)
        })
    };
    vec![
        // What is said last counts.
        case(
            "two_exit_codes",
            Ends::Exits(7),
            runs(|peer| {
                peer.send(&exit_status(peer.channel, 0))?;
                peer.exit(7)
            }),
        ),
        case(
            "an_exit_code_that_is_cut_off",
            UNKNOWN,
            says(|channel| request(channel, "exit-status").raw(&[0, 0]).done()),
        ),
        case(
            "an_exit_code_with_more_behind_it",
            UNKNOWN,
            says(|channel| request(channel, "exit-status").number(0).number(0).done()),
        ),
        case(
            "an_exit_code_after_the_close",
            UNKNOWN,
            runs(|peer| {
                peer.tell(m::CHANNEL_EOF)?;
                peer.tell(m::CHANNEL_CLOSE)?;
                peer.send(&exit_status(peer.channel, 0))
            }),
        ),
        case(
            "no_exit_code",
            UNKNOWN,
            runs(|peer| {
                peer.tell(m::CHANNEL_EOF)?;
                peer.tell(m::CHANNEL_CLOSE)
            }),
        ),
        case(
            "a_close_without_an_end_of_output",
            Ends::Exits(0),
            runs(|peer| {
                peer.send(&exit_status(peer.channel, 0))?;
                peer.tell(m::CHANNEL_CLOSE)
            }),
        ),
        case(
            "a_close_that_never_comes",
            Ends::Exits(0),
            runs(|peer| {
                peer.send(&exit_status(peer.channel, 0))?;
                peer.tell(m::CHANNEL_EOF)
            }),
        ),
        case("an_exit_code_and_then_silence", UNKNOWN, |peer| {
            peer.up_to(Step::Running)?;
            peer.send(&exit_status(peer.channel, 0))?;
            peer.silence()
        }),
        // It is there, and may yet say the rest.
        case("an_exit_code_and_then_idle_talk", Ends::Unkillable, |peer| {
            peer.up_to(Step::Running)?;
            peer.send(&exit_status(peer.channel, 0))?;
            peer.flood(&ignore(30_000))
        }),
        case(
            "an_exit_code_and_a_sign_of_life_after_long_talk",
            Ends::Prints("late\n"),
            runs(|peer| {
                peer.send(&exit_status(peer.channel, 0))?;
                // Longer than it may take to say that a command starts.
                for _ in 0..23 {
                    peer.send(&ignore(10))?;
                    std::thread::sleep(Duration::from_millis(200));
                }
                peer.output(None, b"late\n")
            }),
        ),
        case(
            "output_after_the_exit_code",
            Ends::Exits(0),
            runs(|peer| {
                peer.send(&exit_status(peer.channel, 0))?;
                peer.output(None, b"late\n")?;
                peer.tell(m::CHANNEL_CLOSE)
            }),
        ),
        case(
            "output_that_comes_with_the_sign_of_life",
            Ends::Prints("late\nlate\nlate\n"),
            runs(|peer| {
                peer.send(&exit_status(peer.channel, 0))?;
                let mut quiet = Instant::now();
                for _ in 0..3 {
                    // A keepalive comes earlier than the question whether that was all.
                    loop {
                        let due = peer.requests()?;
                        let mut said = vec![vec![m::REQUEST_FAILURE]; due];
                        if quiet.elapsed() < Duration::from_millis(950) {
                            peer.send_together(&said)?;
                            continue;
                        }
                        said.insert(0, output(peer.channel, None, b"late\n"));
                        said.insert(1, Message::new(m::CHANNEL_EOF).number(peer.channel).done());
                        peer.send_together(&said)?;
                        break;
                    }
                    quiet = Instant::now();
                }
                Ok(())
            }),
        ),
        case(
            "output_after_its_end",
            Ends::Exits(0),
            runs(|peer| {
                peer.tell(m::CHANNEL_EOF)?;
                peer.output(None, b"late\n")?;
                peer.output(Some(1), b"late\n")?;
                peer.exit(0)
            }),
        ),
        case(
            "an_exit_code_of_four_bytes",
            Ends::Exits(u32::MAX),
            runs(|peer| peer.exit(u32::MAX)),
        ),
        case(
            "a_signal_with_a_strange_name",
            Ends::Signal("2J"),
            runs(|peer| {
                let words = vec![b'w'; 200_000];
                peer.send(&exit_signal(peer.channel, b"\x1b[2J@evil", &words))?;
                peer.tell(m::CHANNEL_CLOSE)
            }),
        ),
        case(
            "a_signal_without_a_name",
            Ends::Signal("unknown"),
            runs(|peer| {
                peer.send(&exit_signal(peer.channel, b"", b""))?;
                peer.tell(m::CHANNEL_CLOSE)
            }),
        ),
        case(
            "a_signal_that_is_no_text",
            UNKNOWN,
            says(|channel| exit_signal(channel, &[0xff, 0xfe], b"")),
        ),
        case("a_close_in_the_middle_of_its_output", UNKNOWN, |peer| {
            peer.up_to(Step::Running)?;
            peer.output(None, b"half a li")?;
            // Half a packet: its length says that there is more.
            peer.bytes(&[&[0, 0, 0, 64][..], &[0x5a; 20]].concat())?;
            peer.close()
        }),
        case(
            "good_bye_with_escapes_while_it_runs",
            Ends::Lost("the host ended the connection"),
            |peer| {
                peer.up_to(Step::Running)?;
                peer.send(&disconnect(b"\x1b]0;owned\x07\x1b[2Jbye\r\n"))?;
                peer.silence()
            },
        ),
        case(
            "the_channel_is_refused_after_all",
            UNKNOWN,
            says(|channel| {
                let refusal = Message::new(m::CHANNEL_OPEN_FAILURE).number(channel);
                refusal.number(1).string("\u{1b}[2J").string("").done()
            }),
        ),
    ]
}

pub(super) fn channel_open(kind: &str, number: u32) -> Vec<u8> {
    let open = Message::new(m::CHANNEL_OPEN)
        .string(kind)
        .number(number)
        .number(1 << 20)
        .number(1 << 15);
    match kind {
        "forwarded-tcpip" | "direct-tcpip" => open.string("127.0.0.1").number(22).string("::1").number(1),
        "x11" => open.string("127.0.0.1").number(6000),
        _ => open,
    }
    .done()
}

/// What a server has no business to ask for, and messages about channels that are not there.
fn strangers() -> Vec<Case> {
    let kinds = [
        "forwarded-tcpip",
        "x11",
        "auth-agent@openssh.com",
        "session",
        "direct-tcpip",
        "\u{1b}[2J@evil",
    ];
    let mut all: Vec<Case> = kinds
        .into_iter()
        .map(|kind| {
            let name: String = kind.chars().filter(char::is_ascii_alphanumeric).collect();
            case(
                &format!("a_channel_from_the_server_{name}"),
                Ends::Exits(0),
                runs(move |peer| {
                    peer.send(&channel_open(kind, 77))?;
                    // One that was opened after all is exit code 1.
                    loop {
                        let code = match peer.read()?.first() {
                            Some(&m::CHANNEL_OPEN_FAILURE) => 0,
                            Some(&m::CHANNEL_OPEN_CONFIRMATION) => 1,
                            _ => continue,
                        };
                        return peer.exit(code);
                    }
                }),
            )
        })
        .collect();
    all.push(case(
        "messages_for_channels_that_are_not_there",
        Ends::Exits(0),
        runs(|peer| {
            let none = 4_000_000;
            peer.send(&output(none, None, b"x"))?;
            peer.send(&output(none, Some(1), b"x"))?;
            peer.send(&exit_status(none, 1))?;
            let more = Message::new(m::CHANNEL_WINDOW_ADJUST).number(none);
            peer.send(&more.number(u32::MAX).done())?;
            for kind in [
                m::CHANNEL_SUCCESS,
                m::CHANNEL_FAILURE,
                m::CHANNEL_EOF,
                m::CHANNEL_CLOSE,
            ] {
                peer.send(&Message::new(kind).number(none).done())?;
            }
            peer.exit(0)
        }),
    ));
    all.push(case(
        "a_channel_that_nobody_asked_for",
        UNKNOWN,
        runs(|peer| peer.send(&confirmation(4_000_000, 1, 1, 1))),
    ));
    all.push(case(
        "messages_that_nobody_knows",
        Ends::Exits(0),
        runs(|peer| {
            for kind in [
                m::UNIMPLEMENTED,
                m::REQUEST_FAILURE,
                m::USERAUTH_BANNER,
                150,
                192,
                255,
            ] {
                peer.send(&[kind])?;
            }
            peer.exit(0)
        }),
    ));
    all.push(case(
        "wishes_about_a_channel",
        Ends::Exits(0),
        runs(|peer| {
            for _ in 0..1000 {
                let wish = Message::new(m::CHANNEL_REQUEST).number(peer.channel);
                peer.send(&wish.string("\u{1b}[2J@evil").byte(1).done())?;
            }
            peer.exit(0)
        }),
    ));
    all.push(case(
        "an_empty_message",
        Ends::Exits(0),
        runs(|peer| {
            peer.send(&[])?;
            peer.exit(0)
        }),
    ));
    all
}

/// Keys that are changed while a command runs.
fn keys() -> Vec<Case> {
    vec![
        case(
            "new_keys_again_and_again",
            Ends::Exits(0),
            runs(|peer| {
                for _ in 0..100 {
                    peer.output(None, b"o")?;
                    peer.send(&exchange::usual())?;
                    let init = peer.receive(m::KEXINIT)?;
                    peer.exchange(&exchange::usual(), &init, Proof::Good)?;
                }
                peer.exit(0)
            }),
        ),
        case("new_keys_with_a_forged_proof", UNKNOWN, |peer| {
            peer.up_to(Step::Running)?;
            peer.send(&exchange::usual())?;
            let init = peer.receive(m::KEXINIT)?;
            peer.exchange(&exchange::usual(), &init, Proof::Forged)
        }),
        case("new_keys_that_never_come", UNKNOWN, |peer| {
            peer.up_to(Step::Running)?;
            peer.send(&exchange::usual())?;
            peer.silence()
        }),
        case(
            "new_keys_that_never_come_and_idle_talk",
            Ends::Unkillable,
            |peer| {
                peer.up_to(Step::Running)?;
                peer.send(&exchange::usual())?;
                peer.flood(&ignore(30_000))
            },
        ),
        case("beginnings_of_new_keys_without_end", UNKNOWN, |peer| {
            peer.up_to(Step::Running)?;
            peer.flood(&exchange::usual())
        }),
        case("output_while_keys_are_changed", UNKNOWN, |peer| {
            peer.up_to(Step::Running)?;
            peer.send(&exchange::usual())?;
            let output = output(peer.channel, None, &[b'o'; 30_000]);
            peer.flood(&output)
        }),
    ]
}

//! The login, and the way to a channel.

use super::{Case, Ends, case, debug, disconnect, ignore};
use crate::hostile::message as m;
use crate::hostile::message::Message;
use crate::hostile::peer::{Peer, Step, confirmation};

fn failure(methods: &str, partly: u8) -> Vec<u8> {
    Message::new(m::USERAUTH_FAILURE)
        .string(methods)
        .byte(partly)
        .done()
}

fn question(prompts: u32, prompt: &str, echo: u8) -> Vec<u8> {
    let message = Message::new(m::USERAUTH_INFO_REQUEST)
        .string("\u{1b}[2Jname")
        .string("instruction")
        .string("")
        .number(prompts);
    match prompts {
        0 => message.done(),
        _ => message.string(prompt).byte(echo).done(),
    }
}

/// Every method has done, and another is wanted.
fn never_enough(peer: &mut Peer) -> std::io::Result<()> {
    peer.up_to(Step::AuthRequest)?;
    loop {
        peer.send(&failure("publickey,password,keyboard-interactive", 1))?;
        peer.receive(m::USERAUTH_REQUEST)?;
    }
}

/// Asks by keyboard-interactive, one question after the other.
fn asks(peer: &mut Peer, question: &[u8]) -> std::io::Result<()> {
    peer.up_to(Step::AuthRequest)?;
    peer.send(&failure("keyboard-interactive", 0))?;
    loop {
        peer.read()?;
        peer.send(question)?;
    }
}

pub(super) fn cases() -> Vec<Case> {
    let floods = |payload: Vec<u8>| {
        move |peer: &mut Peer| {
            peer.up_to(Step::AuthRequest)?;
            peer.flood(&payload)
        }
    };
    let says = |step: Step, payload: Vec<u8>| {
        move |peer: &mut Peer| {
            peer.up_to(step)?;
            peer.send(&payload)?;
            peer.silence()
        }
    };
    let banner = |words: &[u8]| Message::new(m::USERAUTH_BANNER).string(words).string("").done();
    let gone = Ends::Unreachable("while logging in");
    let too_much = Ends::Unreachable("before it let anybody in");
    vec![
        case("banners_without_end", too_much, floods(banner(&[b'b'; 100_000]))),
        case("small_banners_without_end", gone, floods(banner(b"\x1b[2J"))),
        case(
            "refusals_without_end",
            Ends::Unreachable("the host accepts publickey only"),
            floods(failure("publickey", 0)),
        ),
        case(
            "partial_refusals_without_end",
            Ends::Unreachable("wants another as well"),
            floods(failure("publickey,password", 1)),
        ),
        case(
            "idle_talk_without_end_before_the_login",
            too_much,
            floods(ignore(30_000)),
        ),
        case("empty_talk_without_end_before_the_login", gone, floods(debug(""))),
        case("banners_before_the_service", gone, |peer| {
            peer.up_to(Step::NewKeys)?;
            peer.flood(&Message::new(m::USERAUTH_BANNER).string("hello").string("").done())
        }),
        case(
            "questions_without_a_prompt",
            Ends::Unreachable("one question after another"),
            |peer| asks(peer, &question(0, "", 0)),
        ),
        case(
            "a_question_with_control_characters",
            Ends::Unreachable("nobody is there to answer"),
            |peer| asks(peer, &question(1, "\u{1b}]0;x\u{7}\u{202e}code?\r\n", 1)),
        ),
        case(
            "the_password_again_and_again",
            Ends::Unreachable("nobody is there to answer"),
            |peer| asks(peer, &question(1, "Password: ", 0)),
        ),
        case("more_questions_than_there_are", gone, |peer| {
            asks(peer, &question(u32::MAX, "?", 0))
        }),
        case("never_enough_ways", Ends::Unreachable("log in"), never_enough),
        case("no_way_to_log_in", gone, says(Step::AuthRequest, failure("", 0))),
        case(
            "ways_that_nobody_knows",
            gone,
            says(Step::AuthRequest, failure("retina,hostbased2", 0)),
        ),
        case(
            "ways_that_are_no_names",
            gone,
            says(Step::AuthRequest, failure("\u{1b}[31mretina,,,\u{7}", 0)),
        ),
        case(
            "in_before_it_was_asked",
            gone,
            says(Step::NewKeys, vec![m::USERAUTH_SUCCESS]),
        ),
        case(
            "a_refusal_that_is_cut_off",
            gone,
            says(Step::AuthRequest, vec![m::USERAUTH_FAILURE, 0, 0]),
        ),
        case(
            "extensions_without_end",
            gone,
            floods(Message::new(m::EXT_INFO).number(0).done()),
        ),
        case(
            "more_extensions_than_there_are",
            gone,
            says(
                Step::AuthRequest,
                Message::new(m::EXT_INFO).number(u32::MAX).done(),
            ),
        ),
        case(
            "good_bye_with_escapes",
            Ends::Unreachable("the host ended the login"),
            says(
                Step::AuthRequest,
                disconnect(b"\x1b]0;owned\x07\x1b[2Jtoo late\r\nroot# "),
            ),
        ),
        case(
            "good_bye_that_is_no_text",
            gone,
            says(Step::AuthRequest, disconnect(&[0xff, 0xfe, 0x80])),
        ),
        case(
            "a_channel_refused_with_hostile_words",
            Ends::Unreachable("takes no session"),
            |peer| {
                peer.up_to(Step::ChannelOpen)?;
                let words = "\u{1b}[2J".repeat(10_000);
                let refusal = Message::new(m::CHANNEL_OPEN_FAILURE).number(peer.channel);
                peer.send(&refusal.number(4_000_000).string(words).string("\u{1b}").done())?;
                peer.swallow()
            },
        ),
        case(
            "another_channel_than_was_asked_for",
            Ends::Unreachable("opening a session"),
            |peer| {
                peer.up_to(Step::ChannelOpen)?;
                peer.send(&confirmation(999, 40, 1 << 20, 1 << 15))?;
                peer.swallow()
            },
        ),
        case(
            "idle_talk_instead_of_a_channel",
            Ends::Unreachable("opening a session"),
            |peer| {
                peer.up_to(Step::ChannelOpen)?;
                peer.flood(&ignore(30_000))
            },
        ),
    ]
}

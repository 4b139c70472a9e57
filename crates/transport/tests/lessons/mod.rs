//! The lessons in `examples`: what they print, their protocols in memory, cut at every byte, and over TCP with many at
//! once; and what a file server may never do.

#[path = "../../examples/echo/lesson.rs"]
mod echo;
#[path = "../../examples/file_server/lesson/mod.rs"]
mod file_server;
#[path = "../../examples/protocol/mod.rs"]
mod protocol;

mod files;

use std::time::Duration;

use futures_util::future::join_all;
use libtest_mimic::{Failed, Trial};
use muster_runtime::CancellationToken;
use muster_runtime::clock::deadline;
use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Barrier;

use echo::{Caller, Echo};
use protocol::{Protocol, Step, converse, serve};

/// As many clients at once.
const CLIENTS: usize = 50;
const LIMIT: Duration = Duration::from_secs(60);

const ECHO_SAYS: &str = "in memory: hel + lo -> hello\n\
    client 1 over TCP: one, two\n\
    client 2 over TCP: uno, dos\n\
    client 3 over TCP: eins, zwei\n";
const FILE_SERVER_SAYS: &str = "LIST: empty, large.bin, readme.txt\n\
    GET readme.txt: 6 bytes\n\
    GET empty: 0 bytes\n\
    GET deep/inside.txt: 5 bytes\n\
    GET nothing: refused (missing): there is no such file\n\
    GET ../secret: refused (name): a name has up to 255 bytes, and no part that is empty, . or ..\n\
    GET /etc/passwd: refused (name): a name has up to 255 bytes, and no part that is empty, . or ..\n\
    GET link: refused (denied): this is no plain file, or not one to be read\n\
    GET deep: refused (denied): this is no plain file, or not one to be read\n\
    DELETE readme.txt: refused (request): write GET and a name, or LIST, and end the line\n\
    client1 has large.bin, 4000000 bytes: the same: true\n\
    client2 has large.bin, 4000000 bytes: the same: true\n\
    client3 has large.bin, 4000000 bytes: the same: true\n";

/// Runs a test on one thread, for a while at most.
fn alone(test: impl Future<Output = ()>) -> Result<(), Failed> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let done = runtime.block_on(async { deadline(LIMIT, test).await });
    done.map_err(|_| format!("not done after {LIMIT:?}").into())
}

async fn the_echo_lesson_says_what_it_teaches() {
    let mut out = Vec::new();
    echo::show(&mut out).await.expect("it runs");
    assert_eq!(String::from_utf8_lossy(&out), ECHO_SAYS);
}

async fn the_file_server_lesson_says_what_it_teaches() {
    let mut out = Vec::new();
    file_server::show(&mut out).await.expect("it runs");
    assert_eq!(String::from_utf8_lossy(&out), FILE_SERVER_SAYS);
}

/// Plays a protocol that has no wishes until it hangs up, and returns what it said.
fn echoed(pieces: &[&[u8]]) -> Vec<u8> {
    let (mut echo, mut said, mut pieces) = (Echo::default(), Vec::new(), pieces.iter());
    loop {
        match echo.next() {
            Step::Send(bytes) => said.extend(bytes),
            Step::Receive => match pieces.next() {
                Some(piece) => echo.received(piece),
                None => echo.ended(),
            },
            Step::Wish(never) => match never {},
            Step::Close => return said,
        }
    }
}

async fn an_echo_is_the_same_however_the_input_is_cut() {
    let input = b"one\ntwo\0three\xff";
    assert_eq!(echoed(&[]), b"");
    for first in 0..=input.len() {
        for second in first..=input.len() {
            let pieces = [&input[..first], &input[first..second], &input[second..]];
            assert_eq!(echoed(&pieces), input, "cut at {first} and {second}");
        }
    }
}

async fn an_echo_over_a_pipe_in_memory_is_that_over_tcp() {
    // Smaller than a word: it comes in pieces both ways.
    let (here, there) = duplex(3);
    let (mut echo, mut caller) = (Echo::default(), Caller::new(&["hello", "", "wörld"]));
    let (served, called) = tokio::join!(converse(&mut echo, (), there), converse(&mut caller, (), here),);
    served.expect("it serves");
    called.expect("it is served");
    assert_eq!(caller.answers, ["hello", "", "wörld"]);
}

/// Runs a server of echoes for as long as `clients` take.
async fn with_echo<T>(most: usize, clients: impl AsyncFnOnce(String) -> T) -> (T, Vec<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address").to_string();
    let stop = CancellationToken::new();
    let mut failures = Vec::new();
    let failed = |error: std::io::Error| failures.push(error.to_string());
    let (served, answer) = tokio::join!(
        serve(&listener, most, &stop, || (Echo::default(), ()), failed),
        async {
            let answer = clients(address).await;
            stop.cancel();
            answer
        }
    );
    served.expect("it serves");
    (answer, failures)
}

/// Sends a word and returns what came back.
async fn exchanged(stream: &mut TcpStream, word: &str) -> String {
    stream.write_all(word.as_bytes()).await.expect("it is sent");
    let mut answer = vec![0; word.len()];
    stream.read_exact(&mut answer).await.expect("it comes back");
    String::from_utf8(answer).expect("text")
}

async fn many_are_echoed_at_once_and_nobody_waits_for_another() {
    let (answers, failures) = with_echo(CLIENTS, async |address| {
        // Each has said its first word before any says its second: so they are all there at the same time.
        let all_here = Barrier::new(CLIENTS);
        let clients = (0..CLIENTS).map(async |number| {
            let mut stream = TcpStream::connect(&address).await.expect("it connects");
            let first = exchanged(&mut stream, &format!("first of {number}")).await;
            all_here.wait().await;
            let second = exchanged(&mut stream, &format!("second of {number}")).await;
            [first, second]
        });
        join_all(clients).await
    })
    .await;
    assert_eq!(failures, [] as [&str; 0]);
    for (number, answers) in answers.iter().enumerate() {
        assert_eq!(
            answers,
            &[format!("first of {number}"), format!("second of {number}")]
        );
    }
}

async fn past_the_limit_a_client_waits_until_another_leaves() {
    let (answers, _) = with_echo(1, async |address| {
        let mut first = TcpStream::connect(&address).await.expect("it connects");
        let mut answers = vec![exchanged(&mut first, "first").await];
        let mut second = TcpStream::connect(&address)
            .await
            .expect("the system's queue takes it");
        second.write_all(b"second").await.expect("it is sent");
        // It is not served while the first one is: the first one's word makes the whole way meanwhile.
        answers.push(exchanged(&mut first, "first again").await);
        let mut answer = [0; 6];
        assert!(
            second
                .try_read(&mut answer)
                .is_err_and(|error| error.kind() == std::io::ErrorKind::WouldBlock)
        );
        drop(first);
        second.read_exact(&mut answer).await.expect("it comes back");
        answers.push(String::from_utf8_lossy(&answer).into_owned());
        answers
    })
    .await;
    assert_eq!(answers, ["first", "first again", "second"]);
}

async fn who_is_silent_is_hung_up_on() {
    tokio::time::pause();
    let (_silent, there) = duplex(64);
    let error = converse(&mut Echo::default(), (), there)
        .await
        .expect_err("nobody speaks");
    assert_eq!(
        (error.kind(), error.to_string().as_str()),
        (std::io::ErrorKind::TimedOut, "silent for 30s")
    );
}

async fn who_does_not_listen_is_not_listened_to() {
    tokio::time::pause();
    let (mut deaf, there) = duplex(1024);
    let mut echo = Echo::default();
    let talks = async {
        let mut sent = 0;
        // Sooner or later nobody takes any more.
        while deaf.write_all(&[b'x'; 1024]).await.is_ok() {
            sent += 1024;
        }
        sent
    };
    let (served, sent) = tokio::join!(converse(&mut echo, (), there), talks);
    assert_eq!(
        served.expect_err("it gives up").kind(),
        std::io::ErrorKind::TimedOut
    );
    // What the pipe holds both ways, and what is in hand.
    assert!(sent <= 4 * 1024, "{sent} bytes were taken");
}

/// Makes a trial of a test with its name.
macro_rules! trial {
    ($test:path) => {
        libtest_mimic::Trial::test(
            format!("lessons::{}", stringify!($test).trim_start_matches("files::")),
            || $crate::lessons::alone($test()),
        )
    };
}
use trial;

pub(crate) fn trials() -> Vec<Trial> {
    let mut trials = vec![
        trial!(the_echo_lesson_says_what_it_teaches),
        trial!(the_file_server_lesson_says_what_it_teaches),
        trial!(an_echo_is_the_same_however_the_input_is_cut),
        trial!(an_echo_over_a_pipe_in_memory_is_that_over_tcp),
        trial!(many_are_echoed_at_once_and_nobody_waits_for_another),
        trial!(past_the_limit_a_client_waits_until_another_leaves),
        trial!(who_is_silent_is_hung_up_on),
        trial!(who_does_not_listen_is_not_listened_to),
    ];
    trials.extend(files::trials());
    trials
}

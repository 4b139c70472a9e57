//! The file server: its protocol cut at every byte, large files in little memory, and what it never gives out.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::Path;
use std::sync::Arc;

use futures_util::future::join_all;
use libtest_mimic::Trial;
use muster_runtime::CancellationToken;
use muster_testkit::proc;
use nix::sys::stat::Mode;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Barrier;

use super::file_server::client::{Client, Got};
use super::file_server::disk::{Keep, Outcome, Root, Shelf};
use super::file_server::name::{FileName, Refusal};
use super::file_server::server::{Server, Wish};
use super::file_server::{ask, serve_folder};
use super::protocol::{PIECE, Protocol, Step, World, converse};
use super::{CLIENTS, trial};

const NAME_REFUSED: &str = "ERR name a name has up to 255 bytes, and no part that is empty, . or ..\n";
const REQUEST_REFUSED: &str = "ERR request write GET and a name, or LIST, and end the line\n";
const MISSING: &str = "ERR missing there is no such file\n";
const DENIED: &str = "ERR denied this is no plain file, or not one to be read\n";

/// Plays the server's side with files in memory until it hangs up, and returns what it said.
fn answered(files: &BTreeMap<&str, Vec<u8>>, pieces: &[&[u8]]) -> Vec<u8> {
    let (mut server, mut said, mut pieces) = (Server::default(), Vec::new(), pieces.iter());
    let (mut open, mut at): (&[u8], usize) = (&[], 0);
    loop {
        match server.next() {
            Step::Send(bytes) => {
                assert!(bytes.len() <= PIECE, "{} bytes at once", bytes.len());
                said.extend(bytes);
            }
            Step::Receive => match pieces.next() {
                Some(piece) => server.received(piece),
                None => server.ended(),
            },
            Step::Wish(Wish::Open(name)) => match files.get(name.to_string().as_str()) {
                Some(file) => {
                    (open, at) = (file, 0);
                    server.opened(Ok(file.len() as u64));
                }
                None => server.opened(Err(Refusal::Missing)),
            },
            Step::Wish(Wish::Read(most)) => {
                // Less than was asked for, as a disk may.
                let end = (at + most.min(50_000)).min(open.len());
                server.read(open[at..end].to_vec());
                at = end;
            }
            Step::Wish(Wish::List) => {
                let names = files
                    .keys()
                    .map(|name| FileName::parse(name.as_bytes()).expect("a name"));
                server.listed(Ok(&names.collect::<Vec<_>>()));
            }
            Step::Close => return said,
        }
    }
}

fn files_in_memory() -> BTreeMap<&'static str, Vec<u8>> {
    BTreeMap::from([
        ("a", b"first\n".to_vec()),
        ("deep/b", Vec::new()),
        (
            "large",
            (0..150_000_u32).map(|number| (number % 251) as u8).collect(),
        ),
    ])
}

async fn a_server_answers_the_same_however_the_input_is_cut() {
    let files = files_in_memory();
    let input = b"GET a\nLIST\nGET ../a\nGET none\nhello\nGET deep/b\nGET \xff\nGET large\n\nGET a";
    let mut right = format!(
        "OK 6\nfirst\nOK 15\na\ndeep/b\nlarge\n{NAME_REFUSED}{MISSING}{REQUEST_REFUSED}OK 0\n{NAME_REFUSED}OK 150000\n"
    )
    .into_bytes();
    right.extend_from_slice(&files["large"]);
    // The last line does not end, and is not answered; the empty one before it is.
    right.extend_from_slice(REQUEST_REFUSED.as_bytes());

    let bytewise: Vec<&[u8]> = input.chunks(1).collect();
    assert!(answered(&files, &bytewise) == right);
    for first in 0..=input.len() {
        for second in first..=input.len() {
            let pieces = [&input[..first], &input[first..second], &input[second..]];
            assert!(answered(&files, &pieces) == right, "cut at {first} and {second}");
        }
    }
}

/// Plays the client's side until it hangs up, and returns what it got, pieces of a file joined, and what it asked.
fn got(requests: &[&str], pieces: &[&[u8]]) -> (Vec<Got>, Vec<u8>) {
    let mut client = Client::new(requests.iter().map(|request| (*request).to_owned()));
    let (mut all, mut asked, mut pieces) = (Vec::new(), Vec::new(), pieces.iter());
    loop {
        match (client.next(), all.last_mut()) {
            (Step::Send(bytes), _) => asked.extend(bytes),
            (Step::Receive, _) => match pieces.next() {
                Some(piece) => client.received(piece),
                None => client.ended(),
            },
            (Step::Wish(Got::Bytes(bytes)), Some(Got::Bytes(before))) => before.extend(bytes),
            (Step::Wish(got), _) => all.push(got),
            (Step::Close, _) => return (all, asked),
        }
    }
}

async fn a_client_understands_the_same_however_the_answer_is_cut() {
    let input = b"OK 3\nabcERR missing there is no such file\nOK 0\n";
    let right = [
        Got::Begins("GET a".to_owned(), 3),
        Got::Bytes(b"abc".to_vec()),
        Got::Whole,
        Got::Refused("GET b".to_owned(), Refusal::Missing),
        Got::Begins("LIST".to_owned(), 0),
        Got::Whole,
    ];
    for first in 0..=input.len() {
        for second in first..=input.len() {
            let pieces = [&input[..first], &input[first..second], &input[second..]];
            let (all, asked) = got(&["GET a", "GET b", "LIST"], &pieces);
            assert_eq!(all, right, "cut at {first} and {second}");
            assert_eq!(asked, b"GET a\nGET b\nLIST\n");
        }
    }
}

async fn a_client_says_what_is_wrong_with_a_server() {
    let endless = [b'x'; 100_000];
    let table: [(&[u8], &str); 8] = [
        (b"", "the server hung up before it answered"),
        (b"OK 3", "the server hung up before it answered"),
        (b"OK 3\nab", "the server hung up after 2 of 3 bytes"),
        (b"OK many\n", "the answer has no size"),
        (b"HTTP/1.1 200 OK\r\n", "the answer is neither OK nor ERR"),
        (
            b"ERR because I say so\n",
            "the server refuses for a reason that is not known",
        ),
        (b"OK 3\xff\n", "the answer is no text"),
        (&endless, "the answer has no end of line"),
    ];
    for (input, why) in table {
        let (all, _) = got(&["GET a", "GET b"], &[input]);
        assert_eq!(all.last(), Some(&Got::Broken(why.to_owned())));
    }
}

async fn a_line_without_an_end_is_refused_and_not_kept() {
    let endless = vec![b'x'; 1000];
    assert_eq!(
        answered(&files_in_memory(), &[&endless]),
        REQUEST_REFUSED.as_bytes()
    );
    // The longest name there may be has its place in a line; one byte more is refused by name.
    let line = |bytes: usize| format!("GET {}\n", "n".repeat(bytes)).into_bytes();
    assert_eq!(answered(&files_in_memory(), &[&line(255)]), MISSING.as_bytes());
    assert_eq!(
        answered(&files_in_memory(), &[&line(256)]),
        NAME_REFUSED.as_bytes()
    );
}

/// A folder to be given out, beside which a secret lies, and everything that could lead to it.
fn folder() -> TempDir {
    let scratch = tempfile::tempdir().expect("a folder");
    let here = scratch.path().join("here");
    let write =
        |name: &str, text: &str| std::fs::write(scratch.path().join(name), text).expect("it is written");
    std::fs::create_dir_all(here.join("deep/er")).expect("a folder");
    std::fs::create_dir(scratch.path().join("beside")).expect("a folder");
    write("secret", "not for you");
    write("beside/secret", "not for you");
    write("here/plain", "plain");
    write("here/deep/er/inside", "inside");
    write("here/...", "dots");
    let link = |to: &str, name: &str| std::os::unix::fs::symlink(to, here.join(name)).expect("a link");
    link("../secret", "link");
    link("../beside", "linked");
    link("..", "up");
    link("plain", "link-inside");
    nix::unistd::mkfifo(&here.join("pipe"), Mode::S_IRWXU).expect("a pipe");
    scratch
}

fn served(scratch: &TempDir, size: usize) -> (DuplexStream, impl Future<Output = std::io::Result<()>>) {
    let root = Arc::new(Root::open(&scratch.path().join("here")).expect("it opens"));
    let (here, there) = duplex(size);
    let server = async move { converse(&mut Server::default(), Shelf::new(&root), there).await };
    (here, server)
}

/// Sends bytes to a server of a folder, and returns what it says to them.
async fn told(scratch: &TempDir, request: &[u8]) -> String {
    let (mut here, server) = served(scratch, PIECE);
    let client = async {
        here.write_all(request).await.expect("it is sent");
        here.shutdown().await.expect("it ends");
        let mut answer = Vec::new();
        here.read_to_end(&mut answer).await.expect("it answers");
        String::from_utf8(answer).expect("text")
    };
    let (served, answer) = tokio::join!(server, client);
    served.expect("it serves");
    answer
}

async fn a_name_never_leads_out_of_the_folder() {
    let scratch = folder();
    for (name, answer) in [
        ("plain", "OK 5\nplain"),
        ("deep/er/inside", "OK 6\ninside"),
        ("...", "OK 4\ndots"),
        ("", NAME_REFUSED),
        (".", NAME_REFUSED),
        ("..", NAME_REFUSED),
        ("../secret", NAME_REFUSED),
        ("../here/plain", NAME_REFUSED),
        ("deep/../../secret", NAME_REFUSED),
        ("deep/./../plain", NAME_REFUSED),
        ("/etc/passwd", NAME_REFUSED),
        ("//etc/passwd", NAME_REFUSED),
        ("deep//er/inside", NAME_REFUSED),
        ("deep/er/", NAME_REFUSED),
        ("plain\0", NAME_REFUSED),
        ("plain\r", NAME_REFUSED),
        ("link", DENIED),
        ("link-inside", DENIED),
        ("linked", DENIED),
        ("linked/secret", MISSING),
        ("up/secret", MISSING),
        ("up/here/plain", MISSING),
        ("deep", DENIED),
        ("pipe", DENIED),
        ("plain/inside", MISSING),
        ("%2e%2e/secret", MISSING),
        ("nothing", MISSING),
    ] {
        assert_eq!(
            told(&scratch, format!("GET {name}\n").as_bytes()).await,
            answer,
            "{name:?}"
        );
    }
    assert_eq!(told(&scratch, b"LIST\n").await, "OK 10\n...\nplain\n");
}

async fn more_names_than_a_list_holds_are_not_listed() {
    let scratch = folder();
    for number in 0..300 {
        let name = format!("{number:0>250}");
        std::fs::write(scratch.path().join("here").join(name), "").expect("it is written");
    }
    let answer = told(&scratch, b"LIST\n").await;
    assert_eq!(answer, "ERR too-many there are too many files to be listed\n");
}

/// Counts what comes and keeps nothing.
#[derive(Default)]
struct Count {
    bytes: u64,
    is_whole: bool,
}

impl World<Client> for Count {
    async fn grant(&mut self, got: Got, _: &mut Client) -> std::io::Result<()> {
        match got {
            Got::Bytes(bytes) => self.bytes += bytes.len() as u64,
            Got::Whole => self.is_whole = true,
            _ => {}
        }
        Ok(())
    }
}

async fn a_large_file_goes_through_little_memory() {
    const SIZE: u64 = 128 << 20;
    let scratch = folder();
    let large = std::fs::File::create(scratch.path().join("here/large")).expect("a file");
    large.set_len(SIZE).expect("it is sparse");
    let (here, server) = served(&scratch, PIECE);
    let (mut client, mut count) = (Client::new(["GET large".to_owned()]), Count::default());
    let before = proc::peak_resident_bytes(std::process::id()).expect("memory is told");
    let (served, fetched) = tokio::join!(server, converse(&mut client, &mut count, here));
    served.expect("it serves");
    fetched.expect("it is served");
    assert_eq!((count.bytes, count.is_whole), (SIZE, true));
    let cost = proc::peak_resident_bytes(std::process::id()).expect("memory is told") - before;
    assert!(cost < 16 << 20, "it took {} KiB", cost >> 10);
}

async fn a_file_that_shrinks_meanwhile_is_told_from_a_whole_one() {
    let scratch = folder();
    let path = scratch.path().join("here/large");
    let large = std::fs::File::create(&path).expect("a file");
    large.set_len(1 << 20).expect("it is large");
    let (mut here, server) = served(&scratch, 1024);
    let client = async {
        here.write_all(b"GET large\n").await.expect("it is sent");
        let mut head = [0; "OK 1048576\n".len()];
        here.read_exact(&mut head).await.expect("it answers");
        large.set_len(1000).expect("it shrinks");
        let mut rest = Vec::new();
        here.read_to_end(&mut rest).await.expect("it ends");
        (head, rest)
    };
    let (served, (head, rest)) = tokio::join!(server, client);
    served.expect("it hangs up");
    assert_eq!(&head, b"OK 1048576\n");
    // Nothing that is no part of the file was said in its place.
    assert!(
        rest.len() < 1 << 20 && rest.iter().all(|byte| *byte == 0),
        "{} bytes",
        rest.len()
    );
}

async fn a_file_is_kept_whole_or_not_at_all_and_in_nobodys_place() {
    let scratch = folder();
    let folder = scratch.path().join("beside");
    let fetched = async |answer: &'static [u8], request: &str| {
        let (here, mut there) = duplex(PIECE);
        there.write_all(answer).await.expect("it fits");
        there.shutdown().await.expect("it ends");
        let mut keep = Keep::new(&folder);
        let outcome = converse(&mut Client::new([request.to_owned()]), &mut keep, here).await;
        outcome.map(|()| keep.outcomes).map_err(|error| error.kind())
    };
    let there = |folder: &Path| std::fs::read_dir(folder).expect("it lists").count();
    assert_eq!(
        fetched(b"OK 9\nhalf", "GET new").await,
        Err(ErrorKind::InvalidData)
    );
    assert_eq!(
        fetched(b"OK 4\nmine", "GET secret").await,
        Err(ErrorKind::AlreadyExists)
    );
    assert_eq!(
        fetched(b"OK 4\nmine", "GET ..").await,
        Err(ErrorKind::InvalidInput)
    );
    assert_eq!(
        fetched(b"OK 99999999999\n", "LIST").await,
        Err(ErrorKind::InvalidData)
    );
    assert_eq!(there(&folder), 1);
    let kept = fetched(b"OK 4\nmine", "GET deep/new").await;
    assert_eq!(
        kept,
        Ok(vec![(
            "GET deep/new".to_owned(),
            Outcome::Kept(folder.join("new"))
        )])
    );
    assert_eq!(std::fs::read(folder.join("new")).expect("it is there"), b"mine");
    assert_eq!(
        std::fs::read(folder.join("secret")).expect("it is there"),
        b"not for you"
    );
}

async fn many_fetch_at_once_and_one_who_sleeps_holds_up_nobody() {
    let scratch = folder();
    let here = scratch.path().join("here");
    let large: Vec<u8> = (0..1_000_000_u32).map(|number| (number % 253) as u8).collect();
    std::fs::write(here.join("large"), &large).expect("it is written");
    // More than all buffers of a connection hold: it is not through before somebody reads.
    let huge = std::fs::File::create(here.join("huge")).expect("a file");
    huge.set_len(64 << 20).expect("it is sparse");

    let root = Arc::new(Root::open(&here).expect("it opens"));
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address").to_string();
    let stop = CancellationToken::new();
    let mut failures = Vec::new();
    let failed = |error: std::io::Error| failures.push(error.to_string());
    let clients = async {
        let mut sleeper = TcpStream::connect(&address).await.expect("it connects");
        sleeper.write_all(b"GET huge\n").await.expect("it asks");
        sleeper.readable().await.expect("its answer has begun");
        let all_here = Barrier::new(CLIENTS);
        join_all((0..CLIENTS).map(async |number| {
            let folder = scratch.path().join(number.to_string());
            std::fs::create_dir(&folder).expect("a folder");
            all_here.wait().await;
            let requests = ["GET large", "GET nothing"].map(str::to_owned).to_vec();
            let outcomes = ask(&address, requests, &folder).await.expect("it is served");
            assert_eq!(outcomes[1].1, Outcome::Refused(Refusal::Missing));
            assert!(std::fs::read(folder.join("large")).expect("it is there") == large);
        }))
        .await;
        stop.cancel();
        // It sleeps until the server has ended: who hangs up in the middle of an answer is a failure, and told.
        sleeper
    };
    let (served, _sleeper) = tokio::join!(serve_folder(&listener, &root, &stop, failed), clients);
    served.expect("it serves");
    assert_eq!(failures, [] as [&str; 0]);
}

pub(super) fn trials() -> Vec<Trial> {
    vec![
        trial!(a_server_answers_the_same_however_the_input_is_cut),
        trial!(a_client_understands_the_same_however_the_answer_is_cut),
        trial!(a_client_says_what_is_wrong_with_a_server),
        trial!(a_line_without_an_end_is_refused_and_not_kept),
        trial!(a_name_never_leads_out_of_the_folder),
        trial!(more_names_than_a_list_holds_are_not_listed),
        trial!(a_large_file_goes_through_little_memory),
        trial!(a_file_that_shrinks_meanwhile_is_told_from_a_whole_one),
        trial!(a_file_is_kept_whole_or_not_at_all_and_in_nobodys_place),
        trial!(many_fetch_at_once_and_one_who_sleeps_holds_up_nobody),
    ]
}

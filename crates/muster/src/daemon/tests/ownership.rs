//! Whose folder, whose socket, whose lock, whose token.

use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;
use std::time::Duration;

use muster_model::problem::Code;
use muster_testkit::require;
use nix::unistd::{Uid, chown};
use tokio::net::UnixStream;

use super::super::lock::{self, Lock};
use super::super::paths::socket_of_ours;
use super::super::seat::Seat;
use super::super::token;
use super::{Home, home};

fn prepared() -> Home {
    let home = home();
    home.paths.prepare().expect("a folder");
    home
}

fn mode_of(path: &Path) -> u32 {
    std::fs::symlink_metadata(path).expect("a file").mode() & 0o7777
}

fn set_mode(path: &Path, mode: u32) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).expect("a mode");
}

#[test]
fn the_folder_is_made_for_its_owner_alone() {
    let home = prepared();
    assert_eq!(home.paths.folder, home.folder.path().join("muster"));
    assert_eq!(mode_of(&home.paths.folder), 0o700);
    assert_eq!(home.paths.prepare(), Ok(()));
}

#[test]
fn a_folder_that_others_can_open_is_not_used() {
    let home = prepared();
    for mode in [0o755, 0o710, 0o770, 0o600] {
        set_mode(&home.paths.folder, mode);
        let problem = home.paths.prepare().expect_err("refused");
        assert_eq!(problem.code, Code::NotYours);
        assert_eq!(problem.code.exit_code(), 2);
        assert!(problem.detail.contains(&format!("{mode:04o}")), "{problem}");
        assert!(problem.hint.is_some_and(|hint| hint.contains("chmod 700")));
    }
}

#[test]
fn a_link_or_a_file_in_the_place_of_the_folder_is_not_used() {
    let home = home();
    let elsewhere = tempfile::tempdir().expect("a folder");
    symlink(elsewhere.path(), &home.paths.folder).expect("a link");
    let problem = home.paths.prepare().expect_err("refused");
    assert_eq!(problem.code, Code::NotYours);
    assert!(problem.detail.contains("symbolic link"), "{problem}");
    std::fs::remove_file(&home.paths.folder).expect("no link");
    std::fs::write(&home.paths.folder, "").expect("a file");
    let problem = home.paths.prepare().expect_err("refused");
    assert!(problem.detail.contains("is not a folder"), "{problem}");
}

#[test]
fn a_folder_and_a_socket_of_another_user_are_not_used() {
    require!(require::root("give a file away"));
    let home = prepared();
    let somebody = Some(Uid::from_raw(4711));
    let _socket = std::os::unix::net::UnixListener::bind(&home.paths.socket).expect("a socket");
    assert_eq!(socket_of_ours(&home.paths.socket), Ok(true));
    chown(&home.paths.socket, somebody, None).expect("a gift");
    let problem = socket_of_ours(&home.paths.socket).expect_err("refused");
    assert_eq!(problem.code, Code::NotYours);
    assert!(problem.detail.contains("belongs to user 4711"), "{problem}");
    chown(&home.paths.folder, somebody, None).expect("a gift");
    let problem = home.paths.prepare().expect_err("refused");
    assert_eq!(problem.code, Code::NotYours);
    assert!(problem.detail.contains("belongs to user 4711"), "{problem}");
}

#[test]
fn what_is_no_socket_is_left_alone() {
    let home = prepared();
    assert_eq!(socket_of_ours(&home.paths.socket), Ok(false));
    std::fs::write(&home.paths.socket, "precious").expect("a file");
    let problem = socket_of_ours(&home.paths.socket).expect_err("refused");
    assert_eq!(problem.code, Code::NotYours);
    assert!(problem.hint.is_some_and(|hint| hint.contains("rm ")));
}

#[test]
fn a_path_that_no_socket_can_have_is_named() {
    let mut home = home();
    home.paths.socket = home.folder.path().join("x".repeat(120));
    let problem = home.paths.prepare().expect_err("refused");
    assert!(problem.detail.contains("too long for a socket"), "{problem}");
}

#[tokio::test]
async fn a_lock_is_held_by_one_and_says_by_whom() {
    let home = prepared();
    let path = &home.paths.server_lock;
    let mut held = Lock::try_take(path).expect("a file").expect("the lock");
    held.sign();
    assert!(Lock::try_take(path).expect("a file").is_none());
    let problem = Lock::take(path, Duration::from_millis(30))
        .await
        .expect_err("held");
    assert_eq!(problem.code, Code::Unavailable);
    let us = std::process::id();
    assert_eq!(lock::holder(path), Some(us));
    assert!(problem.detail.contains(&format!("process {us}")), "{problem}");
    drop(held);
    assert!(Lock::take(path, Duration::from_secs(5)).await.is_ok());
}

#[tokio::test]
async fn a_dead_servers_socket_is_replaced_and_ours_is_removed_at_the_end() {
    let home = prepared();
    drop(std::os::unix::net::UnixListener::bind(&home.paths.socket).expect("a socket"));
    assert!(UnixStream::connect(&home.paths.socket).await.is_err());
    let mut seat = Seat::take(&home.paths).await.expect("the place");
    let _listener = seat.listen().expect("a socket");
    assert_eq!(mode_of(&home.paths.socket), 0o600);
    assert!(UnixStream::connect(&home.paths.socket).await.is_ok());
    let problem = Seat::take(&home.paths).await.expect_err("taken");
    assert_eq!(problem.code, Code::Conflict);
    drop(seat);
    assert!(!home.paths.socket.exists());
    assert!(Seat::take(&home.paths).await.is_ok());
}

#[tokio::test]
async fn a_hidden_socket_is_not_found_and_can_be_shown_again() {
    let home = prepared();
    let mut seat = Seat::take(&home.paths).await.expect("the place");
    let _listener = seat.listen().expect("a socket");
    seat.hide().expect("hidden");
    assert_eq!(socket_of_ours(&home.paths.socket), Ok(false));
    seat.show().expect("shown");
    assert!(UnixStream::connect(&home.paths.socket).await.is_ok());
    seat.hide().expect("hidden");
    drop(seat);
    let left: Vec<_> = std::fs::read_dir(&home.paths.folder)
        .expect("a folder")
        .map(|entry| entry.expect("an entry").file_name())
        .collect();
    assert_eq!(left, ["server.lock"]);
}

#[tokio::test]
async fn a_socket_that_is_not_ours_any_more_is_not_removed() {
    let home = prepared();
    let mut seat = Seat::take(&home.paths).await.expect("the place");
    let listener = seat.listen().expect("a socket");
    std::fs::rename(&home.paths.socket, home.folder.path().join("aside")).expect("aside");
    let _other = std::os::unix::net::UnixListener::bind(&home.paths.socket).expect("a socket");
    drop((listener, seat));
    assert!(UnixStream::connect(&home.paths.socket).await.is_ok());
}

#[test]
fn the_token_is_private_random_and_kept() {
    let home = prepared();
    let path = &home.paths.token;
    assert_eq!(token::kept(path), Ok(None));
    let made = token::kept_or_new(path).expect("a token");
    assert_eq!(made.expose().len(), 64);
    assert_eq!(mode_of(path), 0o600);
    assert_eq!(token::kept_or_new(path), Ok(made.clone()));
    assert_eq!(token::kept(path), Ok(Some(made.clone())));
    set_mode(path, 0o640);
    assert_eq!(token::kept(path).expect_err("refused").code, Code::NotYours);
    std::fs::remove_file(path).expect("no token");
    assert_ne!(token::kept_or_new(path).expect("a token"), made);
    std::fs::write(path, "short").expect("a file");
    set_mode(path, 0o600);
    assert_eq!(token::kept(path), Ok(None));
}

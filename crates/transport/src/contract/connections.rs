//! Connections: shared, kept warm, replaced, and what happens when they break.

use std::sync::Arc;
use std::time::{Duration, Instant};

use muster_model::{ErrorKind, Unreachable};
use muster_runtime::clock;

use super::fixture::{Ended, Fixture, Network, Server, command, to_the_end, until_said, within};
use super::{Case, Need, case};
use crate::port::Running;
use crate::types::ExecEvent;

const USUAL: Need = Need::Connections(Server::Usual);

pub(super) const CASES: &[Case] = &[
    case!(eight_commands_at_once_share_one_login, USUAL),
    case!(a_warm_connection_is_used_again, USUAL),
    case!(
        a_server_with_two_sessions_serves_eight_at_once,
        Need::Connections(Server::TwoSessions)
    ),
    case!(
        a_kill_finds_a_way_where_the_connection_has_no_room,
        Need::Connections(Server::TwoSessions)
    ),
    case!(
        a_server_without_sessions_is_named_as_such,
        Need::Connections(Server::NoSessions)
    ),
    case!(
        a_shy_server_serves_everybody_in_the_end,
        Need::Connections(Server::Shy)
    ),
    case!(an_idle_connection_is_closed, Need::Connections(Server::SoonIdle)),
    case!(
        a_connection_with_a_command_is_not_idle,
        Need::Connections(Server::SoonIdle)
    ),
    case!(a_connection_that_breaks_leaves_the_command_broken, USUAL),
    case!(a_command_is_killed_though_its_connection_is_gone, USUAL),
    case!(a_connection_that_died_unseen_is_replaced, USUAL),
    case!(
        a_machine_that_stops_answering_is_not_waited_for_longer_than_asked,
        USUAL
    ),
    case!(a_closed_port_is_refused, USUAL),
    case!(a_slow_reader_does_not_keep_new_commands_waiting, USUAL),
    case!(a_connect_that_is_given_up_leaves_the_connection_usable, USUAL),
    case!(closing_ends_everything, USUAL),
];

fn network(fixture: &Fixture) -> Arc<dyn Network> {
    Arc::clone(fixture.network.as_ref().expect("the case needs connections"))
}

/// Starts `count` commands at the same time; each waits until all run.
async fn together(fixture: &Fixture, count: usize) -> Vec<Ended> {
    let folder = fixture.scratch.join("together");
    std::fs::create_dir(&folder).expect("is made");
    let text = format!(
        "cd {} && : >$$ && while [ $(ls | wc -l) -lt {count} ]; do sleep 0.05; done; echo all",
        folder.display()
    );
    let runs = (0..count).map(|_| {
        let fixture = fixture.clone();
        let exec = command(&text);
        async move { fixture.run(exec).await }
    });
    futures_util::future::join_all(runs).await
}

async fn eight_commands_at_once_share_one_login(fixture: Fixture) {
    for ended in together(&fixture, 8).await {
        assert_eq!(ended.out(), "all\n");
    }
    assert_eq!(network(&fixture).logins(), 1);
    assert_eq!(fixture.transport.connections(), 1);
}

async fn a_warm_connection_is_used_again(fixture: Fixture) {
    for _ in 0..30 {
        assert_eq!(fixture.run(command("echo x")).await.out(), "x\n");
    }
    assert_eq!(network(&fixture).logins(), 1);
}

async fn a_server_with_two_sessions_serves_eight_at_once(fixture: Fixture) {
    for ended in together(&fixture, 8).await {
        assert_eq!(ended.out(), "all\n");
    }
    let connections = fixture.transport.connections();
    assert!((4..=8).contains(&connections), "{connections} connections");
}

async fn a_kill_finds_a_way_where_the_connection_has_no_room(fixture: Fixture) {
    let execs = [command("exec sleep 300"), command("exec sleep 300")];
    let marks = execs.clone().map(|exec| exec.mark);
    let mut all: Vec<Box<dyn Running>> = Vec::new();
    for exec in execs {
        all.push(fixture.start(exec).await);
    }
    let marked = fixture.marked;
    fixture
        .until("both to run", || {
            marks.iter().all(|mark| !marked(mark).is_empty())
        })
        .await;
    for running in &mut all {
        let report = running
            .killer()
            .kill(Duration::from_secs(1))
            .await
            .expect("kills");
        assert_eq!(report.terminated, 1);
        assert!(to_the_end(running.as_mut()).await.last.is_some());
    }
}

async fn a_server_without_sessions_is_named_as_such(fixture: Fixture) {
    let Err(error) = within(
        "the refusal",
        fixture.transport.connect(&fixture.endpoint, &fixture.access),
    )
    .await
    else {
        panic!("a session was opened");
    };
    assert_eq!(error.reason, Unreachable::TooManySessions, "{error}");
    assert!(error.message.contains(&fixture.endpoint.host), "{error}");
    assert!(error.message.contains("MaxSessions"), "{error}");
}

async fn a_shy_server_serves_everybody_in_the_end(fixture: Fixture) {
    // Each host has a login of its own, and all come at once.
    let runs = (1..=30u8).map(|number| {
        let mut fixture = fixture.clone();
        fixture.endpoint.address = Some(format!("127.0.1.{number}"));
        fixture.access.connect_timeout = Duration::from_secs(60);
        async move { fixture.run(command("echo here")).await.out() }
    });
    for out in futures_util::future::join_all(runs).await {
        assert_eq!(out, "here\n");
    }
}

async fn an_idle_connection_is_closed(fixture: Fixture) {
    fixture.run(command("true")).await;
    let network = network(&fixture);
    // Whether it is still there at this moment is a matter of time.
    assert_eq!(network.logins(), 1);
    fixture
        .until("the connection to be closed", || {
            fixture.transport.connections() == 0 && network.serving() == 0
        })
        .await;
    assert_eq!(fixture.run(command("echo again")).await.out(), "again\n");
    assert_eq!(network.logins(), 2);
}

async fn a_connection_with_a_command_is_not_idle(fixture: Fixture) {
    let ended = fixture.run(command("sleep 1.5; echo still here")).await;
    assert_eq!(ended.out(), "still here\n");
}

async fn a_connection_that_breaks_leaves_the_command_broken(fixture: Fixture) {
    let mut running = fixture.start(command("echo ready; exec sleep 300")).await;
    let first = within("the first line", running.next()).await;
    assert!(matches!(first, Some(ExecEvent::Output { .. })));
    network(&fixture).cut().await;
    match to_the_end(running.as_mut()).await.last {
        Some(ExecEvent::Broken { why }) => assert!(!why.is_empty()),
        other => panic!("{other:?}"),
    }
    assert_eq!(fixture.run(command("echo again")).await.out(), "again\n");
}

async fn a_command_is_killed_though_its_connection_is_gone(fixture: Fixture) {
    let exec = command("trap '' HUP TERM; echo deaf; sleep 300; sleep 300");
    let mark = exec.mark.clone();
    let mut running = fixture.start(exec).await;
    let marked = fixture.marked;
    until_said(running.as_mut(), "deaf").await;
    let killer = running.killer();
    network(&fixture).cut().await;
    assert!(matches!(
        to_the_end(running.as_mut()).await.last,
        Some(ExecEvent::Broken { .. })
    ));
    assert!(!marked(&mark).is_empty(), "it outlives its connection");
    let report = killer.kill(Duration::from_millis(200)).await.expect("kills");
    assert!(report.killed > 0);
    assert!(marked(&mark).is_empty());
}

async fn a_connection_that_died_unseen_is_replaced(fixture: Fixture) {
    fixture.run(command("true")).await;
    let network = network(&fixture);
    network.cut().await;
    // At once, most likely before anybody has noticed.
    assert_eq!(fixture.run(command("echo on")).await.out(), "on\n");
    assert_eq!(network.logins(), 2);
}

async fn a_machine_that_stops_answering_is_not_waited_for_longer_than_asked(mut fixture: Fixture) {
    fixture.run(command("true")).await;
    fixture.access.connect_timeout = Duration::from_secs(2);
    let network = network(&fixture);
    network.freeze();
    let started = Instant::now();
    let result = fixture
        .transport
        .connect(&fixture.endpoint, &fixture.access)
        .await;
    network.thaw();
    let Err(error) = result else {
        panic!("a session was opened on a frozen machine");
    };
    assert_eq!(error.reason, Unreachable::TimedOut, "{error}");
    assert!(
        started.elapsed() < Duration::from_secs(8),
        "{:?}",
        started.elapsed()
    );
}

async fn a_closed_port_is_refused(mut fixture: Fixture) {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("binds");
    let port = listener.local_addr().expect("has an address").port();
    drop(listener);
    fixture.endpoint.port = Some(port);
    let Err(error) = within(
        "the refusal",
        fixture.transport.connect(&fixture.endpoint, &fixture.access),
    )
    .await
    else {
        panic!("something listens there");
    };
    assert_eq!(error.reason, Unreachable::Refused, "{error}");
    assert!(error.message.contains(&port.to_string()), "{error}");
}

async fn a_slow_reader_does_not_keep_new_commands_waiting(fixture: Fixture) {
    let (running, _) = fixture.stalled().await;
    for _ in 0..3 {
        assert_eq!(fixture.run(command("echo quick")).await.out(), "quick\n");
    }
    running
        .killer()
        .kill(Duration::from_millis(100))
        .await
        .expect("kills");
    drop(running);
}

async fn a_connect_that_is_given_up_leaves_the_connection_usable(fixture: Fixture) {
    for micros in [0, 100, 300, 1000, 3000, 10_000, 30_000] {
        let connect = fixture.transport.connect(&fixture.endpoint, &fixture.access);
        let _ = clock::deadline(Duration::from_micros(micros), connect).await;
    }
    assert_eq!(fixture.run(command("echo x")).await.out(), "x\n");
    assert_eq!(network(&fixture).logins(), 1);
    // Channels that nobody took were closed: there is room for as many as ever.
    let folder = fixture.scratch.join("together");
    assert!(!folder.exists());
    for ended in together(&fixture, 8).await {
        assert_eq!(ended.out(), "all\n");
    }
    assert_eq!(network(&fixture).logins(), 1);
}

async fn closing_ends_everything(fixture: Fixture) {
    let mut running = fixture.start(command("sleep 300")).await;
    let killer = running.killer();
    let mut session = fixture.session().await;
    fixture.transport.close().await;
    assert!(matches!(
        to_the_end(running.as_mut()).await.last,
        Some(ExecEvent::Broken { .. })
    ));
    let network = network(&fixture);
    fixture
        .until("the server to see it", || network.serving() == 0)
        .await;
    assert_eq!(fixture.transport.connections(), 0);
    let Err(error) = session.start(command("echo ran")).await else {
        panic!("a command was started on a closed connection");
    };
    assert!(
        matches!(error.kind, ErrorKind::Unavailable | ErrorKind::OutcomeUnknown),
        "{error}"
    );
    let error = fixture
        .transport
        .connect(&fixture.endpoint, &fixture.access)
        .await
        .err();
    assert!(error.is_some(), "a closed transport connects to nothing");
    assert!(
        killer.kill(Duration::from_millis(100)).await.is_err(),
        "there is no way there any more"
    );
}

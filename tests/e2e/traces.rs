//! Traces: one request seen from the command that asked, over the queue, to the host; against a real collector's
//! protocol.

use std::time::Duration;

use muster_testkit::home::Home;
use muster_testkit::require::or_ignored;
use muster_testkit::{Collector, RabbitMq, Step, ports};

use crate::support::{Done, World, command};

/// Longer than anything here takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

fn send_traces(home: &mut Home, url: &str) {
    home.set_env("MUSTER_TRACES", url);
    // The library sends what it has every five seconds where nobody says otherwise.
    home.set_env("OTEL_BSP_SCHEDULE_DELAY", "100");
}

/// Returns the one step of a name.
#[track_caller]
fn only<'a>(steps: &'a [Step], name: &str) -> &'a Step {
    let found: Vec<&Step> = steps.iter().filter(|step| step.name == name).collect();
    assert_eq!(found.len(), 1, "{name}: {steps:#?}");
    found[0]
}

/// Checks that the runs of the one task hang together from the command to each host.
#[track_caller]
fn check_whole(steps: &[Step], runs: usize) {
    let asked = only(steps, "muster run");
    assert_eq!(asked.service, "muster-cli");
    let steps: Vec<Step> = steps
        .iter()
        .filter(|step| step.trace == asked.trace)
        .cloned()
        .collect();
    let request = only(&steps, "POST /api/v1/tasks");
    assert_eq!((&request.parent, request.service.as_str()), (&asked.id, "muster"));
    assert_eq!(request.attributes["http.response.status_code"], "201");
    assert_eq!(only(&steps, "write").parent, request.id);
    let publish = only(&steps, "publish");
    assert_eq!(publish.parent, request.id);
    assert_eq!(
        publish.attributes["messaging.batch.message_count"],
        runs.to_string()
    );

    let of_runs: Vec<&Step> = steps.iter().filter(|step| step.name == "run").collect();
    assert_eq!(of_runs.len(), runs, "{steps:#?}");
    for run in of_runs {
        assert_eq!(run.parent, publish.id);
        assert_eq!(run.attributes["muster.attempt"], "1");
        for name in ["connect", "start", "exec", "settle"] {
            let below = steps.iter().filter(|step| step.parent == run.id);
            assert_eq!(
                below.filter(|step| step.name == name).count(),
                1,
                "{name}: {steps:#?}"
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_is_one_trace_from_the_command_to_the_hosts() {
    let Some(mut world) = World::new().await else {
        return;
    };
    let collector = Collector::start().expect("a collector");
    send_traces(&mut world.home, &collector.url());
    let args = [
        "run",
        "echo $TRACEPARENT",
        "--hosts",
        "127.0.0.1,local://here",
        "--json",
    ];
    let report = world.muster(&args).succeeded().json();
    let wanted = [("muster run", 1), ("POST /api/v1/tasks", 1), ("run", 2)];
    let steps = collector.wait_for(PATIENCE, &wanted).expect("they come");
    check_whole(&steps, 2);

    // What a host runs can go on with it.
    for run in report["runs"].as_array().expect("runs") {
        let of_run = |step: &&Step| {
            step.name == "run" && step.attributes["muster.host"] == run["host"].as_str().unwrap_or_default()
        };
        let of_run = steps.iter().find(of_run).expect("its run");
        assert_eq!(of_run.attributes["muster.state"], "succeeded");
        let exec = steps
            .iter()
            .find(|step| step.name == "exec" && step.parent == of_run.id)
            .expect("its command");
        let there = format!("00-{}-{}-01\n", exec.trace, exec.id);
        assert_eq!(run["stdout"], there, "{run:#}");
        assert_eq!(exec.attributes["process.exit.code"], "0");
    }
    assert!(!steps.iter().any(|step| step.failed), "{steps:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_failed_is_seen_and_a_trace_goes_on_that_others_have_begun() {
    let Some(mut world) = World::new().await else {
        return;
    };
    let collector = Collector::start().expect("a collector");
    send_traces(&mut world.home, &collector.url());
    let mut asked = world.command(&["run", "exit 3", "--hosts", "127.0.0.1", "--output", "quiet"]);
    asked.env(
        "TRACEPARENT",
        "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    );
    let failed: Done = asked.output().expect("the binary starts").into();
    assert_eq!(failed.code, Some(1), "{failed:#?}");
    let steps = collector
        .wait_for(PATIENCE, &[("muster run", 1), ("run", 1)])
        .expect("they come");
    check_whole(&steps, 1);
    let of_command = only(&steps, "muster run");
    assert_eq!(of_command.trace, "0af7651916cd43dd8448eb211c80319c");
    assert_eq!(of_command.parent, "b7ad6b7169203331");
    assert_eq!(of_command.attributes["process.exit.code"], "1");
    let exec = only(&steps, "exec");
    assert_eq!(exec.attributes["process.exit.code"], "3");
    let run = only(&steps, "run");
    assert_eq!(run.attributes["muster.state"], "failed");
    assert!(
        exec.failed && run.failed && of_command.failed && !only(&steps, "connect").failed,
        "{steps:#?}"
    );
}

#[test]
fn a_trace_holds_together_over_rabbitmq() {
    let Some(rabbitmq) = or_ignored(RabbitMq::start()) else {
        return;
    };
    let collector = Collector::start().expect("a collector");
    let mut home = Home::new().expect("a home");
    home.set_env("MUSTER_QUEUE", rabbitmq.fresh_vhost().expect("a virtual host"));
    send_traces(&mut home, &collector.url());
    let asked = command(&home, &["run", "true", "--hosts", "local://h[1-5]"]).output();
    Done::from(asked.expect("the binary starts")).succeeded();
    let wanted = [("muster run", 1), ("POST /api/v1/tasks", 1), ("run", 5)];
    check_whole(&collector.wait_for(PATIENCE, &wanted).expect("they come"), 5);
}

/// A collector that is away is nobody's outage: work goes on, and the log says it once.
#[test]
fn a_collector_that_is_away_holds_nobody_up() {
    let mut home = Home::new().expect("a home");
    let port = ports::free().expect("a port");
    // Nothing listens there; and speaking TLS is no different.
    send_traces(&mut home, &format!("https://127.0.0.1:{port}"));
    // Whatever is logged, steps are not.
    home.set_env("MUSTER_LOG", "info,muster_engine=debug");
    let asked = |home: &Home| -> Done {
        let done = command(home, &["run", "echo here", "--hosts", "local://h[1-3]"]).output();
        Done::from(done.expect("the binary starts")).succeeded()
    };
    for _ in 0..3 {
        let done = asked(&home);
        assert!(!done.stderr.contains("otel."), "{done:#?}");
    }
    let path = home.runtime_dir().join("muster/server.log");
    let said = |what: &str| {
        let log = std::fs::read_to_string(&path).expect("a log");
        log.lines().filter(|line| line.contains(what)).count()
    };
    let came = muster_testkit::wait::blocking(PATIENCE, "a warning", || {
        (said("traces are not taken") > 0).then_some(())
    });
    came.expect("it comes");
    asked(&home);
    assert_eq!(said("traces are not taken"), 1);
    assert_eq!(said("BatchSpanProcessor"), 0, "the library is quiet");
    assert_eq!((said("otel."), said("messaging.")), (0, 0));
    assert!(said("a run has ended") > 0);
}

#[test]
fn an_address_that_is_none_is_named() {
    let mut home = Home::new().expect("a home");
    for (wrong, said) in [
        ("collector:4318", "'collector:4318' is not an address"),
        ("http://", "'http://' is not an address"),
        ("http://me:secret@collector:4318", "OTEL_EXPORTER_OTLP_HEADERS"),
    ] {
        home.set_env("MUSTER_TRACES", wrong);
        let done = command(&home, &["tasks"]).output();
        let done = Done::from(done.expect("the binary starts"));
        assert_eq!(done.code, Some(2), "{done:#?}");
        assert!(
            done.stderr.contains("MUSTER_TRACES") && done.stderr.contains(said),
            "{done:#?}"
        );
        assert!(!done.stderr.contains("secret"), "{done:#?}");
    }
}

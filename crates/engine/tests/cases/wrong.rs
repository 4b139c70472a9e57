//! Requests that are wrong: refused whole, with the input named, and nothing started.

use muster_engine::TaskFilter;
use muster_model::problem::Code;
use muster_model::wire::{Submit, WorkOptions};

use crate::support::{Bench, submit};

#[tokio::test(flavor = "multi_thread")]
async fn nothing_starts_where_anything_is_wrong() {
    let bench = Bench::new().await;
    let options = WorkOptions::default;
    let long = "x".repeat(200_000);
    let cases: Vec<(Submit, Code, &str)> = vec![
        (
            submit("", "localhost", options()),
            Code::InvalidRequest,
            "command",
        ),
        (submit(&long, "localhost", options()), Code::TooLarge, "200000"),
        (
            submit("true", "web[1-", options()),
            Code::InvalidPattern,
            "web[1-",
        ),
        (
            submit("true", "@nowhere", options()),
            Code::UnknownGroup,
            "nowhere",
        ),
        (submit("true", "a!a", options()), Code::EmptyTarget, "a!a"),
        (
            submit("true", "web[1-2000000]", options()),
            Code::TargetTooLarge,
            "1000000",
        ),
        (
            submit("true", "agent://web1", options()),
            Code::InvalidRequest,
            "agent://web1",
        ),
        (
            submit("true", "web1:99999", options()),
            Code::InvalidPattern,
            "99999",
        ),
        (
            submit(
                "true",
                "web1",
                WorkOptions {
                    timeout_ms: Some(0),
                    ..options()
                },
            ),
            Code::InvalidRequest,
            "timeout",
        ),
    ];
    for (request, code, named) in cases {
        let problem = bench.engine.submit("me", request).await.expect_err(named);
        assert_eq!(problem.code, code, "{}", problem.detail);
        let detail = problem.detail.replace(',', "");
        assert!(detail.contains(named), "'{detail}' should name '{named}'");
    }
    assert!(
        bench
            .engine
            .tasks(TaskFilter::default())
            .await
            .expect("tasks")
            .is_empty()
    );
    bench.close().await;
}

//! What is said about bodies and queries that are not right.

use axum::Router;
use axum::body::Body;
use axum::http::{Request, StatusCode};
use axum::routing::post;
use http_body_util::BodyExt;
use muster_model::wire::{Submit, Targets};
use muster_model::{Problem, limits};
use serde::Deserialize;
use tower::ServiceExt;

use crate::extract::{Json, Query};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Which {
    #[expect(dead_code, reason = "only its reading is tested")]
    pattern: Option<String>,
}

fn router() -> Router {
    Router::new()
        .route("/submit", post(async |_: Json<Submit>| StatusCode::OK))
        .route("/targets", post(async |_: Json<Targets>| StatusCode::OK))
        .route("/query", post(async |_: Query<Which>| StatusCode::OK))
}

async fn send(path: &str, kind: Option<&str>, body: impl Into<Body>) -> (StatusCode, Option<Problem>) {
    let mut builder = Request::builder().method("POST").uri(path);
    if let Some(kind) = kind {
        builder = builder.header("content-type", kind);
    }
    let request = builder.body(body.into()).expect("a request");
    let response = router().oneshot(request).await.expect("infallible");
    let status = response.status();
    let body = response.into_body().collect().await.expect("a body").to_bytes();
    (status, serde_json::from_slice(&body).ok())
}

async fn refused(path: &str, body: &str) -> (StatusCode, String) {
    let (status, problem) = send(path, Some("application/json"), body.to_owned()).await;
    (status, problem.expect("a problem").detail)
}

#[tokio::test]
async fn a_field_that_is_wrong_is_named_with_what_would_be_right() {
    for (body, expected) in [
        (
            r#"{"hosts": "web1"}"#,
            vec!["hosts: invalid type: string", "expected a sequence"],
        ),
        (
            r#"{"hosts": [], "exlude": []}"#,
            vec!["unknown field `exlude`", "`exclude`"],
        ),
        ("{}", vec!["missing field `hosts`"]),
        ("[]", vec!["expected struct Targets"]),
    ] {
        let (status, detail) = refused("/targets", body).await;
        assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{body}: {detail}");
        for part in expected {
            assert!(detail.contains(part), "{body}: {detail}");
        }
    }
}

#[tokio::test]
async fn a_field_deep_in_a_task_is_named() {
    let body = r#"{"request_id": "0123456789abcdef", "work": {"kind": "command", "command": "id"},
                   "targets": {"hosts": ["a"]}, "options": {"retries": "many"}}"#;
    let (_, detail) = refused("/submit", body).await;
    assert!(detail.contains("options.retries: invalid type"), "{detail}");
    let body =
        r#"{"request_id": "0123456789abcdef", "work": {"kind": "dance"}, "targets": {"hosts": ["a"]}}"#;
    let (_, detail) = refused("/submit", body).await;
    assert!(
        detail.contains("work") && detail.contains("`dance`") && detail.contains("`command`"),
        "{detail}"
    );
}

#[tokio::test]
async fn what_stands_in_the_place_of_a_secret_is_not_shown() {
    let body = r#"{"request_id": "0123456789abcdef", "work": {"kind": "command", "command": "id"},
                   "targets": {"hosts": ["a"]}, "secrets": {"password": 123456}}"#;
    let (status, detail) = refused("/submit", body).await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(
        detail.contains("secrets.password") && !detail.contains("123456"),
        "{detail}"
    );
}

#[tokio::test]
async fn what_is_no_json_is_said_to_be_none() {
    for body in ["", "{", "{\"hosts\": [}", "hosts=web1", "{\"hosts\": []} {}"] {
        let (status, detail) = refused("/targets", body).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{body}: {detail}");
        assert!(detail.starts_with("the body is not JSON: "), "{body}: {detail}");
    }
}

#[tokio::test]
async fn a_body_of_another_type_is_refused() {
    for kind in [
        None,
        Some("text/plain"),
        Some("application/x-www-form-urlencoded"),
    ] {
        let (status, problem) = send("/targets", kind, "{\"hosts\": []}").await;
        assert_eq!(status, StatusCode::UNSUPPORTED_MEDIA_TYPE, "{kind:?}");
        assert!(
            problem
                .expect("a problem")
                .hint
                .is_some_and(|hint| hint.contains("application/json"))
        );
    }
    let (status, _) = send(
        "/targets",
        Some("application/json; charset=utf-8"),
        "{\"hosts\": []}",
    )
    .await;
    assert_eq!(status, StatusCode::OK);
}

#[tokio::test]
async fn a_body_past_the_limit_is_refused_whether_it_says_so_or_not() {
    let piece = bytes::Bytes::from(vec![b' '; 1 << 20]);
    let pieces = limits::REQUEST_BYTES / piece.len() + 1;
    let endless =
        futures_util::stream::iter((0..pieces).map(move |_| Ok::<_, std::io::Error>(piece.clone())));
    let (status, problem) = send("/targets", Some("application/json"), Body::from_stream(endless)).await;
    assert_eq!(status, StatusCode::PAYLOAD_TOO_LARGE);
    assert!(problem.expect("a problem").detail.contains("64 MiB"));
}

#[tokio::test]
async fn a_query_that_nobody_knows_is_refused() {
    let (status, problem) = send("/query?patern=x", None, "").await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
    let detail = problem.expect("a problem").detail;
    assert!(
        detail.contains("unknown field `patern`") && detail.contains("`pattern`"),
        "{detail}"
    );
}

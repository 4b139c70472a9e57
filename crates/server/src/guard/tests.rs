//! The guard, request by request.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::http::{Method, Request, Response, StatusCode};
use axum::routing::get;
use http_body_util::BodyExt;
use muster_model::{Problem, Secret};
use tower::ServiceExt;

use super::*;
use crate::api::guarded;

const TOKEN: &str = "0123456789abcdef";

async fn panics() -> &'static str {
    panic!("on purpose")
}

fn router() -> Router {
    let guard = Guard {
        token: Some(Secret::new(TOKEN.to_owned())),
        user: "ada".into(),
    };
    let whose = |owner: Owner| async move { owner.0.to_string() };
    guarded(
        Router::new()
            .route("/whose", get(whose))
            .route("/panics", get(panics))
            .route("/api/v1/server/handover", get(whose)),
        Arc::new(guard),
    )
}

async fn ask(peer: Peer, request: Request<Body>) -> (StatusCode, String) {
    let response = answer(peer, request).await;
    let status = response.status();
    let body = response.into_body().collect().await.expect("a body").to_bytes();
    (status, String::from_utf8(body.to_vec()).expect("text"))
}

async fn answer(peer: Peer, mut request: Request<Body>) -> Response<Body> {
    request.extensions_mut().insert(peer);
    router().oneshot(request).await.expect("infallible")
}

fn request(path: &str, headers: &[(&str, &str)]) -> Request<Body> {
    let mut builder = Request::builder().uri(path);
    for (name, value) in headers {
        builder = builder.header(*name, *value);
    }
    builder.body(Body::empty()).expect("a request")
}

fn user() -> Peer {
    Peer::User("ada".into())
}

fn problem_in(text: &str) -> Problem {
    serde_json::from_str(text).expect("a problem")
}

#[tokio::test]
async fn a_user_of_the_socket_is_the_owner() {
    assert_eq!(
        ask(user(), request("/whose", &[])).await,
        (StatusCode::OK, "ada".to_owned())
    );
}

#[tokio::test]
async fn a_stranger_is_told_whose_server_it_is() {
    let (status, body) = ask(Peer::Stranger(4711), request("/whose", &[])).await;
    assert_eq!(status, StatusCode::FORBIDDEN);
    let problem = problem_in(&body);
    assert_eq!(problem.code, Code::Denied);
    assert!(
        problem.detail.contains("'ada'") && problem.detail.contains("4711"),
        "{problem}"
    );
}

#[tokio::test]
async fn a_loopback_address_wants_the_token() {
    let with = |headers: &[(&str, &str)]| {
        let mut all = vec![("host", "127.0.0.1:80")];
        all.extend_from_slice(headers);
        request("/whose", &all)
    };
    let right = format!("Bearer {TOKEN}");
    assert_eq!(
        ask(Peer::Unknown, with(&[("authorization", &right)])).await,
        (StatusCode::OK, "ada".to_owned())
    );
    for wrong in [
        None,
        Some("Bearer "),
        Some("Bearer 0123456789abcdee"),
        Some("Bearer 0123456789abcdef0"),
        Some("Basic 0123456789abcdef"),
        Some(TOKEN),
    ] {
        let headers: Vec<_> = wrong.iter().map(|value| ("authorization", *value)).collect();
        let response = answer(Peer::Unknown, with(&headers)).await;
        assert_eq!(response.status(), StatusCode::UNAUTHORIZED, "{wrong:?}");
        assert!(response.headers().contains_key("www-authenticate"));
    }
}

#[tokio::test]
async fn names_that_were_rebound_and_pages_of_others_are_refused() {
    let right = format!("Bearer {TOKEN}");
    let ask_with = async |headers: &[(&str, &str)]| {
        let mut all = vec![("authorization", right.as_str())];
        all.extend_from_slice(headers);
        ask(Peer::Unknown, request("/whose", &all)).await.0
    };
    for host in [
        "localhost",
        "localhost:81",
        "LOCALHOST",
        "127.0.0.1",
        "127.1.2.3:1",
        "[::1]:9",
        "[::1]",
    ] {
        assert_eq!(ask_with(&[("host", host)]).await, StatusCode::OK, "{host}");
    }
    for host in [
        "",
        "evil.example",
        "127.0.0.1.evil.example:80",
        "10.0.0.1",
        "localhost.evil:80",
        "[::2]:1",
    ] {
        assert_eq!(ask_with(&[("host", host)]).await, StatusCode::FORBIDDEN, "{host}");
    }
    let here = ("host", "localhost:80");
    for (header, expected) in [
        (("origin", "http://localhost:80"), StatusCode::OK),
        (("origin", "http://localhost:81"), StatusCode::FORBIDDEN),
        (("origin", "https://evil.example"), StatusCode::FORBIDDEN),
        (("origin", "null"), StatusCode::FORBIDDEN),
        (("sec-fetch-site", "same-origin"), StatusCode::OK),
        (("sec-fetch-site", "none"), StatusCode::OK),
        (("sec-fetch-site", "cross-site"), StatusCode::FORBIDDEN),
        (("sec-fetch-site", "same-site"), StatusCode::FORBIDDEN),
    ] {
        assert_eq!(ask_with(&[here, header]).await, expected, "{header:?}");
    }
}

#[tokio::test]
async fn another_protocol_is_answered_with_426_and_what_to_do() {
    for (value, expected) in [
        ("1", StatusCode::OK),
        ("2", StatusCode::UPGRADE_REQUIRED),
        ("one", StatusCode::UPGRADE_REQUIRED),
    ] {
        let (status, body) = ask(user(), request("/whose", &[(PROTOCOL_HEADER, value)])).await;
        assert_eq!(status, expected, "{value}");
        if status != StatusCode::OK {
            let problem = problem_in(&body);
            assert_eq!(problem.code, Code::VersionMismatch);
            assert!(problem.hint.is_some());
        }
    }
}

#[tokio::test]
async fn a_newer_client_can_always_ask_for_the_place() {
    let asked = request("/api/v1/server/handover", &[(PROTOCOL_HEADER, "2")]);
    assert_eq!(ask(user(), asked).await.0, StatusCode::OK);
}

#[tokio::test]
async fn addresses_methods_and_panics_are_answered_with_problems() {
    for (method, path, expected, code) in [
        (Method::GET, "/nowhere", StatusCode::NOT_FOUND, Code::NotFound),
        (
            Method::POST,
            "/whose",
            StatusCode::METHOD_NOT_ALLOWED,
            Code::InvalidRequest,
        ),
        (
            Method::GET,
            "/panics",
            StatusCode::INTERNAL_SERVER_ERROR,
            Code::Internal,
        ),
    ] {
        let mut asked = request(path, &[]);
        *asked.method_mut() = method;
        let response = answer(user(), asked).await;
        assert_eq!(response.status(), expected, "{path}");
        assert_eq!(response.headers()["content-type"], "application/problem+json");
        assert_eq!(response.headers()["x-content-type-options"], "nosniff");
        let body = response.into_body().collect().await.expect("a body").to_bytes();
        let problem: Problem = serde_json::from_slice(&body).expect("a problem");
        assert_eq!((problem.code, problem.status), (code, expected.as_u16()));
        assert!(!problem.detail.contains("on purpose"), "{problem}");
    }
}

#[tokio::test]
async fn a_wrong_method_names_the_right_ones() {
    let mut asked = request("/whose", &[]);
    *asked.method_mut() = Method::DELETE;
    let response = answer(user(), asked).await;
    assert_eq!(response.headers()["allow"], "GET,HEAD");
}

#[tokio::test]
async fn who_comes_from_afar_shows_the_token_and_is_sent_by_no_page() {
    let bearer = format!("Bearer {TOKEN}");
    let far = |headers: &[(&str, &str)]| ask(Peer::Far, request("/whose", headers));
    let (status, text) = far(&[("host", "ops.example.net:7443"), ("authorization", &bearer)]).await;
    assert_eq!((status, text.as_str()), (StatusCode::OK, "ada"));
    let (status, text) = far(&[("host", "ops.example.net:7443")]).await;
    assert_eq!(status, StatusCode::UNAUTHORIZED, "{text}");
    for origin in ["http://ops.example.net:7443", "https://elsewhere.example", "null"] {
        let headers = [
            ("host", "ops.example.net:7443"),
            ("authorization", bearer.as_str()),
            ("origin", origin),
        ];
        let (status, text) = far(&headers).await;
        assert_eq!(status, StatusCode::FORBIDDEN, "{origin}: {text}");
    }
}

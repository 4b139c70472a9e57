//! Problems as answers, and the problems of HTTP itself.

use axum::body::Body;
use axum::extract::Request;
use axum::http::{HeaderValue, Method, Response, StatusCode, header};
use axum::response::IntoResponse;
use muster_model::Problem;
use muster_model::problem::Code;

/// What a handler that cannot answer returns.
#[derive(Debug)]
pub(crate) struct Failure(Box<Problem>);

impl Failure {
    pub(crate) fn new(code: Code, detail: impl Into<String>) -> Self {
        Problem::new(code, detail).into()
    }

    /// A wrong request that HTTP has a status of its own for.
    pub(crate) fn with_status(code: Code, status: StatusCode, detail: impl Into<String>) -> Self {
        let mut problem = Problem::new(code, detail);
        problem.status = status.as_u16();
        problem.into()
    }

    pub(crate) fn hint(self, hint: impl Into<String>) -> Self {
        self.0.hint(hint).into()
    }
}

impl From<Problem> for Failure {
    fn from(problem: Problem) -> Self {
        Self(Box::new(problem))
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response<Body> {
        let Self(problem) = self;
        let status = StatusCode::from_u16(problem.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        // A room that is away is said once, by who finds it so, and not for each request.
        if status.is_server_error() && !matches!(problem.code, Code::Draining | Code::Unavailable) {
            tracing::warn!(code = ?problem.code, detail = problem.detail, "a request failed");
        }
        let body = serde_json::to_vec(&problem).unwrap_or_default();
        let mut response = Response::new(Body::from(body));
        *response.status_mut() = status;
        response.headers_mut().insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/problem+json"),
        );
        response
    }
}

/// Answers addresses that do not exist.
pub(crate) async fn not_found(request: Request) -> Failure {
    let path = clipped(request.uri().path());
    Failure::new(Code::NotFound, format!("the API has no address '{path}'"))
        .hint("GET /api/v1/openapi.json lists the addresses")
}

/// Answers what is for a server with the role 'api'.
pub(crate) async fn not_here(request: Request) -> Failure {
    let path = clipped(request.uri().path());
    Failure::new(
        Code::NotHere,
        format!("this server carries runs out and serves no clients: '{path}' is for a server with the role 'api'"),
    )
    .hint("`muster cluster` lists the servers with their roles; name one with 'api' by --server or MUSTER_SERVER")
}

/// Answers methods that an address does not have.
pub(crate) async fn wrong_method(request: Request) -> Failure {
    let path = clipped(request.uri().path());
    let method = clipped(request.method().as_str());
    Failure::with_status(
        Code::InvalidRequest,
        StatusCode::METHOD_NOT_ALLOWED,
        format!("'{path}' does not take {method}"),
    )
    .hint(match *request.method() {
        Method::GET | Method::HEAD => "the header Allow says what it takes",
        _ => "the header Allow says what it takes; GET /api/v1/openapi.json describes it",
    })
}

/// Returns the beginning of a text that a stranger sent, to be shown back.
pub(crate) fn clipped(text: &str) -> String {
    text.chars().take(120).collect()
}

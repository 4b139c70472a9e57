//! Reading requests: bodies, queries and paths, with errors that name what was wrong.

use std::str::FromStr;
use std::time::Duration;

use axum::extract::rejection::{JsonRejection, PathRejection, QueryRejection};
use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, header};
use bytes::Bytes;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use muster_model::limits::REQUEST_BYTES;
use muster_model::problem::Code;
use muster_runtime::clock;
use serde::de::DeserializeOwned;
use zeroize::{Zeroize, Zeroizing};

use crate::guard::Owner;
use crate::problem::{Failure, clipped};

/// How long the body of a request may take.
const BODY: Duration = Duration::from_mins(1);
/// The longest body with secrets in it.
const SECRET_BYTES: usize = 512 * 1024;

/// A body of JSON.
pub(crate) struct Json<T>(pub(crate) T);

impl<S: Sync, T: DeserializeOwned> FromRequest<S> for Json<T> {
    type Rejection = Failure;

    async fn from_request(request: Request, _state: &S) -> Result<Self, Failure> {
        is_json(request.headers())?;
        let body = whole_body(request).await?;
        match axum::Json::from_bytes(&body) {
            Ok(axum::Json(value)) => Ok(Self(value)),
            Err(rejection) => Err(not_this_json(&rejection)),
        }
    }
}

/// A body of JSON with secrets in it. Its bytes are wiped once they are read, and an error shows nothing of them.
pub(crate) struct SecretJson<T>(pub(crate) T);

impl<S: Sync, T: DeserializeOwned> FromRequest<S> for SecretJson<T> {
    type Rejection = Failure;

    async fn from_request(request: Request, _state: &S) -> Result<Self, Failure> {
        is_json(request.headers())?;
        let body = secret_body(request).await?;
        // Names of fields and values may be a secret in the wrong place: where it stands is all that is told.
        serde_json::from_slice(&body).map(Self).map_err(|error| {
            Failure::new(
                Code::InvalidRequest,
                format!(
                    "the body is not right at line {}, column {}",
                    error.line(),
                    error.column()
                ),
            )
            .hint("GET /api/v1/openapi.json says what this address takes; secrets are base64")
        })
    }
}

/// Reads a body to its end into a buffer that is wiped. What the connection has lent us of it is wiped too, where the
/// connection has let go of it.
async fn secret_body(request: Request) -> Result<Zeroizing<Vec<u8>>, Failure> {
    // Room for all of it from the start: a buffer that grows leaves its old place behind.
    let mut whole = Zeroizing::new(Vec::with_capacity(SECRET_BYTES));
    let mut body = request.into_body();
    let work = async {
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|error| unreadable(&error))?;
            let Ok(bytes) = frame.into_data() else { continue };
            if whole.len() + bytes.len() > SECRET_BYTES {
                return Err(Failure::new(
                    Code::TooLarge,
                    format!("a request with secrets is larger than {} KiB", SECRET_BYTES >> 10),
                ));
            }
            whole.extend_from_slice(&bytes);
            if let Ok(mut bytes) = bytes.try_into_mut() {
                bytes.as_mut().zeroize();
            }
        }
        Ok(())
    };
    match clock::deadline(BODY, work).await {
        Ok(done) => done.map(|()| whole),
        Err(clock::Elapsed) => Err(too_slow()),
    }
}

fn unreadable(error: &dyn std::fmt::Display) -> Failure {
    Failure::with_status(
        Code::InvalidRequest,
        StatusCode::BAD_REQUEST,
        format!("the body cannot be read: {error}"),
    )
}

fn too_slow() -> Failure {
    Failure::with_status(
        Code::InvalidRequest,
        StatusCode::REQUEST_TIMEOUT,
        format!("the body did not arrive within {} s", BODY.as_secs()),
    )
}

fn is_json(headers: &HeaderMap) -> Result<(), Failure> {
    let shown = headers
        .get(header::CONTENT_TYPE)
        .map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned());
    let kind = shown
        .as_deref()
        .map(|shown| shown.split(';').next().unwrap_or_default().trim());
    match kind {
        Some(kind) if kind.eq_ignore_ascii_case("application/json") => Ok(()),
        _ => Err(Failure::with_status(
            Code::InvalidRequest,
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            match &shown {
                Some(shown) => format!("the body is said to be '{}'", clipped(shown)),
                None => "the body is not said to be of any type".to_owned(),
            },
        )
        .hint("send JSON with 'Content-Type: application/json'")),
    }
}

async fn whole_body(request: Request) -> Result<Bytes, Failure> {
    let too_large = || {
        Failure::new(
            Code::TooLarge,
            format!("the request is larger than {} MiB", REQUEST_BYTES >> 20),
        )
    };
    let announced = request
        .headers()
        .get(header::CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    if announced.is_some_and(|length| length > REQUEST_BYTES as u64) {
        return Err(too_large());
    }
    let body = Limited::new(request.into_body(), REQUEST_BYTES);
    match clock::deadline(BODY, body.collect()).await {
        Ok(Ok(collected)) => Ok(collected.to_bytes()),
        Ok(Err(error)) if error.downcast_ref::<LengthLimitError>().is_some() => Err(too_large()),
        Ok(Err(error)) => Err(unreadable(&error)),
        Err(clock::Elapsed) => Err(too_slow()),
    }
}

fn not_this_json(rejection: &JsonRejection) -> Failure {
    let text = innermost(rejection);
    // What stands in a secret's place may be the secret.
    if text.starts_with("secrets") {
        let field = text.split(':').next().unwrap_or("secrets");
        return Failure::new(Code::InvalidRequest, format!("{field} is not of the right form"))
            .hint("secrets holds password, passphrase and sudo_password, each a text");
    }
    match rejection {
        JsonRejection::JsonSyntaxError(_) => Failure::with_status(
            Code::InvalidRequest,
            StatusCode::BAD_REQUEST,
            format!("the body is not JSON: {text}"),
        ),
        _ => Failure::new(Code::InvalidRequest, format!("the body is not right: {text}"))
            .hint("GET /api/v1/openapi.json says what this address takes"),
    }
}

/// Returns what the innermost of a chain of errors says: the outer ones say "cannot deserialize".
fn innermost(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(inner) = source {
        // The error that knows the path shows it before what its source says.
        let inner_text = inner.to_string();
        if !text.ends_with(&inner_text) || text.starts_with("Failed to") {
            text = inner_text;
        }
        source = inner.source();
    }
    text
}

/// A query string.
pub(crate) struct Query<T>(pub(crate) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Query<T> {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Failure> {
        match axum::extract::Query::from_request_parts(parts, state).await {
            Ok(axum::extract::Query(value)) => Ok(Self(value)),
            Err(QueryRejection::FailedToDeserializeQueryString(why)) => Err(Failure::new(
                Code::InvalidRequest,
                format!("the query is not right: {}", innermost(&why)),
            )),
            Err(other) => Err(Failure::new(Code::InvalidRequest, other.body_text())),
        }
    }
}

/// The variable parts of an address.
pub(crate) struct Path<T>(pub(crate) T);

impl<S: Send + Sync, T: DeserializeOwned + Send> FromRequestParts<S> for Path<T> {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Failure> {
        match axum::extract::Path::from_request_parts(parts, state).await {
            Ok(axum::extract::Path(value)) => Ok(Self(value)),
            Err(PathRejection::FailedToDeserializePathParams(why)) => {
                Err(Failure::new(Code::InvalidRequest, why.body_text()))
            }
            Err(other) => Err(Failure::new(Code::Internal, other.body_text())),
        }
    }
}

impl<S: Sync> FromRequestParts<S> for Owner {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Failure> {
        let owner = parts.extensions.get::<Self>().cloned();
        owner.ok_or_else(|| Failure::new(Code::Internal, "a request came in past the guard"))
    }
}

/// Reads a value of a query or a path; `name` is what it is called there.
pub(crate) fn value<T>(name: &str, text: &str) -> Result<T, Failure>
where
    T: FromStr,
    T::Err: std::fmt::Display,
{
    text.parse()
        .map_err(|why| Failure::new(Code::InvalidRequest, format!("{name}: {why}")))
}

/// Reads an optional value of a query.
pub(crate) fn optional<T>(name: &str, text: Option<&str>) -> Result<Option<T>, Failure>
where
    T: FromStr,
    T::Err: std::fmt::Display,
{
    text.map(|text| value(name, text)).transpose()
}

/// Reads a whole number of a query that lies between two others.
pub(crate) fn number(
    name: &str,
    text: Option<&str>,
    range: std::ops::RangeInclusive<u64>,
) -> Result<Option<u64>, Failure> {
    let Some(text) = text else {
        return Ok(None);
    };
    match text.parse::<u64>() {
        Ok(number) if range.contains(&number) => Ok(Some(number)),
        _ => Err(Failure::new(
            Code::InvalidRequest,
            format!(
                "{name}: '{}' is not a whole number from {} to {}",
                clipped(text),
                range.start(),
                range.end()
            ),
        )),
    }
}

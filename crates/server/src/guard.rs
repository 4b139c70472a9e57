//! Who may ask: every request passes here first.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, header};
use axum::middleware::Next;
use axum::response::IntoResponse;
use futures_util::FutureExt;
use muster_model::Secret;
use muster_model::problem::Code;
use muster_model::wire::{PROTOCOL, PROTOCOL_HEADER};
use muster_runtime::clock;

use crate::api::health::PROBES;
use crate::connection::Entered;
use crate::listener::Peer;
use crate::problem::{Failure, clipped};

/// How long the server thinks about an answer: a submit of a million hosts takes a while.
const ANSWER: Duration = Duration::from_mins(10);

/// What is needed to let somebody in.
pub(crate) struct Guard {
    /// The token for whoever does not come by a Unix socket; None: nobody is let in there.
    pub(crate) token: Option<Secret>,
    /// Whose tasks they are that come in with the token.
    pub(crate) user: Arc<str>,
}

/// Whose request it is.
#[derive(Clone, Debug)]
pub(crate) struct Owner(pub(crate) Arc<str>);

/// Lets requests in, or answers why not.
pub(crate) async fn enter(
    State(guard): State<Arc<Guard>>,
    mut request: Request,
    next: Next,
) -> Response<Body> {
    if PROBES.contains(&request.uri().path()) {
        let mut response = next.run(request).await;
        harden(response.headers_mut());
        return response;
    }
    let peer = request.extensions().get::<Peer>().cloned();
    let entered = guard
        .owner(peer.as_ref(), &asked_of(&request), request.headers())
        .and_then(|owner| same_protocol(request.uri().path(), request.headers()).map(|()| owner));
    let owner = match entered {
        Ok(owner) => owner,
        Err(failure) => return with_challenge(failure.into_response()),
    };
    if let Some(entered) = request.extensions().get::<Entered>() {
        entered.tell();
    }
    request.extensions_mut().insert(owner);
    let answer = AssertUnwindSafe(clock::deadline(ANSWER, next.run(request))).catch_unwind();
    let mut response = match answer.await {
        Ok(Ok(response)) => response,
        Ok(Err(clock::Elapsed)) => Failure::with_status(
            Code::Unavailable,
            StatusCode::GATEWAY_TIMEOUT,
            format!("no answer was found within {} s", ANSWER.as_secs()),
        )
        .into_response(),
        Err(panic) => {
            tracing::error!(message = message_of(panic.as_ref()), "a request panicked");
            Failure::new(Code::Internal, "the server made a mistake over this request")
                .hint("the server's log says more")
                .into_response()
        }
    };
    harden(response.headers_mut());
    response
}

/// What an answer says to a browser that came across it: guess nothing, keep nothing, frame nothing.
fn harden(headers: &mut HeaderMap) {
    for (name, value) in [
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::CACHE_CONTROL, "no-store"),
        (header::X_FRAME_OPTIONS, "DENY"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
}

fn message_of(panic: &(dyn std::any::Any + Send)) -> &str {
    panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no message")
}

fn with_challenge(mut response: Response<Body>) -> Response<Body> {
    if response.status() == StatusCode::UNAUTHORIZED {
        response
            .headers_mut()
            .insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    harden(response.headers_mut());
    response
}

impl Guard {
    /// Returns whose request it is.
    fn owner(&self, peer: Option<&Peer>, host: &str, headers: &HeaderMap) -> Result<Owner, Failure> {
        match peer {
            Some(Peer::User(name)) => Ok(Owner(Arc::clone(name))),
            Some(Peer::Stranger(uid)) => Err(Failure::new(
                Code::Denied,
                format!(
                    "this server is for the user '{}' alone, and you are user {uid}",
                    self.user
                ),
            )
            .hint("run muster without --server: it starts a server of your own")),
            Some(Peer::Far) => {
                same_site("https", host, headers)?;
                self.shows_token(headers)?;
                Ok(Owner(Arc::clone(&self.user)))
            }
            Some(Peer::Unknown) | None => {
                from_here(host, headers)?;
                self.shows_token(headers)?;
                Ok(Owner(Arc::clone(&self.user)))
            }
        }
    }

    fn shows_token(&self, headers: &HeaderMap) -> Result<(), Failure> {
        let shown = text(headers, &header::AUTHORIZATION)
            .and_then(|value| value.split_once(' '))
            .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
            .map(|(_, token)| token.trim());
        let refuse = |detail: &str| {
            Err(
                Failure::with_status(Code::Denied, StatusCode::UNAUTHORIZED, detail).hint(
                    "send 'Authorization: Bearer TOKEN'; muster takes it from MUSTER_TOKEN, and for a server on \
                     loopback from the file 'token' of the runtime folder",
                ),
            )
        };
        match (&self.token, shown) {
            (Some(token), Some(shown)) if same(token.expose(), shown) => Ok(()),
            (_, None) => refuse("this server wants a token"),
            _ => refuse("the token is not this server's"),
        }
    }
}

/// Compares two texts in a time that does not tell where they differ.
fn same(one: &str, other: &str) -> bool {
    let differences = one
        .bytes()
        .zip(other.bytes())
        .fold(0_u8, |found, (a, b)| std::hint::black_box(found | (a ^ b)));
    one.len() == other.len() && differences == 0
}

fn text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

/// Returns the name by which this server was asked: HTTP/2 has it in the address, HTTP/1.1 in a header.
fn asked_of(request: &Request) -> String {
    let authority = request.uri().authority().map(|authority| authority.as_str());
    authority
        .or_else(|| text(request.headers(), &header::HOST))
        .unwrap_or_default()
        .to_owned()
}

/// Refuses what a browser sends on behalf of a site: names that were rebound to this machine, and requests
/// from pages of others.
fn from_here(host: &str, headers: &HeaderMap) -> Result<(), Failure> {
    if !is_loopback(host) {
        return Err(Failure::new(
            Code::Denied,
            format!("the host '{}' is not this machine's loopback", clipped(host)),
        )
        .hint("ask 127.0.0.1, [::1] or localhost"));
    }
    same_site("http", host, headers)
}

/// Refuses what the page of another site asks for.
fn same_site(scheme: &str, host: &str, headers: &HeaderMap) -> Result<(), Failure> {
    let foreign = match text(headers, &header::ORIGIN) {
        Some(origin) => origin != format!("{scheme}://{host}"),
        None => headers.contains_key(header::ORIGIN),
    };
    let cross_site = headers
        .get("sec-fetch-site")
        .is_some_and(|site| site != "same-origin" && site != "none");
    if foreign || cross_site {
        return Err(Failure::new(
            Code::Denied,
            "requests from another site's pages are not answered",
        ));
    }
    Ok(())
}

/// Tells whether the value of a Host header names this machine's loopback.
fn is_loopback(host: &str) -> bool {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if !port.is_empty() && port.bytes().all(|digit| digit.is_ascii_digit()) => name,
        _ => host,
    };
    let address = name
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'))
        .unwrap_or(name);
    name.eq_ignore_ascii_case("localhost")
        || address
            .parse::<std::net::IpAddr>()
            .is_ok_and(|address| address.is_loopback())
}

/// Addresses that every protocol has alike: by them a newer client tells an older server to hand over.
const EVERY_PROTOCOL: [&str; 3] = [
    "/api/v1/server",
    "/api/v1/server/handover",
    "/api/v1/server/shutdown",
];

fn same_protocol(path: &str, headers: &HeaderMap) -> Result<(), Failure> {
    if EVERY_PROTOCOL.contains(&path) {
        return Ok(());
    }
    let Some(value) = headers.get(PROTOCOL_HEADER) else {
        return Ok(());
    };
    let shown = String::from_utf8_lossy(value.as_bytes()).into_owned();
    if shown.parse() == Ok(PROTOCOL) {
        return Ok(());
    }
    Err(Failure::new(
        Code::VersionMismatch,
        format!(
            "the client speaks protocol '{}' and this server speaks {PROTOCOL}",
            clipped(&shown)
        ),
    )
    .hint("use a client and a server of the same release; `muster server stop` ends an old server"))
}

#[cfg(test)]
mod tests;

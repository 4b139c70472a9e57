//! Jump hosts: one connection to each, shared by all who go through it at the same time.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Mutex, PoisonError, Weak};

use muster_model::Unreachable;
use russh::ChannelOpenFailure;
use russh::client::Msg;
use tokio::time::Instant;

use super::connect::{self, Login};
use super::explain;
use super::host_key;
use super::resolve::Resolved;
use super::trace::{Phase, Trace};
use crate::error::ConnectError;
use crate::open::Settings;
use crate::types::Access;

/// A place for one jump host's connection. The lock is held while somebody logs in, so that hundreds who want
/// the same jump host log in to it once.
type Place = Arc<tokio::sync::Mutex<Weak<Login>>>;

static PLACES: LazyLock<Mutex<HashMap<Arc<Resolved>, Place>>> = LazyLock::new(Mutex::default);

/// Opens a stream through a jump host, and returns it with the login that carries it.
pub(crate) async fn through(
    settings: &Settings,
    jump: &Arc<Resolved>,
    target: &Resolved,
    access: &Access,
    trace: &Trace,
) -> Result<(russh::ChannelStream<Msg>, Arc<Login>), ConnectError> {
    let login = shared(settings, jump, access, trace).await;
    let login = login.map_err(|error| explain::no_jump(target, &error))?;
    let opened = login
        .handle
        .channel_open_direct_tcpip(&target.host, u32::from(target.port), "127.0.0.1", 0)
        .await;
    let channel = opened.map_err(|error| {
        let (label, to) = (target.label(), format!("{}:{}", target.host, target.port));
        let jump = jump.label();
        let what = match error {
            russh::Error::ChannelOpenFailure(ChannelOpenFailure::AdministrativelyProhibited) => {
                format!("does not forward connections to {to}: its AllowTcpForwarding or PermitOpen says so")
            }
            russh::Error::ChannelOpenFailure(_) => {
                format!("could not connect to {to}: is the host up, and does the jump host know the name?")
            }
            error => format!(
                "broke while connecting to {to}: {}",
                super::handler::broken(&error)
            ),
        };
        ConnectError::new(Unreachable::Jump, format!("{label}: the jump host {jump} {what}"))
    })?;
    Ok((channel.into_stream(), login))
}

async fn shared(
    settings: &Settings,
    jump: &Arc<Resolved>,
    access: &Access,
    trace: &Trace,
) -> Result<Arc<Login>, ConnectError> {
    trace.enter(Phase::Jumping(jump.label(), None));
    host_key::refuse_quarantined(settings, jump).await?;
    let place = {
        let mut places = PLACES.lock().unwrap_or_else(PoisonError::into_inner);
        // A place that nobody holds and that leads nowhere is not worth keeping.
        places.retain(|_, place| {
            Arc::strong_count(place) > 1 || place.try_lock().is_ok_and(|login| login.strong_count() > 0)
        });
        Arc::clone(places.entry(Arc::clone(jump)).or_default())
    };
    let mut place = place.lock().await;
    if let Some(login) = place.upgrade().filter(|login| !login.handle.is_closed()) {
        return Ok(login);
    }
    let inner = Arc::new(Trace::default());
    trace.enter(Phase::Jumping(jump.label(), Some(Arc::clone(&inner))));
    // Boxed, since a jump host may have a jump host of its own.
    let until = Instant::now() + access.connect_timeout;
    let login = Box::pin(connect::login(settings, jump, access, until, &inner)).await?;
    let login = Arc::new(login);
    *place = Arc::downgrade(&login);
    // From now on it is the host behind that says nothing.
    trace.enter(Phase::Jumping(jump.label(), None));
    Ok(login)
}

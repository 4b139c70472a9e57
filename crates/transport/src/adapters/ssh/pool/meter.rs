//! What is counted of logins.

use std::time::Duration;

use muster_model::Unreachable;
use muster_runtime::clock;
use muster_runtime::meter::{Counters, Entered, Gauge, Histogram, Meters, SPANS};

/// What is counted of logins.
pub(super) struct Meter {
    under_way: Gauge,
    ended: Counters<1>,
    seconds: Histogram,
}

/// A login that is under way.
pub(super) struct Login {
    since: Duration,
    _counted: Entered,
}

impl Meter {
    pub(super) fn new(meters: &Meters) -> Self {
        let ended = meters.counters(
            "muster_ssh_logins_total",
            "SSH logins that ended, by how: succeeded, or why not",
            ["outcome"],
        );
        for outcome in [None, Some(Unreachable::Refused), Some(Unreachable::TimedOut)] {
            ended.of([word(outcome).into()]).add(0);
        }
        Self {
            under_way: meters.gauge(
                "muster_ssh_logins_active",
                "SSH logins that are under way or wait for their turn",
            ),
            ended,
            seconds: meters.histogram(
                "muster_ssh_login_seconds",
                "How long SSH logins took, with the wait for their turn",
                SPANS,
            ),
        }
    }

    pub(super) fn begin(&self) -> Login {
        Login {
            since: clock::monotonic(),
            _counted: self.under_way.enter(),
        }
    }

    /// Takes note of how a login ended; `failed` says why it did, where it did.
    pub(super) fn end(&self, login: Login, failed: Option<Unreachable>) {
        self.seconds.took(clock::monotonic().saturating_sub(login.since));
        self.ended.of([word(failed).into()]).inc();
    }
}

fn word(failed: Option<Unreachable>) -> &'static str {
    match failed {
        None => "succeeded",
        Some(Unreachable::Refused) => "refused",
        Some(Unreachable::TimedOut) => "timed_out",
        Some(Unreachable::NameNotFound) => "name_not_found",
        Some(Unreachable::NoRoute) => "no_route",
        Some(Unreachable::HostKeyUnknown) => "host_key_unknown",
        Some(Unreachable::HostKeyChanged) => "host_key_changed",
        Some(Unreachable::HostKeyRevoked) => "host_key_revoked",
        Some(Unreachable::NoMethod) => "no_method",
        Some(Unreachable::WrongPassword) => "wrong_password",
        Some(Unreachable::KeyRefused) => "key_refused",
        Some(Unreachable::KeyUnusable) => "key_unusable",
        Some(Unreachable::TooManySessions) => "too_many_sessions",
        Some(Unreachable::Jump) => "jump",
        Some(Unreachable::Protocol) => "protocol",
        Some(Unreachable::Broken) => "broken",
        Some(Unreachable::Settings) => "settings",
        Some(Unreachable::SecretGone) => "secret_gone",
        Some(Unreachable::Credential) => "credential",
        Some(Unreachable::Unsupported) => "unsupported",
    }
}

//! Traces: which steps a request has gone through, in which process, and how long each took.
//!
//! A step is a span of `tracing` with the target [`TARGET`]; the names of its fields are those of OpenTelemetry's
//! semantic conventions, <https://opentelemetry.io/docs/specs/semconv/>. Where no collector is set, or the feature
//! `otel` is off, nobody listens to that target and a step costs nothing. Logs do not know of it.

use muster_model::TraceParent;
use tracing::Span;

/// The target of spans that are steps of a trace.
pub const TARGET: &str = "spans";

/// Returns the place in its trace of what is done at this moment; None where nobody listens.
#[must_use]
pub fn here() -> Option<TraceParent> {
    of(&Span::current())
}

/// Returns the place of a step in its trace; None where nobody listens.
#[must_use]
pub fn of(span: &Span) -> Option<TraceParent> {
    listened::of(span)
}

/// Puts a step, which has not been entered yet, below the one of another process, or of one that is over. Without a
/// parent it stays where it is.
pub fn follow(span: &Span, parent: Option<TraceParent>) {
    if let Some(parent) = parent {
        listened::follow(span, parent);
    }
}

#[cfg(feature = "otel")]
mod listened {
    use muster_model::TraceParent;
    use opentelemetry::Context;
    use opentelemetry::trace::{SpanContext, SpanId, TraceContextExt, TraceFlags, TraceId, TraceState};
    use tracing::Span;
    use tracing_opentelemetry::OpenTelemetrySpanExt;

    pub(super) fn of(span: &Span) -> Option<TraceParent> {
        if span.is_disabled() {
            return None;
        }
        let context = span.context();
        let found = context.span().span_context().clone();
        let trace = u128::from_be_bytes(found.trace_id().to_bytes());
        let span = u64::from_be_bytes(found.span_id().to_bytes());
        TraceParent::new(trace, span, found.trace_flags().to_u8())
    }

    pub(super) fn follow(span: &Span, parent: TraceParent) {
        if span.is_disabled() {
            return;
        }
        let remote = SpanContext::new(
            TraceId::from_bytes(parent.trace().to_be_bytes()),
            SpanId::from_bytes(parent.span().to_be_bytes()),
            TraceFlags::new(parent.flags()),
            true,
            TraceState::default(),
        );
        // It fails where nobody listens.
        let _ = span.set_parent(Context::new().with_remote_span_context(remote));
    }
}

#[cfg(not(feature = "otel"))]
mod listened {
    use muster_model::TraceParent;
    use tracing::Span;

    pub(super) fn of(_span: &Span) -> Option<TraceParent> {
        None
    }

    pub(super) fn follow(_span: &Span, _parent: TraceParent) {}
}

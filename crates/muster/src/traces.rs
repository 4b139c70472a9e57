//! Where the steps of traces go: to a collector, by OTLP over HTTP, <https://opentelemetry.io/docs/specs/otlp/>.
//!
//! A thread of its own sends them in batches. It holds nobody up: what a collector does not take is dropped, and that is
//! logged once.

use muster_model::Problem;
use muster_runtime::trace::TARGET;
use tracing_subscriber::Layer;
use tracing_subscriber::filter::{FilterFn, filter_fn};
use tracing_subscriber::registry::LookupSpan;

use crate::settings::Settings;

/// Leaves steps out of a log, whatever is logged.
pub fn not_steps() -> FilterFn {
    filter_fn(|about| about.target() != TARGET)
}

/// What this process is in a trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// A command that a person typed.
    Command,
    /// A server.
    Server,
}

impl Part {
    fn service(self) -> &'static str {
        match self {
            Self::Command => "muster-cli",
            Self::Server => "muster",
        }
    }
}

/// Steps on their way to the collector.
pub struct Traces(Option<sent::Provider>);

impl Traces {
    /// Begins to send where a collector is set. To be called where no runtime is entered.
    ///
    /// # Errors
    ///
    /// `invalid-config` where its address cannot be used.
    pub fn begin(settings: &Settings, part: Part) -> Result<Self, Problem> {
        match &settings.traces {
            Some(url) => sent::begin(url, settings.spans_waiting, part).map(|provider| Self(Some(provider))),
            None => Ok(Self(None)),
        }
    }

    /// Returns what listens to the steps, for the subscriber of this process.
    pub fn layer<S>() -> Option<impl Layer<S> + Send + Sync>
    where
        S: tracing::Subscriber + for<'a> LookupSpan<'a> + Send + Sync,
    {
        sent::layer()
    }

    /// Sends what is left, for at most a second. To be called where no runtime is entered.
    pub fn end(self) {
        if let Some(provider) = self.0 {
            sent::end(&provider);
        }
    }
}

#[cfg(feature = "otel")]
mod sent {
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::time::Duration;

    use muster_model::Problem;
    use muster_model::problem::Code;
    use muster_runtime::trace::TARGET;
    use opentelemetry::KeyValue;
    use opentelemetry::trace::TracerProvider as _;
    use opentelemetry_otlp::{WithExportConfig, WithHttpConfig};
    use opentelemetry_sdk::Resource;
    use opentelemetry_sdk::error::OTelSdkResult;
    use opentelemetry_sdk::resource::{EnvResourceDetector, ResourceDetector, SdkProvidedResourceDetector};
    use opentelemetry_sdk::trace::{
        BatchConfigBuilder, BatchSpanProcessor, SdkTracer, SdkTracerProvider, SpanData, SpanExporter,
    };
    use rustls::{ClientConfig, RootCertStore};
    use tracing_subscriber::Layer;
    use tracing_subscriber::filter::{LevelFilter, filter_fn};
    use tracing_subscriber::registry::LookupSpan;

    use super::Part;
    use crate::daemon::version;

    pub(super) type Provider = SdkTracerProvider;

    /// How long a batch may take to be taken.
    const TAKES: Duration = Duration::from_secs(10);
    /// How long what is left may take at the end: nobody waits longer for a command than that.
    const FAREWELL: Duration = Duration::from_secs(1);

    static TRACER: OnceLock<SdkTracer> = OnceLock::new();

    pub(super) fn begin(url: &str, waiting: usize, part: Part) -> Result<Provider, Problem> {
        let refused = |why: String| {
            Problem::new(
                Code::InvalidConfig,
                format!("traces: '{url}' cannot be used: {why}"),
            )
            .hint("write the address of a collector that takes OTLP over HTTP: http://host:4318")
        };
        let client = client(url.starts_with("https:")).map_err(|error| refused(error.to_string()))?;
        let exporter = opentelemetry_otlp::SpanExporter::builder()
            .with_http()
            .with_http_client(client)
            .with_timeout(TAKES)
            .with_endpoint(format!("{}/v1/traces", url.trim_end_matches('/')))
            .build()
            .map_err(|error| refused(error.to_string()))?;
        let exporter = Told {
            exporter,
            url: url.to_owned(),
            away: AtomicBool::new(false),
        };
        let batches = BatchConfigBuilder::default().with_max_queue_size(waiting).build();
        let provider = SdkTracerProvider::builder()
            .with_resource(resource(part))
            .with_span_processor(
                BatchSpanProcessor::builder(exporter)
                    .with_batch_config(batches)
                    .build(),
            )
            .build();
        // A process begins once.
        let _ = TRACER.set(provider.tracer("muster"));
        Ok(provider)
    }

    /// Returns a client. One that speaks TLS trusts whom this machine trusts, which takes a while to read.
    fn client(tls: bool) -> Result<reqwest::blocking::Client, Box<dyn std::error::Error>> {
        let mut roots = RootCertStore::empty();
        if tls {
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        }
        let provider = std::sync::Arc::new(rustls::crypto::ring::default_provider());
        let tls = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        let client = reqwest::blocking::Client::builder()
            .tls_backend_preconfigured(tls)
            .redirect(reqwest::redirect::Policy::none())
            .timeout(TAKES)
            .build()?;
        Ok(client)
    }

    /// Returns who speaks: the environment's `OTEL_SERVICE_NAME` and `OTEL_RESOURCE_ATTRIBUTES` go before ours.
    fn resource(part: Part) -> Resource {
        let named = SdkProvidedResourceDetector.detect();
        let name = named.get(&"service.name".into()).map(|name| name.to_string());
        let ours = match name {
            Some(name) if !name.starts_with("unknown_service") => name,
            _ => part.service().to_owned(),
        };
        Resource::builder_empty()
            .with_attribute(KeyValue::new("service.version", version()))
            .with_attribute(KeyValue::new("process.pid", i64::from(std::process::id())))
            .with_detector(Box::new(EnvResourceDetector::new()))
            .with_service_name(ours)
            .build()
    }

    pub(super) fn layer<S>() -> Option<impl Layer<S> + Send + Sync>
    where
        S: tracing::Subscriber + for<'a> LookupSpan<'a> + Send + Sync,
    {
        let tracer = TRACER.get()?.clone();
        let layer = tracing_opentelemetry::layer()
            .with_tracer(tracer)
            .with_location(false)
            .with_threads(false)
            .with_target(false)
            .with_level(false)
            .with_tracked_inactivity(false)
            .with_context_activation(false);
        // What is logged stays in the log.
        let steps = filter_fn(|about| about.is_span() && about.target() == TARGET);
        Some(layer.with_filter(steps.with_max_level_hint(LevelFilter::INFO)))
    }

    pub(super) fn end(provider: &Provider) {
        // What the collector did not take in this time is lost, as it is at other times.
        let _ = provider.shutdown_with_timeout(FAREWELL);
    }

    /// Tells once that the collector is away, and once that it is back.
    #[derive(Debug)]
    struct Told<E> {
        exporter: E,
        url: String,
        away: AtomicBool,
    }

    impl<E: SpanExporter> SpanExporter for Told<E> {
        async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
            let sent = self.exporter.export(batch).await;
            let was_away = self.away.swap(sent.is_err(), Ordering::Relaxed);
            match &sent {
                Err(error) if !was_away => {
                    tracing::warn!(collector = %self.url, %error, "traces are not taken, and dropped meanwhile");
                }
                Ok(()) if was_away => tracing::info!(collector = %self.url, "traces are taken again"),
                _ => {}
            }
            // The library would log each batch.
            Ok(())
        }

        fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
            self.exporter.shutdown_with_timeout(timeout)
        }

        fn set_resource(&mut self, resource: &Resource) {
            self.exporter.set_resource(resource);
        }
    }
}

#[cfg(not(feature = "otel"))]
mod sent {
    use muster_model::Problem;
    use muster_model::problem::Code;
    use tracing_subscriber::Layer;
    use tracing_subscriber::layer::Identity;
    use tracing_subscriber::registry::LookupSpan;

    use super::Part;

    pub(super) enum Provider {}

    pub(super) fn begin(url: &str, _waiting: usize, part: Part) -> Result<Provider, Problem> {
        Err(Problem::new(
            Code::InvalidConfig,
            format!("traces: '{url}': this binary sends none (as {})", part.service()),
        )
        .hint("build it with the feature 'otel', or leave 'traces' out"))
    }

    pub(super) fn layer<S>() -> Option<impl Layer<S> + Send + Sync>
    where
        S: tracing::Subscriber + for<'a> LookupSpan<'a> + Send + Sync,
    {
        None::<Identity>
    }

    pub(super) fn end(provider: &Provider) {
        match *provider {}
    }
}

//! A line of the log as one object of JSON: what happened, and of which task and run, flat.

use std::fmt;

use muster_runtime::now;
use serde_json::{Map, Value};
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields, FormattedFields};
use tracing_subscriber::registry::LookupSpan;

/// Writes one object a line. What the spans around an event say stands beside what it says itself, which wins where
/// both say it.
pub(super) struct Line;

impl<S, N> FormatEvent<S, N> for Line
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'writer> FormatFields<'writer> + 'static,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut fields = Fields::default();
        for span in context
            .event_scope()
            .into_iter()
            .flat_map(|scope| scope.from_root())
        {
            // They were written as an object when the span was opened.
            if let Some(kept) = span.extensions().get::<FormattedFields<N>>()
                && let Ok(kept) = serde_json::from_str::<Map<String, Value>>(&kept.fields)
            {
                fields.0.extend(kept);
            }
        }
        event.record(&mut fields);
        let about = event.metadata();
        fields.0.insert("time".to_owned(), now().to_string().into());
        fields.0.insert("level".to_owned(), about.level().as_str().into());
        fields.0.insert("target".to_owned(), about.target().into());
        // What a stranger wrote is escaped with the rest, and cannot begin a line.
        let line = serde_json::to_string(&fields.0).map_err(|_| fmt::Error)?;
        writeln!(writer, "{line}")
    }
}

#[derive(Default)]
struct Fields(Map<String, Value>);

impl Fields {
    fn put(&mut self, field: &Field, value: impl Into<Value>) {
        self.0.insert(field.name().to_owned(), value.into());
    }
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.put(field, format!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.put(field, value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field, value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field, value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field, value);
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.put(field, value);
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::sync::{Arc, Mutex};

    use tracing_subscriber::fmt::MakeWriter;
    use tracing_subscriber::fmt::format::JsonFields;

    use super::*;

    #[derive(Clone, Default)]
    struct Kept(Arc<Mutex<Vec<u8>>>);

    impl Write for Kept {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().expect("a buffer").write(bytes)
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    impl<'a> MakeWriter<'a> for Kept {
        type Writer = Self;

        fn make_writer(&'a self) -> Self {
            self.clone()
        }
    }

    #[test]
    fn a_line_is_one_object_with_the_fields_of_its_spans() {
        let kept = Kept::default();
        let subscriber = tracing_subscriber::fmt()
            .fmt_fields(JsonFields::new())
            .event_format(Line)
            .with_writer(kept.clone())
            .finish();
        tracing::subscriber::with_default(subscriber, || {
            let _task = tracing::info_span!("task", task = %7).entered();
            let _run = tracing::info_span!("run", run = %"7.0", attempt = 2).entered();
            tracing::warn!(
                host = "a\n{\"level\":\"x\"}",
                count = 3_u64,
                attempt = 3,
                "it {}",
                "broke"
            );
        });
        let text = String::from_utf8(kept.0.lock().expect("a buffer").clone()).expect("text");
        assert_eq!(text.lines().count(), 1, "{text}");
        let line: Value = serde_json::from_str(&text).expect("JSON");
        for (name, value) in [
            ("message", Value::from("it broke")),
            ("level", "WARN".into()),
            ("task", "7".into()),
            ("run", "7.0".into()),
            ("attempt", 3.into()),
            ("count", 3.into()),
            ("host", "a\n{\"level\":\"x\"}".into()),
        ] {
            assert_eq!(line[name], value, "{text}");
        }
        assert!(
            line["time"].as_str().is_some_and(|time| time.ends_with('Z')),
            "{text}"
        );
        assert!(
            line["target"]
                .as_str()
                .is_some_and(|target| target.contains("line")),
            "{text}"
        );
    }
}

//! Output in JSON: as text where that is a good way to send it, else in base64.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::ser::SerializeStruct;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::OutputEvent;
use crate::id::TaskId;
use crate::output::Stream;

/// A piece of output.
#[derive(Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "openapi", schema(as = OutputEvent))]
struct InJson {
    /// The task.
    #[cfg_attr(feature = "openapi", schema(value_type = u64))]
    task: TaskId,
    /// The host's place in the task's targets.
    index: u32,
    /// The host's name.
    host: String,
    /// The attempt, from 1.
    attempt: u32,
    /// Which stream.
    stream: Stream,
    /// Where these bytes begin in the run's output log. It grows within an attempt; it is a place to
    /// compare, not a count of bytes.
    offset: u64,
    /// The bytes, where they are text: UTF-8, at most an eighth of it control characters.
    #[serde(default)]
    data: Option<String>,
    /// The bytes in base64, where they are not text.
    #[serde(default)]
    data_base64: Option<String>,
}

impl Serialize for OutputEvent {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut object = serializer.serialize_struct("OutputEvent", 7)?;
        object.serialize_field("task", &self.task)?;
        object.serialize_field("index", &self.index)?;
        object.serialize_field("host", &self.host)?;
        object.serialize_field("attempt", &self.attempt)?;
        object.serialize_field("stream", &self.stream)?;
        object.serialize_field("offset", &self.offset)?;
        match text_of(&self.bytes) {
            Some(text) => object.serialize_field("data", text)?,
            None => object.serialize_field("data_base64", &STANDARD.encode(&self.bytes))?,
        }
        object.end()
    }
}

impl<'de> Deserialize<'de> for OutputEvent {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let found = InJson::deserialize(deserializer)?;
        let bytes = match (found.data, found.data_base64) {
            (Some(text), _) => text.into_bytes(),
            (None, Some(base64)) => STANDARD.decode(base64).map_err(de::Error::custom)?,
            (None, None) => Vec::new(),
        };
        Ok(Self {
            task: found.task,
            index: found.index,
            host: found.host,
            attempt: found.attempt,
            stream: found.stream,
            offset: found.offset,
            bytes: bytes.into(),
        })
    }
}

#[cfg(feature = "openapi")]
impl utoipa::PartialSchema for OutputEvent {
    fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::schema::Schema> {
        InJson::schema()
    }
}

#[cfg(feature = "openapi")]
impl utoipa::ToSchema for OutputEvent {
    fn name() -> std::borrow::Cow<'static, str> {
        InJson::name()
    }

    fn schemas(schemas: &mut Vec<(String, utoipa::openapi::RefOr<utoipa::openapi::schema::Schema>)>) {
        InJson::schemas(schemas);
    }
}

/// Returns bytes as text where JSON is a good way to send them: UTF-8, and not so full of control characters
/// that their escapes, six bytes each, make it several times as long.
fn text_of(bytes: &[u8]) -> Option<&str> {
    let controls = bytes
        .iter()
        .filter(|byte| **byte < 0x20 && !byte.is_ascii_whitespace())
        .count();
    if controls > bytes.len() / 8 {
        None
    } else {
        std::str::from_utf8(bytes).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_that_json_would_blow_up_are_no_text() {
        assert_eq!(text_of("grün\n\t".as_bytes()), Some("grün\n\t"));
        assert_eq!(
            text_of(b"a long line with one \0 in it"),
            Some("a long line with one \0 in it")
        );
        assert_eq!(text_of(&[0; 1000]), None);
        assert_eq!(text_of(b"\xff"), None);
    }

    #[test]
    fn output_is_text_or_base64_and_is_read_back() {
        for (bytes, field) in [
            (&b"a \"b\"\n"[..], r#""data":"a \"b\"\n""#),
            (b"\xff", r#""data_base64":"/w==""#),
            (b"", r#""data":"""#),
        ] {
            let event = OutputEvent {
                task: TaskId(7),
                index: 1,
                host: "web1".into(),
                attempt: 2,
                stream: Stream::Stderr,
                offset: 12,
                bytes: bytes.into(),
            };
            let text = serde_json::to_string(&event).expect("JSON");
            let head = r#"{"task":7,"index":1,"host":"web1","attempt":2,"stream":"stderr","offset":12,"#;
            assert_eq!(text, format!("{head}{field}}}"));
            assert_eq!(
                serde_json::from_str::<OutputEvent>(&text).expect("an event"),
                event
            );
        }
    }

    #[test]
    fn base64_that_is_none_is_refused() {
        let text =
            r#"{"task":7,"index":1,"host":"h","attempt":2,"stream":"stderr","offset":12,"data_base64":"?"}"#;
        assert!(serde_json::from_str::<OutputEvent>(text).is_err());
    }
}

//! YAML as the tools read it: version 1.1's scalars, anchors and merge keys, with the line of everything. The one
//! place that knows the parser. Nesting is bounded, and aliases count as what they stand for.

mod scalar;

pub(super) use scalar::number;

use std::collections::HashMap;
use std::rc::Rc;

use saphyr_parser::{Event, Parser, ScalarStyle, Span, Tag};
use serde_json::Value;

use super::fault::{Findings, Place};

/// How deep values may stand in each other: a group in a group takes two steps.
const DEPTH: usize = 2 * super::draft::NESTING + 16;
/// How many values a file may stand for, its aliases written out.
const NODES: u64 = 20_000_000;

/// A value, with where it stands.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) kind: Kind,
    pub(super) line: u32,
    /// How many values it stands for.
    weight: u64,
    /// Something in it is encrypted.
    pub(super) is_secret: bool,
}

#[derive(Debug)]
pub(super) enum Kind {
    /// Neither list nor map.
    Scalar(Value),
    List(Vec<Rc<Node>>),
    /// Each key once, in the order of the file.
    Map(Vec<Entry>),
}

#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) key: String,
    pub(super) line: u32,
    pub(super) value: Rc<Node>,
    is_merge: bool,
}

impl Entry {
    /// Returns an entry without a value, for a text that stands where a map may.
    pub(super) fn lone(key: &str, at: &Self) -> Self {
        Self {
            key: key.to_owned(),
            line: at.line,
            value: Rc::new(Node::null(at.line)),
            is_merge: false,
        }
    }
}

impl Node {
    fn null(line: u32) -> Self {
        Self {
            kind: Kind::Scalar(Value::Null),
            line,
            weight: 1,
            is_secret: false,
        }
    }

    pub(super) fn is_null(&self) -> bool {
        matches!(self.kind, Kind::Scalar(Value::Null))
    }

    pub(super) fn entries(&self) -> Option<&[Entry]> {
        match &self.kind {
            Kind::Map(entries) => Some(entries),
            _ => None,
        }
    }

    pub(super) fn list(&self) -> Option<&[Rc<Node>]> {
        match &self.kind {
            Kind::List(list) => Some(list),
            _ => None,
        }
    }

    pub(super) fn text(&self) -> Option<&str> {
        match &self.kind {
            Kind::Scalar(Value::String(text)) => Some(text),
            _ => None,
        }
    }

    /// Returns the value of a key.
    pub(super) fn find(&self, key: &str) -> Option<&Entry> {
        self.entries()?.iter().find(|entry| entry.key == key)
    }

    /// Says in a word what it is.
    pub(super) fn sort(&self) -> &'static str {
        match &self.kind {
            Kind::Scalar(Value::Null) => "nothing",
            Kind::Scalar(Value::String(_)) => "a text",
            Kind::Scalar(Value::Bool(_)) => "true or false",
            Kind::Scalar(_) => "a number",
            Kind::List(_) => "a list",
            Kind::Map(_) => "a map",
        }
    }

    /// Returns the value as JSON.
    pub(super) fn value(&self) -> Value {
        match &self.kind {
            Kind::Scalar(value) => value.clone(),
            Kind::List(list) => Value::Array(list.iter().map(|node| node.value()).collect()),
            Kind::Map(entries) => {
                if let [only] = entries.as_slice()
                    && only.key == "__ansible_unsafe"
                {
                    return only.value.value();
                }
                let pairs = entries
                    .iter()
                    .map(|entry| (entry.key.clone(), entry.value.value()));
                Value::Object(pairs.collect())
            }
        }
    }
}

/// Reads a file that holds one document; None after a fault.
pub(super) fn parse(text: &str, file: u32, findings: &mut Findings) -> Option<Rc<Node>> {
    let mut builder = Builder {
        file,
        findings,
        stack: Vec::new(),
        anchors: HashMap::new(),
        weight: 0,
        root: None,
    };
    let mut parser = Parser::new_from_str(text);
    while let Some(event) = parser.next_event() {
        match event {
            Ok((event, span)) => builder.event(event, span).ok()?,
            Err(error) => {
                let marker = error.marker();
                let place = Place {
                    column: u32::try_from(marker.col() + 1).unwrap_or_default(),
                    ..Place::line(file, marker.line())
                };
                builder
                    .findings
                    .fault(place, format!("this is not YAML: {}", error.info()));
                return None;
            }
        }
    }
    Some(builder.root.unwrap_or_else(|| Rc::new(Node::null(0))))
}

/// Returns a text as YAML that is read as this text, in version 1.1 and 1.2.
pub(super) fn quote(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | '/');
    let is_plain = text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && text.len() > 1
        && text.chars().all(plain)
        && scalar::resolve(text).is_string();
    if is_plain {
        return text.to_owned();
    }
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for character in text.chars() {
        match character {
            '"' | '\\' => quoted.extend(['\\', character]),
            '\n' => quoted.push_str("\\n"),
            '\t' => quoted.push_str("\\t"),
            '\u{2028}' | '\u{2029}' | '\u{feff}' => {
                quoted.push_str(&format!("\\u{:04x}", u32::from(character)))
            }
            other if other.is_control() => quoted.push_str(&format!("\\u{:04x}", u32::from(other))),
            other => quoted.push(other),
        }
    }
    quoted.push('"');
    quoted
}

/// A fault was noted: reading ends.
struct Stopped;

/// A list or a map that is not closed yet.
struct Frame {
    kind: Kind,
    key: Option<(String, u32, bool)>,
    is_map: bool,
    anchor: usize,
    line: u32,
    weight: u64,
    is_secret: bool,
}

struct Builder<'f> {
    file: u32,
    findings: &'f mut Findings,
    stack: Vec<Frame>,
    anchors: HashMap<usize, Rc<Node>>,
    weight: u64,
    root: Option<Rc<Node>>,
}

impl Builder<'_> {
    fn stop(&mut self, line: u32, what: impl Into<String>) -> Stopped {
        let place = Place {
            file: self.file,
            line,
            column: 0,
        };
        self.findings.fault(place, what);
        Stopped
    }

    fn event(&mut self, event: Event<'_>, span: Span) -> Result<(), Stopped> {
        let line = u32::try_from(span.start.line()).unwrap_or(u32::MAX);
        match event {
            Event::DocumentStart(_) if self.root.is_some() => {
                Err(self.stop(line, "a second document begins here: one file holds one document"))
            }
            Event::Scalar(text, style, anchor, tag) => {
                self.scalar(&text, style, anchor, tag.as_deref(), line)
            }
            Event::SequenceStart(anchor, tag) => self.open(false, anchor, tag.as_deref(), line),
            Event::MappingStart(anchor, tag) => self.open(true, anchor, tag.as_deref(), line),
            Event::SequenceEnd | Event::MappingEnd => self.close(),
            Event::Alias(anchor) => match self.anchors.get(&anchor).cloned() {
                Some(node) => self.place(node, line, None),
                None => Err(self.stop(line, "an alias stands inside of what it names")),
            },
            _ => Ok(()),
        }
    }

    fn open(&mut self, is_map: bool, anchor: usize, tag: Option<&Tag>, line: u32) -> Result<(), Stopped> {
        if let Some(tag) = tag.filter(|tag| !tag.is_yaml_core_schema() && tag.suffix != "unsafe") {
            let tag = tag.to_string();
            return Err(self.stop(
                line,
                format!("the tag {tag} is not known: write the value without it"),
            ));
        }
        if self.stack.len() >= DEPTH {
            return Err(self.stop(line, format!("values stand more than {DEPTH} deep in each other")));
        }
        if self
            .stack
            .last()
            .is_some_and(|frame| frame.is_map && frame.key.is_none())
        {
            return Err(self.stop(line, "a list or a map is no key: write a text"));
        }
        self.stack.push(Frame {
            kind: if is_map {
                Kind::Map(Vec::new())
            } else {
                Kind::List(Vec::new())
            },
            key: None,
            is_map,
            anchor,
            line,
            weight: 1,
            is_secret: false,
        });
        Ok(())
    }

    fn scalar(
        &mut self,
        text: &str,
        style: ScalarStyle,
        anchor: usize,
        tag: Option<&Tag>,
        line: u32,
    ) -> Result<(), Stopped> {
        let is_plain = matches!(style, ScalarStyle::Plain);
        let mut is_secret = false;
        let value = match tag {
            None if is_plain => scalar::resolve(text),
            None => Value::String(text.to_owned()),
            Some(tag) if tag.is_yaml_core_schema() && tag.suffix != "str" => scalar::resolve(text),
            Some(tag) if tag.is_yaml_core_schema() || tag.suffix == "unsafe" => {
                Value::String(text.to_owned())
            }
            Some(tag) if tag.suffix == "vault" || tag.suffix == "vault-encrypted" => {
                is_secret = true;
                Value::Null
            }
            Some(tag) => {
                let tag = tag.to_string();
                return Err(self.stop(
                    line,
                    format!("the tag {tag} is not known: write the value without it"),
                ));
            }
        };
        let node = Rc::new(Node {
            kind: Kind::Scalar(value),
            line,
            weight: 1,
            is_secret,
        });
        if anchor > 0 {
            self.anchors.insert(anchor, Rc::clone(&node));
        }
        self.place(node, line, Some((text, is_plain)))
    }

    fn close(&mut self) -> Result<(), Stopped> {
        let Some(frame) = self.stack.pop() else {
            return Ok(());
        };
        let mut is_secret = frame.is_secret;
        let kind = match frame.kind {
            Kind::Map(entries) => {
                is_secret |= matches!(entries.as_slice(), [only] if only.key == "__ansible_vault");
                Kind::Map(self.unique(entries)?)
            }
            other => other,
        };
        let node = Rc::new(Node {
            kind,
            line: frame.line,
            weight: frame.weight,
            is_secret,
        });
        if frame.anchor > 0 {
            self.anchors.insert(frame.anchor, Rc::clone(&node));
        }
        // What is in it was counted when it was placed.
        self.weight -= frame.weight - 1;
        self.place(node, frame.line, None)
    }

    /// Puts a value where it belongs: as a key, as the value of one, into a list, or as the document. `written`
    /// is the text of a scalar, and whether it stands without quotes.
    fn place(&mut self, node: Rc<Node>, line: u32, written: Option<(&str, bool)>) -> Result<(), Stopped> {
        self.weight += node.weight;
        if self.weight > NODES {
            return Err(self.stop(
                line,
                format!("the file stands for more than {NODES} values: write fewer aliases"),
            ));
        }
        let Some(frame) = self.stack.last_mut() else {
            self.root = Some(node);
            return Ok(());
        };
        frame.weight += node.weight;
        frame.is_secret |= node.is_secret;
        match &mut frame.kind {
            Kind::List(list) => list.push(node),
            Kind::Map(entries) => match frame.key.take() {
                Some((key, line, is_merge)) => entries.push(Entry {
                    key,
                    line,
                    value: node,
                    is_merge,
                }),
                None => {
                    let key = match (written, &node.kind) {
                        (Some((text, _)), _) => text.to_owned(),
                        (None, Kind::Scalar(Value::String(text))) => text.clone(),
                        _ => return Err(self.stop(line, "this is no key: write a text")),
                    };
                    let is_merge = matches!(written, Some(("<<", true)));
                    frame.key = Some((key, line, is_merge));
                }
            },
            Kind::Scalar(_) => {}
        }
        Ok(())
    }

    /// Puts merged maps in, and of a key that is there twice the last.
    fn unique(&mut self, entries: Vec<Entry>) -> Result<Vec<Entry>, Stopped> {
        let mut merged = Vec::new();
        let mut own: Vec<Entry> = Vec::with_capacity(entries.len());
        let mut seen: HashMap<String, usize> = HashMap::with_capacity(entries.len());
        for entry in entries {
            if entry.is_merge {
                merged.push(entry);
                continue;
            }
            if let Some(at) = seen.get(&entry.key) {
                let place = Place {
                    file: self.file,
                    line: entry.line,
                    column: 0,
                };
                let key = super::fault::shown(&entry.key);
                self.findings.note(
                    place,
                    format!("the key '{key}' is there twice: the last one counts"),
                );
                own[*at] = entry;
            } else {
                seen.insert(entry.key.clone(), own.len());
                own.push(entry);
            }
        }
        for merge in merged {
            let maps: Vec<Rc<Node>> = match &merge.value.kind {
                Kind::List(list) => list.clone(),
                _ => vec![Rc::clone(&merge.value)],
            };
            for map in maps {
                let Some(entries) = map.entries() else {
                    return Err(self.stop(merge.line, "<< takes a map, or a list of maps"));
                };
                for entry in entries {
                    if !seen.contains_key(&entry.key) {
                        seen.insert(entry.key.clone(), own.len());
                        own.push(entry.clone());
                    }
                }
            }
        }
        Ok(own)
    }
}

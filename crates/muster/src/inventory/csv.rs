//! Tables with a header: `name,address,user,port,reach,credential,groups,label.KEY…`. A row whose name begins with
//! `@` is a group, and the groups of its row are those that it is in.

use muster_model::Reach;
use muster_model::host::HostRecord;

use super::draft::Draft;
use super::fault::{Findings, Place, shown};
use super::list;

/// A cell, and whether quotes stood around it: an empty one in quotes is an empty text, without them nothing.
type Cell = (String, bool);

/// What a column holds.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Column {
    Name,
    Address,
    User,
    Port,
    Reach,
    Credential,
    Groups,
    Label(String),
}

impl Column {
    fn parse(text: &str) -> Option<Self> {
        Some(match text {
            "name" => Self::Name,
            "address" => Self::Address,
            "user" => Self::User,
            "port" => Self::Port,
            "reach" => Self::Reach,
            "credential" => Self::Credential,
            "groups" => Self::Groups,
            other => Self::Label(
                other
                    .strip_prefix("label.")
                    .filter(|key| !key.is_empty())?
                    .to_owned(),
            ),
        })
    }
}

/// Reads a table.
pub(super) fn read(text: &str, file: u32, findings: &mut Findings) -> Draft {
    let mut draft = Draft::default();
    let mut rows = Rows { rest: text, line: 1 };
    let header = loop {
        match rows.next(file, findings) {
            Some((_, cells)) if is_blank(&cells) => {}
            Some(row) => break row,
            None => return draft,
        }
    };
    let Some(columns) = columns(&header.1, Place::line(file, header.0), findings) else {
        return draft;
    };
    let mut waiting = Vec::new();
    while let Some((line, cells)) = rows.next(file, findings) {
        if findings.is_full() {
            return draft;
        }
        if is_blank(&cells) {
            continue;
        }
        let place = Place::line(file, line);
        if cells.len() > columns.len() {
            findings.fault(
                place,
                format!(
                    "{} cells, and the header has {}: quote a comma in a cell",
                    cells.len(),
                    columns.len()
                ),
            );
            continue;
        }
        match row(&columns, &cells) {
            Ok(row) => add(row, place, &mut draft, &mut waiting, findings),
            Err(why) => findings.fault(place, why),
        }
    }
    // Groups come in the order of their own rows first, then of those that hosts name.
    for (member, groups, place) in waiting {
        for group in groups {
            let Some(id) = draft.group(&group, place, findings) else {
                continue;
            };
            match &member {
                Member::Group(name) => {
                    if let Some(inner) = draft.find_group(name) {
                        draft.add_group(id, inner);
                    }
                }
                Member::Host(name) => draft.add_host(id, name.clone()),
            }
        }
    }
    draft
}

enum Member {
    Group(String),
    Host(muster_model::HostName),
}

struct Row {
    name: String,
    fields: HostRecord,
    groups: Vec<String>,
}

fn is_blank(cells: &[Cell]) -> bool {
    cells.iter().all(|(text, _)| text.trim().is_empty()) || (cells[0].0.starts_with('#') && !cells[0].1)
}

fn columns(cells: &[Cell], place: Place, findings: &mut Findings) -> Option<Vec<Column>> {
    let mut columns: Vec<Column> = Vec::with_capacity(cells.len());
    for (text, _) in cells {
        let text = text.trim();
        match Column::parse(text) {
            Some(column) if columns.contains(&column) => {
                findings.fault(place, format!("the column '{}' is there twice", shown(text)));
                return None;
            }
            Some(column) => columns.push(column),
            None => {
                findings.fault(
                    place,
                    format!(
                        "'{}' is no column: name, address, user, port, reach, credential, groups and label.KEY are \
                         known",
                        shown(text)
                    ),
                );
                return None;
            }
        }
        if columns.len() > 4096 {
            findings.fault(place, "more than 4096 columns");
            return None;
        }
    }
    if !columns.contains(&Column::Name) {
        findings.fault(place, "the header has no column 'name'");
        return None;
    }
    Some(columns)
}

fn row(columns: &[Column], cells: &[Cell]) -> Result<Row, String> {
    let placeholder = "x".parse().map_err(|_| "no name")?;
    let mut row = Row {
        name: String::new(),
        fields: HostRecord::named(placeholder),
        groups: Vec::new(),
    };
    for (column, (text, quoted)) in columns.iter().zip(cells) {
        let trimmed = text.trim();
        if let Column::Label(key) = column {
            if !text.is_empty() || *quoted {
                let value = if *quoted { text } else { trimmed };
                row.fields.labels.insert(key.clone(), value.to_owned());
            }
            continue;
        }
        if trimmed.is_empty() {
            continue;
        }
        let fields = &mut row.fields;
        match column {
            Column::Name => row.name = trimmed.to_owned(),
            Column::Address => fields.address = Some(trimmed.to_owned()),
            Column::User => fields.user = Some(trimmed.to_owned()),
            Column::Port => fields.port = Some(list::port(trimmed)?),
            Column::Reach => {
                fields.reach = Some(match trimmed {
                    "ssh" => Reach::Ssh,
                    "local" => Reach::Local,
                    "agent" => Reach::Agent,
                    other => return Err(format!("'{}' is none of ssh, local, agent", shown(other))),
                });
            }
            Column::Credential => {
                fields.credential = Some(trimmed.parse().map_err(|error| format!("{error}"))?);
            }
            Column::Groups => {
                let words = trimmed
                    .split([' ', ';', '|', ','])
                    .filter(|word| !word.is_empty());
                row.groups = words.map(str::to_owned).collect();
            }
            Column::Label(_) => {}
        }
    }
    if row.name.is_empty() {
        return Err("the row has no name: write one".to_owned());
    }
    Ok(row)
}

fn add(
    row: Row,
    place: Place,
    draft: &mut Draft,
    waiting: &mut Vec<(Member, Vec<String>, Place)>,
    findings: &mut Findings,
) {
    if let Some(group) = row.name.strip_prefix('@') {
        draft.group(group, place, findings);
        if !row.groups.is_empty() {
            waiting.push((Member::Group(group.to_owned()), row.groups, place));
        }
        return;
    }
    let names = match list::names(&row.name) {
        Ok(names) => names,
        Err(why) => {
            findings.fault(place, why);
            return;
        }
    };
    if names.len() > 1 && row.fields.address.is_some() {
        findings.fault(
            place,
            format!("an address is of one host, and these are {}", names.len()),
        );
        return;
    }
    for name in names {
        let record = HostRecord {
            name: name.clone(),
            ..row.fields.clone()
        };
        draft.add(record, place, findings);
        if !row.groups.is_empty() {
            waiting.push((Member::Host(name), row.groups.clone(), place));
        }
    }
}

struct Rows<'t> {
    rest: &'t str,
    line: usize,
}

impl Rows<'_> {
    /// Returns the next row with its line; None at the end, or after a fault.
    fn next(&mut self, file: u32, findings: &mut Findings) -> Option<(usize, Vec<Cell>)> {
        if self.rest.is_empty() {
            return None;
        }
        let start = self.line;
        let mut cells = Vec::new();
        loop {
            let (cell, end) = match self.rest.strip_prefix('"') {
                Some(quoted) => match quoted_cell(quoted) {
                    Ok((text, length)) => ((text, true), length + 1),
                    Err(why) => {
                        findings.fault(Place::line(file, start), why);
                        self.rest = "";
                        return None;
                    }
                },
                None => {
                    let end = self.rest.find([',', '\n']).unwrap_or(self.rest.len());
                    let text = self.rest[..end].trim_end_matches('\r');
                    ((text.to_owned(), false), end)
                }
            };
            self.line += cell.0.matches('\n').count();
            cells.push(cell);
            self.rest = &self.rest[end..];
            if let Some(after) = self.rest.strip_prefix(',') {
                self.rest = after;
                continue;
            }
            let after = self.rest.strip_prefix('\r').unwrap_or(self.rest);
            self.rest = after.strip_prefix('\n').unwrap_or(after);
            self.line += 1;
            return Some((start, cells));
        }
    }
}

/// Reads a cell behind its first quote: its text, and how long it is with its last quote.
fn quoted_cell(quoted: &str) -> Result<(String, usize), String> {
    let mut text = String::new();
    let mut at = 0;
    loop {
        let Some(end) = quoted[at..].find('"') else {
            return Err("a quote is not closed: write it at the end too".to_owned());
        };
        text.push_str(&quoted[at..at + end]);
        at += end + 1;
        if quoted[at..].starts_with('"') {
            text.push('"');
            at += 1;
            continue;
        }
        let follows = quoted[at..].chars().next();
        if !matches!(follows, None | Some(',' | '\n' | '\r')) {
            return Err("after a closing quote comes a comma: double a quote within quotes".to_owned());
        }
        return Ok((text, at));
    }
}

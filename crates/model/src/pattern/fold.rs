//! From host names to the shortest pattern, and the order in which hosts are shown.

use std::cmp::Ordering;
use std::collections::HashMap;
use std::fmt::Write as _;

use super::boxes::{self, Side};
use super::index::Index;
use super::name::{self, Part, Point};

/// Returns the shortest pattern that stands for these hosts, as `nodeset -f` gives it.
///
/// It never fails and is bounded: past a fixed amount of work on names with several irregular numbers the
/// pattern is right, but not the shortest.
#[must_use]
pub fn fold<S: AsRef<str>>(names: &[S]) -> String {
    let mut templates: HashMap<String, Vec<Point>> = HashMap::new();
    let (mut template, mut numbers) = (String::new(), Vec::new());
    for host in names {
        name::scan(host.as_ref(), &mut template, &mut numbers);
        let point = Point::from(numbers.as_slice());
        match templates.get_mut(&template) {
            Some(points) => points.push(point),
            None => drop(templates.insert(template.clone(), vec![point])),
        }
    }
    let mut templates: Vec<_> = templates.into_iter().collect();
    templates.sort_unstable_by(|left, right| left.0.cmp(&right.0));
    let mut folded = String::new();
    for (template, mut points) in templates {
        points.sort_unstable();
        points.dedup();
        for sides in boxes::cover(points) {
            if !folded.is_empty() {
                folded.push(',');
            }
            push_box(&template, sides.iter().map(AsRef::as_ref), &mut folded);
        }
    }
    folded
}

/// Compares two hosts by the order in which they are shown: web2 before web10.
///
/// It is the order of [`expand`](super::expand) for names with one number; among names with several, `expand`
/// keeps those together that fold together.
#[must_use]
pub fn compare(a: &str, b: &str) -> Ordering {
    key(a).cmp(&key(b))
}

/// Sorts hosts as [`compare`] does, reading each name once.
pub fn sort<S: AsRef<str>>(names: &mut [S]) {
    names.sort_by_cached_key(|host| key(host.as_ref()));
}

fn key(host: &str) -> (String, Vec<Index>) {
    let (mut template, mut numbers) = (String::new(), Vec::new());
    name::scan(host, &mut template, &mut numbers);
    (template, numbers)
}

fn push_box<'a>(template: &str, sides: impl IntoIterator<Item = &'a Side>, folded: &mut String) {
    let mut sides = sides.into_iter();
    for part in name::parts(template) {
        match part {
            Part::Text(text) => folded.push_str(text),
            Part::Place => match sides.next().map(Side::members) {
                Some([index]) => {
                    let _ = write!(folded, "{index}");
                }
                Some(members) => {
                    folded.push('[');
                    push_ranges(members, folded);
                    folded.push(']');
                }
                None => {}
            },
        }
    }
}

/// Writes sorted numbers as `1-5,7,09-10`.
///
/// A run ends where the numbers are no neighbours any more or where leading zeros come or go. Whether they
/// do is told from the first number of the stretch, gaps included: after 08, which has a zero, 100 cannot go
/// on from 99, so that ClusterShell writes `08,10,99,100`, and so do we.
fn push_ranges(members: &[Index], folded: &mut String) {
    let Some(mut head) = members.first().copied() else {
        return;
    };
    let mut start = 0;
    // The distance from each number to the next since `start`, where there is one.
    let mut step = None;
    for (position, last) in members.iter().enumerate() {
        let next = members.get(position + 1).copied();
        let goes_on = next.filter(|next| {
            if head.is_padded() {
                next.length() == head.length()
            } else {
                !next.is_padded()
            }
        });
        let distance = goes_on.map(|next| next.value().wrapping_sub(last.value()));
        if distance.is_some() && step.is_none_or(|step| Some(step) == distance) {
            step = distance;
            continue;
        }
        if step.is_none_or(|step| step == 1) {
            push_run(members[start], *last, folded);
            start = position + 1;
        } else {
            // Numbers with gaps; the last of them may begin a run.
            let end = if distance.is_some() {
                position
            } else {
                position + 1
            };
            for index in &members[start..end] {
                push_run(*index, *index, folded);
            }
            start = end;
        }
        if let Some(next) = next.filter(|_| start == position + 1) {
            head = next;
        }
        step = distance;
    }
}

fn push_run(first: Index, last: Index, folded: &mut String) {
    if !folded.ends_with('[') {
        folded.push(',');
    }
    let _ = if first == last {
        write!(folded, "{first}")
    } else {
        write!(folded, "{first}-{last}")
    };
}

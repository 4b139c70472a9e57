//! From patterns to hosts: the operators, the groups and the wildcards.

use crate::limits::{HOSTS_PER_TASK, PATTERN_BYTES};

use super::error::{Error, Fault};
use super::groups::Groups;
use super::parse::{Element, Elements, Lowered, Operator};
use super::set::HostSet;
use super::wildcard::Wildcard;
use super::work::{PER_MEMBER, Work};

/// Returns the hosts that a pattern stands for, each once, in the order of `nodeset -e`.
///
/// Lines are patterns of their own, summed. A blank pattern stands for no host.
///
/// # Errors
///
/// The pattern cannot be read, names a group that does not exist, or is too large: more than
/// [`HOSTS_PER_TASK`] hosts at any point, text of more than [`PATTERN_BYTES`], or operands that are
/// together more than eight times the largest target.
pub fn expand(text: &str, groups: &dyn Groups) -> Result<Vec<String>, Error> {
    evaluate(&[text], &[], groups)
}

/// Returns the hosts of all the patterns to include without those of the patterns to exclude.
///
/// # Errors
///
/// As [`expand`]; an error names the pattern that is wrong.
pub fn expand_all(include: &[String], exclude: &[String], groups: &dyn Groups) -> Result<Vec<String>, Error> {
    let include: Vec<&str> = include.iter().map(String::as_str).collect();
    let exclude: Vec<&str> = exclude.iter().map(String::as_str).collect();
    evaluate(&include, &exclude, groups)
}

fn evaluate(include: &[&str], exclude: &[&str], groups: &dyn Groups) -> Result<Vec<String>, Error> {
    let bytes = include.iter().chain(exclude).map(|text| text.len()).sum();
    if bytes > PATTERN_BYTES {
        return Err(Error::TooLong { bytes });
    }
    let mut evaluation = Evaluation {
        groups,
        known: None,
        work: Work::default(),
    };
    let mut hosts = HostSet::default();
    for text in include {
        evaluation.add_pattern(text, Operator::Union, &mut hosts)?;
    }
    for text in exclude {
        evaluation.add_pattern(text, Operator::Difference, &mut hosts)?;
    }
    Ok(hosts.into_names())
}

struct Evaluation<'g> {
    groups: &'g dyn Groups,
    /// Every host there is, asked for once.
    known: Option<Vec<String>>,
    work: Work,
}

impl Evaluation<'_> {
    /// Works out each line of a pattern and adds it to, or takes it away from, the hosts so far.
    fn add_pattern(&mut self, text: &str, operator: Operator, hosts: &mut HostSet) -> Result<(), Error> {
        let mut start = 0;
        for line in text.split('\n') {
            let end = start + line.len();
            if !line.trim().is_empty() {
                let mut of_line = HostSet::default();
                let mut elements = Elements::new(text, start, end);
                while let Some(element) = elements.next()? {
                    self.step(&element, &mut of_line)?;
                    if elements.is_finished() {
                        hosts.apply(operator, std::mem::take(&mut of_line));
                        check_size(hosts.count(), &element)?;
                    }
                }
            }
            start = end + 1;
        }
        Ok(())
    }

    /// Does what an element says to the hosts on its left.
    fn step(&mut self, element: &Element<'_>, hosts: &mut HostSet) -> Result<(), Error> {
        let lowered = element.lower(&mut self.work)?;
        let units = lowered
            .count
            .saturating_mul(1 + lowered.template.len() as u64 / 32);
        self.work.spend(units, element.place)?;
        if lowered.template.starts_with('@') {
            hosts.apply(element.operator, self.groups(lowered, element)?);
        } else if let Some(wildcard) = Wildcard::of(&lowered) {
            hosts.apply(element.operator, self.matching(&wildcard, element)?);
        } else {
            check_size(hosts.foreseen(element.operator, &lowered), element)?;
            hosts.apply_names(element.operator, lowered);
        }
        check_size(hosts.count(), element)
    }

    /// Returns the hosts of one group, or of several as in `@rack[1-4]`.
    fn groups(&mut self, lowered: Lowered, element: &Element<'_>) -> Result<HostSet, Error> {
        let group = lowered.template.strip_prefix('@').unwrap_or_default();
        if group == "*" {
            return self.everything(element);
        }
        if group.is_empty() {
            return Err(element.place.fault(Fault::NoGroupName));
        }
        if group.starts_with('@') || group.contains(':') {
            return Err(element.place.fault(Fault::GroupSource));
        }
        if group.contains(['*', '?']) {
            return Err(element.place.fault(Fault::GroupWildcard));
        }
        let mut hosts = HostSet::default();
        let mut names = HostSet::default();
        names.apply_names(Operator::Union, lowered);
        for written in names.into_names() {
            let group = written.strip_prefix('@').unwrap_or_default();
            let members = self
                .groups
                .members(group)
                .ok_or_else(|| element.place.unknown_group(group))?;
            self.work
                .spend(PER_MEMBER * members.len() as u64, element.place)?;
            members.iter().for_each(|host| hosts.insert(host));
        }
        Ok(hosts)
    }

    /// Returns all the known hosts.
    fn everything(&mut self, element: &Element<'_>) -> Result<HostSet, Error> {
        let units = PER_MEMBER * self.known().len() as u64;
        self.work.spend(units, element.place)?;
        let mut hosts = HostSet::default();
        self.known().iter().for_each(|host| hosts.insert(host));
        Ok(hosts)
    }

    /// Returns the known hosts that match.
    fn matching(&mut self, wildcard: &Wildcard<'_>, element: &Element<'_>) -> Result<HostSet, Error> {
        let per_host = wildcard.cost().saturating_add(PER_MEMBER);
        let units = per_host.saturating_mul(self.known().len() as u64);
        self.work.spend(units, element.place)?;
        let mut hosts = HostSet::default();
        for host in self.known().iter().filter(|host| wildcard.is_match(host)) {
            hosts.insert(host);
        }
        Ok(hosts)
    }

    fn known(&mut self) -> &[String] {
        let groups = self.groups;
        self.known.get_or_insert_with(|| groups.all())
    }
}

fn check_size(hosts: u64, element: &Element<'_>) -> Result<(), Error> {
    if hosts > HOSTS_PER_TASK {
        return Err(element.place.too_many_hosts(hosts));
    }
    Ok(())
}

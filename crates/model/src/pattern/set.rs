//! Sets of hosts and what the operators do to them.

use std::collections::{HashMap, HashSet};

use super::boxes;
use super::index::Index;
use super::name::{self, Point};
use super::parse::{Lowered, Operator};

/// A set of hosts: for each template the numbers of its hosts; a template is never without a host.
///
/// An operation costs about as much as its right side is large, however large the left side is, so that a
/// long chain of small steps on a large set stays cheap.
#[derive(Default)]
pub(super) struct HostSet {
    templates: HashMap<String, HashSet<Point>>,
    count: u64,
    scratch: (String, Vec<Index>),
}

impl HostSet {
    /// Adds one host.
    pub(super) fn insert(&mut self, host: &str) {
        let (mut template, mut numbers) = std::mem::take(&mut self.scratch);
        name::scan(host, &mut template, &mut numbers);
        let point = Point::from(numbers.as_slice());
        let is_new = match self.templates.get_mut(&template) {
            Some(points) => points.insert(point),
            None => {
                self.templates.insert(template.clone(), HashSet::from([point]));
                true
            }
        };
        self.count += u64::from(is_new);
        self.scratch = (template, numbers);
    }

    /// Returns how many hosts there are.
    pub(super) fn count(&self) -> u64 {
        self.count
    }

    /// Returns at least how many hosts there would be after an operation, as far as that costs nothing.
    pub(super) fn foreseen(&self, operator: Operator, right: &Lowered) -> u64 {
        match operator {
            Operator::Union | Operator::SymmetricDifference
                if !self.templates.contains_key(&right.template) =>
            {
                self.count + right.count
            }
            _ => 0,
        }
    }

    /// Does what an operator says with all names that a template makes with its numbers.
    pub(super) fn apply_names(&mut self, operator: Operator, right: Lowered) {
        let mut mine = self.templates.remove(&right.template).unwrap_or_default();
        self.count -= mine.len() as u64;
        let mine_is_smaller = mine.len() as u64 <= right.count;
        match operator {
            Operator::Union => {
                mine.reserve(usize::try_from(right.count).unwrap_or_default());
                right.each(|point| {
                    mine.insert(Point::from(point));
                });
            }
            Operator::SymmetricDifference => right.each(|point| {
                if !mine.remove(point) {
                    mine.insert(Point::from(point));
                }
            }),
            Operator::Difference if mine_is_smaller => mine.retain(|point| !right.contains(point)),
            Operator::Difference => right.each(|point| {
                mine.remove(point);
            }),
            Operator::Intersection => {
                self.templates.clear();
                self.count = 0;
                if mine_is_smaller {
                    mine.retain(|point| right.contains(point));
                } else {
                    let mut both = HashSet::new();
                    right.each(|point| both.extend(mine.take(point)));
                    mine = both;
                }
            }
        }
        self.count += mine.len() as u64;
        if !mine.is_empty() {
            self.templates.insert(right.template, mine);
        }
    }

    /// Does what an operator says with the set on its right.
    pub(super) fn apply(&mut self, operator: Operator, right: Self) {
        match operator {
            Operator::Union => self.unite(right),
            Operator::Difference => self.subtract(right),
            Operator::Intersection => self.intersect(right),
            Operator::SymmetricDifference => self.toggle(right),
        }
    }

    fn unite(&mut self, right: Self) {
        if self.count == 0 {
            *self = right;
            return;
        }
        for (template, points) in right.templates {
            let mine = self.templates.entry(template).or_default();
            let before = mine.len();
            mine.extend(points);
            self.count += (mine.len() - before) as u64;
        }
    }

    fn subtract(&mut self, right: Self) {
        for (template, points) in right.templates {
            let Some(mine) = self.templates.get_mut(&template) else {
                continue;
            };
            for point in points {
                self.count -= u64::from(mine.remove(&point));
            }
            if mine.is_empty() {
                self.templates.remove(&template);
            }
        }
    }

    fn intersect(&mut self, mut right: Self) {
        let mut count = 0;
        right.templates.retain(|template, points| {
            let Some(mine) = self.templates.get(template) else {
                return false;
            };
            points.retain(|point| mine.contains(point));
            count += points.len() as u64;
            !points.is_empty()
        });
        right.count = count;
        *self = right;
    }

    fn toggle(&mut self, right: Self) {
        for (template, points) in right.templates {
            let mine = self.templates.entry(template.clone()).or_default();
            for point in points {
                if mine.remove(&point) {
                    self.count -= 1;
                } else {
                    mine.insert(point);
                    self.count += 1;
                }
            }
            if mine.is_empty() {
                self.templates.remove(&template);
            }
        }
    }

    /// Returns every host once, in the order of `nodeset -e`.
    pub(super) fn into_names(self) -> Vec<String> {
        let mut names = Vec::with_capacity(usize::try_from(self.count).unwrap_or_default());
        let mut templates: Vec<_> = self.templates.into_iter().collect();
        templates.sort_unstable_by(|left, right| left.0.cmp(&right.0));
        for (template, points) in templates {
            for sides in boxes::cover(points.into_iter().collect()) {
                let sides: Vec<&[Index]> = sides.iter().map(|side| side.members()).collect();
                boxes::each_point(&sides, |numbers| names.push(name::format(&template, numbers)));
            }
        }
        names
    }
}

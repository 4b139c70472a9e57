//! Covering points with boxes: `r1n1 r1n2 r2n1 r2n2` is the box `r[1-2]n[1-2]`.
//!
//! The boxes, and their order, are those that ClusterShell finds: boxes that differ on one axis alone are
//! merged, first neighbours in sorted order, pass after pass, then every box with every later one. Here the
//! partners of a box are looked up instead of tried one after the other, which makes the last pass close to
//! linear, and all of it stops at a fixed amount of work: past it the cover is right, but not the shortest.

use std::cmp::Ordering;
use std::collections::HashMap;
use std::rc::Rc;

use super::index::Index;
use super::name::Point;

/// How much work a cover may cost, in boxes looked at, each as often as it has axes.
const STEPS: u64 = 40_000_000;
/// How many entries the index of the exhaustive pass may have.
const ENTRIES: usize = 8_000_000;

/// The numbers of a box on one axis.
#[derive(Debug)]
pub(super) struct Side {
    /// Sorted, each once, never empty.
    members: Vec<Index>,
    /// The sum of the members' fingerprints: equal sides have equal ones.
    fingerprint: u64,
}

impl Side {
    fn new(mut members: Vec<Index>) -> Self {
        members.sort_unstable();
        let fingerprint = members
            .iter()
            .fold(0_u64, |sum, index| sum.wrapping_add(mixed(index.packed())));
        Self { members, fingerprint }
    }

    /// Returns the numbers in order.
    pub(super) fn members(&self) -> &[Index] {
        &self.members
    }
}

impl PartialEq for Side {
    fn eq(&self, other: &Self) -> bool {
        self.fingerprint == other.fingerprint && self.members == other.members
    }
}

/// One side for each axis.
pub(super) type Sides = Vec<Rc<Side>>;

/// Calls `visit` with every point of a box, the last axis fastest.
pub(super) fn each_point(sides: &[&[Index]], mut visit: impl FnMut(&[Index])) {
    let mut at = vec![0_usize; sides.len()];
    let Some(mut point) = sides
        .iter()
        .map(|side| side.first().copied())
        .collect::<Option<Vec<Index>>>()
    else {
        return;
    };
    loop {
        visit(&point);
        let mut axis = sides.len();
        loop {
            let Some(next) = axis.checked_sub(1) else {
                return;
            };
            axis = next;
            at[axis] += 1;
            if let Some(index) = sides[axis].get(at[axis]) {
                point[axis] = *index;
                break;
            }
            at[axis] = 0;
            point[axis] = sides[axis][0];
        }
    }
}

/// Covers distinct points of one dimension with boxes that do not overlap.
pub(super) fn cover(points: Vec<Point>) -> Vec<Sides> {
    let Some(dimensions) = points.first().map(|point| point.len()) else {
        return Vec::new();
    };
    let columns: Vec<Vec<Index>> = (0..dimensions)
        .map(|axis| {
            let mut column: Vec<Index> = points.iter().map(|point| point[axis]).collect();
            column.sort_unstable();
            column.dedup();
            column
        })
        .collect();
    let volume = columns
        .iter()
        .fold(1_usize, |volume, column| volume.saturating_mul(column.len()));
    if volume == points.len() {
        return vec![
            columns
                .into_iter()
                .map(|column| Rc::new(Side::new(column)))
                .collect(),
        ];
    }
    let singles: Vec<HashMap<Index, Rc<Side>>> = columns
        .into_iter()
        .map(|column| {
            let single = |index| (index, Rc::new(Side::new(vec![index])));
            column.into_iter().map(single).collect()
        })
        .collect();
    let boxes = points
        .iter()
        .map(|point| {
            let axes = point.iter().zip(&singles);
            axes.filter_map(|(index, singles)| singles.get(index).cloned())
                .collect()
        })
        .collect();
    drop(points);
    merge(boxes)
}

fn merge(mut boxes: Vec<Sides>) -> Vec<Sides> {
    let mut steps = 0_u64;
    let mut exhaustive = false;
    while steps < STEPS {
        boxes.sort_unstable_by(in_folding_order);
        let before = boxes.len();
        boxes = if exhaustive {
            merge_all(boxes, &mut steps)
        } else {
            merge_neighbours(boxes, &mut steps)
        };
        if boxes.len() == before {
            if exhaustive {
                break;
            }
            exhaustive = true;
        }
    }
    boxes
}

/// Larger boxes first, then those with longer sides, then by the text of the first and the last number.
/// Boxes that do not overlap are never equal in it.
fn in_folding_order(left: &Sides, right: &Sides) -> Ordering {
    let volume = |sides: &Sides| {
        sides
            .iter()
            .fold(1_usize, |volume, side| volume.saturating_mul(side.members.len()))
    };
    let by_side = |(left, right): (&Rc<Side>, &Rc<Side>)| {
        if Rc::ptr_eq(left, right) {
            return Ordering::Equal;
        }
        let by_text = |left: Option<&Index>, right: Option<&Index>| match (left, right) {
            (Some(left), Some(right)) => left.compare_as_text(*right),
            (left, right) => left.cmp(&right),
        };
        (right.members.len().cmp(&left.members.len()))
            .then_with(|| by_text(left.members.first(), right.members.first()))
            .then_with(|| by_text(left.members.last(), right.members.last()))
    };
    volume(right).cmp(&volume(left)).then_with(|| {
        let mut sides = left.iter().zip(right).map(by_side);
        sides.find(|order| order.is_ne()).unwrap_or(Ordering::Equal)
    })
}

/// Merges each box with those that follow it, as long as they fit.
fn merge_neighbours(boxes: Vec<Sides>, steps: &mut u64) -> Vec<Sides> {
    let mut merged = Vec::with_capacity(boxes.len());
    let mut boxes = boxes.into_iter();
    let Some(first) = boxes.next() else {
        return merged;
    };
    let mut growing = Growing::new(first);
    for sides in boxes {
        *steps += sides.len() as u64;
        match growing.differing_axis(&sides) {
            Some(axis) => growing.absorb(axis, &sides, steps),
            None => merged.push(std::mem::replace(&mut growing, Growing::new(sides)).finish()),
        }
    }
    merged.push(growing.finish());
    merged
}

/// Merges each box with every later one that fits, in order.
fn merge_all(boxes: Vec<Sides>, steps: &mut u64) -> Vec<Sides> {
    let entries = boxes.iter().map(Vec::len).sum::<usize>();
    if entries > ENTRIES {
        return boxes;
    }
    // For each axis, the boxes that agree on all the other axes.
    let mut alike: HashMap<u64, Vec<usize>> = HashMap::with_capacity(entries);
    for (position, sides) in boxes.iter().enumerate() {
        let prints: Vec<u64> = sides.iter().map(|side| side.fingerprint).collect();
        for key in keys(&prints) {
            alike.entry(key).or_default().push(position);
        }
    }
    let mut slots: Vec<Option<Sides>> = boxes.into_iter().map(Some).collect();
    let mut merged = Vec::with_capacity(slots.len());
    for position in 0..slots.len() {
        let Some(sides) = slots[position].take() else {
            continue;
        };
        let mut growing = Growing::new(sides);
        let mut last = position;
        while *steps < STEPS {
            let Some((partner, axis)) = growing.next_partner(last, &alike, &slots, steps) else {
                break;
            };
            if let Some(sides) = slots[partner].take() {
                growing.absorb(axis, &sides, steps);
            }
            last = partner;
        }
        merged.push(growing.finish());
    }
    merged
}

/// Returns, for each axis, what boxes have in common that differ on that axis alone.
fn keys(fingerprints: &[u64]) -> Vec<u64> {
    let part = |axis: usize, print: u64| mixed(print.wrapping_add(mixed(axis as u64 + 1)));
    let sum = fingerprints
        .iter()
        .enumerate()
        .fold(0_u64, |sum, (axis, print)| sum.wrapping_add(part(axis, *print)));
    let of_axis = |(axis, print): (usize, &u64)| {
        sum.wrapping_sub(part(axis, *print))
            .wrapping_add(mixed(!(axis as u64)))
    };
    fingerprints.iter().enumerate().map(of_axis).collect()
}

/// A box that takes up others. The axis on which it grows is kept unsorted until somebody looks at it, so
/// that taking up many boxes one after the other costs no more than their numbers.
struct Growing {
    sides: Sides,
    grows: Option<Unsorted>,
}

struct Unsorted {
    axis: usize,
    members: Vec<Index>,
    fingerprint: u64,
}

impl Growing {
    fn new(sides: Sides) -> Self {
        Self { sides, grows: None }
    }

    /// Returns the one axis on which the other box differs; None where there are more.
    fn differing_axis(&mut self, other: &Sides) -> Option<usize> {
        let mut differing = None;
        for (axis, side) in other.iter().enumerate() {
            if !self.is_equal(axis, side) && differing.replace(axis).is_some() {
                return None;
            }
        }
        differing
    }

    fn is_equal(&mut self, axis: usize, other: &Rc<Side>) -> bool {
        if let Some(unsorted) = self.grows.as_ref().filter(|unsorted| unsorted.axis == axis) {
            let alike =
                unsorted.fingerprint == other.fingerprint && unsorted.members.len() == other.members.len();
            if !alike {
                return false;
            }
            self.settle();
        }
        let mine = &self.sides[axis];
        Rc::ptr_eq(mine, other) || mine == other
    }

    fn absorb(&mut self, axis: usize, other: &Sides, steps: &mut u64) {
        let side = &other[axis];
        if self.grows.as_ref().is_none_or(|unsorted| unsorted.axis != axis) {
            self.settle();
            let mine = &self.sides[axis];
            *steps += mine.members.len() as u64;
            self.grows = Some(Unsorted {
                axis,
                members: mine.members.clone(),
                fingerprint: mine.fingerprint,
            });
        }
        if let Some(unsorted) = &mut self.grows {
            *steps += side.members.len() as u64;
            unsorted.members.extend_from_slice(&side.members);
            unsorted.fingerprint = unsorted.fingerprint.wrapping_add(side.fingerprint);
        }
    }

    /// Returns the first box after `last` that fits, and the axis on which it differs.
    fn next_partner(
        &mut self,
        last: usize,
        alike: &HashMap<u64, Vec<usize>>,
        slots: &[Option<Sides>],
        steps: &mut u64,
    ) -> Option<(usize, usize)> {
        let mut prints: Vec<u64> = self.sides.iter().map(|side| side.fingerprint).collect();
        if let Some(unsorted) = &self.grows {
            prints[unsorted.axis] = unsorted.fingerprint;
        }
        *steps += prints.len() as u64;
        let mut best: Option<(usize, usize)> = None;
        for (axis, key) in keys(&prints).iter().enumerate() {
            let Some(positions) = alike.get(key) else {
                continue;
            };
            let after = positions.partition_point(|position| *position <= last);
            for position in &positions[after..] {
                *steps += 1;
                if best.is_some_and(|(best, _)| best <= *position) {
                    break;
                }
                let Some(sides) = &slots[*position] else {
                    continue;
                };
                if self.differing_axis(sides) == Some(axis) {
                    best = Some((*position, axis));
                    break;
                }
            }
        }
        best
    }

    fn settle(&mut self) {
        if let Some(unsorted) = self.grows.take() {
            self.sides[unsorted.axis] = Rc::new(Side::new(unsorted.members));
        }
    }

    fn finish(mut self) -> Sides {
        self.settle();
        self.sides
    }
}

/// Spreads the bits of a number (the finalizer of SplitMix64).
fn mixed(number: u64) -> u64 {
    let mut z = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

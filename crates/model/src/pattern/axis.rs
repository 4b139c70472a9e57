//! What stands between brackets: `01-20,25,0-100/5`, read into sorted numbers.

use crate::limits::HOSTS_PER_TASK;

use super::error::{Error, Fault, Place};
use super::index::Index;
use super::work::Work;

/// The numbers of one place in a name: sorted, each once, never empty.
pub(super) type Axis = Vec<Index>;

/// Reads what stands between brackets. Its size is checked before a number is made.
pub(super) fn parse(range: Place<'_>, work: &mut Work) -> Result<Axis, Error> {
    let mut axis = Axis::new();
    let mut start = range.start;
    for part in range.part.split(',') {
        let trimmed = part.trim_start();
        let place = Place {
            text: range.text,
            start: start + part.len() - trimmed.len(),
            part: trimmed.trim_end(),
        };
        start += part.len() + 1;
        if place.part.is_empty() {
            return Err(range.fault(Fault::EmptyRange));
        }
        let span = Span::parse(place)?;
        work.spend(span.count(), range)?;
        axis.reserve(usize::try_from(span.count()).unwrap_or_default());
        span.push_to(&mut axis, place)?;
        if axis.len() as u64 > 2 * HOSTS_PER_TASK {
            // The same numbers again and again cost no memory.
            axis.sort_unstable();
            axis.dedup();
        }
        if axis.len() as u64 > 2 * HOSTS_PER_TASK {
            return Err(range.too_many_hosts(axis.len() as u64));
        }
    }
    axis.sort_unstable();
    axis.dedup();
    Ok(axis)
}

/// `first-last/step`, and how many digits a number has at least.
struct Span {
    first: u64,
    last: u64,
    step: u64,
    width: usize,
}

impl Span {
    fn parse(place: Place<'_>) -> Result<Self, Error> {
        let (bounds, step) = match place.part.split_once('/') {
            Some((bounds, step)) => (bounds.trim_end(), Some(step.trim_start())),
            None => (place.part, None),
        };
        if bounds.starts_with('-') {
            return Err(place.fault(Fault::Negative));
        }
        let (first, last) = match bounds.split_once('-') {
            Some((first, last)) => (first.trim_end(), Some(last.trim_start())),
            None => (bounds, None),
        };
        let is_number = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        if !is_number(first) || !last.is_none_or(is_number) {
            return Err(place.fault(Fault::NotARange));
        }
        let step = match step {
            None => 1,
            Some(step) if !is_number(step) => return Err(place.fault(Fault::Step)),
            Some(step) => match saturating(step) {
                0 => return Err(place.fault(Fault::Step)),
                step => step,
            },
        };
        if last.is_none() && step != 1 {
            return Err(place.fault(Fault::StepWithoutRange));
        }
        Self::check(place, first, last.unwrap_or(first), step)
    }

    fn check(place: Place<'_>, first: &str, last: &str, step: u64) -> Result<Self, Error> {
        let padded = |digits: &str| digits.len() > 1 && digits.starts_with('0');
        let is_padded = padded(first) || padded(last);
        if is_padded && first.len() != last.len() {
            return Err(place.fault(Fault::Padding));
        }
        let too_long = first.len().max(last.len()) > Index::DIGITS;
        let span = Self {
            first: saturating(first),
            last: saturating(last),
            step,
            width: if is_padded { first.len() } else { 1 },
        };
        if span.first > span.last {
            return Err(place.fault(Fault::Backwards));
        }
        if span.count() > HOSTS_PER_TASK {
            let hosts = if too_long { u64::MAX } else { span.count() };
            return Err(place.too_many_hosts(hosts));
        }
        if too_long {
            return Err(place.fault(Fault::NumberTooLong));
        }
        Ok(span)
    }

    fn count(&self) -> u64 {
        ((self.last - self.first) / self.step).saturating_add(1)
    }

    fn push_to(&self, axis: &mut Axis, place: Place<'_>) -> Result<(), Error> {
        let mut value = self.first;
        loop {
            let index = Index::padded(value, self.width).ok_or_else(|| place.fault(Fault::NumberTooLong))?;
            axis.push(index);
            match value.checked_add(self.step) {
                Some(next) if next <= self.last => value = next,
                _ => return Ok(()),
            }
        }
    }
}

/// Returns the value of digits; the largest number where they are more.
fn saturating(digits: &str) -> u64 {
    digits.bytes().fold(0_u64, |value, byte| {
        value
            .saturating_mul(10)
            .saturating_add(u64::from(byte.wrapping_sub(b'0')))
    })
}

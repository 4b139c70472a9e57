//! A number inside a host name, with its leading zeros: `7`, `07` and `007` are three different indexes.

use std::cmp::Ordering;
use std::fmt;

/// A run of decimal digits, packed as its length (upper bits) and its value.
///
/// The natural order of the packed form is the order in which hosts are shown: shorter first, then by
/// value, so that 9 comes before 10 and 99 before 001.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Index(u64);

const VALUE_BITS: u32 = 58;

impl Index {
    /// The most digits of an index: what fits into the packed form. Longer runs of digits are plain text.
    pub(super) const DIGITS: usize = 17;

    /// Returns the index that a text of digits spells; None where it is empty, too long or not digits.
    pub(super) fn parse(digits: &str) -> Option<Self> {
        if digits.is_empty() || digits.len() > Self::DIGITS || !digits.bytes().all(|b| b.is_ascii_digit()) {
            return None;
        }
        let value = digits
            .bytes()
            .fold(0_u64, |value, byte| value * 10 + u64::from(byte - b'0'));
        Some(Self::pack(digits.len(), value))
    }

    /// Returns the index of a value, padded with zeros to `width` digits where it has fewer; None where it is
    /// longer than [`Self::DIGITS`].
    pub(super) fn padded(value: u64, width: usize) -> Option<Self> {
        let natural = value.checked_ilog10().map_or(1, |log| log as usize + 1);
        let length = natural.max(width);
        (length <= Self::DIGITS).then(|| Self::pack(length, value))
    }

    /// Returns the index whose digits are those of `self` followed by those of `tail`.
    pub(super) fn concat(self, tail: Self) -> Option<Self> {
        let length = self.length() + tail.length();
        (length <= Self::DIGITS)
            .then(|| Self::pack(length, self.value() * power_of_ten(tail.length()) + tail.value()))
    }

    pub(super) fn value(self) -> u64 {
        self.0 & ((1 << VALUE_BITS) - 1)
    }

    /// Returns how many digits it has, leading zeros included.
    pub(super) fn length(self) -> usize {
        (self.0 >> VALUE_BITS) as usize
    }

    /// Tells whether it has leading zeros; `0` has none.
    pub(super) fn is_padded(self) -> bool {
        self.length() > 1 && self.value() < power_of_ten(self.length() - 1)
    }

    /// Compares the digits as text: 10 comes before 9. Folding sorts by it, as ClusterShell does.
    pub(super) fn compare_as_text(self, other: Self) -> Ordering {
        let key = |index: Self| {
            let aligned = index.value() * power_of_ten(Self::DIGITS - index.length());
            (aligned, index.length())
        };
        key(self).cmp(&key(other))
    }

    /// Returns the packed form, a distinct number for each index.
    pub(super) fn packed(self) -> u64 {
        self.0
    }

    fn pack(length: usize, value: u64) -> Self {
        Self((length as u64) << VALUE_BITS | value)
    }
}

fn power_of_ten(exponent: usize) -> u64 {
    10_u64.pow(u32::try_from(exponent).unwrap_or(u32::MAX))
}

impl fmt::Display for Index {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:0width$}", self.value(), width = self.length())
    }
}

impl fmt::Debug for Index {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn index(digits: &str) -> Index {
        Index::parse(digits).unwrap()
    }

    #[test]
    fn an_index_keeps_its_zeros_and_its_order() {
        let ordered = [
            "0",
            "9",
            "00",
            "09",
            "10",
            "99",
            "001",
            "100",
            "99999999999999999",
        ];
        for pair in ordered.windows(2) {
            assert!(index(pair[0]) < index(pair[1]), "{pair:?}");
        }
        for digits in ordered {
            assert_eq!(index(digits).to_string(), digits);
            let padded = digits.len() > 1 && digits.starts_with('0');
            assert_eq!(index(digits).is_padded(), padded, "{digits}");
        }
        for digits in ["", "1a", "-1", "+1", "١", "123456789012345678"] {
            assert_eq!(Index::parse(digits), None, "{digits}");
        }
    }

    #[test]
    fn comparing_as_text_is_comparing_the_digits() {
        let all = [
            "0",
            "00",
            "01",
            "1",
            "10",
            "100",
            "2",
            "20",
            "9",
            "99999999999999999",
        ];
        for left in all {
            for right in all {
                assert_eq!(
                    index(left).compare_as_text(index(right)),
                    left.cmp(right),
                    "{left} {right}"
                );
            }
        }
    }

    #[test]
    fn digits_are_joined_as_they_are_written() {
        assert_eq!(index("1").concat(index("09")), Some(index("109")));
        assert_eq!(index("00").concat(index("9")), Some(index("009")));
        assert_eq!(index("123456789").concat(index("123456789")), None);
        assert_eq!(Index::padded(7, 3), Some(index("007")));
        assert_eq!(Index::padded(0, 0), Some(index("0")));
        assert_eq!(Index::padded(1234, 3), Some(index("1234")));
        assert_eq!(Index::padded(u64::MAX, 1), None);
    }
}

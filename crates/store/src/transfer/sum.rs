//! Checksums that do not depend on the order in which an engine gives its rows.
//!
//! Each row gives a SHA-256 of its values, each with its kind and length before it; a table's checksum is their sum
//! as numbers of 256 bits.

use sea_orm::Value;
use sha2::{Digest, Sha256};

/// The rows of a table, counted and summed up.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Sum {
    pub(crate) rows: u64,
    total: [u64; 4],
}

impl Sum {
    /// Adds a row of a table.
    pub(crate) fn add(&mut self, table: &str, row: &[Value]) {
        let mut hash = Sha256::new();
        put(&mut hash, 0, table.as_bytes());
        for value in row {
            match value {
                Value::BigInt(Some(number)) => put(&mut hash, 1, &number.to_le_bytes()),
                Value::String(Some(text)) => put(&mut hash, 2, text.as_bytes()),
                Value::Bytes(Some(bytes)) => put(&mut hash, 3, bytes),
                Value::Bool(Some(flag)) => put(&mut hash, 4, &[u8::from(*flag)]),
                _ => put(&mut hash, 5, &[]),
            }
        }
        self.add_hash(&hash.finalize().into());
    }

    /// Adds what was hashed elsewhere.
    pub(crate) fn add_hash(&mut self, hash: &[u8; 32]) {
        self.rows += 1;
        let mut carry = false;
        let (words, _) = hash.as_chunks::<8>();
        for (total, word) in self.total.iter_mut().zip(words) {
            let (sum, over) = total.overflowing_add(u64::from_le_bytes(*word));
            let (sum, over_again) = sum.overflowing_add(u64::from(carry));
            *total = sum;
            carry = over || over_again;
        }
    }

    /// Returns the checksum as people see it.
    pub(crate) fn text(&self) -> String {
        self.total
            .iter()
            .rev()
            .map(|word| format!("{word:016x}"))
            .collect()
    }
}

/// Hashes a value so that no two rows of values give the same bytes.
fn put(hash: &mut Sha256, kind: u8, bytes: &[u8]) {
    hash.update([kind]);
    hash.update((bytes.len() as u64).to_le_bytes());
    hash.update(bytes);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sum(rows: &[&[Value]]) -> Sum {
        let mut sum = Sum::default();
        for row in rows {
            sum.add("t", row);
        }
        sum
    }

    #[test]
    fn the_order_of_rows_does_not_count_and_everything_else_does() {
        let (a, b): (Value, Value) = (1_i64.into(), "x".into());
        let base = sum(&[&[a.clone(), b.clone()], &[b.clone(), a.clone()]]);
        assert_eq!(base, sum(&[&[b.clone(), a.clone()], &[a.clone(), b.clone()]]));
        let others = [
            sum(&[&[a.clone(), b.clone()], &[a.clone(), b.clone()]]),
            sum(&[&[a.clone(), b.clone()]]),
            sum(&[]),
            sum(&[&[a.clone(), b.clone()], &[b.clone(), Value::BigInt(None)]]),
        ];
        for other in others {
            assert_ne!(base, other);
        }
        let kinds: [Value; 8] = [
            "1".into(),
            b"1".to_vec().into(),
            1_i64.into(),
            true.into(),
            Value::String(None),
            "".into(),
            Vec::<u8>::new().into(),
            0_i64.into(),
        ];
        for (place, one) in kinds.iter().enumerate() {
            for other in &kinds[..place] {
                assert_ne!(
                    sum(&[std::slice::from_ref(one)]),
                    sum(&[std::slice::from_ref(other)]),
                    "{one:?} {other:?}"
                );
            }
        }
        assert_ne!(
            sum(&[&["ab".into(), "c".into()]]),
            sum(&[&["a".into(), "bc".into()]])
        );
    }

    #[test]
    fn the_text_is_a_number_of_256_bits() {
        let mut sum = Sum::default();
        sum.add_hash(&[0xff; 32]);
        let mut one = [0; 32];
        one[0] = 2;
        sum.add_hash(&one);
        assert_eq!(sum.text(), format!("{:064x}", 1));
        assert_eq!(sum.rows, 2);
    }
}

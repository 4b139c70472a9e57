//! How long to wait before the next try: doubling, bounded, with jitter so that many do not come at once.

use std::time::Duration;

use rand::RngExt;

/// Waiting times that double from `first` to at most `most`, each drawn from its upper half.
#[derive(Clone, Debug)]
pub struct Backoff {
    next: Duration,
    most: Duration,
}

impl Backoff {
    /// Returns waiting times that begin at `first` and never pass `most`.
    #[must_use]
    pub fn new(first: Duration, most: Duration) -> Self {
        Self {
            next: first.min(most),
            most,
        }
    }

    /// Returns how long to wait now.
    pub fn step(&mut self) -> Duration {
        let whole = self.next;
        self.next = (self.next * 2).min(self.most);
        whole.mul_f64(rand::rng().random_range(0.5..=1.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_and_stay_bounded() {
        let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(1));
        let waits: Vec<_> = (0..8).map(|_| backoff.step()).collect();
        assert!(waits[0] >= Duration::from_millis(50) && waits[0] <= Duration::from_millis(100));
        assert!(waits[7] >= Duration::from_millis(500) && waits[7] <= Duration::from_secs(1));
    }
}

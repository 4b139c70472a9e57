//! One read for all who ask for the same thing while another read is under way.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::OnceCell;

/// Reads of one kind, one at a time. What is returned was read after it was asked for, never before: whoever asks
/// while a read is under way shares the next one.
pub(crate) struct Together<K, V> {
    turn: tokio::sync::Mutex<()>,
    /// Those that have not begun.
    next: Mutex<HashMap<K, Arc<OnceCell<V>>>>,
}

impl<K, V> Default for Together<K, V> {
    fn default() -> Self {
        Self {
            turn: tokio::sync::Mutex::default(),
            next: Mutex::default(),
        }
    }
}

impl<K: Clone + Eq + Hash, V: Clone> Together<K, V> {
    /// Returns what `read` returns, or what that of another returned who asked for the same. Cancel-safe: where it is
    /// given up, another who waits reads.
    pub(crate) async fn ask(&self, key: &K, read: impl Future<Output = V>) -> V {
        let cell = Arc::clone(self.lock().entry(key.clone()).or_default());
        let begin = async {
            let _turn = self.turn.lock().await;
            self.lock().remove(key);
            read.await
        };
        cell.get_or_init(|| begin).await.clone()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<K, Arc<OnceCell<V>>>> {
        self.next.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use futures_util::future::join_all;
    use tokio::sync::Semaphore;

    use super::*;

    /// Something that is read, and that counts how often.
    struct Shelf {
        together: Together<&'static str, u32>,
        reads: AtomicU32,
        /// A read waits for one of these.
        allowed: Semaphore,
    }

    impl Shelf {
        fn new() -> Self {
            Self {
                together: Together::default(),
                reads: AtomicU32::new(0),
                allowed: Semaphore::new(0),
            }
        }

        async fn ask(&self, key: &'static str) -> u32 {
            let read = async {
                let count = self.reads.fetch_add(1, Ordering::SeqCst) + 1;
                self.allowed.acquire().await.expect("it is open").forget();
                count
            };
            self.together.ask(&key, read).await
        }
    }

    #[tokio::test]
    async fn who_asks_while_one_reads_shares_the_next_read() {
        let shelf = Shelf::new();
        let first = shelf.ask("a");
        tokio::pin!(first);
        assert!(futures_util::poll!(&mut first).is_pending());

        let others = join_all((0..100).map(|_| shelf.ask("a")));
        tokio::pin!(others);
        assert!(futures_util::poll!(&mut others).is_pending());
        assert_eq!(shelf.reads.load(Ordering::SeqCst), 1);

        shelf.allowed.add_permits(2);
        assert_eq!(first.await, 1);
        assert_eq!(
            others.await,
            [2; 100],
            "none of them has what was read before it asked"
        );
        assert!(shelf.together.lock().is_empty(), "nothing is kept");
    }

    #[tokio::test]
    async fn other_things_are_read_by_themselves() {
        let shelf = Shelf::new();
        shelf.allowed.add_permits(2);
        assert_eq!(tokio::join!(shelf.ask("a"), shelf.ask("b")), (1, 2));
    }

    #[tokio::test]
    async fn who_gives_up_leaves_the_read_to_another() {
        let shelf = Shelf::new();
        let mut first = Box::pin(shelf.ask("a"));
        assert!(futures_util::poll!(&mut first).is_pending());
        let mut second = Box::pin(shelf.ask("a"));
        let mut third = Box::pin(shelf.ask("a"));
        assert!(futures_util::poll!(&mut second).is_pending());
        assert!(futures_util::poll!(&mut third).is_pending());

        drop(first);
        assert!(futures_util::poll!(&mut second).is_pending(), "it has begun");
        drop(second);
        shelf.allowed.add_permits(1);
        assert_eq!(third.await, 3);
        assert!(shelf.together.lock().is_empty());
    }
}

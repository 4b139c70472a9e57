//! One read for all who ask for the same thing while another read is under way.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::OnceCell;

/// Reads of one kind, one at a time for each key. What is returned was read after it was asked for, never before: whoever
/// asks while a read is under way shares the next one.
pub(crate) struct Together<K: Eq + Hash, V> {
    asked: Mutex<HashMap<K, Arc<Reads<V>>>>,
}

/// Those of one key.
struct Reads<V> {
    turn: tokio::sync::Mutex<()>,
    /// The one that has not begun.
    next: Mutex<Arc<OnceCell<V>>>,
}

impl<V> Default for Reads<V> {
    fn default() -> Self {
        Self {
            turn: tokio::sync::Mutex::default(),
            next: Mutex::default(),
        }
    }
}

impl<V> Reads<V> {
    /// Whoever asks from now on shares another one.
    fn begin(&self, cell: &Arc<OnceCell<V>>) {
        let mut next = locked(&self.next);
        if Arc::ptr_eq(&next, cell) {
            *next = Arc::default();
        }
    }
}

impl<K: Eq + Hash, V> Default for Together<K, V> {
    fn default() -> Self {
        Self {
            asked: Mutex::default(),
        }
    }
}

impl<K: Clone + Eq + Hash, V: Clone> Together<K, V> {
    /// Returns what `read` returns, or what that of another returned who asked for the same. Cancel-safe: where it is
    /// given up, another who waits reads.
    pub(crate) async fn ask(&self, key: &K, read: impl Future<Output = V>) -> V {
        let asking = Asking::new(self, key);
        let cell = Arc::clone(&locked(&asking.reads.next));
        let begin = async {
            let _turn = asking.reads.turn.lock().await;
            asking.reads.begin(&cell);
            read.await
        };
        cell.get_or_init(|| begin).await.clone()
    }
}

/// Somebody who asks. The last one for a key takes it away.
struct Asking<'t, K: Eq + Hash, V> {
    all: &'t Together<K, V>,
    key: &'t K,
    reads: Arc<Reads<V>>,
}

impl<'t, K: Clone + Eq + Hash, V> Asking<'t, K, V> {
    fn new(all: &'t Together<K, V>, key: &'t K) -> Self {
        let reads = Arc::clone(locked(&all.asked).entry(key.clone()).or_default());
        Self { all, key, reads }
    }
}

impl<K: Eq + Hash, V> Drop for Asking<'_, K, V> {
    fn drop(&mut self) {
        let mut asked = locked(&self.all.asked);
        // The table's own, and this one.
        if Arc::strong_count(&self.reads) == 2 {
            asked.remove(self.key);
        }
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing under these locks can leave what they guard half-changed.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
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
        assert!(locked(&shelf.together.asked).is_empty(), "nothing is kept");
    }

    #[tokio::test]
    async fn other_things_are_read_by_themselves() {
        let shelf = Shelf::new();
        let mut first = Box::pin(shelf.ask("a"));
        assert!(futures_util::poll!(&mut first).is_pending());
        let mut other = Box::pin(shelf.ask("b"));
        assert!(futures_util::poll!(&mut other).is_pending());
        assert_eq!(shelf.reads.load(Ordering::SeqCst), 2, "beside each other");
        shelf.allowed.add_permits(2);
        assert_eq!((first.await, other.await), (1, 2));
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
        assert!(locked(&shelf.together.asked).is_empty());
    }
}

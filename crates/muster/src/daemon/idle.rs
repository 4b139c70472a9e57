//! When a server that was started on demand has nothing more to do.

use std::time::Duration;

use muster_engine::Engine;
use muster_runtime::clock;
use tokio::sync::watch;

/// Waits until for `limit` nobody was connected, nothing ran and no task was open. Between two looks it
/// sleeps: one timer, set anew when somebody leaves.
pub(super) async fn for_a_while(mut connections: watch::Receiver<usize>, engine: &Engine, limit: Duration) {
    let has_work = || async {
        let load = engine.load().await;
        load.active_runs > 0 || load.open_tasks > 0
    };
    quiet(&mut connections, limit, has_work).await;
}

async fn quiet<F: Future<Output = bool>>(
    connections: &mut watch::Receiver<usize>,
    limit: Duration,
    has_work: impl Fn() -> F,
) {
    loop {
        if connections.wait_for(|open| *open == 0).await.is_err() {
            // The server has ended by itself.
            return;
        }
        let somebody_came = clock::deadline(limit, connections.changed()).await.is_ok();
        if !somebody_came && !has_work().await {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use tokio::time::Instant;

    use super::*;

    const LIMIT: Duration = Duration::from_secs(60);

    #[tokio::test(start_paused = true)]
    async fn a_connection_starts_the_wait_anew() {
        let (open, mut connections) = watch::channel(1);
        let begin = Instant::now();
        let leaves = async {
            clock::sleep(LIMIT * 3).await;
            open.send_replace(0);
            clock::sleep(LIMIT / 2).await;
            // Somebody who comes and goes between two looks counts too.
            open.send_replace(1);
            open.send_replace(0);
            std::future::pending::<()>().await;
        };
        tokio::select! {
            () = leaves => {}
            () = quiet(&mut connections, LIMIT, || async { false }) => {}
        }
        assert_eq!(
            begin.elapsed().as_secs(),
            (LIMIT * 3 + LIMIT / 2 + LIMIT).as_secs()
        );
    }

    #[tokio::test(start_paused = true)]
    async fn work_keeps_the_server_and_is_looked_for_once_a_while() {
        let (_open, mut connections) = watch::channel(0);
        let begin = Instant::now();
        let looks = AtomicU32::new(0);
        let has_work = || async { looks.fetch_add(1, Ordering::Relaxed) < 9 };
        quiet(&mut connections, LIMIT, has_work).await;
        assert_eq!(looks.load(Ordering::Relaxed), 10);
        assert_eq!(begin.elapsed().as_secs(), LIMIT.as_secs() * 10);
    }
}

//! A way to a server that is cut in the middle.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use muster_runtime::{CancellationToken, Tasks};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// Passes connections on to a port, until so many messages went to the server: then all are cut.
pub(super) struct Proxy {
    port: u16,
    cut: CancellationToken,
}

impl Proxy {
    pub(super) async fn start(tasks: &Tasks, to: u16, messages: usize) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let cut = CancellationToken::new();
        let left = Arc::new(AtomicUsize::new(messages));
        let (token, all) = (cut.clone(), tasks.clone());
        tasks.spawn("proxy", async move {
            while let Some(Ok((client, _))) = token.run_until_cancelled(listener.accept()).await {
                let (token, left) = (token.clone(), Arc::clone(&left));
                all.spawn("proxied connection", async move {
                    token
                        .clone()
                        .run_until_cancelled(Box::pin(pass(client, to, &left, &token)))
                        .await;
                });
            }
        });
        Self { port, cut }
    }

    pub(super) fn port(&self) -> u16 {
        self.port
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.cut.cancel();
    }
}

async fn pass(mut client: TcpStream, to: u16, left: &AtomicUsize, cut: &CancellationToken) {
    let mut server = TcpStream::connect(("127.0.0.1", to)).await.expect("the server");
    let (mut ask, mut answer) = (vec![0; 16384], vec![0; 16384]);
    loop {
        let passed = tokio::select! {
            read = client.read(&mut ask) => match read {
                Ok(read) if read > 0 => {
                    let sent = server.write_all(&ask[..read]).await;
                    if left.fetch_sub(1, Ordering::SeqCst) == 1 {
                        // The server has the message, and the client never gets the answer.
                        cut.cancel();
                        return;
                    }
                    sent
                }
                _ => return,
            },
            read = server.read(&mut answer) => match read {
                Ok(read) if read > 0 => client.write_all(&answer[..read]).await,
                _ => return,
            },
        };
        if passed.is_err() {
            return;
        }
    }
}

//! Fills an empty database with runs, to be copied and measured:
//!
//! ```text
//! cargo run --release -p muster-store --features contract,mysql,postgres --example fill -- \
//!     sqlite:///tmp/large.db --runs 1000000
//! ```
//!
//! With `--copy-to URL` (as often as wanted) it is then copied from one to the next, and times and checksums are
//! printed.

use std::time::Duration;

use muster_runtime::{Tasks, clock};
use muster_store::contract::fill::fill;
use muster_store::transfer::{Source, copy};

type Failure = Box<dyn std::error::Error + Send + Sync>;

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let mut words = std::env::args().skip(1);
    let mut url = words.next().ok_or("say the URL of an empty database")?;
    let mut runs = 20_000;
    let mut targets = Vec::new();
    while let Some(word) = words.next() {
        let value = words.next().ok_or("an option without its value")?;
        match word.as_str() {
            "--runs" => runs = value.parse()?,
            "--copy-to" => targets.push(value),
            _ => return Err(format!("{word} is not known").into()),
        }
    }
    let tasks = Tasks::new();
    let start = clock::monotonic();
    let opened = muster_store::open(&url, &tasks).await?;
    fill(&opened, &url, runs).await;
    opened.store.close().await;
    println!("filled with {runs} runs in {:.1} s", seconds(start));
    for target in targets {
        let start = clock::monotonic();
        let source = Source {
            url: &url,
            live: false,
        };
        let copied = copy(source, &target, &|_, _| {}).await?;
        println!(
            "{} -> {} in {:.1} s",
            copied.source,
            copied.target,
            seconds(start)
        );
        for proof in &copied.proofs {
            println!("  {:<22} {:>9}  {}", proof.name, proof.rows, proof.checksum);
        }
        url = target;
    }
    tasks.close(Duration::from_secs(5)).await;
    Ok(())
}

fn seconds(start: Duration) -> f64 {
    (clock::monotonic() - start).as_secs_f64()
}

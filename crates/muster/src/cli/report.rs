//! What a task did so far: grouped or as JSON. Runs are fetched page by page, and output too large for a
//! page as a stream, so that memory stays bounded whatever the hosts have said.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use muster_client::{Client, RunsQuery};
use muster_model::wire::{RunEntry, TaskView};
use muster_model::{RunState, Stream, TaskId};

use super::context::Context;
use super::stop::Stop;
use crate::render::grouped::{Blocks, Body, Fingerprint, Fingerprinter, heading};
use crate::render::screen::Lane;
use crate::render::{Screen, json};

/// Runs are fetched in pages of this size.
const PAGE: u32 = 100;
/// Output up to this size comes with its page.
const WITH_PAGE: u64 = 64 * 1024;
/// So many bytes of output are kept from the first look for the second; what is beyond is fetched again.
const KEPT_BYTES: usize = 16 * 1024 * 1024;

/// Where a block's output is found.
struct Source {
    index: u32,
    /// Both streams, where they are kept.
    kept: Option<(Vec<u8>, Vec<u8>)>,
}

/// Prints a task's runs grouped, and says how many are still to come.
///
/// # Errors
///
/// Where they cannot be fetched or printed.
pub async fn grouped(context: &mut Context, client: &Client, id: TaskId) -> Result<(), Stop> {
    let mut blocks = Blocks::default();
    let mut kept_bytes = 0;
    let mut pages = Pages::new(client, id, WITH_PAGE);
    while let Some(entries) = pages.next().await? {
        for entry in entries {
            if !entry.run.state.is_terminal() {
                blocks.still_to_come(&entry.run);
            }
            if entry.run.state != RunState::Queued {
                gather(client, id, entry, &mut blocks, &mut kept_bytes).await?;
            }
        }
    }
    let terminals = context.console.terminals();
    let mut screen = Screen::default();
    for block in blocks.blocks() {
        heading(
            &block.hosts,
            &block.ending,
            terminals.has_colour(Lane::Out),
            screen.out(),
        );
        let mut body = Body::new(terminals.out);
        if let Some((stdout, stderr)) = &block.first.kept {
            body.feed(Stream::Stdout, stdout, screen.out());
            body.feed(Stream::Stderr, stderr, screen.out());
        } else {
            for stream in [Stream::Stdout, Stream::Stderr] {
                let mut download = client.output(id, block.first.index, stream).await?;
                while let Some(bytes) = download.chunk().await? {
                    body.feed(stream, &bytes, screen.out());
                    context.console.flush(&mut screen).await?;
                }
            }
        }
        body.end_of_stream(screen.out());
        context.console.flush(&mut screen).await?;
    }
    if let Some(rest) = blocks.rest() {
        screen.line(&rest);
    }
    Ok(context.console.flush(&mut screen).await?)
}

async fn gather(
    client: &Client,
    id: TaskId,
    entry: RunEntry,
    blocks: &mut Blocks<Source>,
    kept_bytes: &mut usize,
) -> Result<(), Stop> {
    let index = entry.index;
    if entry.output_omitted {
        let fingerprint = fingerprint_of_download(client, id, &entry).await?;
        blocks.add(&entry.run, fingerprint, Source { index, kept: None });
        return Ok(());
    }
    let (stdout, stderr) = output_in(&entry);
    // A host that is still running and has said nothing is told of with those still to come.
    if !entry.run.state.is_terminal() && stdout.is_empty() && stderr.is_empty() {
        return Ok(());
    }
    let mut print = Fingerprinter::new(&entry.run);
    for bytes in [&stdout, &stderr] {
        print.feed(bytes);
        print.end_of_part();
    }
    let fingerprint = print.finish();
    let size = stdout.len() + stderr.len();
    let kept = (!blocks.knows(&fingerprint) && *kept_bytes + size <= KEPT_BYTES).then(|| {
        *kept_bytes += size;
        (stdout, stderr)
    });
    blocks.add(&entry.run, fingerprint, Source { index, kept });
    Ok(())
}

async fn fingerprint_of_download(client: &Client, id: TaskId, entry: &RunEntry) -> Result<Fingerprint, Stop> {
    let mut print = Fingerprinter::new(&entry.run);
    for stream in [Stream::Stdout, Stream::Stderr] {
        let mut download = client.output(id, entry.index, stream).await?;
        while let Some(bytes) = download.chunk().await? {
            print.feed(&bytes);
        }
        print.end_of_part();
    }
    Ok(print.finish())
}

/// Returns the bytes of both streams that came with a page.
fn output_in(entry: &RunEntry) -> (Vec<u8>, Vec<u8>) {
    let bytes = |text: &str, base64: &Option<String>| {
        base64
            .as_ref()
            .and_then(|base64| STANDARD.decode(base64).ok())
            .unwrap_or_else(|| text.as_bytes().to_vec())
    };
    (
        bytes(&entry.run.stdout, &entry.run.stdout_base64),
        bytes(&entry.run.stderr, &entry.run.stderr_base64),
    )
}

/// Prints a task and its runs as one JSON object.
///
/// # Errors
///
/// Where they cannot be fetched or printed.
pub async fn json(context: &mut Context, client: &Client, task: &TaskView) -> Result<(), Stop> {
    let mut screen = Screen::default();
    json::begin(task, screen.out())?;
    let mut first = true;
    let mut pages = Pages::new(client, task.id, WITH_PAGE);
    while let Some(entries) = pages.next().await? {
        for mut entry in entries {
            if entry.output_omitted {
                let run = &mut entry.run;
                let stdout = download(client, task.id, entry.index, Stream::Stdout).await?;
                let stderr = download(client, task.id, entry.index, Stream::Stderr).await?;
                // How much a command has written that still runs is known by its log alone.
                if !run.state.is_terminal() {
                    (run.stdout_bytes, run.stderr_bytes) = (stdout.len() as u64, stderr.len() as u64);
                }
                (run.stdout, run.stdout_base64) = json::bytes(stdout);
                (run.stderr, run.stderr_base64) = json::bytes(stderr);
            }
            json::run(&entry.run, std::mem::take(&mut first), screen.out())?;
            context.console.flush_json(&mut screen).await?;
        }
    }
    json::end(screen.out());
    Ok(context.console.flush_json(&mut screen).await?)
}

async fn download(client: &Client, id: TaskId, index: u32, stream: Stream) -> Result<Vec<u8>, Stop> {
    let mut download = client.output(id, index, stream).await?;
    let mut whole = Vec::new();
    while let Some(bytes) = download.chunk().await? {
        whole.extend_from_slice(&bytes);
    }
    Ok(whole)
}

/// Fetches a task's runs, page by page, in host order.
pub struct Pages<'a> {
    client: &'a Client,
    id: TaskId,
    output_limit: u64,
    next: Option<u32>,
}

impl<'a> Pages<'a> {
    /// Begins with the first page.
    #[must_use]
    pub fn new(client: &'a Client, id: TaskId, output_limit: u64) -> Self {
        Self {
            client,
            id,
            output_limit,
            next: Some(0),
        }
    }

    /// Returns the next page; None after the last one.
    ///
    /// # Errors
    ///
    /// Where it cannot be fetched.
    pub async fn next(&mut self) -> Result<Option<Vec<RunEntry>>, Stop> {
        let Some(from) = self.next else {
            return Ok(None);
        };
        let query = RunsQuery {
            from,
            limit: Some(PAGE),
            states: Vec::new(),
            output_limit: Some(self.output_limit),
        };
        let page = self.client.runs(self.id, &query).await?;
        self.next = page.next_from.filter(|next| *next > from);
        Ok(Some(page.runs))
    }
}

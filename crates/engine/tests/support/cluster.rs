//! Several engines on one database, one queue and one cache, each as on a machine of its own.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use muster_cache::Cache;
use muster_engine::{Database, Keep, KeySource, Settings};
use muster_model::{ErrorKind, ExecutorId, Roles, TaskId, Timestamp};
use muster_queue::{
    Capabilities, Consumer, Delivery, Error, ExchangeKind, Message, Queue, QueueOptions, Settler,
};
use muster_runtime::Tasks;
use muster_store::{Beat, Leadership, Member, Members};
use tokio::sync::watch;

use super::Bench;

/// How long a server may be silent here.
pub const LEASE: Duration = Duration::from_secs(3);

/// What the engines share.
pub struct Cluster {
    folder: Arc<tempfile::TempDir>,
    queue: Arc<dyn Queue>,
    cache: Arc<dyn Cache>,
    tasks: Tasks,
    published: Arc<AtomicU64>,
}

/// An engine of a cluster, with what a test may cut.
pub struct Server {
    pub bench: Bench,
    /// Its connection to the queue.
    pub queue: Switch,
    /// Its signs of life.
    pub beats: Switch,
}

impl Cluster {
    pub async fn new() -> Self {
        Self::on("memory:").await
    }

    /// A cluster on a queue elsewhere.
    pub async fn on(queue: &str) -> Self {
        let tasks = Tasks::new();
        Self {
            folder: Arc::new(tempfile::tempdir().expect("a temporary folder")),
            queue: muster_queue::open(queue, &tasks).await.expect("a queue"),
            cache: muster_cache::open("memory:").await.expect("a cache"),
            tasks,
            published: Arc::default(),
        }
    }

    pub async fn server(&self, name: &str, roles: &str) -> Server {
        self.server_with(name, roles, "vault.key").await
    }

    /// Starts an engine whose key is in this file.
    pub async fn server_with(&self, name: &str, roles: &str, key: &str) -> Server {
        let (queue, beats) = (Switch::default(), Switch::default());
        let cable = Arc::new(Cable {
            queue: Arc::clone(&self.queue),
            switch: queue.clone(),
            published: Arc::clone(&self.published),
        });
        let settings = Settings {
            slots: 50,
            home: name.to_owned(),
            machine: name.to_owned(),
            version: "0.0.0".into(),
            roles: roles.parse::<Roles>().expect("roles"),
            lease: Some(LEASE),
            executors: self.folder.path().join(name),
            database: "sqlite".to_owned(),
            vault: KeySource::File(self.folder.path().join(key)),
            keep: Keep::default(),
        };
        let wrap = |database: Database| Database {
            members: Arc::new(Voice {
                members: Arc::clone(&database.members),
                switch: beats.clone(),
            }),
            ..database
        };
        let folder = Arc::clone(&self.folder);
        let cache = Arc::clone(&self.cache);
        let bench = Bench::start(folder, settings, cable, cache, wrap).await;
        Server { bench, queue, beats }
    }

    pub fn path(&self, name: &str) -> std::path::PathBuf {
        self.folder.path().join(name)
    }

    /// The database, beside the engines.
    pub async fn database(&self) -> Database {
        let url = format!("sqlite://{}/muster.db", self.folder.path().display());
        muster_store::open(&url, &self.tasks).await.expect("a database")
    }

    /// How much work waits in the queue.
    pub async fn waiting(&self) -> u64 {
        self.queue.depth("muster.work").await.expect("the queue of work")
    }

    /// How many runs were published, by all servers.
    pub fn published(&self) -> u64 {
        self.published.load(Ordering::Relaxed)
    }

    /// Loses what is in the queue of work, and the queue itself.
    pub async fn lose_work(&self) {
        self.queue.delete_queue("muster.work").await.expect("no queue");
    }

    /// Ends the engines in good order.
    pub async fn close(self, servers: impl IntoIterator<Item = Server>) {
        for server in servers {
            server.bench.close().await;
        }
        self.queue.close().await;
        self.tasks.close(super::PATIENCE).await;
    }
}

/// Something that can be cut and mended.
#[derive(Clone)]
pub struct Switch(watch::Sender<bool>);

impl Default for Switch {
    fn default() -> Self {
        Self(watch::Sender::new(true))
    }
}

impl Switch {
    pub fn cut(&self) {
        self.0.send_replace(false);
    }

    pub fn mend(&self) {
        self.0.send_replace(true);
    }

    fn is_on(&self) -> bool {
        *self.0.borrow()
    }

    async fn is_cut(&self) {
        let mut state = self.0.subscribe();
        let _ = state.wait_for(|on| !on).await;
    }
}

/// A connection to the queue: cut, everything fails and its consumers end, as where a broker restarts.
struct Cable {
    queue: Arc<dyn Queue>,
    switch: Switch,
    /// Counts what is published for executors.
    published: Arc<AtomicU64>,
}

impl Cable {
    fn check(&self, what: &str) -> Result<(), Error> {
        match self.switch.is_on() {
            true => Ok(()),
            false => Err(Error::new(ErrorKind::Unavailable, what)),
        }
    }
}

#[async_trait]
impl Queue for Cable {
    fn capabilities(&self) -> Capabilities {
        self.queue.capabilities()
    }

    async fn declare_exchange(&self, name: &str, kind: ExchangeKind) -> Result<(), Error> {
        self.check("declare")?;
        self.queue.declare_exchange(name, kind).await
    }

    async fn declare_queue(&self, name: &str, options: QueueOptions) -> Result<(), Error> {
        self.check("declare")?;
        self.queue.declare_queue(name, options).await
    }

    async fn bind(
        &self,
        queue: &str,
        exchange: &str,
        key: &str,
        arguments: &[(String, String)],
    ) -> Result<(), Error> {
        self.check("bind")?;
        self.queue.bind(queue, exchange, key, arguments).await
    }

    async fn delete_queue(&self, name: &str) -> Result<(), Error> {
        self.check("delete")?;
        self.queue.delete_queue(name).await
    }

    async fn publish(&self, exchange: &str, messages: Vec<Message>) -> Result<(), Error> {
        self.check("publish")?;
        if exchange == "muster.work" {
            self.published.fetch_add(messages.len() as u64, Ordering::Relaxed);
        }
        self.queue.publish(exchange, messages).await
    }

    async fn consume(&self, queue: &str, prefetch: u32) -> Result<Box<dyn Consumer>, Error> {
        self.check("consume")?;
        let consumer = self.queue.consume(queue, prefetch).await?;
        let switch = self.switch.clone();
        let settler = Arc::new(Hand {
            settler: consumer.settler(),
            switch: switch.clone(),
        });
        Ok(Box::new(Place {
            consumer: Some(consumer),
            settler,
            switch,
        }))
    }

    async fn depth(&self, queue: &str) -> Result<u64, Error> {
        self.check("depth")?;
        self.queue.depth(queue).await
    }

    async fn call(&self, exchange: &str, request: Message, limit: Duration) -> Result<Bytes, Error> {
        self.check("call")?;
        self.queue.call(exchange, request, limit).await
    }

    async fn reply(&self, request: &Message, body: Bytes) -> Result<(), Error> {
        self.check("reply")?;
        self.queue.reply(request, body).await
    }

    async fn ping(&self) -> Result<(), Error> {
        self.check("ping")
    }

    /// The queue is there for the others still.
    async fn close(&self) {
        self.switch.cut();
    }
}

struct Place {
    consumer: Option<Box<dyn Consumer>>,
    settler: Arc<Hand>,
    switch: Switch,
}

#[async_trait]
impl Consumer for Place {
    async fn next(&mut self) -> Option<Delivery> {
        let consumer = self.consumer.as_mut()?;
        let next = tokio::select! {
            biased;
            () = self.switch.is_cut() => None,
            next = consumer.next() => next,
        };
        if next.is_none() {
            // What it had not settled goes back.
            self.consumer = None;
        }
        next
    }

    fn set_prefetch(&mut self, prefetch: u32) {
        if let Some(consumer) = &mut self.consumer {
            consumer.set_prefetch(prefetch);
        }
    }

    fn settler(&self) -> Arc<dyn Settler> {
        Arc::clone(&self.settler) as Arc<dyn Settler>
    }
}

struct Hand {
    settler: Arc<dyn Settler>,
    switch: Switch,
}

#[async_trait]
impl Settler for Hand {
    async fn ack(&self, tags: &[u64]) -> Result<(), Error> {
        match self.switch.is_on() {
            true => self.settler.ack(tags).await,
            false => Err(Error::new(ErrorKind::Unavailable, "acknowledge")),
        }
    }

    async fn reject(&self, tag: u64, requeue: bool) -> Result<(), Error> {
        match self.switch.is_on() {
            true => self.settler.reject(tag, requeue).await,
            false => Err(Error::new(ErrorKind::Unavailable, "reject")),
        }
    }
}

/// A server's voice: cut, it renews no lease and sees nobody, as one that was stopped or cut off.
struct Voice {
    members: Arc<dyn Members>,
    switch: Switch,
}

impl Voice {
    fn check(&self) -> Result<(), muster_store::Error> {
        match self.switch.is_on() {
            true => Ok(()),
            false => Err(muster_store::Error::new(ErrorKind::Unavailable, "be heard")),
        }
    }
}

#[async_trait]
impl Members for Voice {
    async fn enter(&self, member: Member) -> Result<(), muster_store::Error> {
        self.check()?;
        self.members.enter(member).await
    }

    async fn renew(&self, id: &ExecutorId, beat: Beat) -> Result<bool, muster_store::Error> {
        self.check()?;
        self.members.renew(id, beat).await
    }

    async fn members(&self) -> Result<Vec<Member>, muster_store::Error> {
        self.check()?;
        self.members.members().await
    }

    async fn bury(
        &self,
        id: &ExecutorId,
        seen: Option<Timestamp>,
        at: Timestamp,
    ) -> Result<bool, muster_store::Error> {
        self.check()?;
        self.members.bury(id, seen, at).await
    }

    async fn forget_gone(&self, before: Timestamp) -> Result<(), muster_store::Error> {
        self.check()?;
        self.members.forget_gone(before).await
    }

    async fn leadership(&self, work: &str) -> Result<Option<Leadership>, muster_store::Error> {
        self.check()?;
        self.members.leadership(work).await
    }

    async fn lead(&self, work: &str, holder: &ExecutorId, seen: i64) -> Result<bool, muster_store::Error> {
        self.check()?;
        self.members.lead(work, holder, seen).await
    }

    async fn resign(&self, work: &str, holder: &ExecutorId, term: i64) -> Result<(), muster_store::Error> {
        self.check()?;
        self.members.resign(work, holder, term).await
    }

    async fn cancelled(&self) -> Result<Vec<TaskId>, muster_store::Error> {
        self.check()?;
        self.members.cancelled().await
    }
}

//! Real RabbitMQ brokers for tests: private, in a temporary folder, on free loopback ports.
//!
//! Starting one takes seconds, so a test shares one and takes a [`RabbitMq::fresh_vhost`] for each case: virtual
//! hosts do not see each other. Each broker has a name, a home, a cookie and a port mapper (epmd) of its own, so that
//! it never meets another Erlang program of this machine.

mod certificates;
mod node;

use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

pub use certificates::Certificates;

use self::node::Node;
use crate::error::Result;
use crate::{guard, wait};

/// Who may do everything on it.
const USER: &str = "muster_test";
/// How many virtual hosts are made at a time: asking the broker for one takes as long as asking for many.
const BATCH: usize = 24;
/// How long an alarm may take to be raised or lifted.
const ALARM_WITHIN: Duration = Duration::from_secs(20);

/// What a broker is started with.
#[derive(Debug, Default)]
pub struct Builder {
    tls: bool,
    client_certificate: bool,
    delivery_timeout: Option<Duration>,
}

impl Builder {
    /// Listens for TLS too, with certificates of an authority of its own.
    #[must_use]
    pub fn tls(mut self) -> Self {
        self.tls = true;
        self
    }

    /// Listens for TLS too, and lets nobody in there who shows no certificate of the same authority.
    #[must_use]
    pub fn tls_with_client_certificates(mut self) -> Self {
        self.tls = true;
        self.client_certificate = true;
        self
    }

    /// How long a delivery may stay unacknowledged before the broker closes its channel (RabbitMQ's own value is
    /// half an hour).
    #[must_use]
    pub fn delivery_timeout(mut self, timeout: Duration) -> Self {
        self.delivery_timeout = Some(timeout);
        self
    }

    /// Starts it. Blocks until it answers.
    ///
    /// # Errors
    ///
    /// [`crate::Error::Missing`] where RabbitMQ is not installed.
    pub fn start(self) -> Result<RabbitMq> {
        let password = guard::mark()?;
        let mut node = Node::prepare()?;
        let certificates = if self.tls {
            Some(Certificates::make(&node.path("certificates"))?)
        } else {
            None
        };
        let mut settings = vec![
            format!("default_user = {USER}"),
            format!("default_pass = {password}"),
            "loopback_users = none".to_owned(),
            "log.console = true".to_owned(),
            "log.file = false".to_owned(),
            // A test machine may have little left of either, and an alarm is what some tests ask for.
            "vm_memory_high_watermark.relative = 0.8".to_owned(),
            "disk_free_limit.absolute = 10MB".to_owned(),
        ];
        if let Some(certificates) = &certificates {
            let must = self.client_certificate;
            settings.extend([
                format!("ssl_options.cacertfile = {}", certificates.authority().display()),
                format!("ssl_options.certfile = {}", certificates.server().0.display()),
                format!("ssl_options.keyfile = {}", certificates.server().1.display()),
                "ssl_options.verify = verify_peer".to_owned(),
                format!("ssl_options.fail_if_no_peer_cert = {must}"),
            ]);
        }
        let mut advanced = "[].";
        if let Some(timeout) = self.delivery_timeout {
            settings.push(format!("consumer_timeout = {}", timeout.as_millis()));
            // How often it looks.
            advanced = "[{rabbit, [{channel_tick_interval, 1000}]}].";
        }
        node.start(&settings, advanced, self.tls)?;
        Ok(RabbitMq {
            node,
            password,
            certificates,
            vhosts: Mutex::default(),
        })
    }
}

/// A running broker. Dropping it ends it, its port mapper and its folder.
#[derive(Debug)]
pub struct RabbitMq {
    node: Node,
    password: String,
    certificates: Option<Certificates>,
    /// Made, and not handed out yet.
    vhosts: Mutex<Vec<String>>,
}

impl RabbitMq {
    /// Starts one as RabbitMQ is by itself. Blocks until it answers.
    ///
    /// # Errors
    ///
    /// [`crate::Error::Missing`] where RabbitMQ is not installed.
    pub fn start() -> Result<Self> {
        Builder::default().start()
    }

    /// Returns what another one can be started with.
    #[must_use]
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// Returns the URL of a new virtual host, with the user and the password of one who may do everything in it.
    ///
    /// # Errors
    ///
    /// Where the broker does not make it; with what it said.
    pub fn fresh_vhost(&self) -> Result<String> {
        let mut vhosts = self.vhosts.lock().unwrap_or_else(PoisonError::into_inner);
        if vhosts.is_empty() {
            let fresh = guard::mark()?;
            let names: Vec<String> = (0..BATCH).map(|number| format!("v{fresh}-{number}")).collect();
            let list = names
                .iter()
                .map(|name| format!("<<\"{name}\">>"))
                .collect::<Vec<_>>()
                .join(",");
            self.eval(&format!(
                "lists:foreach(fun(Name) -> rabbit_vhost:add(Name, <<\"{USER}\">>), \
                 ok = rabbit_auth_backend_internal:set_permissions(\
                 <<\"{USER}\">>, Name, <<\".*\">>, <<\".*\">>, <<\".*\">>, <<\"{USER}\">>) end, [{list}])."
            ))?;
            *vhosts = names;
        }
        let name = vhosts.pop().unwrap_or_default();
        Ok(self.url(USER, &self.password, &name))
    }

    /// Returns the URL of a virtual host.
    #[must_use]
    pub fn url(&self, user: &str, password: &str, vhost: &str) -> String {
        format!("amqp://{user}:{password}@127.0.0.1:{}/{vhost}", self.port())
    }

    /// Returns the same URL for the listener of TLS, without a word about certificates.
    #[must_use]
    pub fn over_tls(&self, url: &str) -> String {
        let plain = format!("@127.0.0.1:{}", self.port());
        let tls = format!("@127.0.0.1:{}", self.node.tls_port);
        url.replacen("amqp://", "amqps://", 1).replacen(&plain, &tls, 1)
    }

    /// Returns the certificates, where it was started with TLS.
    #[must_use]
    pub fn certificates(&self) -> Option<&Certificates> {
        self.certificates.as_ref()
    }

    /// Adds a user to the virtual host of a URL, with patterns of what it may configure, write and read; returns the
    /// URL with that user.
    ///
    /// # Errors
    ///
    /// Where the broker does not add it; with what it said.
    pub fn user(&self, url: &str, configure: &str, write: &str, read: &str) -> Result<String> {
        let name = format!("u{}", guard::mark()?);
        let password = guard::mark()?;
        let vhost = vhost_of(url);
        self.ctl(&["add_user", &name, &password])?;
        self.ctl(&["set_permissions", "-p", vhost, &name, configure, write, read])?;
        Ok(self.url(&name, &password, vhost))
    }

    /// Raises or lifts the alarm of memory, as a broker does by itself that runs out of it.
    ///
    /// # Errors
    ///
    /// Where the broker does not do it.
    pub fn memory_alarm(&self, on: bool) -> Result<()> {
        let mark = if on { "0.0000001" } else { "0.8" };
        self.ctl(&["set_vm_memory_high_watermark", mark])?;
        self.alarm_becomes("memory", on)
    }

    /// Raises or lifts the alarm of the disk, as a broker does by itself whose disk is nearly full.
    ///
    /// # Errors
    ///
    /// Where the broker does not do it.
    pub fn disk_alarm(&self, on: bool) -> Result<()> {
        // A petabyte has to be free.
        let limit = if on { "1000000000000000" } else { "10000000" };
        self.ctl(&["set_disk_free_limit", limit])?;
        self.alarm_becomes("disk", on)
    }

    fn alarm_becomes(&self, which: &str, on: bool) -> Result<()> {
        wait::blocking(ALARM_WITHIN, "the alarm to change", || {
            let alarms = self.eval("rabbit_alarm:get_alarms().").ok()?;
            (alarms.contains(which) == on).then_some(())
        })
    }

    /// Runs `rabbitmqctl` and returns what it wrote.
    ///
    /// # Errors
    ///
    /// With what it said.
    pub fn ctl(&self, arguments: &[&str]) -> Result<String> {
        self.node.ctl(arguments)
    }

    /// Cuts every connection to it, as an operator may.
    ///
    /// # Errors
    ///
    /// With what the broker said.
    pub fn cut_connections(&self) -> Result<()> {
        // Without the word it means those of the virtual host `/` alone, which no test uses.
        self.ctl(&["close_all_connections", "--global", "cut by a test"])
            .map(drop)
    }

    /// Waits until the disk knows of every quorum queue.
    ///
    /// RabbitMQ 3.10 notes a new one half a second later: who is killed before that comes back with an empty queue
    /// that has no leader.
    ///
    /// # Errors
    ///
    /// Where that does not happen.
    pub fn queues_are_on_disk(&self) -> Result<()> {
        // All virtual hosts at once: each asking takes a second.
        let listed = self.eval(
            "lists:flatten([io_lib:format(\"~s_~s \", [element(2, amqqueue:get_name(Q)), \
             element(4, amqqueue:get_name(Q))]) || Q <- rabbit_amqqueue:list(), \
             amqqueue:get_type(Q) =:= rabbit_quorum_queue]).",
        )?;
        let names: Vec<String> = listed
            .trim()
            .trim_matches('"')
            .split_whitespace()
            .map(str::to_owned)
            .collect();
        let directory = self.node.queue_directory();
        wait::blocking(ALARM_WITHIN, "new queues to be on disk", || {
            let known = std::fs::read(&directory).unwrap_or_default();
            let is_known = |name: &String| known.windows(name.len()).any(|part| part == name.as_bytes());
            names.iter().all(is_known).then_some(())
        })
    }

    fn eval(&self, expression: &str) -> Result<String> {
        self.ctl(&["eval", expression])
    }

    /// Ends it as an administrator does.
    ///
    /// # Errors
    ///
    /// Where it does not end.
    pub fn stop(&mut self) -> Result<()> {
        self.node.stop()
    }

    /// Kills it with `kill -9`, with every process of it.
    pub fn kill(&mut self) {
        self.node.kill();
    }

    /// Starts it after [`RabbitMq::stop`] or [`RabbitMq::kill`], on the same data and the same ports.
    ///
    /// # Errors
    ///
    /// Where it does not start; with what it said.
    pub fn start_again(&mut self) -> Result<()> {
        self.node.start_again()
    }

    /// Returns the port of AMQP.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.node.port
    }

    /// Returns its folder.
    #[must_use]
    pub fn dir(&self) -> &Path {
        self.node.dir()
    }

    /// Returns what it has said since its first start.
    #[must_use]
    pub fn log(&self) -> String {
        self.node.log()
    }
}

/// Returns the virtual host that a URL of ours names.
fn vhost_of(url: &str) -> &str {
    url.rsplit('/').next().unwrap_or_default()
}

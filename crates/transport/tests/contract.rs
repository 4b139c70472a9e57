//! Every case of the contract on every adapter, against the real thing; and the lessons in `examples`.
#![expect(
    clippy::expect_used,
    reason = "what a test stands on is there, or the test fails"
)]

mod lessons;

use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use libtest_mimic::{Arguments, Completion, Failed, Trial};
use muster_model::{Endpoint, Reach, Secret};
use muster_runtime::Tasks;
use muster_testkit::{Error, Sshd, proc, require};
use muster_transport::contract::{Case, Fixture, Need, Network, Server, cases};
use muster_transport::{Access, Settings, open};

/// The longest that a case may take.
const LIMIT: Duration = Duration::from_secs(170);

/// A user with a password, for sudo.
const USER: &str = "muster-contract";
const PASSWORD: &str = "it's a \\ pass!word";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Adapter {
    Local,
    Ssh,
}

impl Adapter {
    const ALL: [(Self, &'static str); 2] = [(Self::Local, "local"), (Self::Ssh, "ssh")];

    /// What an adapter has nothing to do with: this machine is not connected to, and its commands run as the one
    /// user that there is.
    fn has_no(self, need: Need) -> bool {
        self == Self::Local && matches!(need, Need::Connections(_) | Need::SudoPassword)
    }
}

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let mut trials = Vec::new();
    for case in cases() {
        for (adapter, name) in Adapter::ALL {
            if !adapter.has_no(case.need) {
                let title = format!("{name}::{}", case.name);
                trials.push(Trial::ignorable_test(title, move || run(adapter, case)));
            }
        }
    }
    trials.extend(lessons::trials());
    libtest_mimic::run(&arguments, trials).exit_code()
}

fn run(adapter: Adapter, case: Case) -> Result<Completion, Failed> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?;
    match runtime.block_on(tried(adapter, case)) {
        Ok(()) => Ok(Completion::Completed),
        Err(Error::Missing(missing)) if !require::everything_is_required() => Ok(Completion::ignored_with(
            format!("{} is missing: {}", missing.what, missing.install),
        )),
        Err(error) => Err(error.to_string().into()),
    }
}

async fn tried(adapter: Adapter, case: Case) -> Result<(), Error> {
    if matches!(case.need, Need::Sudo | Need::SudoPassword) {
        needs_sudo()?;
    }
    let world = World::new(adapter, case.need).await?;
    let fixture = world.fixture();
    let transport = Arc::clone(&fixture.transport);
    let outcome = tokio::time::timeout(LIMIT, (case.run)(fixture)).await;
    assert!(outcome.is_ok(), "the case took longer than {LIMIT:?}");
    transport.close().await;
    assert_eq!(transport.connections(), 0, "connections are left");
    assert_eq!(
        world.tasks.close(Duration::from_secs(10)).await,
        0,
        "tasks are left"
    );
    assert_eq!(world.tasks.panics(), 0, "a task panicked");
    Ok(())
}

/// What one case works with, kept until its end.
struct World {
    tasks: Tasks,
    settings: Settings,
    endpoint: Endpoint,
    access: Access,
    password: Option<String>,
    sshd: Option<Arc<Sshd>>,
    scratch: tempfile::TempDir,
}

impl World {
    async fn new(adapter: Adapter, need: Need) -> Result<Self, Error> {
        let scratch = tempfile::Builder::new()
            .prefix("muster-contract-")
            .tempdir()
            .expect("a folder is made");
        let me = nix::unistd::User::from_uid(nix::unistd::Uid::effective())
            .ok()
            .flatten()
            .expect("somebody runs the test");
        let mut world = Self {
            tasks: Tasks::new(),
            settings: Settings {
                home: me.dir,
                user: me.name,
                idle: Duration::from_secs(60),
                keepalive: Duration::from_secs(15),
                answer: Duration::from_secs(30),
                host_keys: Arc::new(muster_transport::host_keys::InMemory::default()),
                logins: 16,
            },
            endpoint: Endpoint {
                reach: Reach::Local,
                host: "localhost".to_owned(),
                address: None,
                user: None,
                port: None,
                credential: None,
            },
            access: Access::default(),
            password: None,
            sshd: None,
            scratch,
        };
        if adapter == Adapter::Ssh {
            world.behind_ssh(need).await?;
        }
        Ok(world)
    }

    async fn behind_ssh(&mut self, need: Need) -> Result<(), Error> {
        let mut builder = Sshd::builder().listen_all_loopback();
        match need {
            Need::Connections(Server::TwoSessions) => builder = builder.max_sessions(2),
            Need::Connections(Server::NoSessions) => builder = builder.max_sessions(0),
            Need::Connections(Server::Shy) => builder = builder.max_startups("5:70:10"),
            Need::Connections(Server::SoonIdle) => self.settings.idle = Duration::from_millis(200),
            Need::SudoPassword => {
                builder = builder
                    .password_user(USER, PASSWORD)
                    .sudoers(&format!("{USER} ALL=(ALL:ALL) ALL"));
                self.password = Some(PASSWORD.to_owned());
                self.access.password = Some(Secret::new(PASSWORD.to_owned()));
            }
            Need::Nothing | Need::Sudo | Need::Connections(Server::Usual) => {}
        }
        let sshd = builder.start().await?;
        let user = if need == Need::SudoPassword {
            USER.to_owned()
        } else {
            sshd.user()
        };
        self.endpoint = Endpoint {
            reach: Reach::Ssh,
            host: "web1".to_owned(),
            address: Some("127.0.0.1".to_owned()),
            user: Some(user),
            port: Some(sshd.port()),
            credential: None,
        };
        self.access.identities = vec![sshd.key().to_owned()];
        self.access.ssh_config = Some(sshd.ssh_config());
        // What the user of a case does there is the same as on any machine.
        permit(self.scratch.path(), 0o777);
        self.sshd = Some(Arc::new(sshd));
        Ok(())
    }

    fn fixture(&self) -> Fixture {
        Fixture {
            transport: open(self.settings.clone(), self.tasks.clone()),
            endpoint: self.endpoint.clone(),
            access: self.access.clone(),
            password: self.password.clone(),
            scratch: self.scratch.path().to_owned(),
            marked: |mark| {
                proc::with_env("MUSTER_RUN", mark)
                    .iter()
                    .map(|process| process.pid)
                    .collect()
            },
            is_alive: proc::is_alive,
            network: self
                .sshd
                .clone()
                .map(|sshd| Arc::new(Wire(sshd)) as Arc<dyn Network>),
        }
    }
}

/// The network side of a server.
struct Wire(Arc<Sshd>);

#[async_trait]
impl Network for Wire {
    async fn cut(&self) {
        self.0.break_connections().await.expect("connections break");
    }

    fn freeze(&self) {
        self.0.freeze();
    }

    fn thaw(&self) {
        self.0.thaw();
    }

    fn logins(&self) -> usize {
        self.0.logins()
    }

    fn serving(&self) -> usize {
        self.0.connections()
    }
}

fn permit(path: &std::path::Path, mode: u32) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).expect("the folder is ours");
}

/// `sudo` has to be there, and to let us become anybody without a question.
fn needs_sudo() -> Result<(), Error> {
    static ANSWER: Mutex<Option<bool>> = Mutex::new(None);
    let mut answer = ANSWER.lock().unwrap_or_else(PoisonError::into_inner);
    let works = *answer.get_or_insert_with(|| {
        std::process::Command::new("sudo")
            .args(["-n", "-u", "nobody", "--", "true"])
            .output()
            .is_ok_and(|output| output.status.success())
    });
    if works {
        return Ok(());
    }
    Err(missing_sudo())
}

fn missing_sudo() -> Error {
    Error::Missing(muster_testkit::Missing {
        what: "sudo without a password".to_owned(),
        install: "install the package sudo, and run the tests as root".to_owned(),
    })
}

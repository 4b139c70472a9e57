//! Settings: which one wins, and what is said about those that are wrong.

use std::ffi::OsString;

use super::*;

struct Machine {
    folder: tempfile::TempDir,
    variables: Vec<(&'static str, String)>,
}

impl Machine {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let home = folder.path().display().to_string();
        Self {
            folder,
            variables: vec![("HOME", home)],
        }
    }

    fn file(self, text: &str) -> Self {
        let config = self.folder.path().join(".config/muster");
        std::fs::create_dir_all(&config).expect("a folder");
        std::fs::write(config.join("config.toml"), text).expect("a file");
        self
    }

    fn with(mut self, name: &'static str, value: &str) -> Self {
        self.variables.push((name, value.to_owned()));
        self
    }

    fn load(&self, overrides: Overrides) -> Result<Settings, Problem> {
        let variables = self
            .variables
            .iter()
            .map(|(name, value)| (OsString::from(name), OsString::from(value)))
            .collect();
        let environment = Environment::new(variables, self.folder.path().to_owned()).expect("a home");
        Settings::from_environment(&environment, overrides)
    }

    fn settings(&self) -> Settings {
        self.load(Overrides::default()).expect("settings")
    }

    fn refused(&self) -> Problem {
        let problem = self.load(Overrides::default()).expect_err("no settings");
        assert_eq!(problem.code, Code::InvalidConfig, "{problem}");
        problem
    }
}

fn source_of(settings: &Settings, name: &str) -> String {
    let rows = settings.rows();
    rows.into_iter()
        .find(|row| row.name == name)
        .map(|row| row.source)
        .expect("a row")
}

#[test]
fn without_anything_the_defaults_hold() {
    let machine = Machine::new();
    let settings = machine.settings();
    assert_eq!(settings.servers, []);
    assert_eq!(settings.slots, 1000);
    assert_eq!(settings.idle_exit, Duration::from_secs(900));
    let database = format!(
        "sqlite://{}/.local/state/muster/muster.db",
        machine.folder.path().display()
    );
    assert_eq!(settings.database, database);
    assert_eq!(source_of(&settings, "slots"), "default");
}

#[test]
fn the_environment_wins_over_the_file_and_the_flag_over_both() {
    let machine = Machine::new()
        .file("slots = 7\nidle_exit = \"2m\"\nserver = \"unix:///file\"\n")
        .with("MUSTER_SLOTS", "9")
        .with("MUSTER_SERVER", "unix:///variable");
    let overrides = Overrides {
        server: Some("http://localhost:4000".to_owned()),
        config: None,
        log_format: Some("json".to_owned()),
        roles: None,
    };
    let settings = machine.load(overrides).expect("settings");
    assert_eq!(settings.slots, 9);
    assert_eq!(settings.idle_exit, Duration::from_secs(120));
    assert_eq!(
        settings.servers,
        ["http://127.0.0.1:4000".parse().expect("an address")]
    );
    assert_eq!(source_of(&settings, "slots"), "MUSTER_SLOTS");
    assert_eq!(source_of(&settings, "server"), "--server");
    assert_eq!(settings.log_format, LogFormat::Json);
    assert_eq!(source_of(&settings, "log_format"), "--log-format");
    assert!(source_of(&settings, "idle_exit").ends_with("config.toml:2"));
}

#[test]
fn several_servers_are_named_with_commas_and_roles_by_their_names() {
    let machine = Machine::new()
        .with("MUSTER_SERVER", "unix:///one, http://127.0.0.1:4000")
        .with("MUSTER_ROLES", "executor");
    let settings = machine.load(Overrides::default()).expect("settings");
    let servers: Vec<String> = settings.servers.iter().map(ToString::to_string).collect();
    assert_eq!(servers, ["unix:///one", "http://127.0.0.1:4000"]);
    assert_eq!(settings.roles.to_string(), "executor");
    let overrides = Overrides {
        roles: Some("api".to_owned()),
        ..Overrides::default()
    };
    let settings = machine.load(overrides).expect("settings");
    assert_eq!(settings.roles.to_string(), "api");
    assert_eq!(source_of(&settings, "roles"), "--roles");
    for (variable, value, says) in [
        ("MUSTER_ROLES", "worker", "'worker' is not a role"),
        ("MUSTER_ROLES", "api,gateway", "does not have yet"),
        ("MUSTER_SERVER", "unix:///one,", "'' is not a server's address"),
    ] {
        let problem = Machine::new().with(variable, value).refused();
        assert!(
            problem.detail.contains(variable) && problem.detail.contains(says),
            "{problem}"
        );
    }
}

#[test]
fn an_unknown_key_is_named_with_its_line_and_its_nearest_neighbour() {
    let problem = Machine::new().file("slots = 3\n\nidle_exti = \"5m\"\n").refused();
    assert!(
        problem
            .detail
            .ends_with("config.toml:3: there is no setting 'idle_exti'"),
        "{problem}"
    );
    assert_eq!(problem.hint.as_deref(), Some("did you mean 'idle_exit'?"));
    let problem = Machine::new().file("colour_of_the_sky = 1\n").refused();
    assert!(problem.hint.is_some_and(|hint| hint.contains("ssh_keepalive")));
}

#[test]
fn what_is_wrong_in_a_file_is_named_with_its_line() {
    for (text, expected) in [
        ("slots = \n", "config.toml:1: "),
        (
            "\nslots = \"many\"\n",
            "config.toml:2: slots: 'many' is not a whole number",
        ),
        ("slots = 0\n", "slots: '0' is not a whole number from 1"),
        ("[slots]\n", "config.toml:1: slots is a table"),
        ("idle_exit = \"-5s\"\n", "idle_exit: '-5s' is negative"),
        ("token = \"x\"\n", "'token' cannot stand in a file"),
        ("color = \"blue\"\n", "'blue' is none of auto, always, never"),
    ] {
        let problem = Machine::new().file(text).refused();
        assert!(problem.detail.contains(expected), "{text}: {problem}");
    }
}

#[test]
fn a_configuration_that_was_asked_for_must_exist() {
    let problem = Machine::new().with("MUSTER_CONFIG", "gone.toml").refused();
    assert!(problem.detail.contains("gone.toml cannot be read"), "{problem}");
}

#[test]
fn servers_elsewhere_are_refused_and_what_would_do_is_said() {
    let problem = Machine::new()
        .with("MUSTER_SERVER", "http://10.0.0.1:80")
        .refused();
    assert!(problem.detail.starts_with("MUSTER_SERVER: server: "), "{problem}");
    assert!(problem.detail.contains("not on this machine"), "{problem}");
}

#[test]
fn only_loopback_addresses_are_listened_on_without_tls() {
    assert_eq!(
        listen("http://localhost:80"),
        Ok(Listen::Plain(([127, 0, 0, 1], 80).into()))
    );
    assert!(matches!(listen("http://[::1]:0"), Ok(Listen::Plain(_))));
    assert_eq!(
        listen("127.0.0.1:80"),
        Ok(Listen::Tls(([127, 0, 0, 1], 80).into()))
    );
    assert_eq!(
        listen("https://0.0.0.0:80/"),
        Ok(Listen::Tls(([0, 0, 0, 0], 80).into()))
    );
    let why = listen("http://0.0.0.0:80").expect_err("every address");
    assert!(why.contains("over TLS alone"), "{why}");
    let why = listen("8080").expect_err("a port alone");
    assert!(why.contains("write 0.0.0.0:7443"), "{why}");
}

#[test]
fn what_belongs_to_tls_is_set_together() {
    let refused = |name: &'static str, value: &'static str| Machine::new().with(name, value).refused();
    for (name, value) in [("MUSTER_TLS_KEY", "/k"), ("MUSTER_TLS_CERTIFICATE", "/c")] {
        let problem = refused(name, value);
        assert!(
            problem.detail.contains("tls_certificate and tls_key"),
            "{problem}"
        );
    }
    let problem = refused("MUSTER_SERVER_FINGERPRINT", "sha1:00");
    assert!(
        problem.detail.contains("'sha1:00' is no fingerprint"),
        "{problem}"
    );
}

#[test]
fn no_part_of_a_password_is_shown_however_it_is_written() {
    for (url, shown) in [
        ("redis://u:hunter2@h/0?prefix=a", "redis://u:***@h/0?prefix=a"),
        ("redis://u:hunter2/x@h/0", "redis://u:***@h/0"),
        ("redis://:a?hunter2#b@h:1,i:2/0", "redis://:***@h:1,i:2/0"),
        (
            "redis+sentinel://h/main?sentinel_password=hunter2",
            "redis+sentinel://h/main?sentinel_password=***",
        ),
        ("memcached://a:1,b:2", "memcached://a:1,b:2"),
        ("memory:?limit=1GiB", "memory:?limit=1GiB"),
    ] {
        assert_eq!(super::masked(url), shown);
    }
}

#[test]
fn secrets_are_never_shown() {
    let settings = Machine::new()
        .with(
            "MUSTER_DATABASE",
            "postgres://me:hunter2@db:5432/muster?password=hunter2&x=1",
        )
        .with("MUSTER_TOKEN", "hunter2")
        .settings();
    let shown = format!("{:?} {settings:?}", settings.rows());
    let rows = format!("{:?}", settings.rows());
    assert!(!rows.contains("hunter2"), "{rows}");
    assert!(
        rows.contains("postgres://me:***@db:5432/muster?password=***&x=1"),
        "{rows}"
    );
    assert!(!shown.contains("\"hunter2\""), "{shown}");
}

#[test]
fn a_runtime_folder_of_somebody_else_is_passed_over() {
    let theirs = Machine::new().with("XDG_RUNTIME_DIR", "/nonexistent").settings();
    assert!(!theirs.runtime_dir.starts_with("/nonexistent"), "{theirs:?}");
    assert_eq!(source_of(&theirs, "runtime folder"), "default");
    let machine = Machine::new();
    let ours = machine.folder.path().display().to_string();
    let settings = machine.with("XDG_RUNTIME_DIR", &ours).settings();
    assert_eq!(settings.runtime_dir, Path::new(&ours).join("muster"));
    assert_eq!(source_of(&settings, "runtime folder"), "XDG_RUNTIME_DIR");
}

#[test]
fn every_setting_has_a_row_and_a_default_that_can_be_read() {
    let settings = Machine::new().settings();
    for key in keys::ALL {
        assert!(
            settings.rows().iter().any(|row| row.name == key.name),
            "{}",
            key.name
        );
        assert_eq!(keys::find(key.name).name, key.name);
    }
}

/// The reference page, as the table of settings has it.
fn reference() -> String {
    let mut page = "# Configuration\n\n\
        Settings are looked for, the last one that is there counting: the defaults, `/etc/muster/config.toml`,\n\
        `~/.config/muster/config.toml` (or the file that `--config` or `MUSTER_CONFIG` names), the environment, flags.\n\
        A key that is not known is refused. `muster config` shows each setting and where it comes from.\n\n\
        | key in the file | environment | default | what it is |\n|---|---|---|---|\n"
        .to_owned();
    for key in keys::ALL {
        let name = if key.in_file {
            format!("`{}`", key.name)
        } else {
            "(not in a file)".to_owned()
        };
        let default = key
            .default
            .map_or(key.unset.to_owned(), |default| format!("`{default}`"));
        let default = if default.is_empty() {
            "`muster.db` in the state folder".to_owned()
        } else {
            default
        };
        page.push_str(&format!(
            "| {name} | `{}` | {default} | {} |\n",
            key.variable, key.about
        ));
    }
    page
}

#[test]
fn the_reference_of_settings_is_what_the_code_says() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/reference/config.md");
    #[expect(clippy::disallowed_methods, reason = "a setting of the tests alone")]
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(path, reference()).expect("written");
    }
    let kept = std::fs::read_to_string(path).expect("docs/reference/config.md");
    assert!(
        kept == reference(),
        "docs/reference/config.md is out of step: run this test with UPDATE=1"
    );
}

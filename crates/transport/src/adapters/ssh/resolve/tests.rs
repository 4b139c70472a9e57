//! From endpoints and `ssh_config` files to what decides a connection.

use std::time::Duration;

use tempfile::TempDir;

use super::*;

struct Home(TempDir);

impl Home {
    fn with(config: &str) -> Self {
        let home = Self(tempfile::tempdir().unwrap());
        home.write(".ssh/config", config);
        home
    }

    fn write(&self, path: &str, text: &str) {
        let path = self.0.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    fn path(&self, path: &str) -> PathBuf {
        self.0.path().join(path)
    }

    fn settings(&self) -> Settings {
        Settings {
            home: self.0.path().to_owned(),
            user: "me".into(),
            idle: Duration::from_secs(60),
            keepalive: Duration::from_secs(15),
            answer: Duration::from_secs(30),
            host_keys: std::sync::Arc::new(crate::host_keys::InMemory::default()),
            logins: 8,
        }
    }

    fn resolve(&self, endpoint: &Endpoint, access: &Access) -> Result<Resolved, ConnectError> {
        // The file alone: what the machine's own /etc/ssh/ssh_config says is not a test's business.
        let access = Access {
            ssh_config: Some(self.path(".ssh/config")),
            ..access.clone()
        };
        super::resolve(&self.settings(), endpoint, &access)
    }

    fn host(&self, host: &str) -> Resolved {
        self.resolve(&endpoint(host), &Access::default())
            .map_err(|error| error.message)
            .unwrap()
    }

    fn problem(&self, host: &str) -> String {
        match self.resolve(&endpoint(host), &Access::default()) {
            Ok(_) => panic!("{host} was resolved"),
            Err(error) => {
                assert_eq!(error.reason, Unreachable::Settings);
                error.message
            }
        }
    }
}

fn endpoint(host: &str) -> Endpoint {
    Endpoint {
        reach: Reach::Ssh,
        host: host.into(),
        address: None,
        user: None,
        port: None,
        credential: None,
    }
}

#[test]
fn what_the_endpoint_says_beats_the_file_and_the_file_the_defaults() {
    let home = Home::with("Host web1\n HostName %h.internal\n User deploy\n Port 2222\n");
    let web = home.host("web1");
    assert_eq!(web.label(), "deploy@web1:2222");
    assert_eq!((web.host.as_str(), web.alias.as_str()), ("web1.internal", "web1"));
    let asked = Endpoint {
        user: Some("root".into()),
        port: Some(22),
        address: Some("10.0.0.5".into()),
        ..endpoint("web1")
    };
    let web = home.resolve(&asked, &Access::default()).ok().unwrap();
    assert_eq!(
        (web.label().as_str(), web.host.as_str()),
        ("root@web1:22", "10.0.0.5")
    );
    assert_eq!(web.trust.names.names, ["web1", "10.0.0.5"]);
    assert_eq!(home.host("db").label(), "me@db:22");
    let access = Access {
        user: Some("task".into()),
        ..Access::default()
    };
    assert_eq!(
        home.resolve(&endpoint("web1"), &access).ok().unwrap().user,
        "task"
    );
}

#[test]
fn hosts_are_known_by_name_and_port_or_by_alias() {
    let home = Home::with("Host a\n Port 2222\nHost b\n HostKeyAlias Cluster\n Port 5\n");
    let a = home.host("a").trust.names;
    assert_eq!(
        (a.names, a.without_port, a.principal),
        (vec!["[a]:2222".to_owned()], vec!["a".to_owned()], "a".to_owned())
    );
    let b = home.host("b").trust.names;
    assert_eq!((b.names, b.without_port), (vec!["cluster".to_owned()], vec![]));
}

#[test]
fn identities_are_those_named_or_the_usual_ones() {
    let home = Home::with("Host a\n IdentityFile ~/.ssh/%n-key\n IdentityFile none\n CertificateFile ~/c\n");
    assert_eq!(home.host("a").identities.files, [home.path(".ssh/a-key")]);
    assert_eq!(home.host("a").identities.certificates, [home.path("c")]);
    let usual = home.host("b").identities;
    assert!(usual.usual);
    assert_eq!(usual.files[0], home.path(".ssh/id_ed25519"));
    let access = Access {
        identities: vec!["/k".into()],
        agent_socket: Some("/agent".into()),
        ..Access::default()
    };
    let named = home.resolve(&endpoint("b"), &access).ok().unwrap().identities;
    assert_eq!((named.explicit, named.files), (vec![PathBuf::from("/k")], vec![]));
    assert_eq!(named.agent, Some("/agent".into()));
}

#[test]
fn the_agent_can_be_named_or_switched_off() {
    let home = Home::with(
        "Host a\n IdentityAgent none\nHost b\n IdentityAgent ~/s\nHost c\n IdentityAgent SSH_AUTH_SOCK\n\
         Host d\n IdentityAgent $SOCK\n",
    );
    let access = Access {
        agent_socket: Some("/agent".into()),
        ..Access::default()
    };
    let agent = |host: &str| {
        home.resolve(&endpoint(host), &access)
            .ok()
            .unwrap()
            .identities
            .agent
    };
    assert_eq!(agent("a"), None);
    assert_eq!(agent("b"), Some(home.path("s")));
    assert_eq!(agent("c"), Some("/agent".into()));
    assert!(home.problem("d").contains("environment variables"));
}

#[test]
fn jump_hosts_form_a_chain_and_the_first_brings_its_own() {
    let home = Home::with(
        "Host target\n ProxyJump ops@b:2200,c\nHost b\n ProxyJump a\nHost c\n ProxyJump ignored\n User carol\n\
         Host direct\n ProxyJump none\n",
    );
    let mut labels = Vec::new();
    let mut at = Some(Arc::new(home.host("target")));
    while let Some(hop) = at {
        labels.push(hop.label());
        at = hop.jump.clone();
    }
    assert_eq!(labels, ["me@target:22", "carol@c:22", "ops@b:2200", "me@a:22"]);
    assert!(home.host("direct").jump.is_none());
}

#[test]
fn a_host_does_not_jump_through_itself_and_circles_are_refused() {
    let home = Home::with("Host *\n ProxyJump bastion\n");
    assert!(home.host("bastion").jump.is_none());
    assert!(home.host("web").jump.is_some_and(|jump| jump.jump.is_none()));
    let home = Home::with("Host a\n ProxyJump b\nHost b\n ProxyJump c\nHost c\n ProxyJump a\n");
    assert!(home.problem("a").contains("in circles: a -> b -> c -> a"));
}

#[test]
fn what_cannot_be_used_is_a_message_about_the_settings() {
    let home = Home::with(
        "Host a\n ProxyCommand nc %h %p\nHost b\n IdentityFile ~/%C\nHost c\n PreferredAuthentications gssapi\n\
         Host d\n ProxyJump bad name\n",
    );
    // Two words are one word too many for ProxyJump, whoever is asked about.
    assert!(
        home.problem("a")
            .contains("config line 8: proxyjump: it takes one value")
    );
    let home = Home::with(
        "Host a\n ProxyCommand nc %h %p\nHost b\n IdentityFile ~/%C\nHost c\n PreferredAuthentications gssapi\n\
         Host d\n ProxyJump -oX\n",
    );
    assert!(home.problem("a").contains("write ProxyJump"));
    assert!(home.problem("b").contains("%C"));
    assert!(home.problem("c").contains("no way to log in"));
    assert!(home.problem("d").contains("'-oX' is not a host name"));
    let missing = Access {
        ssh_config: Some("/does/not/exist".into()),
        ..Access::default()
    };
    let error = super::resolve(&home.settings(), &endpoint("a"), &missing)
        .err()
        .unwrap();
    assert!(
        error.message.contains("/does/not/exist: there is no such file"),
        "{error}"
    );
}

#[test]
fn a_changed_file_is_read_again() {
    let home = Home::with("User one\n");
    assert_eq!(home.host("a").user, "one");
    home.write(".ssh/config", "User another\n");
    assert_eq!(home.host("a").user, "another");
}

#[test]
fn a_users_file_that_others_can_change_is_refused() {
    use std::os::unix::fs::PermissionsExt;
    let home = Home::with("User one\n");
    let path = home.path(".ssh/config");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o666)).unwrap();
    let error = super::resolve(&home.settings(), &endpoint("a"), &Access::default())
        .err()
        .unwrap();
    assert!(error.message.contains("others can change this file"), "{error}");
}

#[test]
fn host_key_checking_is_never_off() {
    let home = Home::with(
        "Host a\n StrictHostKeyChecking no\nHost b\n StrictHostKeyChecking ask\nHost c\n\
         StrictHostKeyChecking accept-new\n",
    );
    let accepts = |host: &str| home.host(host).trust.accept_new;
    assert!(accepts("a") && !accepts("b") && accepts("c") && !accepts("d"));
    let access = Access {
        accept_new: true,
        ..Access::default()
    };
    assert!(
        home.resolve(&endpoint("b"), &access)
            .ok()
            .unwrap()
            .trust
            .accept_new
    );
}

//! What the files say, on texts.

use std::collections::BTreeMap;

use super::*;
use crate::adapters::ssh::config::options::Proxy;
use crate::adapters::ssh::config::statement;

/// Files in memory.
struct Texts(BTreeMap<PathBuf, String>);

impl Source for Texts {
    fn statements(&self, path: &Path, _: &Root) -> Result<Option<Arc<Vec<Numbered>>>, Problem> {
        let Some(text) = self.0.get(path) else {
            return Ok(None);
        };
        statement::read(text)
            .map(|statements| Some(Arc::new(statements)))
            .map_err(|wrong| Problem(format!("{} line {}: {}", path.display(), wrong.line, wrong.what)))
    }

    fn files(&self, pattern: &str) -> Vec<PathBuf> {
        let matching = |path: &&PathBuf| list_matches([pattern], &path.to_string_lossy());
        self.0.keys().filter(matching).cloned().collect()
    }
}

fn root(path: &str, folder: &str) -> Root {
    Root {
        path: path.into(),
        folder: folder.into(),
        required: false,
        private: false,
    }
}

fn ask(files: &[(&str, &str)], host: &str) -> Result<Options, Problem> {
    let texts = Texts(
        files
            .iter()
            .map(|(path, text)| ((*path).into(), (*text).to_owned()))
            .collect(),
    );
    let roots = [
        root("/home/me/.ssh/config", "/home/me/.ssh"),
        root("/etc/ssh/ssh_config", "/etc/ssh"),
    ];
    let asked = Asked {
        host,
        user: None,
        local_user: "me",
        home: Path::new("/home/me"),
    };
    evaluate(&texts, &roots, asked)
}

fn one(text: &str, host: &str) -> Options {
    ask(&[("/home/me/.ssh/config", text)], host).unwrap()
}

#[test]
fn the_first_value_wins_and_files_accumulate() {
    let text = "User first\nIdentityFile a\nHost web*\n User second\n Port 2222\n IdentityFile b\n IdentityFile a\nHost *\n Port 22";
    let options = one(text, "web1");
    assert_eq!(options.user.as_deref(), Some("first"));
    assert_eq!(options.port, Some(2222));
    assert_eq!(options.identity_files, ["a", "b"]);
    assert_eq!(one(text, "db1").port, Some(22));
}

#[test]
fn the_users_file_comes_before_the_systems() {
    let options = ask(
        &[
            ("/home/me/.ssh/config", "Host web1\n Port 1"),
            ("/etc/ssh/ssh_config", "Port 2\nUser sys"),
        ],
        "web1",
    )
    .unwrap();
    assert_eq!((options.port, options.user.as_deref()), (Some(1), Some("sys")));
}

#[test]
fn host_blocks_take_lists_and_negations() {
    let text = "Host *.example.com !bad.example.com other\n User x";
    for (host, wanted) in [
        ("a.example.com", true),
        ("bad.example.com", false),
        ("other", true),
        ("b", false),
    ] {
        assert_eq!(one(text, host).user.is_some(), wanted, "{host}");
    }
}

#[test]
fn match_blocks_know_host_originalhost_user_and_all() {
    let text = "Host web\n HostName %h.example.com\nMatch host *.example.com\n Port 7\n\
                Match originalhost web user me\n User you\nMatch user you\n ServerAliveCountMax 9\n\
                Match !originalhost web\n Tag no\nMatch all\n IdentitiesOnly yes";
    let options = one(text, "web");
    assert_eq!(options.port, Some(7));
    assert_eq!(options.user.as_deref(), Some("you"));
    assert_eq!(options.alive_count, Some(9));
    assert_eq!((options.tag, options.identities_only), (None, Some(true)));
}

#[test]
fn match_final_sees_the_name_to_connect_to() {
    let text = "Match final host db.internal\n User late\nHost db\n HostName db.internal\n IdentityFile k";
    let options = one(text, "db");
    assert_eq!(options.user.as_deref(), Some("late"));
    assert_eq!(options.identity_files, ["k"]);
}

#[test]
fn match_exec_is_never_run_and_its_block_is_skipped() {
    let text = "Match exec \"touch /tmp/x\"\n User x\nMatch host web !exec true\n User y\nHost *\n User z";
    assert_eq!(one(text, "web").user.as_deref(), Some("z"));
}

#[test]
fn included_files_belong_to_the_block_that_includes_them() {
    let files = [
        (
            "/home/me/.ssh/config",
            "Host web\n Include conf.d/*\n Port 5\nInclude ~/more",
        ),
        ("/home/me/.ssh/conf.d/10", "User a\nHost db\n User b"),
        ("/home/me/more", "HostKeyAlias m"),
    ];
    let web = ask(&files, "web").unwrap();
    assert_eq!((web.user.as_deref(), web.port), (Some("a"), Some(5)));
    assert_eq!(web.host_key_alias.as_deref(), Some("m"));
    let db = ask(&files, "db").unwrap();
    // The second include stands in the block of `web` as well.
    assert_eq!((db.user, db.host_key_alias), (None, None));
}

#[test]
fn files_that_include_themselves_are_refused() {
    let problem = ask(&[("/home/me/.ssh/config", "Include config")], "web").unwrap_err();
    assert!(problem.0.contains("16 deep"), "{problem:?}");
}

#[test]
fn an_unknown_keyword_is_named_with_file_and_line_unless_excused() {
    let problem = ask(&[("/home/me/.ssh/config", "Port 22\nHost db\n Prot 23")], "web").unwrap_err();
    assert!(
        problem
            .0
            .starts_with("/home/me/.ssh/config line 3: 'prot' is not a keyword"),
        "{problem:?}"
    );
    assert_eq!(one("IgnoreUnknown Pr*,x\nProt 23\nPort 5", "web").port, Some(5));
    assert_eq!(
        one("ControlMaster auto\nForwardAgent yes\nPort 5", "web").port,
        Some(5)
    );
}

#[test]
fn the_first_of_proxy_jump_and_proxy_command_wins() {
    assert_eq!(
        one("ProxyJump none\nProxyCommand nc %h", "a").proxy,
        Some(Proxy::Command)
    );
    assert_eq!(one("ProxyJump none\nProxyJump b", "a").proxy, Some(Proxy::NoJump));
    assert_eq!(
        one("ProxyCommand none\nProxyJump b", "a").proxy,
        Some(Proxy::Direct)
    );
    assert_eq!(
        one("ProxyCommand nc %h %p\nProxyJump b", "a").proxy,
        Some(Proxy::Command)
    );
    assert_eq!(
        one("ProxyJump b,c\nProxyJump d", "a").proxy,
        Some(Proxy::Jump("b,c".into()))
    );
}

#[test]
fn a_wrong_value_is_an_error_even_in_a_block_for_others() {
    let problem = ask(&[("/home/me/.ssh/config", "Host db\n  Port many")], "web").unwrap_err();
    assert!(
        problem.0.contains("line 2: port: 'many' is not a port"),
        "{problem:?}"
    );
}

#[test]
fn files_that_include_each_other_many_times_are_refused_soon() {
    let config = "Include config\n".repeat(10);
    let Problem(what) = ask(&[("/home/me/.ssh/config", &config)], "web1").unwrap_err();
    assert!(what.contains("include each other"), "{what}");
    // Every one of many files includes all of them.
    let paths: Vec<String> = (0..50).map(|number| format!("/home/me/.ssh/{number}")).collect();
    let mut files: Vec<(&str, &str)> = paths
        .iter()
        .map(|path| (path.as_str(), "Host *\nInclude *\n"))
        .collect();
    files.push(("/home/me/.ssh/config", "Include *\n"));
    assert!(ask(&files, "web1").is_err());
}

//! The same answers as ClusterShell's own library: expansion with its order, and folding, on a few thousand
//! seeded random patterns and lists of names. Runs where the `nodeset` command is installed; it must be where
//! `MUSTER_TEST_REQUIRE=all` is set.

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use super::*;

/// Reads one question a line, a pattern, and answers with the folded form and the expanded names, or with
/// `!` for a pattern that it refuses.
const ORACLE: &str = r#"
import json, sys
from ClusterShell.NodeSet import NodeSet
from ClusterShell.NodeUtils import GroupResolver, GroupSource

groups = json.loads(sys.argv[1])

class Inventory(GroupSource):
    def __init__(self):
        GroupSource.__init__(self, "inventory")
    def resolv_map(self, group):
        return ",".join(groups[group])
    def resolv_list(self):
        return list(groups)
    def resolv_all(self):
        return ",".join(host for hosts in groups.values() for host in hosts)

resolver = GroupResolver(Inventory())
for line in sys.stdin.read().split("\n"):
    try:
        nodes = NodeSet(line, resolver=resolver)
        print(str(nodes), *nodes, sep=" ")
    except Exception:
        print("!")
"#;

/// What ClusterShell says to a pattern; None where it refuses it.
type Answer = Option<(String, Vec<String>)>;

/// Returns the Python that `nodeset` itself runs on.
#[expect(
    clippy::disallowed_methods,
    reason = "a test finds its tools in the environment"
)]
fn python() -> Option<String> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let command = std::env::split_paths(&path)
        .map(|folder| folder.join("nodeset"))
        .find(|command| command.is_file());
    if command.is_none() {
        let required = std::env::var("MUSTER_TEST_REQUIRE").is_ok_and(|value| value == "all");
        assert!(
            !required,
            "nodeset is not installed: install the clustershell package"
        );
    }
    let script = std::fs::read_to_string::<PathBuf>(command?).expect("nodeset is a script");
    let interpreter = script.lines().next()?.strip_prefix("#!")?;
    Some(interpreter.trim().to_owned())
}

fn ask(python: &str, patterns: &[String]) -> Vec<Answer> {
    let groups = serde_json::to_string(&Inventory::new().0).unwrap();
    let mut interpreter = python.split_whitespace();
    let mut child = Command::new(interpreter.next().expect("a script names its interpreter"))
        .args(interpreter)
        .args(["-c", ORACLE, &groups])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("python starts");
    // It reads everything before it answers, so that neither side waits for the other.
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(patterns.join("\n").as_bytes()).unwrap();
    drop(stdin);
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{:?}", output.status);
    let answers = String::from_utf8(output.stdout).unwrap();
    let answers: Vec<Answer> = answers
        .lines()
        .map(|line| {
            let (folded, names) = line.split_once(' ').unwrap_or((line, ""));
            (folded != "!").then(|| {
                let names = names.split(' ').filter(|name| !name.is_empty());
                (folded.to_owned(), names.map(str::to_owned).collect())
            })
        })
        .collect();
    assert_eq!(answers.len(), patterns.len());
    answers
}

fn check(patterns: &[String], seen_refusals: bool) {
    let Some(python) = python() else {
        eprintln!("nodeset is not installed: not compared");
        return;
    };
    let mut refused = 0;
    for (pattern, answer) in patterns.iter().zip(ask(&python, patterns)) {
        match (expanded(pattern), answer) {
            (Ok(names), Some((folded, expected))) => {
                assert_eq!(names, expected, "nodeset -e '{pattern}'");
                assert_eq!(fold(&names), folded, "nodeset -f '{pattern}'");
            }
            (Err(_), None) => refused += 1,
            (ours, theirs) => panic!("'{pattern}': {ours:?}, ClusterShell: {theirs:?}"),
        }
    }
    assert!(refused < patterns.len() / 2, "too many refusals: {refused}");
    assert_eq!(refused > 0, seen_refusals);
}

fn number(dice: &mut Dice) -> String {
    let value = match dice.roll(6) {
        0 => dice.roll(3),
        1 => 8 + dice.roll(4),
        2 => 95 + dice.roll(10),
        _ => dice.roll(14),
    };
    let width = usize::try_from(1 + dice.roll(7).saturating_sub(4)).unwrap();
    format!("{value:0width$}")
}

fn range(dice: &mut Dice) -> String {
    let mut range = String::new();
    for part in 0..=dice.roll(3) {
        if part > 0 {
            range.push(',');
        }
        let first = number(dice);
        if dice.roll(2) == 0 {
            range.push_str(&first);
            continue;
        }
        let last = first.parse::<u64>().unwrap() + dice.roll(12);
        // Now and then without the zeros that it must have.
        let width = if dice.roll(30) == 0 { 1 } else { first.len() };
        let _ = write!(range, "{first}-{last:0width$}");
        if dice.roll(5) == 0 {
            let _ = write!(range, "/{}", 1 + dice.roll(4));
        }
    }
    range
}

/// Returns a name with ranges, such that operands of a pattern have hosts in common.
fn element(dice: &mut Dice) -> String {
    let mut element = String::new();
    if dice.roll(12) == 0 {
        let group = [
            "@db",
            "@web",
            "@rack1",
            "@rack[1-2]",
            "@*",
            "web*",
            "*1",
            "r[1-2]n?",
            "?[2-3]*",
        ];
        return (*dice.pick(&group)).to_owned();
    }
    for position in 0..=dice.roll(3) {
        let texts: &[&str] = match position {
            0 => &["web", "r", "n", "web", "10.4.", "2001:db8::", "root@h", ""],
            _ => &["n", "-", ".", "x%", ":"],
        };
        let text = *dice.pick(texts);
        element.push_str(text);
        match dice.roll(8) {
            0 => {}
            1 | 2 => element.push_str(&number(dice)),
            _ => {
                element.push('[');
                element.push_str(&range(dice));
                element.push(']');
            }
        }
    }
    if dice.roll(5) == 0 {
        element.push_str(dice.pick::<&str>(&["-ib", ".example.com", "b", ":2222"]));
    }
    if element.is_empty() {
        element.push('a');
    }
    element
}

#[test]
fn random_patterns_expand_and_fold_as_clustershell_has_it() {
    let mut dice = Dice(1);
    let patterns: Vec<String> = (0..1500)
        .map(|_| {
            let mut pattern = element(&mut dice);
            for _ in 0..dice.roll(4) {
                pattern.push_str(dice.pick::<&str>(&[",", ",", "!", "&", "^", ", ", " ! "]));
                pattern.push_str(&element(&mut dice));
            }
            pattern
        })
        .collect();
    check(&patterns, true);
}

#[test]
fn random_lists_of_names_fold_as_clustershell_has_it() {
    let mut dice = Dice(2);
    let patterns: Vec<String> = (0..400)
        .map(|list| {
            let axes = 1 + dice.roll(3);
            // Every now and then a list that is long enough for several passes of folding.
            let (spread, longest) = if list % 40 == 0 { (25, 500) } else { (11, 60) };
            let spread = 2 + dice.roll(spread);
            let names: Vec<String> = (0..=dice.roll(longest))
                .map(|_| {
                    let mut name = String::new();
                    for axis in 0..axes {
                        name.push_str(["rack", "n", "-"][usize::try_from(axis).unwrap()]);
                        let width = if dice.roll(9) == 0 { 2 } else { 1 };
                        let _ = write!(name, "{:0width$}", 7 + dice.roll(spread));
                    }
                    name
                })
                .collect();
            names.join(",")
        })
        .collect();
    check(&patterns, false);
}

#[test]
fn digits_that_touch_brackets_are_digits_of_the_number() {
    let mut dice = Dice(3);
    let patterns: Vec<String> = (0..200)
        .map(|_| {
            // Bounds of one length: ClusterShell reads a1[9-10] as a[19-110].
            let (first, more) = (10 + dice.roll(80), dice.roll(9));
            let range = format!("[{first}-{},{first}]", first + more);
            let digits = ["", "0", "1", "07", "123"];
            let (before, after) = (dice.pick(&digits), dice.pick(&digits));
            let (head, tail) = (dice.pick(&["a", "a1b", ""]), dice.pick(&["", "-x", "c2"]));
            format!("{head}{before}{range}{after}{tail},a[1-2]0")
        })
        .collect();
    check(&patterns, false);
}

#[test]
fn what_clustershell_refuses_is_refused() {
    let patterns: Vec<String> = [
        "a[",
        "a]",
        "a[]",
        "a[1,]",
        "a[1,,2]",
        "a[1-]",
        "a[x]",
        "a[3-1]",
        "a[01-2]",
        "a[1-02]",
        "a[1-5/0]",
        "a[1-5/x]",
        "a[1/2]",
        "a[1-2][3-4]",
        "a[1-2]3[4-5]",
        "a[[1]]",
        ",a",
        "a,",
        "a,,b",
        "!a",
        "a!",
        "a& ",
        "a[1-2],",
        "@nobody",
        "a^",
        "a[1",
        "a[1-2]]",
    ]
    .map(str::to_owned)
    .to_vec();
    let Some(python) = python() else {
        eprintln!("nodeset is not installed: not compared");
        return;
    };
    for (pattern, answer) in patterns.iter().zip(ask(&python, &patterns)) {
        assert_eq!(answer, None, "{pattern}");
        assert!(expanded(pattern).is_err(), "{pattern}");
    }
}

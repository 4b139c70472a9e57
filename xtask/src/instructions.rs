//! How many instructions the cases of `benches/cases` take, compared with the baseline in the repository.
//!
//! Valgrind counts them, so that the figures hold on a busy machine too. They change with the compiler: the
//! baseline names the one that it was made with, and with another one nothing is refused.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::{Report, root};

/// What a case may cost more than its baseline. Hash tables are seeded anew in each process, which moves the
/// counts by less than one in a hundred.
const TOLERANCE: f64 = 0.05;
/// Set to `update`, it has the baseline written anew.
const SWITCH: &str = "MUSTER_BASELINE";

/// A case with its count.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Count {
    name: String,
    instructions: u64,
}

/// What was counted, by which compiler's code on which kind of processor.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Baseline {
    compiler: String,
    counts: Vec<Count>,
}

/// Counts all cases and compares, or writes the baseline.
#[expect(
    clippy::disallowed_methods,
    reason = "a switch for the one who runs the check, as for the tests"
)]
pub(crate) fn problems() -> Result<Report, String> {
    let program = build()?;
    let now = Baseline {
        compiler: compiler()?,
        counts: cases(&program)?
            .into_iter()
            .map(|name| {
                let instructions = count(&program, &name)?;
                Ok(Count { name, instructions })
            })
            .collect::<Result<_, String>>()?,
    };
    let path = path();
    if std::env::var(SWITCH).is_ok_and(|value| value == "update") {
        fs::write(&path, now.write()).map_err(|error| format!("{}: {error}", path.display()))?;
        println!("{}", now.write());
        return Ok(Report::default());
    }
    let text = fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?;
    let before = Baseline::read(&text);
    println!("{}", table(&before, &now));
    Ok(compare(&before, &now))
}

fn path() -> PathBuf {
    root().join("benches/cases/baseline.txt")
}

/// Builds the program of the cases, and nothing else than the model and what it needs.
fn build() -> Result<PathBuf, String> {
    let output = Command::new("cargo")
        .args(["build", "--release", "--locked", "--package", "muster-cases"])
        .args(["--message-format", "json"])
        .current_dir(root())
        .stderr(std::process::Stdio::inherit())
        .output()
        .map_err(|error| format!("cargo: {error}"))?;
    let messages = cargo_metadata::Message::parse_stream(output.stdout.as_slice());
    let program = messages.filter_map(Result::ok).find_map(|message| match message {
        cargo_metadata::Message::CompilerArtifact(artifact) => artifact.executable,
        _ => None,
    });
    match program {
        Some(program) if output.status.success() => Ok(program.into_std_path_buf()),
        _ => Err("muster-cases does not build".to_owned()),
    }
}

fn compiler() -> Result<String, String> {
    let text = said(Command::new("rustc").arg("-vV"))?;
    let line = |name: &str| {
        let found = text.lines().find_map(|line| line.strip_prefix(name));
        found.unwrap_or_default().trim().to_owned()
    };
    Ok(format!("rustc {}, {}", line("release:"), line("host:")))
}

fn cases(program: &Path) -> Result<Vec<String>, String> {
    Ok(said(&mut Command::new(program))?
        .lines()
        .map(str::to_owned)
        .collect())
}

/// The instructions of one run of a case: what three runs cost more than one, halved. The first run grows the
/// heap and drops out with the start of the program and the preparation.
fn count(program: &Path, name: &str) -> Result<u64, String> {
    let once = of_process(program, name, 1)?;
    let thrice = of_process(program, name, 3)?;
    Ok(thrice.saturating_sub(once) / 2)
}

fn of_process(program: &Path, name: &str, times: u32) -> Result<u64, String> {
    let mut command = Command::new("valgrind");
    command
        .args([
            "--tool=cachegrind",
            "--cache-sim=no",
            "--cachegrind-out-file=/dev/null",
        ])
        .arg(program)
        .arg(name)
        .arg(times.to_string());
    let output = command.output().map_err(|error| {
        format!("valgrind: {error}; it counts the instructions: install the package valgrind")
    })?;
    let text = String::from_utf8_lossy(&output.stderr);
    if !output.status.success() {
        return Err(format!("valgrind {name:?}: {text}"));
    }
    instructions(&text)
        .ok_or_else(|| format!("valgrind does not say how many instructions {name:?} took: {text}"))
}

/// Finds the number in what cachegrind says: `==1== I   refs:      1,234`, in newer ones `I refs:`.
fn instructions(text: &str) -> Option<u64> {
    let line = text.lines().find(|line| line.contains("refs:"))?;
    let digits: String = line
        .rsplit(':')
        .next()?
        .chars()
        .filter(char::is_ascii_digit)
        .collect();
    digits.parse().ok()
}

fn said(command: &mut Command) -> Result<String, String> {
    let output = command
        .output()
        .map_err(|error| format!("{command:?}: {error}"))?;
    if output.status.success() {
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    } else {
        Err(format!(
            "{command:?}: {}",
            String::from_utf8_lossy(&output.stderr)
        ))
    }
}

impl Baseline {
    fn read(text: &str) -> Self {
        let mut baseline = Self::default();
        for line in text.lines() {
            if let Some(compiler) = line.strip_prefix("# made with ") {
                compiler.clone_into(&mut baseline.compiler);
            }
            let Some((number, name)) = line.trim().split_once("  ") else {
                continue;
            };
            if let Ok(instructions) = number.parse() {
                baseline.counts.push(Count {
                    name: name.trim().to_owned(),
                    instructions,
                });
            }
        }
        baseline
    }

    fn write(&self) -> String {
        let mut text = format!(
            "# Instructions of one run of each case: `cargo xtask instructions` compares, \
             `{SWITCH}=update cargo xtask instructions` writes.\n# made with {}\n",
            self.compiler
        );
        for count in &self.counts {
            let _ = writeln!(text, "{:>12}  {}", count.instructions, count.name);
        }
        text
    }

    fn of(&self, name: &str) -> Option<u64> {
        let found = self.counts.iter().find(|count| count.name == name)?;
        Some(found.instructions)
    }
}

fn share(before: u64, now: u64) -> f64 {
    now as f64 / before.max(1) as f64 - 1.0
}

fn table(before: &Baseline, now: &Baseline) -> String {
    let mut text = format!("{:>12} {:>12} {:>8}\n", "baseline", "now", "");
    for count in &now.counts {
        let (old, change) = match before.of(&count.name) {
            Some(old) => {
                let percent = share(old, count.instructions) * 100.0;
                (old.to_string(), format!("{percent:+.1} %"))
            }
            None => ("-".to_owned(), "new".to_owned()),
        };
        let _ = writeln!(
            text,
            "{old:>12} {:>12} {change:>8}  {}",
            count.instructions, count.name
        );
    }
    text
}

/// Refuses what costs more than the tolerance, and names what is in one of the two alone.
fn compare(before: &Baseline, now: &Baseline) -> Report {
    let mut report = Report::default();
    let write = format!("write the baseline anew: {SWITCH}=update cargo xtask instructions");
    for count in &now.counts {
        let Some(old) = before.of(&count.name) else {
            report
                .problems
                .push(format!("{:?} has no baseline: {write}", count.name));
            continue;
        };
        let change = share(old, count.instructions);
        let what = format!(
            "{:?}: {} instructions, {old} in the baseline ({:+.1} %)",
            count.name,
            count.instructions,
            change * 100.0
        );
        if change > TOLERANCE {
            report.problems.push(format!(
                "{what}: make it cheaper, or say why in the commit and {write}"
            ));
        } else if change < -TOLERANCE {
            report
                .remarks
                .push(format!("{what}: so that it stays so, {write}"));
        }
    }
    for count in &before.counts {
        if now.of(&count.name).is_none() {
            report.problems.push(format!(
                "{:?} is in the baseline and no case: {write}",
                count.name
            ));
        }
    }
    if before.compiler != now.compiler {
        // Another compiler's code is other code: told, not refused.
        report.remarks.append(&mut report.problems);
        report.remarks.push(format!(
            "nothing is refused: the baseline was made with {}, this is {}: {write}",
            before.compiler, now.compiler
        ));
    }
    report
}

#[cfg(test)]
mod tests {
    use super::*;

    fn baseline(compiler: &str, counts: &[(&str, u64)]) -> Baseline {
        Baseline {
            compiler: compiler.to_owned(),
            counts: counts
                .iter()
                .map(|(name, instructions)| Count {
                    name: (*name).to_owned(),
                    instructions: *instructions,
                })
                .collect(),
        }
    }

    #[test]
    fn the_baseline_is_read_as_it_is_written() {
        let made = baseline("rustc 1.0, here", &[("pattern: fold", 123_456), ("b", 7)]);
        assert_eq!(Baseline::read(&made.write()), made);
    }

    #[test]
    fn both_forms_of_cachegrinds_summary_are_read() {
        assert_eq!(
            instructions("==9== \n==9== I   refs:      1,234,567\n"),
            Some(1_234_567)
        );
        assert_eq!(instructions("==9== I refs:        42"), Some(42));
        assert_eq!(instructions("==9== nothing"), None);
    }

    #[test]
    fn what_costs_more_is_refused_and_what_costs_less_is_told() {
        let before = baseline(
            "a",
            &[("same", 1000), ("more", 1000), ("less", 1000), ("gone", 1)],
        );
        let now = baseline("a", &[("same", 1040), ("more", 1060), ("less", 900), ("new", 1)]);
        let report = compare(&before, &now);
        assert_eq!(report.problems.len(), 3, "{report:?}");
        assert!(report.problems[0].contains("\"more\"") && report.problems[0].contains("+6.0 %"));
        assert!(report.problems[1].contains("\"new\"") && report.problems[2].contains("\"gone\""));
        assert_eq!(report.remarks.len(), 1);
    }

    #[test]
    fn another_compiler_is_named_and_refuses_nothing() {
        let report = compare(&baseline("a", &[("x", 10)]), &baseline("b", &[("x", 20)]));
        assert_eq!(report.problems, Vec::<String>::new());
        assert!(
            report
                .remarks
                .iter()
                .any(|remark| remark.contains("made with a, this is b"))
        );
    }
}

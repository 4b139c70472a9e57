//! The ratios that matter, beside what they are to be.

use muster_bench::{Results, Row, Unit};

use crate::tools::Kind;

/// A figure of a row: the table, the row's label, the column.
type Place = (&'static str, String, &'static str);

struct Goal {
    what: &'static str,
    /// What is measured.
    value: Place,
    /// What it is divided by; None where the figure stands alone.
    by: Option<Place>,
    at_most: f64,
}

fn goals() -> Vec<Goal> {
    let cold = |kind: Kind| ("cold-200", kind.label().to_owned(), "wall");
    let warm = |label: String| ("warm-200", label, "wall");
    let muster = || Kind::Muster.label().to_owned();
    let one = |label: &str| ("one-host", label.to_owned(), "wall");
    let goal = |what, value, by, at_most| Goal {
        what,
        value,
        by,
        at_most,
    };
    vec![
        goal(
            "200 cold: wall over pssh",
            cold(Kind::Muster),
            Some(cold(Kind::Pssh)),
            0.75,
        ),
        goal(
            "200 cold: wall over asyncssh",
            cold(Kind::Muster),
            Some(cold(Kind::Asyncssh)),
            0.95,
        ),
        goal(
            "200 cold: wall over asyncssh that was imported before",
            cold(Kind::Muster),
            Some((
                "cold-200",
                format!("{}, imported before", Kind::Asyncssh.label()),
                "wall",
            )),
            0.95,
        ),
        goal(
            "200 cold: CPU a host, ms",
            ("cold-200", muster(), "CPU a host"),
            None,
            1.5,
        ),
        goal(
            "200 warm: wall over cold pssh",
            warm(muster()),
            Some(cold(Kind::Pssh)),
            0.15,
        ),
        goal(
            "200 warm: wall over clush with ControlMaster",
            warm(muster()),
            Some(warm(format!("{}, ControlMaster", Kind::Clush.label()))),
            1.0 / 3.0,
        ),
        goal(
            "200 warm: wall over asyncssh with kept connections",
            warm(muster()),
            Some(warm(format!("{}, connections kept", Kind::Asyncssh.label()))),
            1.0,
        ),
        goal(
            "one host cold: wall over ssh (curve25519-sha256)",
            one("Muster, a new connection"),
            Some(one("ssh, curve25519-sha256")),
            0.5,
        ),
        goal(
            "500 cold: peak memory, MiB",
            ("cold-500", muster(), "peak memory"),
            None,
            200.0,
        ),
        goal(
            "500 at sshd's default MaxStartups: hosts that failed",
            ("default-maxstartups-500", muster(), "hosts that failed"),
            None,
            0.0,
        ),
    ]
}

/// Adds the table of goals: those for which everything has been measured, now or before.
pub(crate) fn add(results: &mut Results) {
    let rows: Vec<Row> = goals()
        .iter()
        .filter_map(|goal| {
            let (value, row) = figure(results, &goal.value)?;
            let value = match &goal.by {
                Some(place) => value / figure(results, place)?.0,
                None => value,
            };
            // What it is made of says by which command and how often.
            let (command, samples) = (
                row.command.clone(),
                row.get(goal.value.2).map_or(1, |of| of.samples),
            );
            let verdict = if value <= goal.at_most { "met" } else { "MISSED" };
            Some(
                Row::new("goals", goal.what)
                    .command(&command)
                    .note(verdict)
                    .figure("measured", Unit::Ratio, &vec![value; samples])
                    .figure("at most", Unit::Ratio, &[goal.at_most]),
            )
        })
        .collect();
    for row in rows {
        results.add(row);
    }
}

/// Returns a figure, and the row that it stands in.
fn figure<'a>(results: &'a Results, (table, label, column): &Place) -> Option<(f64, &'a Row)> {
    let row = results.row(table, label)?;
    if *column == "hosts that failed" {
        let hosts = row.get("hosts")?.median;
        // The worst run counts.
        return Some((hosts - row.get("hosts that succeeded")?.low, row));
    }
    Some((row.get(column)?.median, row))
}

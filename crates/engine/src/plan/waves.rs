//! Waves of hosts, and what a dry run says of them.

use std::ops::Range;

use muster_model::wire::Plan;
use muster_model::{Endpoint, Kind, Options, pattern};

/// How many waves a dry run describes.
const DESCRIBED: usize = 100;

/// Returns the waves of a task with `total` hosts, as ranges of host indexes.
pub(crate) fn waves(options: &Options, total: usize) -> Vec<Range<usize>> {
    let all = u32::try_from(total).unwrap_or(u32::MAX);
    let size = options.batch.map_or(total, |batch| batch.of(all) as usize).max(1);
    (0..total)
        .step_by(size)
        .map(|start| start..(start + size).min(total))
        .collect()
}

/// Says what a task would do.
pub(crate) fn describe(kind: &Kind, options: &Options, hosts: &[(String, Endpoint)]) -> Plan {
    let names: Vec<&str> = hosts.iter().map(|(name, _)| name.as_str()).collect();
    let waves = waves(options, hosts.len());
    let command = match kind {
        Kind::Command { command } => command.clone(),
        Kind::Script { name, args } => std::iter::once(name.as_str())
            .chain(args.iter().map(String::as_str))
            .collect::<Vec<_>>()
            .join(" "),
        Kind::Facts => Kind::Facts.name().to_owned(),
    };
    Plan {
        total: u32::try_from(hosts.len()).unwrap_or(u32::MAX),
        hosts: pattern::fold(&names),
        wave_count: u32::try_from(waves.len()).unwrap_or(u32::MAX),
        waves: waves
            .into_iter()
            .take(DESCRIBED)
            .map(|wave| pattern::fold(&names[wave]))
            .collect(),
        command,
    }
}

#[cfg(test)]
mod tests {
    use muster_model::quantity::Amount;

    use super::*;

    #[test]
    fn waves_cover_every_host_once_and_in_order() {
        let options = |batch| Options {
            batch,
            ..Options::default()
        };
        assert_eq!(waves(&options(None), 5), vec![0..5]);
        assert_eq!(waves(&options(Some(Amount::Hosts(2))), 5), vec![0..2, 2..4, 4..5]);
        assert_eq!(waves(&options(Some(Amount::Percent(50))), 5), vec![0..3, 3..5]);
        assert_eq!(waves(&options(Some(Amount::Hosts(9))), 5), vec![0..5]);
    }
}

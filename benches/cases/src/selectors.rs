//! An inventory that selectors are asked about.

use muster_model::Timestamp;
use muster_model::facts::{Disk, Facts, Os};
use muster_model::host::HostRecord;
use muster_model::selector::{Gathered, Selector, Subject};

/// A selector that has to look at everything for some of the hosts.
pub(crate) const TEXT: &str = "os.id in [\"debian\", \"ubuntu\"] && os.version >= \"12\" && mem_gb >= 8 \
     && (\"web\" in groups || labels.env == \"prod\") && \"10.0.0.0/8\" in addresses";

/// 1,000 hosts with facts and groups.
pub(crate) struct Inventory {
    selector: Option<Selector>,
    hosts: Vec<(HostRecord, Facts)>,
    groups: [&'static str; 3],
}

impl Inventory {
    /// Returns how many hosts the selector takes.
    pub(crate) fn ask(&self) -> usize {
        let Some(selector) = &self.selector else { return 0 };
        let takes = |(host, facts): &&(HostRecord, Facts)| {
            let at = Timestamp(0);
            selector.matches(&Subject {
                host,
                groups: &self.groups,
                facts: Some(Gathered { facts, at }),
                now: Timestamp(1),
            })
        };
        self.hosts.iter().filter(takes).count()
    }
}

pub(crate) fn inventory() -> Inventory {
    let hosts = super::hosts("web[0001-1000].example.net");
    let host = |(at, name): (usize, String)| {
        let record = HostRecord {
            name: name.parse().ok()?,
            address: None,
            user: None,
            port: None,
            reach: None,
            credential: None,
            labels: [("env".to_owned(), "test".to_owned())].into(),
        };
        Some((record, facts(at)))
    };
    Inventory {
        selector: Selector::parse(TEXT).ok(),
        hosts: hosts.into_iter().enumerate().filter_map(host).collect(),
        groups: ["all", "rack-1", "web"],
    }
}

fn facts(at: usize) -> Facts {
    let system = ["debian", "ubuntu", "rhel", "alpine"][at % 4];
    Facts {
        os: Os {
            id: Some(system.to_owned()),
            version: Some(format!("{}.{}", 8 + at % 7, at % 10)),
            ..Os::default()
        },
        mem_bytes: Some(1 << (30 + at % 6)),
        disks: vec![Disk {
            mount: "/".to_owned(),
            ..Disk::default()
        }],
        addresses: format!("10.0.{}.{}", at / 250, at % 250)
            .parse()
            .into_iter()
            .collect(),
        ..Facts::default()
    }
}

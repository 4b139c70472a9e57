//! Files of hosts: a JSON array of records, or one host pattern a line with fields after it. Pure.

use muster_model::host::HostRecord;
use muster_model::{Problem, problem::Code};

/// Reads a file of hosts; `name` names it in errors.
///
/// # Errors
///
/// `invalid-request` with the file and the line.
pub(super) fn read(bytes: &[u8], name: &str) -> Result<Vec<HostRecord>, Problem> {
    let text = std::str::from_utf8(bytes)
        .map_err(|_| Problem::new(Code::InvalidRequest, format!("{name} is not UTF-8 text")))?;
    if text.trim_start().starts_with('[') && serde_json::from_str::<serde_json::Value>(text).is_ok() {
        return serde_json::from_str(text).map_err(|error| {
            Problem::new(Code::InvalidRequest, format!("{name}: {error}"))
                .hint("an array of hosts as `muster hosts list --json` prints it")
        });
    }
    let mut hosts = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let line = line.split('#').next().unwrap_or_default().trim();
        if line.is_empty() {
            continue;
        }
        let wrong = |why: String| {
            Problem::new(
                Code::InvalidRequest,
                format!("{name}, line {}: {why}", number + 1),
            )
            .hint("write a host pattern, then fields such as user=deploy port=2222 label:rack=r7")
        };
        hosts.extend(read_line(line).map_err(wrong)?);
    }
    if hosts.is_empty() {
        return Err(Problem::new(
            Code::InvalidRequest,
            format!("{name} names no host"),
        ));
    }
    Ok(hosts)
}

fn read_line(line: &str) -> Result<Vec<HostRecord>, String> {
    let mut words = line.split_whitespace();
    let pattern = words.next().unwrap_or_default().to_owned();
    let names = super::names(&[pattern]).map_err(|problem| problem.detail)?;
    let mut records: Vec<HostRecord> = names.into_iter().map(super::bare).collect();
    for word in words {
        let Some((key, value)) = word.split_once('=') else {
            return Err(format!("'{word}' is not KEY=VALUE"));
        };
        let port = match key {
            "port" => Some(
                value
                    .parse::<u16>()
                    .ok()
                    .filter(|port| *port > 0)
                    .ok_or_else(|| format!("'{value}' is not a port"))?,
            ),
            _ => None,
        };
        if key == "address" && records.len() > 1 {
            return Err("an address is of one host".to_owned());
        }
        for record in &mut records {
            match key {
                "address" => record.address = Some(value.to_owned()),
                "user" => record.user = Some(value.to_owned()),
                "port" => record.port = port,
                _ => match key.strip_prefix("label:") {
                    Some(label) if !label.is_empty() => {
                        record.labels.insert(label.to_owned(), value.to_owned());
                    }
                    _ => return Err(format!("'{key}' is none of address, user, port, label:NAME")),
                },
            }
        }
    }
    Ok(records)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_names_hosts_and_their_fields() {
        let text = "# racks\nweb[1-2]  user=deploy port=2222 label:rack=r7 # left\n\ndb1 address=10.4.3.9\n";
        let hosts = read(text.as_bytes(), "hosts.txt").expect("hosts");
        let names: Vec<&str> = hosts.iter().map(|host| host.name.as_str()).collect();
        assert_eq!(names, ["web1", "web2", "db1"]);
        assert_eq!(hosts[1].port, Some(2222));
        assert_eq!(hosts[1].user.as_deref(), Some("deploy"));
        assert_eq!(hosts[0].labels.get("rack").map(String::as_str), Some("r7"));
        assert_eq!(hosts[2].address.as_deref(), Some("10.4.3.9"));
    }

    #[test]
    fn what_the_list_command_prints_can_be_read_back() {
        let hosts = read(b"web[1-3] user=a label:x=y", "-").expect("hosts");
        let json = serde_json::to_vec_pretty(&hosts).expect("JSON");
        assert_eq!(read(&json, "-").expect("hosts"), hosts);
    }

    #[test]
    fn the_line_that_is_wrong_is_named() {
        for (text, part) in [
            ("a\nb port=x\n", "line 2: 'x' is not a port"),
            ("a colour=red", "line 1: 'colour' is none of"),
            ("a user", "line 1: 'user' is not KEY=VALUE"),
            ("a[1-2] address=10.0.0.1", "line 1: an address is of one host"),
            ("me@a", "line 1: 'me@a' is no name"),
            ("# nothing\n", "names no host"),
        ] {
            let error = read(text.as_bytes(), "hosts.txt").expect_err(text);
            assert!(error.detail.contains(part), "{text:?}: {error}");
        }
    }
}

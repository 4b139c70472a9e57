//! From a URL to the ports.

use std::path::PathBuf;
use std::sync::Arc;

use muster_model::ErrorKind;
use muster_runtime::Tasks;

use crate::adapters::logs::Logs;
use crate::adapters::sql::Database;
use crate::adapters::sql::retention::{Keeper, Logs as TaskLogs};
use crate::adapters::sqlite;
use crate::capabilities::Capabilities;
use crate::error::Error;
use crate::port::{HostKeys, Inventory, Members, Outputs, Retention, Store, Vault};

/// The ports of one database.
#[derive(Clone)]
pub struct Opened {
    /// Tasks and runs.
    pub store: Arc<dyn Store>,
    /// Hosts and groups.
    pub inventory: Arc<dyn Inventory>,
    /// Sealed credentials.
    pub vault: Arc<dyn Vault>,
    /// The keys of hosts.
    pub host_keys: Arc<dyn HostKeys>,
    /// The servers that share it.
    pub members: Arc<dyn Members>,
    /// Output.
    pub outputs: Arc<dyn Outputs>,
    /// What is kept, and for how long.
    pub retention: Arc<dyn Retention>,
    /// What this database can do that another cannot.
    pub capabilities: Capabilities,
}

/// Opens `sqlite:///absolute/path/to/muster.db`, `sqlite::memory:`, `postgres://user:password@host:port/database`
/// (or `postgresql://`) or `mysql://user:password@host:port/database` (or `mariadb://`).
///
/// The database of a server has to be there. Where it is empty, its tables are made; one of an older release is
/// left alone until [`crate::migrate`], because other servers may be at work on it.
///
/// The path is taken as it stands, without any escapes. A file that is missing is made (mode 0600, missing
/// folders 0700), and one of an older release is brought to the current schema. Output that is too large
/// for its run lies beside it, in `<file>.outputs/`. A file that is not Muster's is not touched.
///
/// `tasks` runs the writer, which ends with [`Store::close`] or with the last clone of what is returned,
/// and not with `tasks`' tokens: what is settled during a shutdown must still be written. So close the store
/// before you wait for `tasks`.
///
/// # Errors
///
/// `Invalid` for a URL that is not understood, `Unsupported` naming the feature that is missing, `Corrupt`
/// for a file that is no database or not one of Muster's, `Denied` where the file cannot be opened. Of servers:
/// `Unavailable` or `Timeout` where it cannot be reached, `Denied` where it refuses the user or the password,
/// `NotFound` where there is no such database, `Unsupported` where the server is too old, `Conflict` where the schema
/// is an older one, and `Corrupt` where the database holds what is not Muster's, or was written by a newer one.
pub async fn open(url: &str, tasks: &Tasks) -> Result<Opened, Error> {
    match parse(url)? {
        Place::Memory => {
            let database = Arc::new(sqlite::open_memory(tasks).await?);
            let outputs = Logs::in_memory(Arc::clone(&database));
            Ok(opened(database, outputs, Capabilities::MEMORY))
        }
        Place::File(path) => {
            let mut folder = path.clone().into_os_string();
            folder.push(".outputs");
            let database = Arc::new(sqlite::open_file(path, tasks).await?);
            let outputs = Logs::on_disk(Arc::clone(&database), folder.into());
            Ok(opened(database, outputs, Capabilities::ALL))
        }
        #[cfg(feature = "postgres")]
        Place::Postgres => {
            let (database, outputs) = crate::adapters::postgres::open(url, tasks).await?;
            Ok(opened(database, outputs, Capabilities::ALL))
        }
        #[cfg(feature = "mysql")]
        Place::MySql => {
            let (database, outputs) = crate::adapters::mysql::open(url, tasks).await?;
            Ok(opened(database, outputs, Capabilities::ALL))
        }
    }
}

fn opened(database: Arc<Database>, outputs: impl Outputs + TaskLogs, capabilities: Capabilities) -> Opened {
    let outputs = Arc::new(outputs);
    let logs = Arc::clone(&outputs) as Arc<dyn TaskLogs>;
    Opened {
        retention: Arc::new(Keeper::new(Arc::clone(&database), logs)),
        store: Arc::clone(&database) as Arc<dyn Store>,
        inventory: Arc::clone(&database) as Arc<dyn Inventory>,
        vault: Arc::clone(&database) as Arc<dyn Vault>,
        members: Arc::clone(&database) as Arc<dyn Members>,
        host_keys: database,
        outputs,
        capabilities,
    }
}

/// Where a database is. URLs of servers are looked at by their adapters.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Place {
    Memory,
    File(PathBuf),
    #[cfg(feature = "postgres")]
    Postgres,
    #[cfg(feature = "mysql")]
    MySql,
}

pub(crate) fn parse(url: &str) -> Result<Place, Error> {
    const FORM: &str = "write sqlite:///absolute/path/to/muster.db, or the URL of a database server";
    // Never the whole URL: those of servers hold passwords.
    let scheme: String = url
        .split(':')
        .next()
        .unwrap_or_default()
        .chars()
        .take(20)
        .collect();
    let refuse = |kind, what: String| Err(Error::new(kind, format!("open the database: {what}")));
    match scheme.as_str() {
        "sqlite" => {}
        #[cfg(feature = "postgres")]
        "postgres" | "postgresql" => return Ok(Place::Postgres),
        #[cfg(feature = "mysql")]
        "mysql" | "mariadb" => return Ok(Place::MySql),
        #[cfg(not(all(feature = "mysql", feature = "postgres")))]
        "mysql" | "mariadb" | "postgres" | "postgresql" => {
            let feature = if scheme.starts_with("postgres") {
                "postgres"
            } else {
                "mysql"
            };
            return refuse(
                ErrorKind::Unsupported,
                format!(
                    "{scheme}:// needs the feature '{feature}', without which this program was built; {FORM}"
                ),
            );
        }
        _ => {
            return refuse(
                ErrorKind::Invalid,
                format!("'{scheme}' is not a database; {FORM}"),
            );
        }
    }
    let rest = &url["sqlite:".len()..];
    if rest == ":memory:" {
        return Ok(Place::Memory);
    }
    match rest.strip_prefix("//") {
        Some(path) if path.contains(['?', '#', '\0']) => refuse(
            ErrorKind::Invalid,
            format!("'{url}': a database takes no parameters, and no ? or # in its path; {FORM}"),
        ),
        Some(path) if path.starts_with('/') && !path.ends_with('/') => Ok(Place::File(path.into())),
        Some(path) if path.starts_with('/') => {
            refuse(ErrorKind::Invalid, format!("'{url}' names a folder; {FORM}"))
        }
        _ => refuse(
            ErrorKind::Invalid,
            format!(
                "'{url}' has no absolute path, and a relative one means another file in each folder; {FORM}"
            ),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_forms_name_a_database() {
        assert_eq!(parse("sqlite::memory:").unwrap(), Place::Memory);
        assert_eq!(
            parse("sqlite:///var/lib/a b%20c.db").unwrap(),
            Place::File("/var/lib/a b%20c.db".into())
        );
    }

    #[test]
    fn every_other_form_is_refused_with_what_would_be_right() {
        use ErrorKind::Invalid;
        let table = [
            ("sqlite://muster.db", Invalid, "relative"),
            ("sqlite:muster.db", Invalid, "relative"),
            ("sqlite:", Invalid, "relative"),
            ("sqlite://", Invalid, "relative"),
            ("sqlite:///", Invalid, "folder"),
            ("sqlite:///var/lib/", Invalid, "folder"),
            ("sqlite:///a.db?mode=ro", Invalid, "no parameters"),
            ("/var/lib/a.db", Invalid, "not a database"),
            ("", Invalid, "not a database"),
        ];
        for (url, kind, says) in table {
            let error = parse(url).unwrap_err();
            assert_eq!(error.kind, kind, "{url}");
            let text = error.to_string();
            assert!(text.contains(says), "{url}: {text}");
            assert!(text.contains("sqlite:///absolute/path"), "{url}: {text}");
        }
    }

    #[test]
    fn servers_have_two_schemes_each_and_without_their_feature_it_is_named() {
        let table = [
            ("mysql://root@db/muster", "mysql", cfg!(feature = "mysql")),
            ("mariadb://root@db/muster", "mysql", cfg!(feature = "mysql")),
            (
                "postgres://root@db/muster",
                "postgres",
                cfg!(feature = "postgres"),
            ),
            (
                "postgresql://root@db/muster",
                "postgres",
                cfg!(feature = "postgres"),
            ),
        ];
        for (url, feature, is_there) in table {
            match parse(url) {
                Ok(place) => assert!(is_there, "{place:?}"),
                Err(error) => {
                    assert!(!is_there, "{error}");
                    assert_eq!(error.kind, ErrorKind::Unsupported);
                    assert!(
                        error.to_string().contains(&format!("feature '{feature}'")),
                        "{error}"
                    );
                }
            }
        }
    }

    #[test]
    fn a_refusal_never_shows_a_password() {
        for url in ["oracle://me:hunter2@db/m", "redis://me:hunter2@db"] {
            assert!(!parse(url).unwrap_err().to_string().contains("hunter2"));
        }
    }
}

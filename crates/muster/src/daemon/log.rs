//! Where a server's log goes.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use muster_model::Problem;
use nix::fcntl::OFlag;
use tracing::Level;
use tracing_subscriber::filter::FilterExt;
use tracing_subscriber::fmt::format::JsonFields;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer};

use super::line::Line;
use super::paths::cannot;
use crate::settings::{LogFormat, Settings};
use crate::traces::{Traces, not_steps};

/// A log of this size is put aside when the next server starts.
const LARGE: u64 = 8 * 1024 * 1024;

/// Logs to standard error. Where something logs already, that stays as it is.
pub(super) fn to_stderr(settings: &Settings) {
    // The settings were read: the text is one that can be.
    let filter = EnvFilter::builder().parse_lossy(directives(&settings.log));
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(std::io::stderr)
        .with_ansi(false);
    let lines = match settings.log_format {
        LogFormat::Text => lines.boxed(),
        LogFormat::Json => lines.fmt_fields(JsonFields::new()).event_format(Line).boxed(),
    };
    let _ = tracing_subscriber::registry()
        .with(Traces::layer())
        .with(lines.with_filter(filter.and(not_steps())))
        .try_init();
}

/// A level alone is that of Muster; what it is made of speaks up when something is wrong.
fn directives(log: &str) -> String {
    match log.parse::<Level>() {
        Ok(Level::ERROR) | Err(_) => log.to_owned(),
        Ok(level) => format!("warn,muster={level}"),
    }
}

/// Opens the log file of a server without a terminal, putting a large one aside first.
pub(super) fn file(path: &Path) -> Result<File, Problem> {
    if std::fs::metadata(path).is_ok_and(|found| found.len() > LARGE) {
        let aside = path.with_extension("log.1");
        std::fs::rename(path, &aside).map_err(|error| cannot(path, "put aside", &error))?;
    }
    OpenOptions::new()
        .append(true)
        .create(true)
        .mode(0o600)
        .custom_flags(OFlag::O_NOFOLLOW.bits())
        .open(path)
        .map_err(|error| cannot(path, "opened", &error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_level_alone_is_that_of_muster() {
        assert_eq!(directives("debug"), "warn,muster=DEBUG");
        assert_eq!(directives("error"), "error");
        assert_eq!(directives("off"), "off");
        assert_eq!(directives("muster_engine=trace"), "muster_engine=trace");
    }

    #[test]
    fn a_large_log_is_put_aside_and_a_small_one_is_kept() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("server.log");
        let large = file(&path).expect("a log");
        large.set_len(LARGE + 1).expect("a large log");
        drop(file(&path).expect("a new log"));
        assert_eq!(std::fs::metadata(&path).expect("a log").len(), 0);
        let aside = std::fs::metadata(folder.path().join("server.log.1")).expect("the old log");
        assert_eq!(aside.len(), LARGE + 1);
        std::fs::write(&path, "words").expect("a log");
        drop(file(&path).expect("the same log"));
        assert_eq!(std::fs::read_to_string(&path).expect("a log"), "words");
    }
}

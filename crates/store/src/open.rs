//! From a URL to the ports.

use std::sync::Arc;

use crate::error::Error;
use crate::port::{Inventory, Outputs, Store};

/// The ports of one database.
#[derive(Clone)]
pub struct Opened {
    /// Tasks and runs.
    pub store: Arc<dyn Store>,
    /// Hosts and groups.
    pub inventory: Arc<dyn Inventory>,
    /// Output.
    pub outputs: Arc<dyn Outputs>,
}

/// Opens `sqlite:///absolute/path/to/muster.db` (made where it is missing, mode 0600, migrated to the
/// current schema) or `sqlite::memory:`.
///
/// # Errors
///
/// `Invalid` for a URL that is not understood, `Unsupported` naming the feature that is missing, `Corrupt`
/// for a file that is no database or not one of Muster's, `Denied` where the file cannot be opened.
pub async fn open(url: &str) -> Result<Opened, Error> {
    let _ = url;
    Err(Error::new(muster_model::ErrorKind::Unsupported, "open"))
}

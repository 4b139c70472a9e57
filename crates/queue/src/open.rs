//! From a URL to the port.

use std::sync::Arc;

use muster_model::ErrorKind;

use crate::error::Error;
use crate::port::Queue;

/// Opens `memory:`, the queue inside this process.
///
/// # Errors
///
/// `Invalid` for a URL that is not understood, `Unsupported` naming the feature that is missing.
pub async fn open(url: &str) -> Result<Arc<dyn Queue>, Error> {
    Err(Error::new(ErrorKind::Unsupported, format!("open {url}")))
}

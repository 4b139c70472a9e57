//! The prompt.

use crate::cli::context::Context;
use crate::cli::stop::Stop;

/// Runs the prompt.
pub async fn run(_context: Context) -> Result<u8, Stop> {
    Ok(0)
}

//! `muster demo`.

use crate::cli::args::Demo;
use crate::cli::context::Context;
use crate::cli::stop::Stop;

/// Runs the demo.
pub async fn run(_context: Context, _args: &Demo) -> Result<u8, Stop> {
    Ok(0)
}

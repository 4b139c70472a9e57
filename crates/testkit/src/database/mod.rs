//! Real database servers for tests: private, in a temporary folder, on a free loopback port.
//!
//! Making the files of an empty server takes seconds, so they are made once for each user and copied. A test asks
//! for [`Postgres::fresh_database`] as often as it wants: databases of one server do not see each other.

mod mariadb;
mod postgres;
mod server;

pub use mariadb::MariaDb;
pub use postgres::Postgres;

/// What a server does with its disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Disk {
    /// Every commit is forced onto the disk: the server's default.
    Forced,
    /// Nothing waits for the disk, and where the machine's memory has room the files are there. For tests that do not ask
    /// what survives a power cut.
    Relaxed,
}

//! What a database can do that another cannot. The contract asks for it case by case.

/// The capabilities of an open database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capabilities {
    /// What was written is there when it is opened again.
    pub keeps: bool,
    /// Several processes may have it open at the same time.
    pub shared: bool,
    /// Reads go on while something large is written.
    pub reads_beside_writes: bool,
}

impl Capabilities {
    /// A database on a disk.
    pub(crate) const ALL: Self = Self {
        keeps: true,
        shared: true,
        reads_beside_writes: true,
    };
    /// A database in memory.
    pub(crate) const MEMORY: Self = Self {
        keeps: false,
        shared: false,
        reads_beside_writes: false,
    };
}

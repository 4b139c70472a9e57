//! Where the groups of a pattern come from.

/// Where groups come from.
pub trait Groups {
    /// Returns the hosts of a group; None where there is no such group.
    fn members(&self, group: &str) -> Option<Vec<String>>;
    /// Returns every host that is known (`@*`).
    fn all(&self) -> Vec<String>;
}

/// No groups at all.
pub struct NoGroups;

impl Groups for NoGroups {
    fn members(&self, _group: &str) -> Option<Vec<String>> {
        None
    }

    fn all(&self) -> Vec<String> {
        Vec::new()
    }
}

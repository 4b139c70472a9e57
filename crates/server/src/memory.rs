//! How much memory this process holds.

/// Returns the resident memory of this process in bytes; 0 where the system does not say.
pub(crate) async fn resident() -> u64 {
    let page = nix::unistd::sysconf(nix::unistd::SysconfVar::PAGE_SIZE)
        .ok()
        .flatten()
        .and_then(|size| u64::try_from(size).ok())
        .unwrap_or(4096);
    match tokio::fs::read_to_string("/proc/self/statm").await {
        Ok(text) => pages(&text).unwrap_or(0) * page,
        Err(_) => 0,
    }
}

fn pages(statm: &str) -> Option<u64> {
    statm.split_ascii_whitespace().nth(1)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn this_process_holds_some_memory() {
        assert!(resident().await > 1024 * 1024);
    }

    #[test]
    fn the_second_number_counts() {
        assert_eq!(pages("100 42 7 1 0 3 0\n"), Some(42));
        assert_eq!(pages(""), None);
    }
}

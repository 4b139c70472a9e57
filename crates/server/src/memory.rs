//! How much memory and time of processors this process takes.

/// Returns the resident memory of this process in bytes; 0 where the system does not say.
pub(crate) async fn resident() -> u64 {
    match tokio::fs::read_to_string("/proc/self/statm").await {
        Ok(text) => pages(&text).unwrap_or(0) * page_size(),
        Err(_) => 0,
    }
}

/// Returns the same without waiting: the kernel makes the text up as it is read. None where it does not.
pub(crate) fn resident_now() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/self/statm").ok()?;
    Some(pages(&text)? * page_size())
}

/// Returns the time that this process has spent on processors, in ticks of the clock.
pub(crate) fn cpu_ticks() -> Option<u64> {
    ticks(&std::fs::read_to_string("/proc/self/stat").ok()?)
}

/// The second field is the program's name, with whatever is in it, in brackets.
fn ticks(stat: &str) -> Option<u64> {
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_ascii_whitespace().skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    Some(user + system)
}

fn page_size() -> u64 {
    nix::unistd::sysconf(nix::unistd::SysconfVar::PAGE_SIZE)
        .ok()
        .flatten()
        .and_then(|size| u64::try_from(size).ok())
        .unwrap_or(4096)
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
        let stat = "7 (a) b (c)) S 1 7 7 0 -1 4194560 100 0 0 0 31 11 0 0 20 0 4 0 100 0 0";
        assert_eq!(ticks(stat), Some(42));
        assert_eq!(ticks("7 (a"), None);
    }
}

//! Free ports.

use std::net::{Ipv4Addr, TcpListener};

use crate::error::{Error, Result};

/// Where ports are looked for: below the range from which systems take the ports of outgoing connections, so
/// that none of those takes the port between the look and the use.
const RANGE: std::ops::Range<u32> = 15_000..32_000;

/// Returns a TCP port on which nothing listens, on any loopback address.
///
/// It is not held: a server that cannot have it after all asks for another.
///
/// # Errors
///
/// Where no port was free in many tries.
pub fn free() -> Result<u16> {
    for _ in 0..200 {
        let port = random()?;
        if TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)).is_ok() {
            return Ok(port);
        }
    }
    Err(Error::failed("looking for a free port", "200 ports were taken"))
}

fn random() -> Result<u16> {
    let mut bytes = [0u8; 4];
    getrandom::fill(&mut bytes).map_err(|error| Error::failed("reading random bytes", error.to_string()))?;
    let port = RANGE.start + u32::from_le_bytes(bytes) % (RANGE.end - RANGE.start);
    u16::try_from(port).map_err(|error| Error::failed("choosing a port", error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_free_port_can_be_listened_on_and_two_are_rarely_the_same() {
        let ports: std::collections::BTreeSet<u16> = (0..20).map(|_| free().expect("free")).collect();
        assert!(ports.len() > 10);
        assert!(ports.iter().all(|port| (15_000..32_000).contains(port)));
    }
}

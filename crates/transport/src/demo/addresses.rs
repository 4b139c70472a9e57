//! Where the hosts listen: an address of 127.0.0.0/8 for each, so that two users (or two processes) at once
//! do not meet. Where the system has 127.0.0.1 alone, ports of that one.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use tokio::net::TcpListener;

/// How many blocks of addresses are tried.
const BLOCKS: u32 = 64;
/// The ports that are tried in each block, the same on each host; 0: the system chooses.
const PORTS: [u16; 3] = [2222, 2022, 0];

/// Returns a listener for each host.
pub(super) async fn listen(count: u8) -> io::Result<Vec<TcpListener>> {
    let start = first_block(nix::unistd::getuid().as_raw(), std::process::id());
    for block in (0..BLOCKS).map(|step| start.wrapping_add(step.wrapping_mul(7919))) {
        for port in PORTS {
            if let Ok(listeners) = on_block(block, port, count).await {
                return Ok(listeners);
            }
        }
    }
    let mut listeners = Vec::new();
    for _ in 0..count {
        listeners.push(TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?);
    }
    Ok(listeners)
}

/// Binds every host of a block, or none.
async fn on_block(block: u32, port: u16, count: u8) -> io::Result<Vec<TcpListener>> {
    let mut listeners = Vec::new();
    for host in 1..=count {
        let address = SocketAddr::new(IpAddr::V4(address(block, host)), port);
        listeners.push(TcpListener::bind(address).await?);
    }
    Ok(listeners)
}

/// Mixes the user and the process into the number of a block.
fn first_block(uid: u32, pid: u32) -> u32 {
    uid.wrapping_mul(0x9E37_79B1) ^ pid.wrapping_mul(0x85EB_CA6B)
}

/// Returns 127.x.y.host with x from 64 to 191 and y from 0 to 255: far from 127.0.0.1 and 127.0.1.1, which
/// systems use.
fn address(block: u32, host: u8) -> Ipv4Addr {
    let [_, _, x, y] = block.to_be_bytes();
    Ipv4Addr::new(127, 64 + x % 128, y, host)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_keep_to_the_loopback_network_and_away_from_the_usual_addresses() {
        for block in [0, 1, u32::MAX, 0x1234_5678] {
            for host in [1, 254] {
                let [a, b, _, d] = address(block, host).octets();
                assert_eq!((a, d), (127, host));
                assert!((64..192).contains(&b));
            }
        }
    }

    #[tokio::test]
    async fn a_block_that_is_taken_is_not_taken_by_halves() {
        let first = listen(3).await.expect("listens");
        let at = |listener: &TcpListener| listener.local_addr().expect("an address");
        let taken = at(&first[2]);
        // The same process asks for the same block first, and one of its addresses is not free.
        drop(first.into_iter().take(2).collect::<Vec<_>>());
        let held = TcpListener::bind(taken).await.expect("still free");
        let again = listen(3).await.expect("listens elsewhere");
        assert_eq!(again.len(), 3);
        assert!(again.iter().all(|listener| at(listener) != taken));
        drop(held);
    }
}

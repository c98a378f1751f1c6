//! Ports for services of somebody else's that cannot be given port 0.

use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::io;
use std::net::{Ipv4Addr, TcpListener};

/// Ports that were free a moment ago, below those that systems give to whoever binds to 0: a service may take many seconds to bind
/// them, and a listener of another test on one of them meanwhile would be taken for it.
pub(super) fn free_ports<const N: usize>() -> io::Result<[u16; N]> {
    const FROM: u64 = 10_000;
    const COUNT: u64 = 20_000;
    let mut hasher = RandomState::new().build_hasher();
    hasher.write_u32(std::process::id());
    let start = hasher.finish();
    let candidates = (0..COUNT).map(|n| (FROM + (start % COUNT + n) % COUNT) as u16);
    // All of them are held until the last is found.
    let free: Vec<_> =
        candidates.filter_map(|port| TcpListener::bind((Ipv4Addr::LOCALHOST, port)).ok()).take(N).collect();
    let ports: Vec<u16> =
        free.iter().map(|listener| listener.local_addr().map(|address| address.port())).collect::<Result<_, _>>()?;
    ports.try_into().map_err(|_| io::Error::other(format!("no {N} ports are free")))
}

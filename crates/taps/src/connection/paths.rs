//! Changes of the paths under a connection (RFC 9622 8.3.2).

use std::net::IpAddr;

use postroad_sys::interface::{Interface, interfaces};
use postroad_sys::path_change::{PathChange, PathChanges};

use crate::transport::About;

/// Who listens to what the system says of its interfaces, addresses and routes, once there is somebody to tell.
#[derive(Debug, Default)]
pub(super) enum Paths {
    #[default]
    Unopened,
    Open(Box<(PathChanges, Path)>),
    /// There are no paths, or the system does not tell.
    Silent,
}

/// What of the system's paths a connection uses.
#[derive(Debug)]
pub(super) struct Path {
    local: IpAddr,
    remote: IpAddr,
    /// The index of the interface that has the local address, if one does.
    interface: Option<u32>,
    /// Whether it may go on over the other interfaces.
    multipath: bool,
}

impl Paths {
    /// Begins to listen, the first time.
    pub(super) fn open(&mut self, about: &About) {
        if !matches!(self, Self::Unopened) {
            return;
        }
        *self = match (Path::of(about), PathChanges::open()) {
            (Some(path), Ok(changes)) => Self::Open(Box::new((changes, path))),
            _ => Self::Silent,
        };
    }

    /// Waits for a change that concerns the connection.
    ///
    /// A future that is dropped has missed nothing that concerns it.
    pub(super) async fn changed(&mut self) {
        while let Self::Open(open) = self {
            let (changes, path) = &**open;
            match changes.next().await {
                Ok(changes) if changes.iter().any(|change| path.is_touched_by(change)) => return,
                Ok(_) => {}
                Err(_) => *self = Self::Silent,
            }
        }
        std::future::pending().await
    }
}

impl Path {
    fn of(about: &About) -> Option<Self> {
        let (local, remote) = (about.local.ip()?.ip(), about.remote.ip()?.ip());
        let interface = interfaces().ok().and_then(|interfaces| holder(&interfaces, local));
        Some(Self { local, remote, interface, multipath: about.multipath })
    }

    fn is_touched_by(&self, change: &PathChange) -> bool {
        match change {
            PathChange::LinkUp { interface } | PathChange::LinkDown { interface } => self.uses(*interface),
            PathChange::AddressAdded { interface, address } | PathChange::AddressRemoved { interface, address } => {
                self.uses(*interface) && address.address.is_ipv4() == self.local.is_ipv4()
            }
            PathChange::RouteAdded { route } | PathChange::RouteRemoved { route } => {
                route.interface.is_none_or(|interface| self.uses(interface))
                    && covers(route.destination, route.prefix_len, self.remote)
            }
            PathChange::Missed => true,
            _ => false,
        }
    }

    fn uses(&self, interface: u32) -> bool {
        self.multipath || self.interface.is_none_or(|own| own == interface)
    }
}

/// The interface that has an address, or the network that an address without one of its own is of, as on the loopback.
fn holder(interfaces: &[Interface], local: IpAddr) -> Option<u32> {
    let with = |has: &dyn Fn(IpAddr, u8) -> bool| {
        let holds = |one: &&Interface| one.addresses.iter().any(|address| has(address.address, address.prefix_len));
        interfaces.iter().find(holds).map(|interface| interface.index)
    };
    with(&|address, _| address == local).or_else(|| with(&|address, prefix_len| covers(address, prefix_len, local)))
}

/// Whether an address is of the network that begins with so many bits.
fn covers(network: IpAddr, prefix_len: u8, address: IpAddr) -> bool {
    let bits = |address| match address {
        IpAddr::V4(address) => u128::from(u32::from(address)) << 96,
        IpAddr::V6(address) => u128::from(address),
    };
    let differs = bits(network) ^ bits(address);
    network.is_ipv4() == address.is_ipv4() && differs.checked_shr(128 - u32::from(prefix_len)).unwrap_or(0) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn path(multipath: bool) -> Path {
        Path { local: ip("192.0.2.7"), remote: ip("198.51.100.1"), interface: Some(3), multipath }
    }

    #[test]
    fn links_of_others_do_not_matter_unless_they_might_be_used() {
        for (change, own, multipath) in [
            (PathChange::LinkDown { interface: 3 }, true, true),
            (PathChange::LinkUp { interface: 3 }, true, true),
            (PathChange::LinkDown { interface: 4 }, false, true),
            (PathChange::Missed, true, true),
        ] {
            assert_eq!(path(false).is_touched_by(&change), own, "{change:?}");
            assert_eq!(path(true).is_touched_by(&change), multipath, "{change:?}");
        }
        assert!(Path { interface: None, ..path(false) }.is_touched_by(&PathChange::LinkDown { interface: 9 }));
    }

    #[test]
    fn networks_cover_their_addresses() {
        for (network, prefix_len, address, covered) in [
            ("0.0.0.0", 0, "198.51.100.1", true),
            ("198.51.100.0", 24, "198.51.100.1", true),
            ("198.51.101.0", 24, "198.51.100.1", false),
            ("198.51.100.1", 32, "198.51.100.1", true),
            ("198.51.100.0", 32, "198.51.100.1", false),
            ("::", 0, "198.51.100.1", false),
            ("::", 0, "2001:db8::1", true),
            ("2001:db8::", 32, "2001:db8::1", true),
            ("2001:db8::1", 128, "2001:db8::1", true),
            ("2001:db8::2", 128, "2001:db8::1", false),
        ] {
            assert_eq!(covers(ip(network), prefix_len, ip(address)), covered, "{network}/{prefix_len} {address}");
        }
    }
}

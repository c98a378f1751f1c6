//! The interfaces of this machine: the paths that a connection may take (RFC 9622 6.1.2, 6.2.11).

use std::io;
use std::net::IpAddr;
use std::path::Path as FilePath;
use std::sync::Arc;

use crate::InterfaceType;
use crate::selection::{PathAddress, PathInfo};

/// An interface of this machine, as it was when it was listed.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Interface {
    /// What people know it by, such as `lo`.
    pub name: Arc<str>,
    /// What the system knows it by, 1 and up.
    pub index: u32,
    /// What it is, as far as the system tells.
    pub kind: Option<InterfaceType>,
    /// Whether it is switched on and can carry something.
    pub up: bool,
    /// Its addresses, in the system's order.
    pub addresses: Vec<InterfaceAddress>,
}

/// An address of an interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct InterfaceAddress {
    /// The address.
    pub ip: IpAddr,
    /// Whether it changes from time to time, so that connections cannot be linked by it (RFC 8981). IPv6 only.
    pub temporary: bool,
    /// Whether it is not meant for new connections any more (RFC 4862 5.5.4).
    pub deprecated: bool,
}

/// Lists the interfaces of this machine, those that are down too.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> std::io::Result<()> {
/// # if cfg!(target_os = "linux") {
/// for interface in postroad_taps::interfaces().await? {
///     println!("{} {:?}", interface.name, interface.addresses);
/// }
/// # }
/// # Ok(()) }
/// ```
///
/// # Errors
/// What the system says; [`Unsupported`](io::ErrorKind::Unsupported) on other systems than Linux.
#[doc(alias = "Resolve")]
pub async fn interfaces() -> io::Result<Vec<Interface>> {
    tokio::task::spawn_blocking(|| list(FilePath::new(CLASS))).await.map_err(io::Error::other)?
}

/// The interfaces that are up, for selection. A system that lists none has none to choose from.
pub(crate) async fn paths() -> Vec<Arc<PathInfo>> {
    let interfaces = interfaces().await.unwrap_or_default();
    interfaces.into_iter().filter(|interface| interface.up).map(|interface| Arc::new(interface.into())).collect()
}

impl From<Interface> for PathInfo {
    fn from(interface: Interface) -> Self {
        let usable = interface.addresses.iter().filter(|address| !address.deprecated);
        Self {
            name: interface.name,
            index: interface.index,
            kind: interface.kind,
            addresses: usable.map(|address| PathAddress { ip: address.ip, temporary: address.temporary }).collect(),
            pvd: None,
        }
    }
}

fn list(class: &FilePath) -> io::Result<Vec<Interface>> {
    let known = postroad_sys::interface::interfaces()?;
    let all = known.into_iter().map(|interface| {
        let kind = if interface.loopback { Some(InterfaceType::Loopback) } else { kind(&class.join(&interface.name)) };
        // One that is not known to be unique is no address yet.
        let settled = interface.addresses.iter().filter(|address| !address.tentative);
        let addresses = settled.map(|address| InterfaceAddress {
            ip: address.address,
            temporary: address.temporary,
            deprecated: address.deprecated,
        });
        Interface {
            addresses: addresses.collect(),
            index: interface.index,
            kind,
            up: interface.running,
            name: interface.name.into(),
        }
    });
    Ok(all.collect())
}

/// What the system's folder of an interface says that it is. Ethernet without another word is wired, also where the
/// wire is in memory.
fn kind(folder: &FilePath) -> Option<InterfaceType> {
    let read = |file| std::fs::read_to_string(folder.join(file)).unwrap_or_default();
    match read("uevent").lines().find_map(|line| line.strip_prefix("DEVTYPE=")) {
        Some("wlan") => Some(InterfaceType::Wifi),
        Some("wwan") => Some(InterfaceType::Cellular),
        Some(_) => None,
        // ARPHRD_ETHER
        None => (read("type").trim() == "1").then_some(InterfaceType::Wired),
    }
}

const CLASS: &str = "/sys/class/net";

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    #[tokio::test]
    async fn the_loopback_is_listed() {
        let all = interfaces().await.unwrap();
        let lo = all.iter().find(|interface| interface.kind == Some(InterfaceType::Loopback)).unwrap();
        assert!(lo.up && lo.index > 0);
        let address = lo.addresses.iter().find(|address| address.ip == Ipv4Addr::LOCALHOST).unwrap();
        assert!(!address.temporary && !address.deprecated);
        let paths = paths().await;
        assert!(paths.iter().any(|path| path.index == lo.index && path.is_loopback()));
    }

    #[test]
    fn deprecated_addresses_are_not_for_new_connections() {
        let address = |last, deprecated| {
            let ip = Ipv4Addr::new(192, 0, 2, last).into();
            InterfaceAddress { ip, temporary: false, deprecated }
        };
        let addresses = vec![address(1, true), address(2, false)];
        let interface = Interface { name: "eth0".into(), index: 2, kind: None, up: true, addresses };
        let path = PathInfo::from(interface);
        assert_eq!(path.addresses, [PathAddress { ip: Ipv4Addr::new(192, 0, 2, 2).into(), temporary: false }]);
    }

    #[test]
    fn what_an_interface_is_stands_in_its_folder() {
        let folder = tempfile::tempdir().unwrap();
        let says = |uevent: &str, number: &str| {
            std::fs::write(folder.path().join("uevent"), uevent).unwrap();
            std::fs::write(folder.path().join("type"), number).unwrap();
            kind(folder.path())
        };
        assert_eq!(says("INTERFACE=eth0\nIFINDEX=2\n", "1\n"), Some(InterfaceType::Wired));
        assert_eq!(says("DEVTYPE=wlan\nINTERFACE=wlan0\n", "1\n"), Some(InterfaceType::Wifi));
        assert_eq!(says("DEVTYPE=wwan\nINTERFACE=wwan0\n", "65534\n"), Some(InterfaceType::Cellular));
        assert_eq!(says("DEVTYPE=bridge\nINTERFACE=br0\n", "1\n"), None);
        assert_eq!(says("INTERFACE=tun0\n", "65534\n"), None);
        assert_eq!(kind(&folder.path().join("nowhere")), None);
    }
}

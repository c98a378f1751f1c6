//! Interfaces and their changes: those of this host, and those of a network namespace that may be changed.
#![cfg(target_os = "linux")]

use std::io::{ErrorKind, Read};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::process::Command;
use std::time::Duration;

use postroad_sys::interface::{self, Interface};
use postroad_sys::path_change::{PathChange, PathChanges};
use socket2::{Domain, Socket, Type};

fn loopback() -> Interface {
    interface::interfaces().unwrap().into_iter().find(|interface| interface.loopback).expect("there is a loopback")
}

#[test]
fn interfaces_have_names_and_addresses() {
    let loopback = loopback();
    assert!(loopback.up && loopback.running && !loopback.point_to_point, "{loopback:?}");
    assert!(loopback.mtu >= 1280, "{loopback:?}");
    let localhost = loopback.addresses.iter().find(|address| address.address == Ipv4Addr::LOCALHOST).unwrap();
    assert_eq!(localhost.prefix_len, 8);
    assert!(!localhost.temporary && !localhost.deprecated && !localhost.tentative);
    assert_eq!(interface::index(&loopback.name).unwrap(), loopback.index);

    // Every interface that the kernel shows in its files is there, once. Somebody may change them in between.
    let listed = || {
        let mut names: Vec<_> = interface::interfaces().unwrap().into_iter().map(|interface| interface.name).collect();
        names.sort();
        names
    };
    let shown = || {
        let text = std::fs::read_to_string("/proc/self/net/dev").unwrap();
        let mut names: Vec<_> =
            text.lines().filter_map(|line| Some(line.split_once(':')?.0.trim().to_owned())).collect();
        names.sort();
        names
    };
    assert!((0..10).any(|_| listed() == shown()), "{:?} {:?}", listed(), shown());
}

#[test]
fn unknown_interface_is_named() {
    let error = interface::index("nosuch0").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert!(error.to_string().contains("nosuch0"), "{error}");
}

#[tokio::test]
async fn changes_are_not_waited_for() {
    let changes = PathChanges::open().unwrap();
    // Something may have changed, but not without end.
    let error = loop {
        match changes.try_next() {
            Ok(told) => assert!(!told.is_empty()),
            Err(error) => break error,
        }
    };
    assert_eq!(error.kind(), ErrorKind::WouldBlock);
}

/// Set for the process in the namespace, and for no other: it changes interfaces.
const INSIDE: &str = "POSTROAD_TEST_NAMESPACE";

#[test]
fn changes_of_links_addresses_and_routes_are_told() {
    if std::env::var_os(INSIDE).is_some() {
        return inside_a_namespace();
    }
    // Whether this may be done at all is asked first, so that a failure of the test is one.
    let unshare = |program: &str| {
        let mut command = Command::new("unshare");
        command.args(["--user", "--map-root-user", "--net", program]);
        command
    };
    match unshare("true").output() {
        Ok(output) if output.status.success() => {}
        Ok(output) => {
            println!("skipped: network namespace: {}", String::from_utf8_lossy(&output.stderr).trim());
            return;
        }
        Err(error) => {
            println!("skipped: network namespace: unshare: {error}");
            return;
        }
    }
    let this = std::env::current_exe().unwrap();
    let output = unshare(this.to_str().unwrap())
        .args(["--exact", "changes_of_links_addresses_and_routes_are_told", "--nocapture"])
        .env(INSIDE, "1")
        .output()
        .unwrap();
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && said.contains("1 passed"), "{said}");
    said.lines().filter(|line| line.starts_with("skipped: ")).for_each(|line| println!("{line}"));
}

/// A new namespace has a loopback, which is down and has no address.
fn inside_a_namespace() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let lo = loopback();
        assert!(!lo.up && !lo.running && lo.addresses.is_empty(), "{lo:?}");
        let changes = PathChanges::open().unwrap();
        let kernel = Kernel::open();

        kernel.link(lo.index, true);
        told(&changes, |change| *change == PathChange::LinkUp { interface: lo.index }).await;
        let localhost = |change: &PathChange| {
            matches!(change, PathChange::AddressAdded { address, .. } if address.address == Ipv4Addr::LOCALHOST)
        };
        told(&changes, localhost).await;
        assert!(loopback().running);

        let added = Ipv4Addr::new(192, 0, 2, 1);
        kernel.address(NEW_ADDRESS, lo.index, added.into(), 32, FOREVER);
        let is_added = |address: &interface::InterfaceAddress| address.address == added && address.prefix_len == 32;
        told(&changes, |change| {
            matches!(change, PathChange::AddressAdded { interface, address }
                if *interface == lo.index && is_added(address))
        })
        .await;
        assert!(loopback().addresses.iter().any(is_added));

        kernel.route(NEW_ROUTE, lo.index, Ipv4Addr::new(198, 51, 100, 0), 24);
        let network = |route: &postroad_sys::path_change::Route| {
            (route.destination, route.prefix_len, route.interface)
                == (Ipv4Addr::new(198, 51, 100, 0).into(), 24, Some(lo.index))
        };
        told(&changes, |change| matches!(change, PathChange::RouteAdded { route } if network(route))).await;
        kernel.route(DEL_ROUTE, lo.index, Ipv4Addr::new(198, 51, 100, 0), 24);
        told(&changes, |change| matches!(change, PathChange::RouteRemoved { route } if network(route))).await;

        kernel.address(DEL_ADDRESS, lo.index, added.into(), 32, FOREVER);
        told(&changes, |change| {
            matches!(change, PathChange::AddressRemoved { address, .. } if is_added(address))
        })
        .await;
        ipv6(&kernel, &changes, lo.index).await;

        kernel.link(lo.index, false);
        told(&changes, |change| *change == PathChange::LinkDown { interface: lo.index }).await;
        assert!(!loopback().up);
    });
}

/// An address that is deprecated, and one that is temporary because the system was told to make it.
async fn ipv6(kernel: &Kernel, changes: &PathChanges, lo: u32) {
    let switch = "/proc/sys/net/ipv6/conf/lo/use_tempaddr";
    if std::fs::write(switch, "2").is_err() {
        println!("skipped: ipv6: {switch} cannot be written");
        return;
    }
    let deprecated: Ipv6Addr = "fd00:1::1".parse().unwrap();
    kernel.address(NEW_ADDRESS, lo, deprecated.into(), 128, Lifetimes { preferred: 0, flags: NO_DUPLICATES });
    told(changes, |change| {
        matches!(change, PathChange::AddressAdded { address, .. }
            if address.address == deprecated && address.deprecated && !address.temporary)
    })
    .await;
    let stable: Ipv6Addr = "fd00:2::1".parse().unwrap();
    let flags = NO_DUPLICATES | MANAGE_TEMPORARY;
    kernel.address(NEW_ADDRESS, lo, stable.into(), 64, Lifetimes { preferred: 86_400, flags });
    let temporary = |address: &interface::InterfaceAddress| match address.address {
        IpAddr::V6(ip) => address.temporary && ip.segments()[..4] == stable.segments()[..4] && ip != stable,
        IpAddr::V4(_) => false,
    };
    told(changes, |change| matches!(change, PathChange::AddressAdded { address, .. } if temporary(address))).await;
    let addresses = loopback().addresses;
    assert!(addresses.iter().any(temporary), "{addresses:?}");
    assert!(addresses.iter().any(|address| address.address == stable && !address.temporary), "{addresses:?}");
}

/// Waits until a change is told, and passes over others.
async fn told(changes: &PathChanges, wanted: impl Fn(&PathChange) -> bool) {
    let mut seen = Vec::new();
    let found = tokio::time::timeout(Duration::from_secs(20), async {
        while !seen.iter().any(&wanted) {
            seen.extend(changes.next().await.unwrap());
        }
    });
    if found.await.is_err() {
        panic!("told instead: {seen:?}");
    }
}

/// The kernel of the namespace, which is told what to change.
struct Kernel(Socket);

#[derive(Clone, Copy)]
struct Lifetimes {
    /// Seconds.
    preferred: u32,
    flags: u32,
}

impl Kernel {
    fn open() -> Self {
        let socket = Socket::new(Domain::from(16), Type::RAW, Some(0.into())).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        Self(socket)
    }

    fn link(&self, index: u32, up: bool) {
        let mut body = vec![0; 4];
        for number in [index, u32::from(up), 1] {
            body.extend(number.to_ne_bytes());
        }
        self.request(16, &body);
    }

    fn address(&self, kind: u16, index: u32, address: IpAddr, prefix_len: u8, lifetimes: Lifetimes) {
        let (family, octets) = match address {
            IpAddr::V4(address) => (2, address.octets().to_vec()),
            IpAddr::V6(address) => (10, address.octets().to_vec()),
        };
        let mut body = vec![family, prefix_len, 0, 0];
        body.extend(index.to_ne_bytes());
        attribute(&mut body, 1, &octets);
        attribute(&mut body, 2, &octets);
        if kind == NEW_ADDRESS {
            attribute(&mut body, 8, &lifetimes.flags.to_ne_bytes());
            let seconds = [lifetimes.preferred, u32::MAX, 0, 0];
            attribute(&mut body, 6, &seconds.map(u32::to_ne_bytes).concat());
        }
        self.request(kind, &body);
    }

    fn route(&self, kind: u16, index: u32, network: Ipv4Addr, prefix_len: u8) {
        // In the main table, static, on the link, to other hosts.
        let mut body = vec![2, prefix_len, 0, 0, 254, 4, 253, 1, 0, 0, 0, 0];
        attribute(&mut body, 1, &network.octets());
        attribute(&mut body, 4, &index.to_ne_bytes());
        self.request(kind, &body);
    }

    fn request(&self, kind: u16, body: &[u8]) {
        let mut bytes = u32::try_from(16 + body.len()).unwrap().to_ne_bytes().to_vec();
        bytes.extend(kind.to_ne_bytes());
        // Create what is not there, and answer.
        bytes.extend((0x01u16 | 0x04 | 0x400).to_ne_bytes());
        bytes.extend([0; 8]);
        bytes.extend(body);
        self.0.send(&bytes).unwrap();
        let mut answer = [0; 1024];
        let len = (&self.0).read(&mut answer).unwrap();
        assert!(len >= 20 && answer[4..6] == 2u16.to_ne_bytes(), "{:?}", &answer[..len]);
        assert_eq!(i32::from_ne_bytes(answer[16..20].try_into().unwrap()), 0, "request {kind}");
    }
}

fn attribute(body: &mut Vec<u8>, kind: u16, value: &[u8]) {
    let len = 4 + value.len();
    body.extend(u16::try_from(len).unwrap().to_ne_bytes());
    body.extend(kind.to_ne_bytes());
    body.extend(value);
    body.resize(body.len().next_multiple_of(4), 0);
}

const NEW_ADDRESS: u16 = 20;
const DEL_ADDRESS: u16 = 21;
const NEW_ROUTE: u16 = 24;
const DEL_ROUTE: u16 = 25;
const NO_DUPLICATES: u32 = 0x02;
const MANAGE_TEMPORARY: u32 = 0x100;
const FOREVER: Lifetimes = Lifetimes { preferred: u32::MAX, flags: 0 };

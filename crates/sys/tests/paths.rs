//! Interfaces and their changes: those of this host, and those of a network namespace that may be changed.
#![cfg(target_os = "linux")]

mod common;

use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use postroad_sys::interface::{self, Interface};
use postroad_sys::path_change::{PathChange, PathChanges};

use common::{
    DEL_ADDRESS, DEL_ROUTE, FOREVER, Kernel, Lifetimes, MANAGE_TEMPORARY, NEW_ADDRESS, NEW_ROUTE, NO_DUPLICATES,
    is_inside_a_namespace,
};

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

#[test]
fn changes_of_links_addresses_and_routes_are_told() {
    if is_inside_a_namespace("changes_of_links_addresses_and_routes_are_told") {
        inside_a_namespace();
    }
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

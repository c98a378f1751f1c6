//! The order in which addresses of a name server's answer are tried (RFC 6724 6).
//!
//! The system's resolver orders its own answers; those that we have asked for are ordered here.

use std::cmp::{Ordering, Reverse};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

/// Orders an answer by where this machine would start from. Asking the system for that sends nothing.
pub(super) fn order(mut addresses: Vec<SocketAddr>) -> Vec<SocketAddr> {
    let rest = addresses.split_off(addresses.len().min(MAX_ORDERED));
    let mut paired: Vec<_> = addresses.into_iter().map(|address| (address, source(address))).collect();
    sort(&mut paired);
    paired.into_iter().map(|(address, _)| address).chain(rest).collect()
}

/// Orders destinations, each with the source that it would be reached from, `None` where it cannot be. What no rule
/// tells apart keeps its order (rule 10).
fn sort(paired: &mut [(SocketAddr, Option<IpAddr>)]) {
    paired.sort_by(|(a, from_a), (b, from_b)| {
        let (Some(from_a), Some(from_b)) = (from_a, from_b) else {
            // Rule 1: what cannot be reached comes last.
            return from_b.is_some().cmp(&from_a.is_some());
        };
        let (a, from_a, b, from_b) = (v6(a.ip()), v6(*from_a), v6(b.ip()), v6(*from_b));
        // The rules 3, 4 and 7 (deprecated, home and encapsulated addresses) need what no portable call tells.
        let scopes = |to, from| scope(to) == scope(from);
        let labels = |to, from| policy(to).label == policy(from).label;
        let rule_2 = Reverse(scopes(a, from_a)).cmp(&Reverse(scopes(b, from_b)));
        let rule_5 = || Reverse(labels(a, from_a)).cmp(&Reverse(labels(b, from_b)));
        let rule_6 = || Reverse(policy(a).precedence).cmp(&Reverse(policy(b).precedence));
        let rule_8 = || scope(a).cmp(&scope(b));
        let rule_9 = || {
            // Of IPv4 it says nothing: servers in one network would be preferred over their like.
            let both = a.to_ipv4_mapped().is_none() && b.to_ipv4_mapped().is_none();
            if both { Reverse(common(a, from_a)).cmp(&Reverse(common(b, from_b))) } else { Ordering::Equal }
        };
        rule_2.then_with(rule_5).then_with(rule_6).then_with(rule_8).then_with(rule_9)
    });
}

/// The address that the system would start from.
fn source(destination: SocketAddr) -> Option<IpAddr> {
    let any: IpAddr = match destination {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let socket = UdpSocket::bind((any, 0)).ok()?;
    // Port 0 cannot be connected to everywhere, and the port makes no difference.
    socket.connect(SocketAddr::new(destination.ip(), destination.port().max(1))).ok()?;
    socket.local_addr().ok().map(|address| address.ip())
}

/// The table knows addresses of IPv4 in their mapped form.
fn v6(address: IpAddr) -> Ipv6Addr {
    match address {
        IpAddr::V4(v4) => v4.to_ipv6_mapped(),
        IpAddr::V6(v6) => v6,
    }
}

/// How far an address reaches, as multicast counts it (RFC 6724 3.1 and 3.2): 2 on the link, 5 on the site, 14
/// everywhere.
fn scope(address: Ipv6Addr) -> u8 {
    if let Some(v4) = address.to_ipv4_mapped() {
        return if v4.is_loopback() || v4.is_link_local() { 2 } else { 14 };
    }
    let [first, second, ..] = address.octets();
    match (first, second & 0xc0) {
        (0xff, _) => second & 0x0f,
        (0xfe, 0x80) => 2,
        (0xfe, 0xc0) => 5,
        _ if address.is_loopback() => 2,
        _ => 14,
    }
}

/// A row of the policy table.
#[derive(Debug, Clone, Copy)]
struct Policy {
    prefix: Ipv6Addr,
    len: u32,
    precedence: u8,
    label: u8,
}

/// The row with the longest prefix of an address.
fn policy(address: Ipv6Addr) -> Policy {
    let row = POLICIES.into_iter().find(|row| common(row.prefix, address) >= row.len);
    row.expect("the last row has every address")
}

/// How many leading bits are the same.
fn common(a: Ipv6Addr, b: Ipv6Addr) -> u32 {
    (a.to_bits() ^ b.to_bits()).leading_zeros()
}

const fn row(prefix: [u16; 8], len: u32, precedence: u8, label: u8) -> Policy {
    let [a, b, c, d, e, f, g, h] = prefix;
    Policy { prefix: Ipv6Addr::new(a, b, c, d, e, f, g, h), len, precedence, label }
}

/// The default policy table (RFC 6724 2.1), the longest prefix first.
const POLICIES: [Policy; 9] = [
    row([0, 0, 0, 0, 0, 0, 0, 1], 128, 50, 0),
    row([0, 0, 0, 0, 0, 0xffff, 0, 0], 96, 35, 4),
    row([0, 0, 0, 0, 0, 0, 0, 0], 96, 1, 3),
    row([0x2001, 0, 0, 0, 0, 0, 0, 0], 32, 5, 5),
    row([0x2002, 0, 0, 0, 0, 0, 0, 0], 16, 30, 2),
    row([0x3ffe, 0, 0, 0, 0, 0, 0, 0], 16, 1, 12),
    row([0xfec0, 0, 0, 0, 0, 0, 0, 0], 10, 1, 11),
    row([0xfc00, 0, 0, 0, 0, 0, 0, 0], 7, 3, 13),
    row([0, 0, 0, 0, 0, 0, 0, 0], 0, 40, 1),
];

/// No more are tried in one race, and each costs a call of the system.
const MAX_ORDERED: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;

    /// The order of destinations, each with its source (`-`: none).
    #[track_caller]
    fn check(paired: &[(&str, &str)], expected: &[&str]) {
        let parse = |(to, from): &(&str, &str)| (SocketAddr::new(to.parse().unwrap(), 1), from.parse().ok());
        let mut paired: Vec<_> = paired.iter().map(parse).collect();
        sort(&mut paired);
        let order: Vec<_> = paired.iter().map(|(to, _)| to.ip().to_string()).collect();
        assert_eq!(order, expected);
    }

    // The examples of RFC 6724 10.2 that need none of the rules 3, 4 and 7.
    #[test]
    fn the_scope_that_matches_its_source_is_preferred() {
        check(
            &[("198.51.100.121", "169.254.13.78"), ("2001:db8:1::1", "2001:db8:1::2")],
            &["2001:db8:1::1", "198.51.100.121"],
        );
        check(
            &[("2001:db8:1::1", "fe80::1"), ("198.51.100.121", "198.51.100.117")],
            &["198.51.100.121", "2001:db8:1::1"],
        );
    }

    #[test]
    fn the_precedence_decides_between_families() {
        check(&[("10.1.2.3", "10.1.2.4"), ("2001:db8:1::1", "2001:db8:1::2")], &["2001:db8:1::1", "10.1.2.3"]);
    }

    #[test]
    fn the_smaller_scope_is_preferred() {
        check(&[("2001:db8:1::1", "2001:db8:1::2"), ("fe80::1", "fe80::2")], &["fe80::1", "2001:db8:1::1"]);
    }

    #[test]
    fn the_label_and_the_precedence_tell_the_kinds_of_ipv6_apart() {
        check(
            &[("2002:c633:6401::1", "2002:c633:6401::2"), ("2001:db8:1::1", "2002:c633:6401::2")],
            &["2002:c633:6401::1", "2001:db8:1::1"],
        );
        check(
            &[("2002:c633:6401::1", "2002:c633:6401::2"), ("2001:db8:1::1", "2001:db8:1::2")],
            &["2001:db8:1::1", "2002:c633:6401::1"],
        );
        check(&[("fd00::1", "2001:db8::2"), ("198.51.100.1", "198.51.100.2")], &["198.51.100.1", "fd00::1"]);
    }

    #[test]
    fn the_longer_common_prefix_is_preferred_with_ipv6_alone() {
        check(
            &[("2001:db8:8000::1", "2001:db8::2"), ("2001:db8:1::1", "2001:db8::2")],
            &["2001:db8:1::1", "2001:db8:8000::1"],
        );
        check(&[("198.51.100.1", "192.0.2.1"), ("192.0.2.7", "192.0.2.1")], &["198.51.100.1", "192.0.2.7"]);
    }

    #[test]
    fn what_cannot_be_reached_comes_last_and_equals_keep_their_order() {
        check(
            &[("2001:db8::1", "-"), ("192.0.2.2", "192.0.2.9"), ("192.0.2.1", "192.0.2.9"), ("2001:db8::2", "-")],
            &["192.0.2.2", "192.0.2.1", "2001:db8::1", "2001:db8::2"],
        );
    }

    #[test]
    fn the_system_tells_the_source_and_nothing_is_lost() {
        assert_eq!(source("127.0.0.1:9".parse().unwrap()), Some(Ipv4Addr::LOCALHOST.into()));
        assert_eq!(source("127.0.0.1:0".parse().unwrap()), Some(Ipv4Addr::LOCALHOST.into()));
        let many: Vec<_> =
            (0..1000).map(|n| SocketAddr::new(Ipv4Addr::from_bits(0x7f00_0000 + n).into(), 80)).collect();
        assert_eq!(order(many.clone()), many);
        assert_eq!(order(Vec::new()), []);
    }
}

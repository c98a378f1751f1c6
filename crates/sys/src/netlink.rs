//! The messages of rtnetlink about links, addresses and routes, as bytes that the kernel wrote (`man 7 rtnetlink`).
//!
//! Only parsing and writing, without I/O: a message is a header and a body, a body a fixed structure and attributes.
//! Nothing here trusts a length.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::native::{array, i32_at, ip, u16_at, u32_at};

/// A message, its header taken apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Message<'a> {
    pub(crate) kind: u16,
    pub(crate) flags: u16,
    pub(crate) sequence: u32,
    pub(crate) body: &'a [u8],
}

/// Bytes that are no message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Malformed;

/// A network interface.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Link {
    pub(crate) index: u32,
    /// The bits `IFF_UP` and its kin.
    pub(crate) flags: u32,
    pub(crate) name: String,
    pub(crate) mtu: u32,
}

/// An address of an interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Address {
    pub(crate) interface: u32,
    pub(crate) address: IpAddr,
    pub(crate) prefix_len: u8,
    /// The bits `IFA_F_TEMPORARY` and its kin.
    pub(crate) flags: u32,
}

/// A route to other hosts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Route {
    pub(crate) interface: Option<u32>,
    pub(crate) destination: IpAddr,
    pub(crate) prefix_len: u8,
}

/// Returns the messages in `bytes`; the last one is an error where something is left that is none.
pub(crate) fn messages(mut bytes: &[u8]) -> impl Iterator<Item = Result<Message<'_>, Malformed>> {
    std::iter::from_fn(move || {
        if bytes.is_empty() {
            return None;
        }
        let message = first_message(bytes).ok_or(Malformed);
        let len = message.map_or(bytes.len(), |message| MESSAGE_HEADER + message.body.len());
        bytes = bytes.get(len.next_multiple_of(ALIGN)..).unwrap_or_default();
        Some(message)
    })
}

fn first_message(bytes: &[u8]) -> Option<Message<'_>> {
    let len = usize::try_from(u32_at(bytes, 0)?).ok()?;
    Some(Message {
        kind: u16_at(bytes, 4)?,
        flags: u16_at(bytes, 6)?,
        sequence: u32_at(bytes, 8)?,
        body: bytes.get(MESSAGE_HEADER..len)?,
    })
}

/// Writes a message to the kernel.
pub(crate) fn write(kind: u16, flags: u16, sequence: u32, body: &[u8]) -> Vec<u8> {
    let len = MESSAGE_HEADER + body.len();
    let mut bytes = Vec::with_capacity(len);
    bytes.extend(u32::try_from(len).expect("a body is short").to_ne_bytes());
    bytes.extend(kind.to_ne_bytes());
    bytes.extend(flags.to_ne_bytes());
    bytes.extend(sequence.to_ne_bytes());
    // The kernel fills in the port.
    bytes.extend(0u32.to_ne_bytes());
    bytes.extend(body);
    bytes
}

impl Message<'_> {
    /// Returns the error that an answer of the kind [`ERROR`] carries, as the system numbers it; 0 for none.
    pub(crate) fn errno(&self) -> Option<i32> {
        i32_at(self.body, 0).map(i32::wrapping_neg)
    }
}

impl Link {
    /// Reads a body of the kinds [`NEW_LINK`] and [`DEL_LINK`]; `None` where it is about something else than a link, such as
    /// a port of a bridge.
    pub(crate) fn parse(body: &[u8]) -> Option<Self> {
        let [family, _] = array(body, 0)?;
        if family != 0 {
            return None;
        }
        let mut link =
            Self { index: u32::try_from(i32_at(body, 4)?).ok()?, flags: u32_at(body, 8)?, name: String::new(), mtu: 0 };
        for (kind, value) in attributes(body.get(16..)?) {
            match kind {
                IFLA_IFNAME => {
                    let name = value.split(|byte| *byte == 0).next().unwrap_or_default();
                    link.name = String::from_utf8_lossy(name).into_owned();
                }
                IFLA_MTU => link.mtu = u32_at(value, 0)?,
                _ => {}
            }
        }
        Some(link)
    }
}

impl Address {
    /// Reads a body of the kinds [`NEW_ADDRESS`] and [`DEL_ADDRESS`]; `None` where it is not of IP.
    pub(crate) fn parse(body: &[u8]) -> Option<Self> {
        let [_, prefix_len, flags, _] = array(body, 0)?;
        let interface = u32_at(body, 4)?;
        let (mut local, mut peer, mut all_flags) = (None, None, u32::from(flags));
        for (kind, value) in attributes(body.get(8..)?) {
            match kind {
                // On a link between two points the other is the peer's.
                IFA_LOCAL => local = ip(value),
                IFA_ADDRESS => peer = ip(value),
                IFA_FLAGS => all_flags = u32_at(value, 0)?,
                _ => {}
            }
        }
        Some(Self { interface, address: local.or(peer)?, prefix_len, flags: all_flags })
    }
}

impl Route {
    /// Reads a body of the kinds [`NEW_ROUTE`] and [`DEL_ROUTE`]; `None` where it does not lead to other hosts over IP: what
    /// an address brings with it, such as the route to itself.
    pub(crate) fn parse(body: &[u8]) -> Option<Self> {
        let [family, prefix_len, _, _, _, _, _, kind] = array(body, 0)?;
        let any: IpAddr = match family {
            FAMILY_V4 => Ipv4Addr::UNSPECIFIED.into(),
            FAMILY_V6 => Ipv6Addr::UNSPECIFIED.into(),
            _ => return None,
        };
        if !OTHER_HOSTS.contains(&kind) {
            return None;
        }
        let mut route = Self { interface: None, destination: any, prefix_len };
        for (kind, value) in attributes(body.get(12..)?) {
            match kind {
                RTA_DST => route.destination = ip(value)?,
                RTA_OIF => route.interface = u32_at(value, 0),
                _ => {}
            }
        }
        Some(route)
    }
}

/// Returns type and value of the attributes in `bytes`, up to the first that is not whole.
fn attributes(mut bytes: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    std::iter::from_fn(move || {
        let len = usize::from(u16_at(bytes, 0)?);
        let kind = u16_at(bytes, 2)? & ATTRIBUTE_TYPE;
        let value = bytes.get(ATTRIBUTE_HEADER..len)?;
        bytes = bytes.get(len.next_multiple_of(ALIGN)..).unwrap_or_default();
        Some((kind, value))
    })
}

/// `NLMSG_ERROR`: an answer, whose error may be 0.
pub(crate) const ERROR: u16 = 2;
/// `NLMSG_DONE`: the end of what was asked for.
pub(crate) const DONE: u16 = 3;
pub(crate) const NEW_LINK: u16 = 16;
pub(crate) const DEL_LINK: u16 = 17;
pub(crate) const GET_LINK: u16 = 18;
pub(crate) const NEW_ADDRESS: u16 = 20;
pub(crate) const DEL_ADDRESS: u16 = 21;
pub(crate) const GET_ADDRESS: u16 = 22;
pub(crate) const NEW_ROUTE: u16 = 24;
pub(crate) const DEL_ROUTE: u16 = 25;

/// `NLMSG_NOOP`: nothing.
pub(crate) const NOTHING: u16 = 1;
/// `NLM_F_REQUEST` and `NLM_F_DUMP`: everything there is is asked for.
pub(crate) const DUMP: u16 = 0x301;
/// `NLM_F_DUMP_INTR`: something changed while it was told.
pub(crate) const INTERRUPTED: u16 = 0x10;

const ALIGN: usize = 4;
const MESSAGE_HEADER: usize = 16;
const ATTRIBUTE_HEADER: usize = 4;
/// The bits beside it say how the value is laid out.
const ATTRIBUTE_TYPE: u16 = 0x3FFF;
const IFLA_IFNAME: u16 = 3;
const IFLA_MTU: u16 = 4;
const IFA_ADDRESS: u16 = 1;
const IFA_LOCAL: u16 = 2;
const IFA_FLAGS: u16 = 8;
const RTA_DST: u16 = 1;
const RTA_OIF: u16 = 4;
const FAMILY_V4: u8 = 2;
const FAMILY_V6: u8 = 10;
/// `RTN_UNICAST`, `RTN_BLACKHOLE`, `RTN_UNREACHABLE`, `RTN_PROHIBIT`.
const OTHER_HOSTS: [u8; 4] = [1, 6, 7, 8];

#[cfg(test)]
mod tests {
    use super::*;

    fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
        let len = ATTRIBUTE_HEADER + value.len();
        let mut bytes = u16::try_from(len).unwrap().to_ne_bytes().to_vec();
        bytes.extend(kind.to_ne_bytes());
        bytes.extend(value);
        bytes.resize(len.next_multiple_of(ALIGN), 0);
        bytes
    }

    fn link() -> Vec<u8> {
        let mut body = vec![0, 0, 1, 0];
        body.extend(7i32.to_ne_bytes());
        body.extend(0x41u32.to_ne_bytes());
        body.extend(0u32.to_ne_bytes());
        body.extend(attribute(IFLA_IFNAME, b"road0\0"));
        body.extend(attribute(0x8000 | 26, &[1; 12]));
        body.extend(attribute(IFLA_MTU, &1400u32.to_ne_bytes()));
        body
    }

    fn address() -> Vec<u8> {
        let mut body = vec![FAMILY_V6, 64, 0x80, 0];
        body.extend(7u32.to_ne_bytes());
        body.extend(attribute(IFA_ADDRESS, &[0xFD; 16]));
        body.extend(attribute(IFA_FLAGS, &0x321u32.to_ne_bytes()));
        body
    }

    fn route() -> Vec<u8> {
        let mut body = vec![FAMILY_V4, 24, 0, 0, 254, 3, 0, 1, 0, 0, 0, 0];
        body.extend(attribute(RTA_DST, &[192, 0, 2, 0]));
        body.extend(attribute(RTA_OIF, &7u32.to_ne_bytes()));
        body
    }

    #[test]
    fn bodies_are_read() {
        let expected = Link { index: 7, flags: 0x41, name: "road0".into(), mtu: 1400 };
        assert_eq!(Link::parse(&link()), Some(expected));
        let expected =
            Address { interface: 7, address: Ipv6Addr::from([0xFD; 16]).into(), prefix_len: 64, flags: 0x321 };
        assert_eq!(Address::parse(&address()), Some(expected));
        let expected = Route { interface: Some(7), destination: Ipv4Addr::new(192, 0, 2, 0).into(), prefix_len: 24 };
        assert_eq!(Route::parse(&route()), Some(expected));
    }

    #[test]
    fn own_address_goes_before_that_of_the_peer() {
        let mut body = vec![FAMILY_V4, 32, 0x80, 0, 7, 0, 0, 0];
        body.extend(attribute(IFA_ADDRESS, &[192, 0, 2, 2]));
        body.extend(attribute(IFA_LOCAL, &[192, 0, 2, 1]));
        let address = Address::parse(&body).unwrap();
        assert_eq!((address.address, address.flags), (Ipv4Addr::new(192, 0, 2, 1).into(), 0x80));
    }

    #[test]
    fn default_route_leads_everywhere() {
        let body = [FAMILY_V6, 0, 0, 0, 254, 3, 0, 1, 0, 0, 0, 0];
        let expected = Route { interface: None, destination: Ipv6Addr::UNSPECIFIED.into(), prefix_len: 0 };
        assert_eq!(Route::parse(&body), Some(expected));
    }

    #[test]
    fn what_is_about_something_else_is_passed_over() {
        let (mut link, mut route) = (link(), route());
        link[0] = 7; // a bridge
        assert_eq!(Link::parse(&link), None);
        route[7] = 2; // a route to this host
        assert_eq!(Route::parse(&route), None);
        route[7] = 1;
        route[0] = 28; // labels
        assert_eq!(Route::parse(&route), None);
        let mut address = address();
        address[8..10].copy_from_slice(&10u16.to_ne_bytes()); // six bytes
        assert_eq!(Address::parse(&address[..20]), None);
    }

    /// Every prefix is refused or read in part; none is a panic.
    #[test]
    fn every_prefix_of_a_body() {
        for len in 0..link().len() {
            assert_eq!(Link::parse(&link()[..len]).is_some(), len >= 16, "{len}");
        }
        for len in 0..address().len() {
            assert_eq!(Address::parse(&address()[..len]).is_some(), len >= 8 + 20, "{len}");
        }
        for len in 0..route().len() {
            assert_eq!(Route::parse(&route()[..len]).is_some(), len >= 12, "{len}");
        }
    }

    fn two() -> Vec<u8> {
        let mut bytes = write(NEW_LINK, 0, 5, &link());
        bytes.extend(write(DONE, INTERRUPTED, 6, &0i32.to_ne_bytes()));
        bytes
    }

    #[test]
    fn messages_follow_each_other() {
        let bytes = two();
        let read: Vec<_> = messages(&bytes).map(Result::unwrap).collect();
        assert_eq!(read.len(), 2);
        assert_eq!((read[0].kind, read[0].sequence, read[0].body), (NEW_LINK, 5, &link()[..]));
        assert_eq!((read[1].kind, read[1].flags), (DONE, INTERRUPTED));
        assert_eq!(read[1].errno(), Some(0));
    }

    #[test]
    fn every_prefix_of_messages() {
        let bytes = two();
        let first = MESSAGE_HEADER + link().len();
        for len in 0..bytes.len() {
            let read: Vec<_> = messages(&bytes[..len]).collect();
            assert_eq!(read.iter().filter(|message| message.is_ok()).count(), usize::from(len >= first), "{len}");
            assert_eq!(read.last().is_some_and(Result::is_err), len != 0 && len != first, "{len}");
        }
    }

    #[test]
    fn lengths_that_lie_end_it() {
        for lie in [0, 1, 15, 4000, u32::MAX - 3, u32::MAX] {
            let mut bytes = two();
            bytes[..4].copy_from_slice(&lie.to_ne_bytes());
            assert_eq!(messages(&bytes).collect::<Vec<_>>(), [Err(Malformed)], "{lie}");
        }
        for lie in [0, 1, 3, 4000, u16::MAX] {
            let mut bytes = attribute(IFLA_MTU, &[0; 4]);
            bytes[..2].copy_from_slice(&lie.to_ne_bytes());
            assert_eq!(attributes(&bytes).count(), 0, "{lie}");
        }
    }

    #[test]
    fn error_of_an_answer_is_the_systems() {
        let bytes = write(ERROR, 0, 1, &(-13i32).to_ne_bytes());
        assert_eq!(messages(&bytes).next().unwrap().unwrap().errno(), Some(13));
    }
}

//! A network namespace of a test's own, where it may change what it likes without any privilege outside.
#![allow(dead_code, unreachable_pub, reason = "each test uses some of it")]

use std::io::Read;
use std::net::{IpAddr, Ipv4Addr};
use std::process::Command;
use std::time::Duration;

use socket2::{Domain, Socket, Type};

/// Set for the process in the namespace, and for no other: it changes interfaces.
const INSIDE: &str = "POSTROAD_TEST_NAMESPACE";

/// Whether this process is in a namespace of its own. Where it is not, the test of this name is run in one, and has passed
/// there or was skipped when this returns.
pub fn is_inside_a_namespace(test: &str) -> bool {
    if std::env::var_os(INSIDE).is_some() {
        return true;
    }
    let unshare = |program: &str| {
        let mut command = Command::new("unshare");
        command.args(["--user", "--map-root-user", "--net", program]);
        command
    };
    // Whether this may be done at all is asked first, so that a failure of the test is one.
    match unshare("true").output() {
        Ok(output) if output.status.success() => {}
        Ok(output) => {
            println!("skipped: network namespace: {}", String::from_utf8_lossy(&output.stderr).trim());
            return false;
        }
        Err(error) => {
            println!("skipped: network namespace: unshare: {error}");
            return false;
        }
    }
    let this = std::env::current_exe().unwrap();
    let output =
        unshare(this.to_str().unwrap()).args(["--exact", test, "--nocapture"]).env(INSIDE, "1").output().unwrap();
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && said.contains("1 passed"), "{said}");
    said.lines().filter(|line| line.starts_with("skipped: ")).for_each(|line| println!("{line}"));
    false
}

/// The kernel of the namespace, which is told what to change.
#[derive(Debug)]
pub struct Kernel(Socket);

#[derive(Debug, Clone, Copy)]
pub struct Lifetimes {
    /// Seconds.
    pub preferred: u32,
    pub flags: u32,
}

impl Kernel {
    pub fn open() -> Self {
        let socket = Socket::new(Domain::from(16), Type::RAW, Some(0.into())).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        Self(socket)
    }

    pub fn link(&self, index: u32, up: bool) {
        let mut body = vec![0; 4];
        for number in [index, u32::from(up), 1] {
            body.extend(number.to_ne_bytes());
        }
        self.request(16, &body);
    }

    pub fn address(&self, kind: u16, index: u32, address: IpAddr, prefix_len: u8, lifetimes: Lifetimes) {
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

    pub fn route(&self, kind: u16, index: u32, network: Ipv4Addr, prefix_len: u8) {
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

pub const NEW_ADDRESS: u16 = 20;
pub const DEL_ADDRESS: u16 = 21;
pub const NEW_ROUTE: u16 = 24;
pub const DEL_ROUTE: u16 = 25;
pub const NO_DUPLICATES: u32 = 0x02;
pub const MANAGE_TEMPORARY: u32 = 0x100;
pub const FOREVER: Lifetimes = Lifetimes { preferred: u32::MAX, flags: 0 };

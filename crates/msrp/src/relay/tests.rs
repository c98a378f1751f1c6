//! Relays and their peers, one clock, and nothing between them but octets.

use std::collections::HashMap;
use std::time::Duration;

use super::*;
use crate::digest::{Algorithm, AuthenticationInfo, Client, Credentials, DigestUri, Ha1};
use crate::{Code, Flag, Head, HeaderName};

mod auth;
mod chain;
mod faults;
mod forwarding;
mod limits;
mod open_relay;
mod pieces;

/// A relay, its clock, and what it has put out.
pub(super) struct World {
    pub(super) relay: Relay,
    pub(super) now: Instant,
    pub(super) out: HashMap<ConnectionKey, Vec<u8>>,
    pub(super) events: Vec<Event>,
    /// Connections whose transport takes nothing, and what it was given.
    pub(super) stuck: Vec<ConnectionKey>,
    held: HashMap<ConnectionKey, Vec<u8>>,
    /// How much of that it has taken.
    pub(super) taken: HashMap<ConnectionKey, usize>,
    /// What could not be read because the relay was not hungry.
    pub(super) unread: HashMap<ConnectionKey, VecDeque<Bytes>>,
}

/// Numbers that differ.
pub(super) fn counted(seed: u64) -> impl FnMut(&mut [u8]) + Send {
    let mut state = seed;
    move |octets| {
        for octet in octets {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            *octet = (state >> 33) as u8;
        }
    }
}

/// Users whose passwords are their names, of which `mallory` may not use the relay.
pub(super) struct People;

impl Users for People {
    fn ha1(&self, username: &str, algorithm: Algorithm) -> Option<Ha1> {
        let known = ["alice", "bob", "carol", "mallory"].contains(&username);
        known.then(|| Ha1::from_password(algorithm, username, "example.com", username))
    }

    fn may_use(&self, username: &str) -> bool {
        username != "mallory"
    }
}

pub(super) fn config(host: &str) -> RelayConfig {
    RelayConfig::new(Host::name(host).unwrap())
}

impl World {
    pub(super) fn new() -> Self {
        Self::with(config("relay.example.com"), |_| {})
    }

    pub(super) fn with(mut config: RelayConfig, change: impl FnOnce(&mut RelayConfig)) -> Self {
        change(&mut config);
        let now = Instant::now();
        let verifier = Verifier::new("example.com", [7; 32], now).unwrap();
        let seed = config.host.to_string().len() as u64;
        let relay = Relay::new(config, verifier, People, counted(seed));
        Self {
            relay,
            now,
            out: HashMap::new(),
            events: Vec::new(),
            stuck: Vec::new(),
            held: HashMap::new(),
            taken: HashMap::new(),
            unread: HashMap::new(),
        }
    }

    pub(super) fn accept(&mut self) -> ConnectionKey {
        self.open(Origin::Accepted, Peer::new(true))
    }

    pub(super) fn open(&mut self, origin: Origin, peer: Peer) -> ConnectionKey {
        let key = self.relay.connection_opened(origin, peer, self.now).unwrap();
        self.pump();
        key
    }

    /// Octets come, as far as the relay reads.
    pub(super) fn put(&mut self, key: ConnectionKey, octets: impl AsRef<[u8]>) {
        self.unread.entry(key).or_default().push_back(Bytes::copy_from_slice(octets.as_ref()));
        self.pump();
    }

    /// Has everything go where it goes.
    pub(super) fn pump(&mut self) {
        loop {
            let mut on = false;
            let hungry: Vec<_> = self.unread.keys().copied().filter(|key| self.relay.is_hungry(*key)).collect();
            for key in hungry {
                let Some(octets) = self.unread.get_mut(&key).and_then(VecDeque::pop_front) else { continue };
                self.relay.handle_input(key, octets, self.now);
                on = true;
            }
            while let Some(key) = self.relay.poll_ready() {
                on = true;
                if !self.stuck.contains(&key) {
                    self.transmit(key);
                } else if !self.held.contains_key(&key) {
                    let mut parts = VecDeque::new();
                    if self.relay.poll_transmit(key, self.now, &mut parts) > 0 {
                        self.held.insert(key, parts.iter().flatten().copied().collect());
                    }
                }
            }
            while let Some(event) = self.relay.poll_event() {
                if let Event::Closed { connection, rest, .. } = &event {
                    self.out.entry(*connection).or_default().extend(rest.iter().flatten());
                    self.unread.remove(connection);
                }
                self.events.push(event);
            }
            if !on {
                break;
            }
        }
        assert!(self.relay.queued == self.relay.links.iter().map(|(_, link)| link.queue.octets()).sum::<usize>());
    }

    fn transmit(&mut self, key: ConnectionKey) {
        let mut parts = VecDeque::new();
        loop {
            let length = self.relay.poll_transmit(key, self.now, &mut parts);
            if length == 0 {
                break;
            }
            assert_eq!(length, parts.iter().map(Bytes::len).sum::<usize>());
            self.relay.handle_sent(key, length, self.now);
            self.out.entry(key).or_default().extend(parts.drain(..).flatten());
        }
    }

    /// A stuck transport takes again.
    pub(super) fn unstick(&mut self, key: ConnectionKey) {
        self.stuck.retain(|stuck| *stuck != key);
        if let Some(held) = self.held.remove(&key) {
            let taken = self.taken.remove(&key).unwrap_or_default();
            self.relay.handle_sent(key, held.len() - taken, self.now);
            self.out.entry(key).or_default().extend(held);
        }
        self.transmit(key);
        self.pump();
    }

    /// The frames that a connection was sent since it was asked last.
    pub(super) fn got(&mut self, key: ConnectionKey) -> Vec<Frame> {
        frames(&self.out.remove(&key).unwrap_or_default())
    }

    pub(super) fn events(&mut self) -> Vec<Event> {
        std::mem::take(&mut self.events)
    }

    /// Why a connection was closed, where it was.
    pub(super) fn closed(&self, key: ConnectionKey) -> Option<CloseReason> {
        self.events.iter().find_map(|event| match event {
            Event::Closed { connection, reason, .. } if *connection == key => Some(*reason),
            _ => None,
        })
    }

    /// The connection that the relay has asked for, and where to.
    pub(super) fn asked(&mut self) -> Option<(ConnectionKey, String)> {
        self.events().into_iter().find_map(|event| match event {
            Event::Connect { connection, uri } => Some((connection, uri.to_string())),
            _ => None,
        })
    }

    /// Lets time go by.
    pub(super) fn wait(&mut self, time: Duration) {
        let end = self.now + time;
        while let Some(at) = self.relay.poll_timeout().filter(|at| *at <= end) {
            self.now = at.max(self.now);
            self.relay.handle_timeout(self.now);
            self.pump();
        }
        self.now = end;
    }

    /// Logs a user in, and gives the URI.
    pub(super) fn log_in(&mut self, key: ConnectionKey, user: &str, from: &str) -> String {
        let response = self.auth(key, user, from, "msrps://relay.example.com;tcp", "");
        assert_eq!(response.start, "200 OK", "{response:?}");
        response.header("Use-Path").to_owned()
    }

    /// What the second `AUTH` of a user is answered.
    pub(super) fn auth(&mut self, key: ConnectionKey, user: &str, from: &str, to: &str, headers: &str) -> Frame {
        self.put(key, format!("MSRP auth1 AUTH\r\nTo-Path: {to}\r\nFrom-Path: {from}\r\n-------auth1$\r\n"));
        let challenge = self.got(key).pop().expect("a challenge");
        assert_eq!(challenge.start, "401 Unauthorized");
        let mut client = Client::new(Credentials::new(user, user).unwrap(), DigestUri::Auto);
        client.challenged(&challenge.header("WWW-Authenticate").parse().unwrap()).unwrap();
        let uri = to.rsplit(' ').next().unwrap();
        let proof = client.authorize(uri, "0a4f113b").unwrap().unwrap();
        let lines = format!("Authorization: {proof}\r\n{headers}");
        self.put(key, format!("MSRP auth2 AUTH\r\nTo-Path: {to}\r\nFrom-Path: {from}\r\n{lines}-------auth2$\r\n"));
        let response = self.got(key).pop().expect("an answer");
        if response.start == "200 OK" {
            let info: AuthenticationInfo = response.header("Authentication-Info").parse().unwrap();
            assert!(client.accepted(Some(&info)).unwrap());
        }
        response
    }
}

/// A frame, without its transaction id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Frame {
    /// The start line behind the id.
    pub(super) start: String,
    pub(super) id: String,
    pub(super) head: Head,
    pub(super) content: Vec<u8>,
    pub(super) flag: Flag,
}

impl Frame {
    pub(super) fn header(&self, name: &str) -> &str {
        let known = HeaderName::of(name.as_bytes()).and_then(|name| self.head.text(name));
        known.or_else(|| std::str::from_utf8(self.head.other(name)?).ok()).unwrap_or_default()
    }

    /// All of it but the id, line by line.
    pub(super) fn text(&self) -> String {
        let head = String::from_utf8_lossy(self.head.as_bytes()).replace(&format!("MSRP {} ", self.id), "");
        let typed = self.head.value(HeaderName::ContentType).is_some();
        let content = if typed { format!("\n{}\n", String::from_utf8_lossy(&self.content)) } else { String::new() };
        format!("{}{content}{}", head.replace("\r\n", "\n"), self.flag)
    }
}

/// The frames of what was put out, each without a fault.
pub(super) fn frames(octets: &[u8]) -> Vec<Frame> {
    let frame = |(head, content, flag): (Head, Vec<u8>, Flag)| {
        let line = String::from_utf8_lossy(head.as_bytes()).split("\r\n").next().unwrap().to_owned();
        let id = head.transaction_id().to_string();
        let start = line.strip_prefix(&format!("MSRP {id} ")).unwrap().to_owned();
        Frame { start, id, head, content, flag }
    };
    crate::testing::frames(octets).into_iter().map(frame).collect()
}

pub(super) fn starts(frames: &[Frame]) -> Vec<&str> {
    frames.iter().map(|frame| frame.start.as_str()).collect()
}

/// A chunk with its end.
pub(super) fn send(id: &str, to: &str, from: &str, headers: &str, content: &str) -> String {
    format!(
        "MSRP {id} SEND\r\nTo-Path: {to}\r\nFrom-Path: {from}\r\nMessage-ID: m-{id}\r\n{headers}\
         Content-Type: text/plain\r\n\r\n{content}\r\n-------{id}$\r\n"
    )
}

pub(super) const ALICE: &str = "msrps://alice.example.com:9892/98cjs;tcp";
pub(super) const BOB: &str = "msrps://bob.example.net:8145/foo;tcp";

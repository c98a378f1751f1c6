//! A relay with three connections: any octets, cut anywhere, in any order.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use bytes::Bytes;

use crate::digest::{Algorithm, Authorization, Challenge, Credentials, Ha1, Verifier};
use crate::relay::{ConnectionKey, Event, Origin, Peer, Relay, RelayConfig};
use crate::{Event as Parsed, HeaderName, Host, Parser};

const OCTETS: usize = 1 << 16;

/// A relay takes what comes over three connections, of which two are logged in: each step names a connection and what happens
/// to it. `{a}` and `{b}` in the input stand for the URIs that the clients were given, `{0}` to `{9}` for the transactions of
/// what a connection was sent last.
///
/// # Panics
/// When what the relay puts out is not frames that are whole, or what it holds grows.
pub fn relay(input: &[u8]) {
    let mut game = Game::new();
    let mut rest = &input[..input.len().min(OCTETS)];
    while let [step, more @ ..] = rest {
        rest = more;
        let link = usize::from(step & 3) % 3;
        match step >> 2 & 7 {
            // Octets, up to the end or a length.
            0..=3 => {
                let length = if step & 0x80 == 0 { rest.len().min(usize::from(*step)) } else { rest.len() };
                let (octets, more) = rest.split_at(length);
                rest = more;
                let octets = game.named(link, octets);
                game.put(link, &octets);
            }
            4 => game.wait(Duration::from_secs(7)),
            5 => game.reads[link] = !game.reads[link],
            6 => game.end(link),
            _ => game.connect(step & 0x20 == 0),
        }
        game.run();
    }
    game.reads = [true; 3];
    game.run();
    game.wait(Duration::from_secs(4000));
    game.run();
    assert_eq!(game.relay.backlog(), 0);
    assert_eq!(game.relay.uris(), 0);
}

struct Game {
    relay: Relay,
    now: Instant,
    links: [ConnectionKey; 3],
    /// Connections that the relay has asked for.
    others: Vec<ConnectionKey>,
    asked: Vec<ConnectionKey>,
    reads: [bool; 3],
    /// What was taken out and not written.
    held: [usize; 3],
    parsers: [Parser; 3],
    ids: [Vec<String>; 3],
    uris: [String; 2],
}

impl Game {
    fn new() -> Self {
        let now = Instant::now();
        let host = Host::name("relay.example.com").expect("a name");
        let mut config = RelayConfig::new(host);
        (config.queue, config.window, config.answers) = (20_000, 8, 4000);
        let verifier = Verifier::new("example.com", [1; 32], now).expect("a realm");
        let users = |user: &str, algorithm: Algorithm| Some(Ha1::from_password(algorithm, user, "example.com", user));
        let mut state = 1_u64;
        let random = move |octets: &mut [u8]| {
            for octet in octets {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                *octet = (state >> 33) as u8;
            }
        };
        let mut relay = Relay::new(config, verifier, users, random);
        let mut open = || relay.connection_opened(Origin::Accepted, Peer::new(true), now).expect("there is room");
        let links = [open(), open(), open()];
        let mut game = Self {
            relay,
            now,
            links,
            others: Vec::new(),
            asked: Vec::new(),
            reads: [true; 3],
            held: [0; 3],
            parsers: Default::default(),
            ids: Default::default(),
            uris: Default::default(),
        };
        for (link, user) in ["alice", "bob"].into_iter().enumerate() {
            game.log_in(link, user);
        }
        game
    }

    fn log_in(&mut self, link: usize, user: &str) {
        let uri = "msrps://relay.example.com;tcp";
        let lines = |more: &str| {
            let from = format!("msrps://{user}.example.com:7654/{user};tcp");
            Bytes::from(format!("MSRP auth AUTH\r\nTo-Path: {uri}\r\nFrom-Path: {from}\r\n{more}-------auth$\r\n"))
        };
        let mut answer = |more: &str, header| {
            self.relay.handle_input(self.links[link], lines(more), self.now);
            let mut out = VecDeque::new();
            let length = self.relay.poll_transmit(self.links[link], self.now, &mut out);
            self.relay.handle_sent(self.links[link], length, self.now);
            let mut parser = Parser::default();
            out.into_iter().for_each(|part| parser.push(part));
            let Ok(Some(Parsed::Head(head))) = parser.next_event() else { panic!("no answer") };
            head.text(header).expect("a value").to_owned()
        };
        let challenge: Challenge = answer("", HeaderName::WwwAuthenticate).parse().expect("its own");
        let credentials = Credentials::new(user, user).expect("a name");
        let proof = Authorization::answer(&challenge, &credentials, uri, true, "c", 1).expect("checked values");
        self.uris[link] = answer(&format!("Authorization: {proof}\r\n"), HeaderName::UsePath);
    }

    fn named(&self, link: usize, octets: &[u8]) -> Vec<u8> {
        let mut named = Vec::with_capacity(octets.len());
        let mut rest = octets;
        while let Some(octet) = rest.first() {
            let name = match rest {
                [b'{', b'a', b'}', ..] => Some(&self.uris[0]),
                [b'{', b'b', b'}', ..] => Some(&self.uris[1]),
                [b'{', digit @ b'0'..=b'9', b'}', ..] => self.ids[link].iter().rev().nth(usize::from(digit - b'0')),
                _ => None,
            };
            match name {
                Some(name) => {
                    named.extend_from_slice(name.as_bytes());
                    rest = &rest[3..];
                }
                None => {
                    named.push(*octet);
                    rest = &rest[1..];
                }
            }
        }
        named
    }

    fn put(&mut self, link: usize, octets: &[u8]) {
        if self.relay.is_hungry(self.links[link]) {
            self.relay.handle_input(self.links[link], Bytes::copy_from_slice(octets), self.now);
        }
    }

    fn wait(&mut self, time: Duration) {
        let end = self.now + time;
        while let Some(at) = self.relay.poll_timeout().filter(|at| *at <= end) {
            self.now = self.now.max(at);
            self.relay.handle_timeout(self.now);
            self.run();
        }
        self.now = end;
    }

    /// A connection ends, and another takes its place.
    fn end(&mut self, link: usize) {
        self.relay.handle_eof(self.links[link], self.now);
        self.anew(link);
    }

    fn anew(&mut self, link: usize) {
        let opened = self.relay.connection_opened(Origin::Accepted, Peer::new(true), self.now);
        self.links[link] = opened.expect("there is room");
        (self.held[link], self.parsers[link]) = (0, Parser::default());
    }

    fn connect(&mut self, made: bool) {
        let Some(key) = self.asked.pop() else { return };
        if made {
            // It may have been given up.
            self.others.extend(self.relay.connection_opened(Origin::Asked(key), Peer::new(true), self.now));
        } else {
            self.relay.connection_failed(key, self.now);
        }
    }

    fn run(&mut self) {
        // Each round takes something out, or is the last.
        for _ in 0..100_000 {
            let mut on = false;
            for link in 0..3 {
                if self.reads[link] && self.held[link] > 0 {
                    let octets = std::mem::take(&mut self.held[link]);
                    self.relay.handle_sent(self.links[link], octets, self.now);
                    on = true;
                }
                if self.held[link] == 0 {
                    let mut out = VecDeque::new();
                    let length = self.relay.poll_transmit(self.links[link], self.now, &mut out);
                    assert_eq!(length, out.iter().map(Bytes::len).sum::<usize>());
                    self.held[link] = length;
                    on |= length > 0 && self.reads[link];
                    self.take(link, out);
                }
            }
            for key in self.others.clone() {
                let length = self.relay.poll_transmit(key, self.now, &mut VecDeque::new());
                self.relay.handle_sent(key, length, self.now);
                on |= length > 0;
            }
            while self.relay.poll_ready().is_some() {}
            while let Some(event) = self.relay.poll_event() {
                match event {
                    Event::Connect { connection, .. } => self.asked.push(connection),
                    Event::Closed { connection, rest, .. } => {
                        self.others.retain(|other| *other != connection);
                        if let Some(link) = self.links.iter().position(|link| *link == connection) {
                            self.take(link, rest);
                            assert!(self.parsers[link].is_between_frames(), "a frame that is not whole");
                            self.anew(link);
                            on = true;
                        }
                    }
                    _ => {}
                }
            }
            assert!(self.relay.backlog() < 6 * (4 * 20_000 + OCTETS), "{}", self.relay.backlog());
            if !on {
                return;
            }
        }
        panic!("without end");
    }

    /// What leaves is frames.
    fn take(&mut self, link: usize, out: VecDeque<Bytes>) {
        out.into_iter().for_each(|part| self.parsers[link].push(part));
        while let Some(event) = self.parsers[link].next_event().expect("a relay puts out frames") {
            if let Parsed::Head(head) = event {
                assert!(head.fault().is_none(), "{head:?}");
                self.ids[link].push(head.transaction_id().to_string());
                if self.ids[link].len() > 10 {
                    self.ids[link].remove(0);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn r65_a_game_is_gone_through() {
        let chunk =
            b"MSRP abcd SEND\r\nTo-Path: {a} {b} msrps://bob.example.com:1/b;tcp\r\nFrom-Path: msrps://a.b:1/a;tcp\r\n\
                      Message-ID: m\r\nContent-Type: text/plain\r\n\r\nhello\r\n-------abcd$\r\n";
        let answer = b"MSRP {0} 413 No\r\nTo-Path: {b}\r\nFrom-Path: {a}\r\n-------{0}$\r\n";
        super::relay(&[&[0x80], &chunk[..]].concat());
        let mut input = vec![0];
        for part in chunk.chunks(0x0c) {
            input.extend([0x0c].iter().chain(part));
        }
        input.extend([0x10, 0x14, 0x18, 0x1c, 0x81]);
        input.extend_from_slice(answer);
        super::relay(&input);
        super::relay(b"\xff\xff");
        super::relay(&[0x14, 0x15, 0x16, 0x10, 0x10, 0x10, 0x10, 0x10, 0x10, 0x19, 0x18]);
    }
}

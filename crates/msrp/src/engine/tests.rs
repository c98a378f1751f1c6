//! Two ends, one clock, and nothing between them but a queue of octets.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::*;
pub(super) use crate::testing::frames;
use crate::{FailureReport, Flag, Head, HeaderName, Method};

mod answers;
mod faults;
mod receiving;
mod sending;

/// A connection whose random numbers are counted, and whose octets go nowhere by themselves.
pub(super) struct End {
    pub(super) engine: Connection,
    pub(super) session: SessionKey,
    pub(super) now: Instant,
}

pub(super) fn uri(name: &str) -> Uri {
    format!("msrp://{name}.example.com:7654/{name};tcp").parse().unwrap()
}

/// Numbers that differ.
pub(super) fn counted(seed: u64) -> impl FnMut(&mut [u8]) + Send {
    let mut state = seed;
    move |octets| {
        for octet in octets {
            // A linear congruence: nobody has to be surprised here.
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            *octet = (state >> 33) as u8;
        }
    }
}

impl End {
    pub(super) fn of(name: &str, peer: &str) -> Self {
        Self::with(name, peer, Config::default(), |_| {})
    }

    pub(super) fn with(name: &str, peer: &str, config: Config, change: impl FnOnce(&mut SessionOptions)) -> Self {
        let now = Instant::now();
        let mut engine = Connection::new(config, counted(name.len() as u64), now);
        let mut options = SessionOptions::new(uri(name), uri(peer));
        change(&mut options);
        let session = engine.add_session(options, now).unwrap();
        Self { engine, session, now }
    }

    /// What it puts out now, which the transport takes.
    pub(super) fn put_out(&mut self) -> Vec<u8> {
        let mut parts = VecDeque::new();
        let mut octets = Vec::new();
        loop {
            let length = self.engine.poll_transmit(self.now, &mut parts);
            if length == 0 {
                return octets;
            }
            self.engine.handle_sent(self.now, length);
            octets.extend(parts.drain(..).flatten());
        }
    }

    pub(super) fn take(&mut self, octets: &[u8]) {
        self.engine.handle_input(self.now, Bytes::copy_from_slice(octets));
    }

    pub(super) fn events(&mut self) -> Vec<Event> {
        let events: Vec<_> = std::iter::from_fn(|| self.engine.poll_event()).collect();
        events.iter().for_each(|event| self.engine.handle_taken(event.weight()));
        events
    }

    pub(super) fn send(&mut self, message: Outgoing) -> MessageKey {
        self.engine.send(self.session, message).unwrap()
    }

    /// Lets time go by.
    pub(super) fn wait(&mut self, time: Duration) {
        self.now += time;
        while self.engine.poll_timeout().is_some_and(|at| at <= self.now) {
            self.engine.handle_timeout(self.now);
        }
    }
}

/// Of each frame the method or code, the byte range, the length of its content, and the flag.
pub(super) fn outline(octets: &[u8]) -> Vec<(String, String, usize, Flag)> {
    let outline = |(head, content, flag): (Head, Vec<u8>, Flag)| {
        let what = match (head.method(), head.code()) {
            (Some(method), _) => method.to_string(),
            (None, code) => code.unwrap().to_string(),
        };
        (what, head.text(HeaderName::ByteRange).unwrap_or_default().to_owned(), content.len(), flag)
    };
    frames(octets).into_iter().map(outline).collect()
}

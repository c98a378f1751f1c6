//! A client, and a relay that answers frames by hand, in virtual time.

use std::collections::VecDeque;

use bytes::Bytes;

use super::*;
use crate::digest::Credentials;
use crate::engine::Config;
use crate::{Parser, Uri};

mod chain;
mod exchange;
mod locate;
mod refresh;
mod verifier;

pub(super) const OWN: &str = "msrps://alice.example.com:9892/98cjs;tcp";
pub(super) const INTRA: &str = "msrps://alice@intra.example.com;tcp";
pub(super) const EXTRA: &str = "msrps://extra.example.com;tcp";
pub(super) const INTRA_PATH: &str = "msrps://intra.example.com:9000/jui787s2f;tcp";
pub(super) const EXTRA_PATH: &str = "msrps://extra.example.com:9000/mywdEe1233;tcp";
pub(super) const CHALLENGE: &str =
    "WWW-Authenticate: Digest realm=\"intra.example.com\", qop=\"auth\", nonce=\"dcd98b7102dd\"\r\n";

pub(super) struct Client {
    pub(super) connection: Connection,
    pub(super) registration: Registration,
    pub(super) now: Instant,
}

pub(super) fn options() -> RegistrationOptions {
    let alice = Credentials::new("alice", "wonderland").unwrap();
    RegistrationOptions::new(OWN.parse().unwrap(), INTRA.parse().unwrap(), alice)
}

pub(super) fn granted(seconds: u64) -> String {
    format!("Use-Path: {INTRA_PATH}\r\nExpires: {seconds}\r\n")
}

/// Numbers that differ.
fn counted() -> impl FnMut(&mut [u8]) + Send {
    let mut next = 0_u8;
    move |octets| {
        for octet in octets {
            next = next.wrapping_mul(13).wrapping_add(7);
            *octet = next;
        }
    }
}

impl Client {
    pub(super) fn new(options: RegistrationOptions) -> Self {
        let now = Instant::now();
        // There is no session yet.
        let config = Config { unbound_timeout: Duration::from_secs(1_000_000), ..Config::default() };
        let connection = Connection::new(config, counted(), now);
        Self { connection, registration: Registration::new(options, counted()).unwrap(), now }
    }

    pub(super) fn begun() -> Self {
        Self::with(|_| {})
    }

    pub(super) fn with(change: impl FnOnce(&mut RegistrationOptions)) -> Self {
        let mut options = options();
        change(&mut options);
        let mut client = Self::new(options);
        client.registration.begin(&mut client.connection, client.now).unwrap();
        client
    }

    /// A client that has been let in without a challenge.
    pub(super) fn let_in(seconds: u64) -> Self {
        let mut client = Self::begun();
        assert!(matches!(client.answered("200 OK", &granted(seconds)), Some(Outcome::Granted { .. })));
        client
    }

    pub(super) fn sent(&mut self) -> Vec<Head> {
        let mut parts = VecDeque::new();
        let length = self.connection.poll_transmit(self.now, &mut parts);
        self.connection.handle_sent(self.now, length);
        let mut parser = Parser::default();
        parts.into_iter().for_each(|part| parser.push(part));
        let mut heads = Vec::new();
        while let Some(event) = parser.next_event().unwrap() {
            if let crate::Event::Head(head) = event {
                assert_eq!((head.method(), head.fault()), (Some(Method::Auth), None), "{head:?}");
                heads.push(head);
            }
        }
        heads
    }

    /// The one request that it has sent.
    #[track_caller]
    pub(super) fn asks(&mut self) -> Head {
        let mut sent = self.sent();
        assert_eq!(sent.len(), 1, "{sent:?}");
        sent.remove(0)
    }

    /// What comes of what the connection tells.
    pub(super) fn outcome(&mut self) -> Option<Outcome> {
        let mut outcome = None;
        while let Some(event) = self.connection.poll_event() {
            let came = self.registration.handle_event(&event, &mut self.connection, self.now);
            assert!(outcome.is_none() || came.is_none(), "{outcome:?} {came:?}");
            outcome = outcome.or(came);
        }
        outcome
    }

    pub(super) fn answer(&mut self, head: &Head, line: &str, headers: &str) -> Option<Outcome> {
        let id = head.transaction_id();
        let path = |name| head.text(name).unwrap();
        let (to, from) = (path(HeaderName::FromPath), path(HeaderName::ToPath));
        let frame = format!("MSRP {id} {line}\r\nTo-Path: {to}\r\nFrom-Path: {from}\r\n{headers}-------{id}$\r\n");
        self.connection.handle_input(self.now, Bytes::from(frame));
        self.outcome()
    }

    /// Answers the one request that it has sent.
    #[track_caller]
    pub(super) fn answered(&mut self, line: &str, headers: &str) -> Option<Outcome> {
        let head = self.asks();
        self.answer(&head, line, headers)
    }

    #[track_caller]
    pub(super) fn lost_by(&mut self, line: &str, headers: &str) -> RegistrationErrorKind {
        lost(self.answered(line, headers))
    }

    /// Lets time go by, in which nothing is answered.
    pub(super) fn wait(&mut self, seconds: u64) -> Option<Outcome> {
        let end = self.now + Duration::from_secs(seconds);
        loop {
            let next = [self.connection.poll_timeout(), self.registration.poll_timeout()].into_iter().flatten().min();
            self.now = next.filter(|at| *at < end).unwrap_or(end).max(self.now);
            self.connection.handle_timeout(self.now);
            let told = self.outcome();
            let outcome = told.or_else(|| self.registration.handle_timeout(&mut self.connection, self.now));
            if outcome.is_some() || self.now == end {
                return outcome;
            }
        }
    }
}

#[track_caller]
pub(super) fn lost(outcome: Option<Outcome>) -> RegistrationErrorKind {
    match outcome {
        Some(Outcome::Lost(error)) => error.kind().clone(),
        other => panic!("{other:?}"),
    }
}

pub(super) fn proof(head: &Head) -> Option<crate::digest::Authorization> {
    head.text(HeaderName::Authorization).map(|proof| proof.parse().unwrap())
}

//! What is the same for all sessions of a connection.

use std::time::Duration;

use crate::parser::Limits;

/// How a connection behaves, whatever its sessions are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Config {
    /// How large heads may be.
    pub limits: Limits,
    /// How the transport carries frames.
    pub carriage: Carriage,
    /// How long a response is waited for, from when the last octet of the request was taken by the transport. By default
    /// 30 s (RFC 4975 7.1.1).
    pub response_timeout: Duration,
    /// Requests that wait for their responses; no further chunk is begun meanwhile. By default 1000.
    pub window: usize,
    /// Sessions. By default 1024.
    pub sessions: usize,
    /// Octets of responses and reports that wait because the peer does not read; no more is read meanwhile. By default
    /// 65 536.
    pub answers: usize,
    /// Octets of content that were handed on and not taken yet; no more is read meanwhile. By default 1 MiB.
    pub taken: usize,
    /// Octets of messages that are being put together, over all sessions. By default 64 MiB.
    pub assembly: u64,
    /// How long a peer has from the beginning of a head to its end. By default 30 s.
    pub head_timeout: Duration,
    /// In each such time a chunk that has begun brings [`content_least`](Self::content_least) at least. By default 60 s.
    pub content_timeout: Duration,
    /// How many octets that is. By default 1024.
    pub content_least: u64,
    /// How long a chunk of ours stays open while its owner gives nothing. By default 5 s.
    pub lull: Duration,
    /// How long a connection may be bound to no session. By default 30 s.
    pub unbound_timeout: Duration,
    /// Requests for sessions that are not there, before the connection is closed. By default 16.
    pub strangers: u32,
    /// How much of one message is sent while others wait, in octets. By default 65 536, at least 2048 (RFC 4975 7.1).
    pub share: usize,
}

/// How a transport carries frames.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Carriage {
    /// As octets: chunks are long, and interrupted when something else is to be sent.
    Stream,
    /// Each frame in a message of its own, as WebSocket does (RFC 7977 5.1), with so many octets of content at most.
    Frames(usize),
}

impl Default for Config {
    fn default() -> Self {
        Self {
            limits: Limits::default(),
            carriage: Carriage::Stream,
            response_timeout: Duration::from_secs(30),
            window: 1000,
            sessions: 1024,
            answers: 65_536,
            taken: 1 << 20,
            assembly: 64 << 20,
            head_timeout: Duration::from_secs(30),
            content_timeout: Duration::from_secs(60),
            content_least: 1024,
            lull: Duration::from_secs(5),
            unbound_timeout: Duration::from_secs(30),
            strangers: 16,
            share: 65_536,
        }
    }
}

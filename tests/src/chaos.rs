//! Messages through an embedded broker over connections that are cut all the time, and what became of them.
//!
//! A sender and a receiver have each a connection of their own, through a proxy of its own. Payloads carry their numbers and
//! a checksum, and the receiver's record decides: how many were lost, and how many came again.
//!
//! The cuts are spread over the messages. Each comes when its share of them was handed over; the sender waits where the
//! cuts are late, and at the end, until there were as many as were asked for. Then there are no more faults, everything
//! is settled, and the queue is emptied.
//!
//! In the other kind of run two movers take messages from one queue and post them to another, each in a transaction.

mod board;
mod cutting;
mod director;
mod ends;
mod face;
mod handlers;
mod ledger;
mod messages;
mod moving;
mod payload;
mod stage;
mod table;
mod transfers;

use std::fmt;
use std::time::Duration;

use postroad_broker::StartError;
use postroad_client::Guarantee;
use postroad_testkit::faults::Stats;

pub use self::ledger::Count;
pub use self::messages::run;
pub use self::table::Table;
pub use self::transfers::{Doubts, TransferReport, run_transfers};

/// What a run is to be.
#[derive(Debug, Clone)]
pub struct Options {
    /// Messages to send, or to move.
    pub messages: u64,
    /// Cuts to make, at least.
    pub cuts: u64,
    /// What is asked of the links.
    pub guarantee: Guarantee,
    /// What the ends have.
    pub interface: Interface,
    /// Fixes payloads and cuts; not how they fall together.
    pub seed: u64,
    /// How long nothing may move.
    pub patience: Duration,
    /// How long it may take in all.
    pub limit: Duration,
}

/// What the ends of a run have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Interface {
    /// The client, without a face.
    Client,
    /// The face of qpid.messaging.
    Messaging,
    /// The container face; it moves no messages in transactions.
    Container,
}

/// What a run has shown.
#[derive(Debug)]
pub struct Report {
    /// What became of the messages.
    pub count: Count,
    /// Numbers of messages that were lost, and of some that came again: the first ones.
    pub odd_ones: [Vec<u64>; 2],
    /// What was done to the connections.
    pub blows: Blows,
}

/// What was done to the connections of a run.
#[derive(Debug)]
pub struct Blows {
    /// What the two ends are called.
    pub ends: [&'static str; 2],
    /// The faults of each.
    pub stats: [Stats; 2],
    /// Cuts that did not find the place in time that was meant for them, and came anywhere.
    pub late: u64,
    /// How long the run took.
    pub took: Duration,
}

/// Why a run did not come to its end.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Failure {
    /// The broker did not start.
    #[error("broker: {0}")]
    Broker(#[from] StartError),
    /// A proxy did not start.
    #[error("proxy: {0}")]
    Proxy(#[from] std::io::Error),
    /// An end has lost what it cannot make again, or an outcome of a message: with where everything stands, once it is told.
    #[error("{end}: {why}")]
    End {
        /// Which end.
        end: &'static str,
        /// Why.
        why: String,
    },
    /// Nothing moved any more, or it took too long: where everything stands.
    #[error("{0}")]
    Stuck(String),
}

impl Blows {
    /// Cuts of both ends.
    #[must_use]
    pub fn cuts(&self) -> u64 {
        self.stats.iter().map(|stats| stats.cuts).sum()
    }
}

impl fmt::Display for Report {
    /// The last line of a run.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Count { sent, received, lost, repeated, .. } = self.count;
        write!(f, "sent {sent} received {received} lost {lost} repeated {repeated} cuts {}", self.blows.cuts())
    }
}

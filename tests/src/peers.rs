//! Other people's peers, of AMQP, MSRP and the transports: where they are, how they start and stop.

mod fe2o3;
#[cfg(test)]
mod guard_test;
mod kamailio;
mod ports;
mod program;
mod proton;
mod proton_cpp;
mod rabbitmq;
mod rhea;
mod transport;
mod tshark;

use std::fmt;
use std::io::Write;
use std::path::{Path, PathBuf};

pub use fe2o3::fe2o3;
pub use kamailio::{Kamailio, Oversize, Settings, Transport, User, kamailio};
pub use program::{Listener, Peer};
pub use proton::{proton_python, proton_transactions};
pub use proton_cpp::{ExampleBroker, proton_cpp};
pub use rabbitmq::{Protocol, RabbitMq, rabbitmq};
pub use rhea::rhea;
pub use transport::{OpenSsl, aioquic, openssl, python, websockets};
pub use tshark::{Tshark, tshark};

/// A peer that is not on this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Skipped {
    /// The peer's name.
    pub name: &'static str,
    /// Why it cannot run, with what to do about it.
    pub reason: String,
}

impl Skipped {
    /// Writes the line `skipped: NAME: REASON` to stderr, past the capture of the test harness, so that
    /// a run shows what it did not test.
    ///
    /// # Panics
    /// When `POSTROAD_REQUIRE_PEERS` is set (as in CI): there a missing peer is a failure.
    pub fn report(&self) {
        assert!(std::env::var_os("POSTROAD_REQUIRE_PEERS").is_none(), "{self}, but POSTROAD_REQUIRE_PEERS is set");
        self.note();
    }

    /// Writes the same line and never fails: for what a machine may forbid, whatever is installed on it.
    pub fn note(&self) {
        say(&self.to_string());
    }
}

impl fmt::Display for Skipped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "skipped: {}: {}", self.name, self.reason)
    }
}

/// Writes the line `peer: NAME VERSION` to stderr, past the capture of the test harness.
fn announce(name: &str, version: &str) {
    say(&format!("peer: {name} {version}"));
}

/// Writes a line in one piece, for the harness writes from other threads.
fn say(line: &str) {
    // A closed stderr loses the line and nothing else.
    let _ = std::io::stderr().write_all(format!("{line}\n").as_bytes());
}

/// Where peers from package registries are installed: `$POSTROAD_PEERS`, else `target/peers`.
#[must_use]
pub fn peers_dir() -> PathBuf {
    std::env::var_os("POSTROAD_PEERS").map_or_else(
        || {
            let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| package("../target"), PathBuf::from);
            target.join("peers")
        },
        PathBuf::from,
    )
}

/// A path in this package.
fn package(relative: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(relative)
}

//! Scripted peers, frame builders, two engines on one clock, a simulation, and faults of connections, for tests.
//!
//! Nothing here opens a socket, reads the time or draws a number that a seed does not fix: a test that
//! fails once fails again. A [`ScriptedPeer`] stands opposite of one engine, so that a test reads as a
//! trace of the protocol; a [`Pair`] lets two engines talk over a [`Wire`] that is slow, cuts bytes
//! anywhere, stalls, or breaks; [`simulate`] plays links that outlive their connections, against what
//! they guarantee; [`faults`] decides what goes wrong with the bytes of a connection.
//!
//! The feature `net` adds what the second sentence leaves out: a proxy on loopback sockets that does to real
//! connections what [`faults`] decides.
//!
//! ```
//! use postroad_amqp::v1_0::{Config, Event};
//! use postroad_codec::v1_0::ProtocolHeader;
//! use postroad_testkit::{ScriptedPeer, begin, open};
//!
//! let mut peer = ScriptedPeer::of_client(Config::new("engine"));
//! peer.expect_header(ProtocolHeader::AMQP).expect(open().container_id("engine"));
//! peer.send_header(ProtocolHeader::AMQP).send(open().channel_max(8));
//! assert_eq!(peer.events(), [Event::Opened]);
//! peer.engine.begin().unwrap();
//! peer.expect(begin()).expect_nothing();
//! ```

pub mod faults;
mod frames;
#[cfg(feature = "net")]
mod nobody;
mod pair;
#[cfg(feature = "net")]
mod proxy;
mod rng;
mod scripted;
mod simulation;
mod wire;

pub use frames::{
    Body, Builder, CONDITIONS, accepted, attach_receiver, attach_sender, begin, close, continuation, detach,
    disposition, end, error, flow, open, transfer,
};
#[cfg(feature = "net")]
pub use nobody::nobody;
pub use pair::{Pair, Side};
#[cfg(feature = "net")]
pub use proxy::{Door, Proxy};
pub use rng::Rng;
pub use scripted::ScriptedPeer;
pub use simulation::{Stats, simulate};
pub use wire::{Chunks, CutIn, Wire};

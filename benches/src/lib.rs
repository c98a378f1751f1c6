//! Benches: one per question, and the side-by-side runs against peers.
//!
//! `cargo run --release -p benches --bin peers` runs our peer beside other people's, interleaved in one
//! run; see the README of this package.

pub mod brokers;
pub mod codec;
pub mod engine;
pub mod guarantees;
pub mod measure;
pub mod peers;
pub mod postroad;
pub mod recovery;
pub mod run;
pub mod series;
pub mod table;
pub mod taps;

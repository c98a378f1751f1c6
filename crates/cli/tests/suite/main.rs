//! The command as a person or a script meets it: what it prints, how it ends, what it leaves behind.

mod address;
mod bench;
mod broker;
mod decode;
mod demo;
mod errors;
mod help;
mod messages;
mod secure;
mod signals;
mod support;
mod taps;
mod trace;
mod transports;

//! AMQP on the wire: bytes to typed values, performatives and messages, and back.
//!
//! This crate is deterministic and knows no state: no sockets, no clocks, no sessions. If a question
//! needs to know what was sent before, its answer lives in `postroad-amqp`. Everything here may be
//! fed bytes from an attacker: a declared size or count meets a limit before memory does, and bad
//! input is a [`v1_0::DecodeError`] that says which type, where, and why.
//!
//! ```
//! use postroad_codec::v1_0::{Decode, Encode, Reader, Value};
//!
//! let mut bytes = Vec::new();
//! Value::from("hello").encode(&mut bytes);
//! assert_eq!(bytes, b"\xa1\x05hello");
//! assert_eq!(Value::decode(&mut Reader::from_slice(&bytes))?, Value::from("hello"));
//! # Ok::<(), postroad_codec::v1_0::DecodeError>(())
//! ```

#[cfg(any(test, feature = "fuzzing"))]
#[doc(hidden)]
pub mod fuzz;
pub mod v1_0;

//! The messaging stack for Rust: one crate that re-exports the others.

//! What transport services do about protocol stacks that are not built in. A package of its own, for features add up:
//! built together with any other of the workspace, they have TLS.
//!
//! `cargo xtask features` runs the tests, without the default features.

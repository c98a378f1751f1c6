//! Cross-crate, interop, simulation and chaos suites.

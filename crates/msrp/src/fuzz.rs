//! The bodies of the fuzz targets in `fuzz/`; no part of the API.

mod digest;

pub use digest::digest;

//! Digest authentication: any header values, and a relay that is shown them. `cargo +nightly fuzz run digest`

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| postroad_msrp::fuzz::digest(bytes));

//! URIs and paths, from any text. `cargo +nightly fuzz run uri`

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| postroad_msrp::fuzz::uri(bytes));

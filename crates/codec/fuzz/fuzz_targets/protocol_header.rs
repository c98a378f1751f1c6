//! The first bytes of a peer. `cargo +nightly fuzz run protocol_header`

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| postroad_codec::fuzz::protocol_header(data));

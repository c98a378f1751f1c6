//! Values: whatever is read, reads back. `cargo +nightly fuzz run value_round_trip`

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| postroad_codec::fuzz::value_round_trip(data));

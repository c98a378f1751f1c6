//! Framers: any bytes in any pieces, and what they frame themselves. `cargo +nightly fuzz run framers`

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| postroad_taps::fuzz::framers(bytes));

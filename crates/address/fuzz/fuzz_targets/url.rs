//! Broker URLs: whatever is read, reads back. `cargo +nightly fuzz run url`

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| postroad_address::fuzz::url(bytes));

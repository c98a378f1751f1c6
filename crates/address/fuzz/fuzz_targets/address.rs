//! Address strings: whatever is read, reads back. `cargo +nightly fuzz run address`

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| postroad_address::fuzz::address(bytes));

//! Notifications and statuses of composing, from any bytes. `cargo +nightly fuzz run imdn`

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| postroad_msrp::fuzz::imdn(bytes));

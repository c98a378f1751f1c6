//! A relay: any octets over three connections. `cargo +nightly fuzz run relay`

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| postroad_msrp::fuzz::relay(bytes));

//! A client that logs in at relays which answer anything. `cargo +nightly fuzz run registration`

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| postroad_msrp::fuzz::registration(bytes));

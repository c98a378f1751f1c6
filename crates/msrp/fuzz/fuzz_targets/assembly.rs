//! Chunks of a message in any order, against an array. `cargo +nightly fuzz run assembly`

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| postroad_msrp::fuzz::assembly(bytes));

//! Selectors: whatever is read can be looked at messages with. `cargo +nightly fuzz run selector`

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| postroad_broker::fuzz::selector(bytes));

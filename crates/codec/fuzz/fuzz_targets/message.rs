//! Messages: whatever is read, reads back, section by section too. `cargo +nightly fuzz run message`

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| postroad_codec::fuzz::message(data));

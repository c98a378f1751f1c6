//! Frames: whatever is read, reads back. `cargo +nightly fuzz run frame`

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| postroad_codec::fuzz::frame(data));

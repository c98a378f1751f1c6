//! message/cpim, multiparts, media types and nicknames, from any bytes. `cargo +nightly fuzz run cpim`

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| postroad_msrp::fuzz::cpim(bytes));

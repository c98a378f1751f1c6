//! A peer and an owner that do anything to an engine. `cargo +nightly fuzz run engine`

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| postroad_amqp::fuzz::engine(data));

//! A SASL exchange that anybody may disturb, with either end of it. `cargo +nightly fuzz run sasl`

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| postroad_amqp::fuzz::sasl(data));

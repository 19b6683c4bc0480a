//! See `tripline_fuzz::salvage`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| tripline_fuzz::salvage::run(data));

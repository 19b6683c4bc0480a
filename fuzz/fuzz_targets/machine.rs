//! See `tripline_fuzz::machine`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| tripline_fuzz::machine::run(data));

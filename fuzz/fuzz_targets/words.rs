//! See `tripline_fuzz::words`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| tripline_fuzz::words::run(data));

//! See `tripline_fuzz::littlebrother`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| tripline_fuzz::littlebrother::run(data));

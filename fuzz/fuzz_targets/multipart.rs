//! See `tripline_fuzz::multipart`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| tripline_fuzz::multipart::run(data));

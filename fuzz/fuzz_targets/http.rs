//! See `tripline_fuzz::http`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| tripline_fuzz::http::run(data));

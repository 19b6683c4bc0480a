//! See `tripline_fuzz::services`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| tripline_fuzz::services::run(data));

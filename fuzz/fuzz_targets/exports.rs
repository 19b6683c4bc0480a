//! See `tripline_fuzz::exports`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| tripline_fuzz::exports::run(data));

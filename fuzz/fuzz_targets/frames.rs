//! See `tripline_fuzz::frames`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| tripline_fuzz::frames::run(data));

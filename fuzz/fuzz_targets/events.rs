//! See `tripline_fuzz::events`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| tripline_fuzz::events::run(data));

//! See `tripline_fuzz::state`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| tripline_fuzz::state::run(data));

//! See `tripline_fuzz::audit`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| tripline_fuzz::audit::run(data));

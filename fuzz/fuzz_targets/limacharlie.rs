//! See `tripline_fuzz::limacharlie`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| tripline_fuzz::limacharlie::run(data));

//! See `tripline_fuzz::pipelines`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| tripline_fuzz::pipelines::run(data));

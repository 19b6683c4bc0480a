//! See `tripline_fuzz::agent_channel`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| tripline_fuzz::agent_channel::run(data));

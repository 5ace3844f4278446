#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| polyport_fuzz_bodies::relay_messages(data));

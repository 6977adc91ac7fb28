//! `dockerfile_ignore` of crates/fuzz: what must hold stands there.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| berth_fuzz_target::run("dockerfile_ignore", input));

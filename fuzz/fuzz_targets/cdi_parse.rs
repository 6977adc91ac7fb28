//! Any text as a vendor's description of devices, in both forms: no panic, no long wait.
#![no_main]

use berth_cdi::parse;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    if let Ok(text) = std::str::from_utf8(data) {
        for json in [true, false] {
            if let Ok(spec) = parse(text, json) {
                assert!(!spec.devices.is_empty());
            }
        }
    }
});

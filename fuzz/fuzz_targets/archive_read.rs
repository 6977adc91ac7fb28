//! Any bytes as a compressed stream of tar: no panic, no endless loop, memory bounded.
#![no_main]

use std::io::Read;

use berth_archive::{compression, tar::Reader};

/// Most bytes that are read of one input's contents.
const CONTENT_BYTES_MAX: u64 = 1 << 20;

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    let Ok(stream) = compression::decoder(input) else { return };
    let mut reader = Reader::new(stream);
    let mut left = CONTENT_BYTES_MAX;
    while let Ok(Some(_)) = reader.next_entry() {
        let Ok(read) = std::io::copy(&mut (&mut reader).take(left), &mut std::io::sink()) else { return };
        left -= read;
        if left == 0 {
            return;
        }
    }
});

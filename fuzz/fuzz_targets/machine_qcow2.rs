//! Any bytes as a qcow2 image: it is refused or read within the file, and no other file is opened.
#![no_main]

use std::io::Write;

use berth_machine::qcow2::Image;

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    let mut file = tempfile::tempfile().expect("a file");
    file.write_all(input).expect("writable");
    let Ok(mut image) = Image::open(file) else { return };
    assert!(image.header.backing.is_none() && image.header.data_file.is_none());
    let mut buffer = vec![0; image.cluster_bytes() as usize];
    // Not all of what may be a disk of terabytes.
    for index in 0..image.clusters().min(64) {
        let _ = image.read(index, &mut buffer);
    }
});

//! Any text as a libvirt domain: what is taken is a valid definition, which comes back from its own XML.
#![no_main]

use berth_machine::xml;

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    let Ok(text) = std::str::from_utf8(input) else { return };
    let Ok(read) = xml::read(text) else { return };
    read.definition.check().expect("valid");
    let written = xml::write(&read.definition, std::path::Path::new("/own"));
    xml::read(&written).expect("own XML");
});

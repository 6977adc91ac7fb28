//! Any text as a definition: what is taken comes back from its own text.
#![no_main]

use berth_machine::record::Definition;

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    let Ok(text) = std::str::from_utf8(input) else { return };
    let Ok(definition) = Definition::parse(text) else { return };
    let written = definition.text().expect("text");
    assert_eq!(Definition::parse(&written).expect("own text"), definition);
});

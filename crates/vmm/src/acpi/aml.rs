//! A writer of the few words of AML that the tables need (ACPI 6.5, chapter 20).

const NAME: u8 = 0x08;
const BYTE: u8 = 0x0a;
const DWORD: u8 = 0x0c;
const STRING: u8 = 0x0d;
const SCOPE: u8 = 0x10;
const BUFFER: u8 = 0x11;
const PACKAGE: u8 = 0x12;
const EXTENDED: u8 = 0x5b;
const DEVICE: u8 = 0x82;
const ROOT: u8 = b'\\';

/// `Scope (\name) { body }`. Names have four letters.
pub fn scope(name: &[u8; 4], body: &[u8]) -> Vec<u8> {
    let mut inside = vec![ROOT];
    inside.extend_from_slice(name);
    inside.extend_from_slice(body);
    sized(&[SCOPE], &inside)
}

/// `Device (name) { body }`.
pub fn device(name: &[u8; 4], body: &[u8]) -> Vec<u8> {
    let mut inside = name.to_vec();
    inside.extend_from_slice(body);
    sized(&[EXTENDED, DEVICE], &inside)
}

/// `Name (name, value)`.
pub fn name(name: &[u8; 4], value: &[u8]) -> Vec<u8> {
    let mut term = vec![NAME];
    term.extend_from_slice(name);
    term.extend_from_slice(value);
    term
}

/// A number.
pub fn integer(value: u32) -> Vec<u8> {
    match u8::try_from(value) {
        Ok(byte) => vec![BYTE, byte],
        Err(_) => [&[DWORD][..], &value.to_le_bytes()].concat(),
    }
}

/// A text.
pub fn string(text: &str) -> Vec<u8> {
    [&[STRING][..], text.as_bytes(), &[0]].concat()
}

/// `Package () { elements }`.
pub fn package(elements: &[Vec<u8>]) -> Vec<u8> {
    let mut inside = vec![elements.len() as u8];
    inside.extend(elements.concat());
    sized(&[PACKAGE], &inside)
}

/// `ResourceTemplate () { resources }`.
pub fn resources(resources: &[Vec<u8>]) -> Vec<u8> {
    // The end tag; a checksum of zero counts as right (6.4.2.9).
    let bytes = [resources.concat(), vec![0x79, 0]].concat();
    let inside = [integer(bytes.len() as u32), bytes].concat();
    sized(&[BUFFER], &inside)
}

/// `Memory32Fixed (ReadWrite, base, bytes)` (6.4.3.4).
pub fn memory32(base: u32, bytes: u32) -> Vec<u8> {
    [&[0x86, 9, 0, 1][..], &base.to_le_bytes(), &bytes.to_le_bytes()].concat()
}

/// `IO (Decode16, base, base, 1, ports)` (6.4.2.5).
pub fn ports(base: u16, ports: u8) -> Vec<u8> {
    let base = base.to_le_bytes();
    vec![0x47, 1, base[0], base[1], base[0], base[1], 1, ports]
}

/// `Interrupt (ResourceConsumer, Edge, ActiveHigh, Exclusive) { gsi }` (6.4.3.6).
pub fn interrupt(gsi: u32) -> Vec<u8> {
    [&[0x89, 6, 0, 0x03, 1][..], &gsi.to_le_bytes()].concat()
}

/// A term whose length stands behind its code; the length counts itself (20.2.4).
fn sized(code: &[u8], inside: &[u8]) -> Vec<u8> {
    let length = match inside.len() {
        len if len + 1 < 1 << 6 => vec![len as u8 + 1],
        len if len + 2 < 1 << 12 => long_length(len + 2, 1),
        len if len + 3 < 1 << 20 => long_length(len + 3, 2),
        len => long_length(len + 4, 3),
    };
    [code, &length, inside].concat()
}

fn long_length(total: usize, more: usize) -> Vec<u8> {
    let mut bytes = vec![(more << 6 | total & 0xf) as u8];
    bytes.extend((0..more).map(|index| (total >> (4 + 8 * index)) as u8));
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_count_themselves() {
        assert_eq!(package(&[integer(5)]), [PACKAGE, 4, 1, BYTE, 5]);
        let body = vec![0; 100];
        let scope = scope(b"_SB_", &body);
        // 100 + name (5) + length (2) = 107 = 0x6b.
        assert_eq!(&scope[..8], &[SCOPE, 0x4b, 0x06, b'\\', b'_', b'S', b'B', b'_']);
        assert_eq!(sized(&[SCOPE], &vec![0; 1 << 13])[1..4], [0x83, 0x00, 0x02]);
    }

    #[test]
    fn a_device_reads_as_the_specification_says() {
        let crs = resources(&[memory32(0xd000_0000, 0x1000), interrupt(5)]);
        assert_eq!(crs.len(), 1 + 1 + 2 + 12 + 9 + 2);
        assert_eq!(crs[1] as usize, crs.len() - 1);
        assert_eq!(string("LNRO0005").len(), 10);
        assert_eq!(integer(0x1234), [DWORD, 0x34, 0x12, 0, 0]);
    }
}

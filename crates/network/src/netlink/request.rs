//! Bytes out: one netlink message under construction.

use super::bits::nl;

/// One netlink message: header, a family's fixed header, attributes (`linux/netlink.h`). All numbers are in host
/// order unless a method says otherwise; attributes are padded to four bytes.
#[derive(Debug, Clone)]
pub struct Request {
    bytes: Vec<u8>,
}

impl Request {
    /// A request of type `kind`; `NLM_F_REQUEST` is added to `flags`.
    #[must_use]
    pub fn new(kind: u16, flags: u16, family_header: &[u8]) -> Self {
        let mut bytes = Vec::with_capacity(256);
        bytes.extend_from_slice(&[0; 4]);
        bytes.extend_from_slice(&kind.to_ne_bytes());
        bytes.extend_from_slice(&(flags | nl::REQUEST).to_ne_bytes());
        bytes.extend_from_slice(&[0; 8]);
        let mut request = Self { bytes };
        request.raw(family_header);
        request
    }

    /// Appends bytes that are no attribute, such as the fixed header inside `VETH_INFO_PEER`.
    pub fn raw(&mut self, bytes: &[u8]) -> &mut Self {
        self.bytes.extend_from_slice(bytes);
        self.pad();
        self
    }

    /// Appends an attribute of raw bytes.
    ///
    /// # Panics
    /// When `value` is longer than an attribute can say (65,531 bytes): a fault of the caller.
    pub fn put(&mut self, kind: u16, value: &[u8]) -> &mut Self {
        let length = u16::try_from(value.len() + 4).expect("attribute longer than 64 KiB");
        self.bytes.extend_from_slice(&length.to_ne_bytes());
        self.bytes.extend_from_slice(&kind.to_ne_bytes());
        self.raw(value)
    }

    /// Appends a zero-terminated text.
    pub fn text(&mut self, kind: u16, value: &str) -> &mut Self {
        let mut bytes = Vec::with_capacity(value.len() + 1);
        bytes.extend_from_slice(value.as_bytes());
        bytes.push(0);
        self.put(kind, &bytes)
    }

    /// Appends a number in host order, as rtnetlink wants it.
    pub fn number(&mut self, kind: u16, value: u32) -> &mut Self {
        self.put(kind, &value.to_ne_bytes())
    }

    /// Appends a number in network order, as nf_tables wants it.
    pub fn number_be(&mut self, kind: u16, value: u32) -> &mut Self {
        self.put(kind, &value.to_be_bytes())
    }

    /// Appends an attribute that holds the attributes which `fill` appends.
    ///
    /// # Panics
    /// When they are longer than 64 KiB: callers split lists before that.
    pub fn nest(&mut self, kind: u16, fill: impl FnOnce(&mut Self)) -> &mut Self {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(&[0; 2]);
        self.bytes.extend_from_slice(&(kind | nl::NESTED).to_ne_bytes());
        fill(self);
        let length = u16::try_from(self.bytes.len() - start).expect("nest longer than 64 KiB");
        self.bytes[start..start + 2].copy_from_slice(&length.to_ne_bytes());
        self
    }

    /// The message as it goes on the wire under sequence number `sequence`, with `flags` added.
    #[must_use]
    pub(super) fn seal(mut self, sequence: u32, flags: u16) -> Vec<u8> {
        let length = u32::try_from(self.bytes.len()).expect("message longer than 4 GiB");
        let flags = u16::from_ne_bytes([self.bytes[6], self.bytes[7]]) | flags;
        self.bytes[..4].copy_from_slice(&length.to_ne_bytes());
        self.bytes[6..8].copy_from_slice(&flags.to_ne_bytes());
        self.bytes[8..12].copy_from_slice(&sequence.to_ne_bytes());
        self.bytes
    }

    fn pad(&mut self) {
        while !self.bytes.len().is_multiple_of(4) {
            self.bytes.push(0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_are_padded_and_nests_measure_themselves() {
        let mut request = Request::new(16, 0x4, &[9; 2]);
        request.nest(18, |r| {
            r.text(1, "veth");
        });
        let bytes = request.seal(7, 0);
        assert_eq!(bytes[..4], 36u32.to_ne_bytes());
        assert_eq!(bytes[6..8], 5u16.to_ne_bytes());
        assert_eq!(bytes[8..12], 7u32.to_ne_bytes());
        assert_eq!(bytes[16..20], [9, 9, 0, 0]);
        assert_eq!(bytes[20..22], 16u16.to_ne_bytes());
        assert_eq!(bytes[24..26], 9u16.to_ne_bytes());
        assert_eq!(&bytes[28..], b"veth\0\0\0\0");
    }
}

//! Bytes of D-Bus messages (D-Bus specification, "Message Protocol"), as far as systemd's manager needs them: method
//! calls out; returns, errors and signals in. Little-endian out, either order in.

use std::io;

/// The longest message that is taken, in bytes; the specification allows 128 MiB, the manager sends a few hundred.
const LENGTH_MAX: usize = 1 << 20;
/// The fixed part of the header, with the length of the fields.
pub(super) const HEAD_LEN: usize = 16;

/// Types of messages.
pub(super) mod kind {
    pub const CALL: u8 = 1;
    pub const RETURN: u8 = 2;
    pub const ERROR: u8 = 3;
    pub const SIGNAL: u8 = 4;
}

/// Codes of header fields.
mod field {
    pub const PATH: u8 = 1;
    pub const INTERFACE: u8 = 2;
    pub const MEMBER: u8 = 3;
    pub const ERROR_NAME: u8 = 4;
    pub const REPLY_SERIAL: u8 = 5;
    pub const DESTINATION: u8 = 6;
    pub const SIGNATURE: u8 = 8;
}

/// A value of a unit's property.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Value {
    Text(String),
    Flag(bool),
    Number(u64),
    /// `au`: process ids.
    Pids(Vec<u32>),
    /// `ay`: a mask, lowest bits first.
    Bytes(Vec<u8>),
}

/// A property by name.
pub(super) type Property = (&'static str, Value);

/// Marshals values, each at its alignment.
#[derive(Debug, Default)]
pub(super) struct Writer(pub(super) Vec<u8>);

impl Writer {
    fn pad(&mut self, to: usize) {
        self.0.resize(self.0.len().next_multiple_of(to), 0);
    }

    pub(super) fn number(&mut self, value: u32) {
        self.pad(4);
        self.0.extend(value.to_le_bytes());
    }

    pub(super) fn text(&mut self, value: &str) {
        self.number(value.len() as u32);
        self.0.extend(value.as_bytes());
        self.0.push(0);
    }

    fn signature(&mut self, value: &str) {
        self.0.push(value.len() as u8);
        self.0.extend(value.as_bytes());
        self.0.push(0);
    }

    /// An array whose items stand at `alignment`: its length does not count the padding before the first one.
    pub(super) fn array(&mut self, alignment: usize, items: impl FnOnce(&mut Self)) {
        self.number(0);
        let at = self.0.len() - 4;
        self.pad(alignment);
        let begin = self.0.len();
        items(self);
        let length = (self.0.len() - begin) as u32;
        self.0[at..at + 4].copy_from_slice(&length.to_le_bytes());
    }

    fn variant(&mut self, value: &Value) {
        match value {
            Value::Text(text) => {
                self.signature("s");
                self.text(text);
            }
            Value::Flag(flag) => {
                self.signature("b");
                self.number(u32::from(*flag));
            }
            Value::Number(number) => {
                self.signature("t");
                self.pad(8);
                self.0.extend(number.to_le_bytes());
            }
            Value::Pids(pids) => {
                self.signature("au");
                self.array(4, |writer| pids.iter().for_each(|pid| writer.number(*pid)));
            }
            Value::Bytes(bytes) => {
                self.signature("ay");
                self.array(1, |writer| writer.0.extend(bytes));
            }
        }
    }

    /// `a(sv)`.
    pub(super) fn properties(&mut self, properties: &[Property]) {
        self.array(8, |writer| {
            for (name, value) in properties {
                writer.pad(8);
                writer.text(name);
                writer.variant(value);
            }
        });
    }

    fn field(&mut self, code: u8, signature: &str, value: &str) {
        self.pad(8);
        self.0.push(code);
        self.signature(signature);
        match signature {
            "g" => self.signature(value),
            _ => self.text(value),
        }
    }
}

/// Where a call goes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Target {
    pub(super) destination: &'static str,
    pub(super) path: &'static str,
    pub(super) interface: &'static str,
}

/// A method call; `signature` is that of `body`.
pub(super) fn call(serial: u32, target: &Target, member: &str, signature: &str, body: &[u8]) -> Vec<u8> {
    let mut writer = Writer(vec![b'l', kind::CALL, 0, 1]);
    writer.number(body.len() as u32);
    writer.number(serial);
    writer.array(8, |writer| {
        writer.field(field::PATH, "o", target.path);
        writer.field(field::DESTINATION, "s", target.destination);
        writer.field(field::INTERFACE, "s", target.interface);
        writer.field(field::MEMBER, "s", member);
        if !signature.is_empty() {
            writer.field(field::SIGNATURE, "g", signature);
        }
    });
    writer.pad(8);
    writer.0.extend(body);
    writer.0
}

/// A message that came.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Message {
    pub(super) kind: u8,
    pub(super) serial: u32,
    /// Of returns and errors: the call that is answered.
    pub(super) answers: u32,
    pub(super) member: String,
    pub(super) error: String,
    /// The strings and object paths of the body, and its numbers of 32 bits, as far as its signature begins with such.
    pub(super) words: Vec<String>,
}

/// How many bytes a message has whose first [`HEAD_LEN`] bytes these are.
pub(super) fn length(head: &[u8; HEAD_LEN]) -> io::Result<usize> {
    let number = |at: usize| {
        let bytes = [head[at], head[at + 1], head[at + 2], head[at + 3]];
        (if head[0] == b'B' { u32::from_be_bytes(bytes) } else { u32::from_le_bytes(bytes) }) as usize
    };
    if !matches!(head[0], b'l' | b'B') || head[3] != 1 {
        return Err(malformed("no message of version 1"));
    }
    let (body, fields) = (number(4), number(12));
    if body > LENGTH_MAX || fields > LENGTH_MAX {
        return Err(malformed("too long"));
    }
    Ok((HEAD_LEN + fields).next_multiple_of(8) + body)
}

/// Reads a whole message.
pub(super) fn parse(bytes: &[u8]) -> io::Result<Message> {
    let head = bytes.first_chunk::<HEAD_LEN>().ok_or_else(|| malformed("cut short"))?;
    if bytes.len() != length(head)? {
        return Err(malformed("of another length than it says"));
    }
    let mut reader = Reader { bytes, at: 8, big: head[0] == b'B' };
    let mut message = Message { kind: head[1], serial: reader.number()?, ..Message::default() };
    let end = HEAD_LEN + reader.number()? as usize;
    let mut signature = String::new();
    while reader.at < end {
        reader.align(8);
        let code = reader.byte()?;
        match reader.signature()?.as_str() {
            "s" | "o" => {
                let text = reader.text()?;
                match code {
                    field::MEMBER => message.member = text,
                    field::ERROR_NAME => message.error = text,
                    _ => {}
                }
            }
            "g" => signature = reader.signature()?,
            "u" => {
                let number = reader.number()?;
                if code == field::REPLY_SERIAL {
                    message.answers = number;
                }
            }
            other => return Err(malformed(&format!("a header field of type {other}"))),
        }
    }
    reader.align(8);
    for code in signature.chars() {
        match code {
            's' | 'o' => message.words.push(reader.text()?),
            'u' => message.words.push(reader.number()?.to_string()),
            _ => break,
        }
    }
    Ok(message)
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
    big: bool,
}

impl Reader<'_> {
    fn align(&mut self, to: usize) {
        self.at = self.at.next_multiple_of(to);
    }

    fn take(&mut self, count: usize) -> io::Result<&[u8]> {
        let end = self.at.checked_add(count).filter(|end| *end <= self.bytes.len());
        let end = end.ok_or_else(|| malformed("a value beyond its end"))?;
        let taken = &self.bytes[self.at..end];
        self.at = end;
        Ok(taken)
    }

    fn byte(&mut self) -> io::Result<u8> {
        Ok(self.take(1)?[0])
    }

    fn number(&mut self) -> io::Result<u32> {
        self.align(4);
        let big = self.big;
        let bytes = self.take(4)?;
        let bytes = [bytes[0], bytes[1], bytes[2], bytes[3]];
        Ok(if big { u32::from_be_bytes(bytes) } else { u32::from_le_bytes(bytes) })
    }

    fn text(&mut self) -> io::Result<String> {
        let length = self.number()? as usize;
        self.string(length)
    }

    fn signature(&mut self) -> io::Result<String> {
        let length = usize::from(self.byte()?);
        self.string(length)
    }

    /// With the zero byte that follows it.
    fn string(&mut self, length: usize) -> io::Result<String> {
        let text = String::from_utf8_lossy(self.take(length)?).into_owned();
        self.byte()?;
        Ok(text)
    }
}

fn malformed(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("a D-Bus message is {what}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TARGET: Target = Target { destination: "a.b", path: "/a", interface: "a.b.C" };

    #[test]
    fn a_call_is_what_the_specification_says() {
        let mut body = Writer::default();
        body.text("x.scope");
        body.text("replace");
        body.properties(&[
            ("PIDs", Value::Pids(vec![7])),
            ("Delegate", Value::Flag(true)),
            ("MemoryMax", Value::Number(5)),
        ]);
        let bytes = call(9, &TARGET, "StartTransientUnit", "ssa(sv)", &body.0);
        let message = parse(&bytes).expect("it is whole");
        assert_eq!((message.kind, message.serial, message.member.as_str()), (kind::CALL, 9, "StartTransientUnit"));
        assert_eq!(message.words, ["x.scope", "replace"]);
        // The array begins at a multiple of eight behind its length.
        let array = 4 + 8 + 4 + 8;
        assert_eq!(body.0[array..array + 4], (body.0.len() as u32 - 24 - 8).to_le_bytes());
    }

    #[test]
    fn hostile_messages_are_refused_at_every_cut_and_flip() {
        let mut body = Writer::default();
        body.text("word");
        let good = call(1, &TARGET, "M", "s", &body.0);
        for cut in 0..good.len() {
            assert!(parse(&good[..cut]).is_err(), "{cut}");
        }
        for at in 0..good.len() {
            for bits in [0x01, 0x80, 0xff] {
                let mut bad = good.clone();
                bad[at] ^= bits;
                // It may still be a message; what counts is that reading ends.
                let _ = parse(&bad);
            }
        }
        let mut long = *good.first_chunk::<HEAD_LEN>().expect("a head");
        long[4..8].copy_from_slice(&u32::MAX.to_le_bytes());
        assert!(length(&long).is_err());
    }
}

//! Questions in, answers out: as much of the wire format as a resolver of names and addresses needs (RFC 1035, section
//! 4). Questions come from containers, and may be anything.

use std::net::{Ipv4Addr, Ipv6Addr};

/// `A`, `PTR`, `AAAA`, `OPT`, `ANY`.
pub const A: u16 = 1;
/// See [`A`].
pub const PTR: u16 = 12;
/// See [`A`].
pub const AAAA: u16 = 28;
/// See [`A`].
pub const OPT: u16 = 41;
/// See [`A`].
pub const ANY: u16 = 255;
const INTERNET: u16 = 1;

/// Bytes of the header.
const HEADER: usize = 12;
/// The largest answer by UDP to a client that names no size, in bytes.
const PLAIN_MAX: usize = 512;
/// The largest answer by UDP that is ever sent, in bytes.
const EXTENDED_MAX: usize = 4096;
/// The longest name in bytes of the wire.
const NAME_MAX: usize = 255;
/// Seconds an answer may be kept; Docker's.
const TTL_S: u32 = 600;

/// Answer codes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Code {
    /// All is well.
    Ok = 0,
    /// The question cannot be read.
    Malformed = 1,
    /// Nobody could be asked.
    Failure = 2,
    /// There is no such name.
    NoName = 3,
    /// This is not done here.
    NotImplemented = 4,
}

/// A question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Query {
    /// The client's number for it.
    pub id: u16,
    /// Whether the client wants others to be asked, too.
    recursion: bool,
    /// The name in small letters, without the last dot.
    pub name: String,
    /// What about it.
    pub kind: u16,
    /// Name, kind and class as they came.
    question: Vec<u8>,
    /// The largest answer by UDP, when the client speaks EDNS.
    extended: Option<usize>,
}

/// One answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// An address.
    V4(Ipv4Addr),
    /// An address.
    V6(Ipv6Addr),
    /// A name.
    Name(String),
}

/// Why a message is not answered as asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// Not even a number to answer to: nothing is said.
    Silence,
    /// The answer is a code.
    Code(u16, Code),
}

impl Query {
    /// Reads a question.
    ///
    /// # Errors
    /// What to answer instead.
    pub fn parse(bytes: &[u8]) -> Result<Self, Refusal> {
        let header = bytes.get(..HEADER).ok_or(Refusal::Silence)?;
        let word = |at: usize| u16::from_be_bytes([header[at], header[at + 1]]);
        let (id, flags) = (word(0), word(2));
        if flags & 0x8000 != 0 {
            return Err(Refusal::Silence);
        }
        let malformed = || Refusal::Code(id, Code::Malformed);
        if flags & 0x7800 != 0 {
            return Err(Refusal::Code(id, Code::NotImplemented));
        }
        if word(4) != 1 {
            return Err(malformed());
        }
        let (name, end) = name(bytes, HEADER).ok_or_else(malformed)?;
        let tail = bytes.get(end..end + 4).ok_or_else(malformed)?;
        let (kind, class) = (u16::from_be_bytes([tail[0], tail[1]]), u16::from_be_bytes([tail[2], tail[3]]));
        if class != INTERNET && class != ANY {
            return Err(Refusal::Code(id, Code::NotImplemented));
        }
        let records = usize::from(word(6)) + usize::from(word(8)) + usize::from(word(10));
        let extended = extension(bytes, end + 4, records);
        let question = bytes[HEADER..end + 4].to_vec();
        Ok(Self { id, recursion: flags & 0x0100 != 0, name, kind, question, extended })
    }

    /// The answer in bytes; what does not fit into a datagram is left out and said to be (`by_tcp`: all fits).
    pub fn answer(&self, code: Code, answers: &[Answer], by_tcp: bool) -> Vec<u8> {
        let limit = if by_tcp { usize::from(u16::MAX) } else { self.extended.unwrap_or(PLAIN_MAX) };
        let mut count = 0u16;
        let mut bytes = self.head(code);
        let reserve = if self.extended.is_some() { 11 } else { 0 };
        let mut truncated = false;
        for answer in answers {
            let before = bytes.len();
            if !record(&mut bytes, answer) || bytes.len() + reserve > limit {
                bytes.truncate(before);
                truncated = true;
                break;
            }
            count += 1;
        }
        bytes[6..8].copy_from_slice(&count.to_be_bytes());
        if truncated {
            bytes[2] |= 0x02;
        }
        if self.extended.is_some() {
            // Root, OPT, size, no flags, no data.
            bytes.push(0);
            bytes.extend(OPT.to_be_bytes());
            bytes.extend((EXTENDED_MAX as u16).to_be_bytes());
            bytes.extend([0; 6]);
            bytes[11] = 1;
        }
        bytes
    }

    fn head(&self, code: Code) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(PLAIN_MAX);
        bytes.extend(self.id.to_be_bytes());
        // An answer; recursion as asked, and available.
        bytes.extend([0x80 | u8::from(self.recursion), 0x80 | code as u8]);
        bytes.extend([0, 1, 0, 0, 0, 0, 0, 0]);
        bytes.extend(&self.question);
        bytes
    }

    /// Whether a message is an answer to this question, which went out under another number.
    pub fn is_answered_by(&self, bytes: &[u8], id: u16) -> bool {
        let number = bytes.get(..2) == Some(&id.to_be_bytes()[..]);
        let is_answer = bytes.get(2).is_some_and(|flags| flags & 0x80 != 0);
        let question = bytes.get(HEADER..HEADER + self.question.len());
        number && is_answer && question.is_some_and(|question| question.eq_ignore_ascii_case(&self.question))
    }
}

/// An answer that is only a code, to a question that could not be read.
pub fn refuse(id: u16, code: Code) -> Vec<u8> {
    let mut bytes = vec![0; HEADER];
    bytes[..2].copy_from_slice(&id.to_be_bytes());
    (bytes[2], bytes[3]) = (0x80, 0x80 | code as u8);
    bytes
}

/// A name without compression, which no question needs, and where it ends.
fn name(bytes: &[u8], mut at: usize) -> Option<(String, usize)> {
    let begin = at;
    let mut text = String::new();
    loop {
        let length = usize::from(*bytes.get(at)?);
        at += 1;
        if length == 0 {
            return Some((text, at));
        }
        let label = bytes.get(at..at + length).filter(|_| length < 64)?;
        at += length;
        if at - begin >= NAME_MAX {
            return None;
        }
        if !text.is_empty() {
            text.push('.');
        }
        // A dot inside a label would make another name of it.
        text.extend(label.iter().map(|byte| match byte {
            b'.' => '\u{fffd}',
            byte => char::from(byte.to_ascii_lowercase()),
        }));
    }
}

/// The client's limit for datagrams, from its OPT record among the `records` that follow the question.
fn extension(bytes: &[u8], mut at: usize, records: usize) -> Option<usize> {
    for _ in 0..records.min(4) {
        // OPT belongs to the root, whose name is one zero byte; another name is passed over.
        if bytes.get(at) == Some(&0) {
            at += 1;
        } else {
            at = name(bytes, at)?.1;
        }
        let head = bytes.get(at..at + 10)?;
        let (kind, size) = (u16::from_be_bytes([head[0], head[1]]), u16::from_be_bytes([head[2], head[3]]));
        if kind == OPT {
            return Some(usize::from(size).clamp(PLAIN_MAX, EXTENDED_MAX));
        }
        at += 10 + usize::from(u16::from_be_bytes([head[8], head[9]]));
    }
    None
}

/// Appends a record for the name of the question; `false` for a name that cannot be written.
fn record(bytes: &mut Vec<u8>, answer: &Answer) -> bool {
    let kind = match answer {
        Answer::V4(_) => A,
        Answer::V6(_) => AAAA,
        Answer::Name(_) => PTR,
    };
    // The name of the question, by its place.
    bytes.extend([0xc0, HEADER as u8]);
    bytes.extend(kind.to_be_bytes());
    bytes.extend(INTERNET.to_be_bytes());
    bytes.extend(TTL_S.to_be_bytes());
    let data = match answer {
        Answer::V4(address) => address.octets().to_vec(),
        Answer::V6(address) => address.octets().to_vec(),
        Answer::Name(name) => match wire(name) {
            Some(name) => name,
            None => return false,
        },
    };
    bytes.extend((data.len() as u16).to_be_bytes());
    bytes.extend(data);
    true
}

/// A name as labels.
fn wire(name: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(name.len() + 2);
    for label in name.split('.') {
        if label.is_empty() || label.len() > 63 {
            return None;
        }
        bytes.push(label.len() as u8);
        bytes.extend(label.as_bytes());
    }
    bytes.push(0);
    (bytes.len() <= NAME_MAX).then_some(bytes)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A question as a client sends it.
    pub(crate) fn question(id: u16, name: &str, kind: u16) -> Vec<u8> {
        let mut bytes = id.to_be_bytes().to_vec();
        bytes.extend([0x01, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
        bytes.extend(wire(name).expect("a name"));
        bytes.extend(kind.to_be_bytes());
        bytes.extend([0, 1]);
        bytes
    }

    #[test]
    fn an_answer_repeats_the_question() {
        let query = Query::parse(&question(7, "Web.Backend", A)).expect("a question");
        assert_eq!((query.name.as_str(), query.kind, query.id), ("web.backend", A, 7));
        let bytes = query.answer(Code::Ok, &[Answer::V4(Ipv4Addr::new(10, 0, 0, 2))], false);
        assert_eq!(&bytes[..8], &[0, 7, 0x81, 0x80, 0, 1, 0, 1]);
        assert!(bytes.ends_with(&[0, 4, 10, 0, 0, 2]));
        assert!(query.is_answered_by(&bytes, 7) && !query.is_answered_by(&bytes, 8));
        let other = Query::parse(&question(7, "other", A)).expect("a question");
        assert!(!other.is_answered_by(&bytes, 7));
    }

    #[test]
    fn what_does_not_fit_is_left_out_and_said() {
        let query = Query::parse(&question(1, "many", A)).expect("a question");
        let many = vec![Answer::V4(Ipv4Addr::LOCALHOST); 100];
        let bytes = query.answer(Code::Ok, &many, false);
        assert!(bytes.len() <= 512 && bytes[2] & 2 != 0);
        let bytes = query.answer(Code::Ok, &many, true);
        assert_eq!((bytes[2] & 2, &bytes[6..8]), (0, &[0, 100][..]));
    }

    #[test]
    fn an_extended_client_gets_larger_answers() {
        let mut bytes = question(1, "many", A);
        bytes[11] = 1;
        bytes.extend([0, 0, 41, 0x05, 0x00, 0, 0, 0, 0, 0, 0]);
        let query = Query::parse(&bytes).expect("a question");
        let answer = query.answer(Code::Ok, &vec![Answer::V4(Ipv4Addr::LOCALHOST); 70], false);
        assert!(answer.len() > 512 && answer[2] & 2 == 0, "{}", answer.len());
        assert_eq!(answer[11], 1, "it answers in kind");
    }

    #[test]
    fn hostile_messages() {
        let long = [&[0, 1, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0][..], &[63; 400]].concat();
        let pointer = [&[0, 1, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0][..], &[0xc0, 12, 0, 1, 0, 1]].concat();
        let mut twice = question(1, "x", A);
        twice[5] = 2;
        let mut answer = question(1, "x", A);
        answer[2] |= 0x80;
        let mut update = question(1, "x", A);
        update[2] |= 0x28;
        let mut class = question(1, "x", A);
        *class.last_mut().expect("bytes") = 3;
        for (bytes, expected) in [
            (vec![], Refusal::Silence),
            (vec![0; 11], Refusal::Silence),
            (answer, Refusal::Silence),
            (vec![0, 9, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0], Refusal::Code(9, Code::Malformed)),
            (long, Refusal::Code(1, Code::Malformed)),
            (pointer, Refusal::Code(1, Code::Malformed)),
            (twice, Refusal::Code(1, Code::Malformed)),
            (update, Refusal::Code(1, Code::NotImplemented)),
            (class, Refusal::Code(1, Code::NotImplemented)),
        ] {
            assert_eq!(Query::parse(&bytes), Err(expected), "{bytes:?}");
        }
        let dotted = [&[0, 1, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 3][..], b"a.b", &[0, 0, 1, 0, 1]].concat();
        assert_ne!(Query::parse(&dotted).expect("readable").name, "a.b");
    }

    #[test]
    fn every_cut_of_a_question_is_survived() {
        let mut bytes = question(1, "a.b.example", AAAA);
        bytes[11] = 1;
        bytes.extend([0, 0, 41, 0x05, 0x00, 0, 0, 0, 0, 0, 0]);
        for end in 0..bytes.len() {
            if let Ok(query) = Query::parse(&bytes[..end]) {
                query.answer(Code::Ok, &[], false);
            }
        }
    }
}

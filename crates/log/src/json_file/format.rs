//! Bytes of the `json-file` format: `{"log":"…\n","stream":"stdout","attrs":{…},"time":"…"}` and a newline.
//!
//! Source: the files Docker writes. `log` ends with `\n` unless the entry is a piece of a longer line; bytes that are no
//! UTF-8 become U+FFFD there; `<`, `>`, `&`, U+2028 and U+2029 are escaped; `time` is RFC 3339 in UTC without trailing
//! zeros. Docker loses such bytes; here a line that has any carries all its bytes in base64 under one more key, `raw`,
//! which other readers of the format pass over.

use std::{
    borrow::Cow,
    fs::File,
    io::{self, Write},
    os::unix::fs::FileExt,
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use jiff::Timestamp;
use serde::Deserialize;

use crate::{Entry, Stream, read::Raw};

/// The longest line a reader takes, in bytes: every byte of an entry escaped to six, and attributes.
pub(crate) const LINE_BYTES_MAX: usize = 1 << 20;

/// Formats times; the text of the second is kept between entries.
#[derive(Default)]
pub(crate) struct Clock {
    second: Option<i64>,
    text: String,
}

impl Clock {
    fn write(&mut self, out: &mut Vec<u8>, at: Timestamp) {
        let floor = at.as_nanosecond().div_euclid(1_000_000_000) as i64;
        if self.second != Some(floor) {
            self.text = Timestamp::from_second(floor).unwrap_or_default().to_string();
            self.text.truncate(self.text.len().saturating_sub(1));
            self.second = Some(floor);
        }
        out.extend_from_slice(self.text.as_bytes());
        let mut rest = at.as_nanosecond().rem_euclid(1_000_000_000) as u32;
        if rest > 0 {
            let mut digits = *b".000000000";
            for digit in digits[1..].iter_mut().rev() {
                *digit = b'0' + (rest % 10) as u8;
                rest /= 10;
            }
            let keep = digits.iter().rposition(|digit| *digit != b'0').unwrap_or(0) + 1;
            out.extend_from_slice(&digits[..keep]);
        }
        out.push(b'Z');
    }
}

/// Appends one line; `attributes` is a JSON object or empty.
pub(crate) fn encode(out: &mut Vec<u8>, entry: &Entry<'_>, attributes: &str, clock: &mut Clock) {
    out.extend_from_slice(b"{");
    if !(entry.bytes.is_empty() && entry.partial) {
        out.extend_from_slice(b"\"log\":\"");
        escape(out, entry.bytes);
        out.extend_from_slice(if entry.partial { b"\"," } else { b"\\n\"," });
        if std::str::from_utf8(entry.bytes).is_err() {
            out.extend_from_slice(b"\"raw\":\"");
            out.extend_from_slice(STANDARD.encode(entry.bytes).as_bytes());
            out.extend_from_slice(b"\",");
        }
    }
    out.extend_from_slice(match entry.stream {
        Stream::Stderr => b"\"stream\":\"stderr\",",
        _ => b"\"stream\":\"stdout\",",
    });
    if !attributes.is_empty() {
        out.extend_from_slice(b"\"attrs\":");
        out.extend_from_slice(attributes.as_bytes());
        out.push(b',');
    }
    out.extend_from_slice(b"\"time\":\"");
    clock.write(out, entry.at);
    out.extend_from_slice(b"\"}\n");
}

/// Bytes that stand for themselves within a JSON string, in Docker's view.
const PLAIN: [bool; 256] = {
    let mut plain = [false; 256];
    let mut byte = 0x20;
    while byte < 0x80 {
        plain[byte] = !matches!(byte as u8, b'"' | b'\\' | b'<' | b'>' | b'&');
        byte += 1;
    }
    plain
};

fn escape(out: &mut Vec<u8>, mut bytes: &[u8]) {
    while !bytes.is_empty() {
        let plain = bytes.iter().position(|byte| !PLAIN[usize::from(*byte)]).unwrap_or(bytes.len());
        out.extend_from_slice(&bytes[..plain]);
        bytes = &bytes[plain..];
        let Some(byte) = bytes.first() else { return };
        if *byte >= 0x80 {
            let run = bytes.iter().position(|byte| *byte < 0x80).unwrap_or(bytes.len());
            escape_unicode(out, &bytes[..run]);
            bytes = &bytes[run..];
            continue;
        }
        match byte {
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'"' | b'\\' => out.extend_from_slice(&[b'\\', *byte]),
            other => push_u(out, u32::from(*other)),
        }
        bytes = &bytes[1..];
    }
}

/// Escapes a run of bytes above 0x7f; each byte that begins no character becomes U+FFFD, as in Go.
fn escape_unicode(out: &mut Vec<u8>, run: &[u8]) {
    for chunk in run.utf8_chunks() {
        let mut rest = chunk.valid();
        while let Some(at) = rest.find(['\u{2028}', '\u{2029}']) {
            out.extend_from_slice(&rest.as_bytes()[..at]);
            let separator = if rest[at..].starts_with('\u{2028}') { 0x2028 } else { 0x2029 };
            push_u(out, separator);
            rest = &rest[at + 3..];
        }
        out.extend_from_slice(rest.as_bytes());
        for _ in chunk.invalid() {
            push_u(out, 0xfffd);
        }
    }
}

fn push_u(out: &mut Vec<u8>, code: u32) {
    // Writing to a vector does not fail.
    let _ = write!(out, "\\u{code:04x}");
}

/// Puts a line that a crash cut short on a line of its own, so that readers skip only it.
pub(crate) fn mend(file: &File, len: u64) -> io::Result<u64> {
    let mut last = [0u8];
    file.read_exact_at(&mut last, len - 1)?;
    if last[0] == b'\n' {
        return Ok(len);
    }
    let mut writer = file;
    writer.write_all(b"\n")?;
    Ok(len + 1)
}

#[derive(Deserialize)]
struct Line<'a> {
    #[serde(borrow, default)]
    log: Cow<'a, str>,
    #[serde(borrow, default)]
    raw: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    stream: Cow<'a, str>,
    #[serde(default)]
    time: Option<Timestamp>,
    #[serde(default)]
    attrs: Option<std::collections::BTreeMap<String, String>>,
}

/// Reads one line without its newline; `None` when it is no log line.
pub(crate) fn decode(line: &[u8]) -> Option<Raw> {
    let line: Line<'_> = serde_json::from_slice(line).ok()?;
    let stream = match line.stream.as_ref() {
        "stdout" => Stream::Stdout,
        "stderr" => Stream::Stderr,
        _ => return None,
    };
    let ended = line.log.ends_with('\n');
    let exact = line.raw.and_then(|raw| STANDARD.decode(raw.as_bytes()).ok());
    let bytes = match exact {
        Some(mut bytes) => {
            bytes.extend(ended.then_some(b'\n'));
            bytes
        }
        None => line.log.into_owned().into_bytes(),
    };
    Some(Raw { stream, at: line.time?, ended, bytes, attributes: line.attrs.unwrap_or_default() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(bytes: &[u8], partial: bool, at_ns: i128, attributes: &str) -> String {
        let at = Timestamp::from_nanosecond(at_ns).unwrap();
        let mut out = Vec::new();
        encode(&mut out, &Entry { stream: Stream::Stdout, at, partial, bytes }, attributes, &mut Clock::default());
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn lines_are_dockers_byte_for_byte() {
        for (bytes, partial, at_ns, attributes, expected) in [
            (
                &b"hi"[..],
                false,
                1_500_000_000,
                "",
                r#"{"log":"hi\n","stream":"stdout","time":"1970-01-01T00:00:01.5Z"}"#,
            ),
            (b"", false, 0, "", r#"{"log":"\n","stream":"stdout","time":"1970-01-01T00:00:00Z"}"#),
            (b"a", true, 1, "", r#"{"log":"a","stream":"stdout","time":"1970-01-01T00:00:00.000000001Z"}"#),
            (
                b"<a href=\"x\">&\\\t\r\x1b[0m\x7f",
                false,
                1_000_000_120,
                "",
                "{\"log\":\"\\u003ca href=\\\"x\\\"\\u003e\\u0026\\\\\\u0009\\r\\u001b[0m\x7f\\n\",\"stream\":\"stdout\",\
                 \"time\":\"1970-01-01T00:00:01.00000012Z\"}",
            ),
            (
                "é\u{2028}\u{1f600}".as_bytes(),
                false,
                0,
                r#"{"tag":"t"}"#,
                "{\"log\":\"é\\u2028\u{1f600}\\n\",\"stream\":\"stdout\",\"attrs\":{\"tag\":\"t\"},\"time\":\"1970-01-01T00:00:00Z\"}",
            ),
            (
                b"\xff\xc3(\xe2\x82x",
                false,
                0,
                "",
                r#"{"log":"\ufffd\ufffd(\ufffd\ufffdx\n","raw":"/8Mo4oJ4","stream":"stdout","time":"1970-01-01T00:00:00Z"}"#,
            ),
        ] {
            assert_eq!(line(bytes, partial, at_ns, attributes), format!("{expected}\n"));
        }
    }

    #[test]
    fn what_was_written_is_read() {
        let text = line("käse\t<\u{0}>".as_bytes(), false, 1_234_567_890_123_456_789, "");
        let raw = decode(text.trim_end().as_bytes()).unwrap();
        assert_eq!(raw.bytes, "käse\t<\u{0}>\n".as_bytes());
        assert_eq!((raw.at.as_nanosecond(), raw.ended), (1_234_567_890_123_456_789, true));
    }

    #[test]
    fn every_byte_comes_back() {
        let all: Vec<u8> = (0..=255).collect();
        for (bytes, partial) in [(&all[..], false), (&all[..], true), (b"\xe2\x82", true), (b"\xff", false)] {
            let raw = decode(line(bytes, partial, 0, "").trim_end().as_bytes()).unwrap();
            let expected = [bytes, if partial { b"" } else { b"\n" }].concat();
            assert_eq!((raw.bytes, raw.ended), (expected, !partial));
        }
    }

    #[test]
    fn hostile_lines_are_no_log_lines() {
        for hostile in [
            "",
            "{",
            "[]",
            "null",
            "{}",
            "\u{0}\u{0}\u{0}",
            r#"{"log":"x"}"#,
            r#"{"log":"x","stream":"stdin","time":"2026-01-01T00:00:00Z"}"#,
            r#"{"log":"x","stream":"stdout","time":"yesterday"}"#,
            r#"{"log":"x","stream":"stdout","time":"99999-01-01T00:00:00Z"}"#,
            r#"{"log":1,"stream":"stdout","time":"2026-01-01T00:00:00Z"}"#,
            r#"{"log":"\ud800","stream":"stdout","time":"2026-01-01T00:00:00Z"}"#,
            r#"{"log":"x","stream":"stdout","time":"2026-01-01T00:00:00Z"} trailing"#,
            r#"{"log":"x","raw":7,"stream":"stdout","time":"2026-01-01T00:00:00Z"}"#,
            &"[".repeat(10_000),
        ] {
            assert!(decode(hostile.as_bytes()).is_none(), "{}", &hostile[..hostile.len().min(80)]);
        }
    }
}

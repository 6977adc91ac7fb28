//! Cutting a byte stream into entries.

use jiff::{SignedDuration, Timestamp};

use crate::{Entry, Stream};

/// The longest piece of a line in one entry, in bytes (Docker's).
pub const LINE_MAX: usize = 16 * 1024;

/// Cuts the bytes of one stream into lines and pieces of lines.
///
/// A line longer than [`LINE_MAX`] becomes several entries, all but the last marked partial and all with the time of
/// the first. Memory is taken only while a line is incomplete, and never more than [`LINE_MAX`].
#[derive(Debug)]
pub struct Splitter {
    stream: Stream,
    pending: Vec<u8>,
    /// Time of the first byte of the line that is being collected.
    began: Option<Timestamp>,
}

impl Splitter {
    /// For one stream of one container.
    #[must_use]
    pub fn new(stream: Stream) -> Self {
        Self { stream, pending: Vec::new(), began: None }
    }

    /// Cuts `bytes`, read at `at`; each line after the first gets one nanosecond more, so that times differ.
    pub fn push(&mut self, mut bytes: &[u8], mut at: Timestamp, emit: &mut dyn FnMut(&Entry<'_>)) {
        while !bytes.is_empty() {
            let room = LINE_MAX - self.pending.len();
            let (piece, ended) = match bytes.iter().take(room + 1).position(|byte| *byte == b'\n') {
                Some(newline) => (&bytes[..newline], true),
                None => (&bytes[..room.min(bytes.len())], false),
            };
            bytes = &bytes[piece.len() + usize::from(ended)..];
            let began = *self.began.get_or_insert(at);
            if ended {
                self.emit(piece, began, false, emit);
                self.began = None;
                at = at.checked_add(SignedDuration::from_nanos(1)).unwrap_or(at);
            } else if self.pending.len() + piece.len() == LINE_MAX {
                self.emit(piece, began, true, emit);
            } else {
                self.pending.extend_from_slice(piece);
            }
        }
    }

    /// Emits what is left when the stream has ended without a newline.
    pub fn finish(&mut self, emit: &mut dyn FnMut(&Entry<'_>)) {
        if let Some(began) = self.began.take()
            && !self.pending.is_empty()
        {
            self.emit(&[], began, true, emit);
        }
    }

    fn emit(&mut self, piece: &[u8], at: Timestamp, partial: bool, emit: &mut dyn FnMut(&Entry<'_>)) {
        let stream = self.stream;
        if self.pending.is_empty() {
            return emit(&Entry { stream, at, partial, bytes: piece });
        }
        self.pending.extend_from_slice(piece);
        emit(&Entry { stream, at, partial, bytes: &self.pending });
        // Given back, not kept: most containers write whole lines.
        self.pending = Vec::new();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(chunks: &[&[u8]]) -> Vec<(usize, bool)> {
        let mut splitter = Splitter::new(Stream::Stdout);
        let mut seen = Vec::new();
        let mut all = Vec::new();
        let mut emit = |entry: &Entry<'_>| {
            seen.push((entry.bytes.len(), entry.partial));
            all.extend_from_slice(entry.bytes);
            if !entry.partial {
                all.push(b'\n');
            }
        };
        for chunk in chunks {
            splitter.push(chunk, Timestamp::UNIX_EPOCH, &mut emit);
        }
        splitter.finish(&mut emit);
        assert_eq!(all, chunks.concat(), "no byte is lost or made up");
        seen
    }

    #[test]
    fn lines_pieces_and_ends() {
        assert_eq!(split(&[b"a\nbc\n\n"]), [(1, false), (2, false), (0, false)]);
        assert_eq!(split(&[b"a", b"b", b"\nc"]), [(2, false), (1, true)]);
        let long = vec![b'x'; LINE_MAX];
        assert_eq!(split(&[&long, b"\n"]), [(LINE_MAX, true), (0, false)]);
        assert_eq!(split(&[&long, &long, b"y\n"]), [(LINE_MAX, true), (LINE_MAX, true), (1, false)]);
        assert_eq!(split(&[b"ab", &long]), [(LINE_MAX, true), (2, true)]);
        let mut exact = long.clone();
        exact.push(b'\n');
        assert_eq!(split(&[&exact]), [(LINE_MAX, false)]);
    }

    #[test]
    fn times_grow_within_a_chunk_and_stay_within_a_line() {
        let mut splitter = Splitter::new(Stream::Stderr);
        let mut times = Vec::new();
        splitter.push(b"a\nb\nc", Timestamp::UNIX_EPOCH, &mut |entry| times.push(entry.at.as_nanosecond()));
        let later = Timestamp::from_second(9).unwrap();
        splitter.push(b"d\n", later, &mut |entry| times.push(entry.at.as_nanosecond()));
        assert_eq!(times, [0, 1, 2]);
    }
}

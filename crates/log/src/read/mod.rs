//! Reading logs back: across rotations, by time, from the end, and live.
//!
//! ```text
//!                 ┌──────────── segments, oldest first ───────────┐
//!  path.3.gz ─► path.2.gz ─► path.1 ─► path ─► (rotated while followed: path again)
//!       └─ tail: counted from the newest back, so old files are opened only when needed
//!  raw entries ─► skip(tail) ─► joined lines ─► since, until, streams ─► Record
//! ```
//!
//! Broken bytes (a torn line, a stray file) are skipped to the next entry; they never end a log.

mod find;
mod segment;
mod watching;

use std::{
    collections::{BTreeMap, VecDeque},
    path::{Path, PathBuf},
};

use jiff::Timestamp;

use crate::{Error, Result, Stream};
use segment::Segment;

pub use watching::watch;

/// A joined line longer than this is given out in pieces, in bytes.
const JOINED_MAX: usize = 1 << 20;

/// Which entries to read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReadOptions {
    /// Nothing before this.
    pub since: Option<Timestamp>,
    /// Nothing after this.
    pub until: Option<Timestamp>,
    /// The last so many lines only, counted before the other choices (as Docker does).
    pub tail: Option<usize>,
    /// Standard output is wanted.
    pub stdout: bool,
    /// Standard error is wanted.
    pub stderr: bool,
    /// More may come: unfinished lines are held back and rotation is followed.
    pub follow: bool,
}

impl Default for ReadOptions {
    fn default() -> Self {
        Self { since: None, until: None, tail: None, stdout: true, stderr: true, follow: false }
    }
}

/// One line, or what there is of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Standard output or standard error.
    pub stream: Stream,
    /// When its first byte was read.
    pub at: Timestamp,
    /// With the newline, unless the stream ended without one or the line is longer than a mebibyte.
    pub bytes: Vec<u8>,
    /// Labels, environment and tag chosen by log options (json-file).
    pub attributes: BTreeMap<String, String>,
}

/// An entry as a file holds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Raw {
    pub stream: Stream,
    pub at: Timestamp,
    /// The line ends here; `bytes` has its newline.
    pub ended: bool,
    pub bytes: Vec<u8>,
    pub attributes: BTreeMap<String, String>,
}

/// How a file is cut into entries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    JsonFile,
    Local,
}

/// Reads a log; an iterator that may give more after `None` while it follows.
pub struct Reader {
    path: PathBuf,
    format: Format,
    options: ReadOptions,
    /// Oldest first; the last one is the live file.
    segments: VecDeque<Segment>,
    /// Lines still to be dropped for `tail`.
    skip: usize,
    /// Unfinished lines: standard output, standard error.
    joining: [Option<Record>; 2],
    ready: VecDeque<Record>,
    /// Time of the last entry read; finds the place again when rotation took the file away.
    last: Option<Timestamp>,
    /// Entries up to this time were read before rotation took the file away.
    resume_after: Option<Timestamp>,
    finished: bool,
}

impl Reader {
    /// Opens the log that `driver` keeps at `path`; a log that does not exist yet is empty.
    ///
    /// # Errors
    /// [`Error::NotReadable`] for drivers that keep nothing here, [`Error::Read`] when a file cannot be opened.
    pub fn open(driver: &str, path: &Path, options: ReadOptions) -> Result<Self> {
        let format = match driver {
            "json-file" | "" => Format::JsonFile,
            "local" => Format::Local,
            other => return Err(Error::NotReadable(other.to_owned())),
        };
        let fail = |source| Error::Read { path: path.to_owned(), source };
        let mut segments = find::segments(path, format, options.since).map_err(fail)?;
        let mut skip = 0;
        if let Some(lines) = options.tail {
            skip = find::tail(&mut segments, lines).map_err(fail)?;
        }
        Ok(Self {
            path: path.to_owned(),
            format,
            segments: segments.into(),
            skip,
            joining: [None, None],
            ready: VecDeque::new(),
            last: None,
            resume_after: None,
            finished: options.tail == Some(0) && !options.follow,
            options,
        })
    }

    /// Gives out what is left and ends: the container is gone, nothing more will come.
    pub fn stop_following(&mut self) {
        self.options.follow = false;
    }

    /// Whether nothing will ever come again: the end of a log that is not followed, or `until` is passed.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.finished && self.ready.is_empty()
    }

    fn advance(&mut self) -> std::io::Result<Option<Record>> {
        loop {
            if let Some(record) = self.ready.pop_front() {
                return Ok(Some(record));
            }
            if self.finished {
                return Ok(None);
            }
            match self.next_raw()? {
                Some(raw) => self.take(raw),
                None if self.options.follow => return Ok(None),
                None => self.finish(),
            }
        }
    }

    /// The next entry of any segment, moving on where one ends.
    fn next_raw(&mut self) -> std::io::Result<Option<Raw>> {
        loop {
            let Some(segment) = self.segments.front_mut() else {
                return if self.reopen()? { continue } else { Ok(None) };
            };
            if let Some(raw) = segment.next_raw()? {
                if self.resume_after.is_some_and(|last| raw.at <= last) {
                    continue;
                }
                self.resume_after = None;
                self.last = Some(raw.at);
                return Ok(Some(raw));
            }
            if self.segments.len() > 1 {
                self.segments.pop_front();
            } else if !(self.options.follow && self.rotated()?) {
                return Ok(None);
            }
        }
    }

    /// Looks for the log that did not exist when it was opened.
    fn reopen(&mut self) -> std::io::Result<bool> {
        self.segments = find::segments(&self.path, self.format, None)?.into();
        Ok(!self.segments.is_empty())
    }

    /// Whether the live file was put aside; queues its successors if so.
    fn rotated(&mut self) -> std::io::Result<bool> {
        let Some(segment) = self.segments.front_mut() else { return Ok(false) };
        match find::identity(&self.path)? {
            Some(live) if Some(live) != segment.identity() => {}
            _ => return Ok(false),
        }
        // Something may have been written between the last read and the rename.
        if let Some(raw) = segment.next_raw()? {
            segment.unread(raw);
            return Ok(true);
        }
        let own = segment.identity();
        let found = find::segments(&self.path, self.format, None)?;
        match found.iter().position(|candidate| candidate.identity() == own) {
            Some(position) => self.segments = found.into_iter().skip(position + 1).collect(),
            None => {
                // Already compressed or removed: the times say where to go on.
                self.resume_after = self.last;
                self.segments = found.into();
            }
        }
        Ok(!self.segments.is_empty())
    }

    /// Joins pieces, counts, chooses.
    fn take(&mut self, raw: Raw) {
        let joining = &mut self.joining[usize::from(raw.stream == Stream::Stderr)];
        let record = match joining.take() {
            Some(mut record) => {
                record.bytes.extend_from_slice(&raw.bytes);
                record
            }
            None => Record { stream: raw.stream, at: raw.at, bytes: raw.bytes, attributes: raw.attributes },
        };
        if raw.ended || record.bytes.len() >= JOINED_MAX {
            self.give(record, raw.ended);
        } else {
            *joining = Some(record);
        }
    }

    fn give(&mut self, record: Record, ended: bool) {
        if self.skip > 0 {
            self.skip -= usize::from(ended);
            return;
        }
        if self.options.until.is_some_and(|until| record.at > until) {
            self.finished = true;
            return;
        }
        let wanted = if record.stream == Stream::Stderr { self.options.stderr } else { self.options.stdout };
        if wanted && self.options.since.is_none_or(|since| record.at >= since) {
            self.ready.push_back(record);
        }
    }

    fn finish(&mut self) {
        for index in 0..self.joining.len() {
            if let Some(record) = self.joining[index].take() {
                self.give(record, true);
            }
        }
        self.ready.make_contiguous().sort_by_key(|record| record.at);
        self.finished = true;
    }
}

impl Iterator for Reader {
    type Item = Result<Record>;

    /// The next line; `None` at the end, or, while following, when there is nothing new yet.
    fn next(&mut self) -> Option<Self::Item> {
        self.advance().map_err(|source| Error::Read { path: self.path.clone(), source }).transpose()
    }
}

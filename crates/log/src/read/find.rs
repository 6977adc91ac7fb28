//! Finding the files of a log, and the place where its last lines begin.

use std::{
    fs::File,
    io,
    os::unix::fs::{FileExt, MetadataExt},
    path::Path,
    time::{Duration, UNIX_EPOCH},
};

use jiff::Timestamp;

use super::{
    Format,
    segment::{Identity, Segment},
};
use crate::{local::frame, rotate::numbered};

const BLOCK_BYTES: u64 = 64 * 1024;
/// Numbers looked for; rotation leaves no gap, one missing number may be a rotation under way.
const GAP_MAX: u32 = 1;

/// Opens all files of a log, oldest first, leaving out those last written before `since`.
///
/// The newest is opened first: a rotation in between shows the same file twice, never none, and the second is dropped.
pub(crate) fn segments(path: &Path, format: Format, since: Option<Timestamp>) -> io::Result<Vec<Segment>> {
    let (mut found, mut seen, mut gap, mut number) = (Vec::new(), Vec::new(), 0, 0);
    while gap <= GAP_MAX {
        let opened = match number {
            0 => open(path)?.map(|file| (file, false)),
            _ => match open(&numbered(path, number, false))? {
                Some(file) => Some((file, false)),
                None => open(&numbered(path, number, true))?.map(|file| (file, true)),
            },
        };
        number += 1;
        let Some((file, compressed)) = opened else {
            gap += 1;
            continue;
        };
        gap = 0;
        let metadata = file.metadata()?;
        let identity = (metadata.dev(), metadata.ino());
        if seen.contains(&identity) {
            continue;
        }
        seen.push(identity);
        if number > 1 && since.is_some_and(|since| is_older(&metadata, since)) {
            break;
        }
        found.push(Segment::new(file, compressed, format)?);
    }
    found.reverse();
    Ok(found)
}

fn open(path: &Path) -> io::Result<Option<File>> {
    match File::open(path) {
        Ok(file) => Ok(Some(file)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Whether the file was last written clearly before `since`.
fn is_older(metadata: &std::fs::Metadata, since: Timestamp) -> bool {
    let Ok(since_second) = u64::try_from(since.as_second()) else { return false };
    metadata
        .modified()
        .is_ok_and(|modified| modified + Duration::from_secs(2) < UNIX_EPOCH + Duration::from_secs(since_second))
}

/// Device and inode of the file under `path`, if there is one.
pub(crate) fn identity(path: &Path) -> io::Result<Option<Identity>> {
    match std::fs::metadata(path) {
        Ok(metadata) => Ok(Some((metadata.dev(), metadata.ino()))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Drops segments and goes forward in the oldest that is left, so that the last `lines` lines follow after as many
/// lines as the answer says.
///
/// One line more than asked for is looked for: where it ends, the first wanted line begins with all its pieces.
pub(crate) fn tail(segments: &mut Vec<Segment>, lines: usize) -> io::Result<usize> {
    let (wanted, mut first, mut there) = (lines.saturating_add(1), segments.len(), 0);
    while first > 0 && there < wanted {
        first -= 1;
        let newest = first + 1 == segments.len();
        let segment = &mut segments[first];
        let (offset, more) = match segment.plain() {
            Some(_) => tail_plain(segment, wanted - there, newest)?,
            None => (0, count(segment, newest)?),
        };
        segment.restart(offset)?;
        there += more;
    }
    segments.drain(..first);
    Ok(there.saturating_sub(lines))
}

/// An offset behind which at least `lines` lines begin (or 0), and how many do.
fn tail_plain(segment: &mut Segment, lines: usize, newest: bool) -> io::Result<(u64, usize)> {
    // Lines in pieces have more entries than lines: ask for more entries until there are enough lines.
    let mut entries = lines;
    loop {
        let offset = match (segment.plain(), segment.format()) {
            (Some(file), Format::JsonFile) => offset_of_last_newlines(file, entries)?,
            (Some(file), Format::Local) => offset_of_last_frames(file, entries)?,
            (None, _) => 0,
        };
        segment.seek(offset);
        let there = count(segment, newest)?;
        if there >= lines || offset == 0 {
            return Ok((offset, there));
        }
        entries = entries.saturating_mul(2);
    }
}

/// Lines that end from here on; one that is unfinished at the end of the newest file counts too.
fn count(segment: &mut Segment, newest: bool) -> io::Result<usize> {
    let (mut lines, mut open) = (0, [false; 2]);
    while let Some(raw) = segment.next_raw()? {
        lines += usize::from(raw.ended);
        open[usize::from(raw.stream == crate::Stream::Stderr)] = !raw.ended;
    }
    Ok(lines + open.into_iter().filter(|open| newest && *open).count())
}

fn offset_of_last_newlines(file: &File, entries: usize) -> io::Result<u64> {
    let (mut end, mut left) = (file.metadata()?.len(), entries + 1);
    let mut block = vec![0u8; BLOCK_BYTES as usize];
    while end > 0 {
        let start = end.saturating_sub(BLOCK_BYTES);
        let part = &mut block[..(end - start) as usize];
        file.read_exact_at(part, start)?;
        for (index, _) in part.iter().enumerate().rev().filter(|(_, byte)| **byte == b'\n') {
            left -= 1;
            if left == 0 {
                return Ok(start + index as u64 + 1);
            }
        }
        end = start;
    }
    Ok(0)
}

fn offset_of_last_frames(file: &File, entries: usize) -> io::Result<u64> {
    let mut end = file.metadata()?.len();
    for _ in 0..entries {
        match frame::before(file, end)? {
            Some(start) => end = start,
            // The beginning, or broken bytes that cannot be passed backwards.
            None => return Ok(0),
        }
    }
    Ok(end)
}

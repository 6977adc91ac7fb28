//! A tree and its layout into bytes: inodes with their tails first, then whole blocks, both in the order of places.

use std::fs::File;
use std::io::{self, BufWriter, Read, Seek, SeekFrom, Write};
use std::os::fd::BorrowedFd;
use std::os::unix::fs::FileExt;

use rustix::fs::OFlags;

use crate::error::{Error, Result};
use crate::format::{self, Data, Entry};
use crate::layout::{self, Layout, Place};
use crate::tree::{Body, Id, Tree};
use crate::{BLOCK_BYTES, Written, scan};

/// Bytes that are copied at a time.
const BUFFER_BYTES: usize = 256 << 10;
/// Holes shorter than this are written as zeros: a step costs more.
const HOLE_BYTES_MIN: u64 = 64 << 10;

/// Writes the image; `layers` are the roots that the tree's files lie below.
pub(crate) fn image(out: &mut (impl Write + Seek), tree: &Tree, layers: &[BorrowedFd<'_>]) -> Result<Written> {
    let layout = Layout::of(tree)?;
    let mut image = Image { out: Counted::new(out), tree, layers, layout: &layout, buffer: vec![0; BUFFER_BYTES] };
    let inodes = layout.order.len() as u64;
    let root = layout.places[0].nid() as u16;
    image.out.put(&format::superblock(root, inodes, layout.blocks))?;
    for (number, id) in layout.order.iter().enumerate() {
        image.inode(*id, number as u32 + 1)?;
    }
    for id in &layout.order {
        image.blocks(*id)?;
    }
    let bytes = u64::from(layout.blocks) * BLOCK_BYTES;
    image.out.finish(bytes)?;
    let size = |id: &Id| match &tree.get(*id).body {
        Body::File { bytes, .. } => *bytes,
        _ => 0,
    };
    Ok(Written { bytes, inodes, file_bytes: layout.order.iter().map(size).sum() })
}

struct Image<'a, W: Write + Seek> {
    out: Counted<'a, W>,
    tree: &'a Tree,
    layers: &'a [BorrowedFd<'a>],
    layout: &'a Layout,
    buffer: Vec<u8>,
}

impl<W: Write + Seek> Image<'_, W> {
    /// An inode, its attributes and the tail of its content.
    fn inode(&mut self, id: Id, number: u32) -> Result<()> {
        let (inode, place) = (self.tree.get(id), self.place(id));
        self.out.pad_to(place.at)?;
        self.out.put(&format::inode(inode, place.data, place.size, place.block, number, place.links))?;
        if place.data != Data::Inline {
            return Ok(());
        }
        let (from, tail) = (place.in_blocks(), (place.size % BLOCK_BYTES) as usize);
        match &inode.body {
            Body::Directory(_) => self.out.put(&self.directory(id)[from as usize..]),
            Body::Link(target) => self.out.put(target),
            Body::File { layer, path, .. } => {
                let file = self.open(*layer, path)?;
                let read = file.read_exact_at(&mut self.buffer[..tail], from);
                read.map_err(|error| changed(path, error))?;
                self.out.put(&self.buffer[..tail])
            }
            Body::Special => Ok(()),
        }
    }

    /// The part of the content that lies in whole blocks.
    fn blocks(&mut self, id: Id) -> Result<()> {
        let (inode, place) = (self.tree.get(id), self.place(id));
        let length = place.in_blocks();
        if length == 0 {
            return Ok(());
        }
        self.out.pad_to(u64::from(place.block) * BLOCK_BYTES)?;
        match &inode.body {
            Body::Directory(_) => self.out.put(&self.directory(id)[..length as usize]),
            Body::Link(target) => self.out.put(target),
            Body::File { layer, path, .. } => {
                let mut file = self.open(*layer, path)?;
                self.copy(&mut file, path, length)
            }
            Body::Special => Ok(()),
        }
    }

    /// Copies the first `length` bytes of a file; its holes are stepped over.
    fn copy(&mut self, file: &mut File, path: &[u8], length: u64) -> Result<()> {
        let failed = |error: io::Error| Error::read("read", path)(error);
        let mut at = 0;
        while at < length {
            let (data, hole) = extent(file, at, length);
            if data - at >= HOLE_BYTES_MIN {
                self.out.skip(data - at)?;
                at = data;
                file.seek(SeekFrom::Start(at)).map_err(failed)?;
            } else {
                file.seek(SeekFrom::Start(at)).map_err(failed)?;
            }
            while at < hole {
                let most = (hole - at).min(self.buffer.len() as u64) as usize;
                match file.read(&mut self.buffer[..most]) {
                    Ok(0) => return Err(Error::Changed { path: String::from_utf8_lossy(path).into_owned() }),
                    Ok(read) => {
                        self.out.put(&self.buffer[..read])?;
                        at += read as u64;
                    }
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    Err(error) => return Err(failed(error)),
                }
            }
        }
        Ok(())
    }

    fn open(&self, layer: usize, path: &[u8]) -> Result<File> {
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY;
        scan::open(self.layers[layer], path, flags).map(File::from).map_err(Error::read("open", path))
    }

    fn directory(&self, id: Id) -> Vec<u8> {
        let children = self.tree.children(id);
        let mut entries = Vec::with_capacity(children.len() + 2);
        for name in layout::dotted(children.keys().map(|name| &**name)) {
            let target = match name {
                b"." => id,
                b".." => self.place(id).parent,
                name => children.get(name).copied().unwrap_or(id),
            };
            entries.push(Entry { name, nid: self.place(target).nid(), mode: self.tree.get(target).mode });
        }
        format::directory(&entries)
    }

    fn place(&self, id: Id) -> Place {
        self.layout.places[id as usize]
    }
}

/// Where from `at` on the next data begins and ends, as the file system knows it; all of it when it does not.
fn extent(file: &File, at: u64, length: u64) -> (u64, u64) {
    let data = match rustix::fs::seek(file, rustix::fs::SeekFrom::Data(at)) {
        Ok(data) => data.min(length),
        Err(rustix::io::Errno::NXIO) => return (length, length),
        Err(_) => return (at, length),
    };
    let hole = rustix::fs::seek(file, rustix::fs::SeekFrom::Hole(data)).map_or(length, |hole| hole.min(length));
    (data, hole)
}

fn changed(path: &[u8], error: io::Error) -> Error {
    match error.kind() {
        io::ErrorKind::UnexpectedEof => Error::Changed { path: String::from_utf8_lossy(path).into_owned() },
        _ => Error::read("read", path)(error),
    }
}

/// An output that knows how far it is.
struct Counted<'a, W: Write + Seek> {
    out: BufWriter<&'a mut W>,
    at: u64,
    /// The last byte that was written, rather than stepped over, ends here.
    written: u64,
}

impl<'a, W: Write + Seek> Counted<'a, W> {
    fn new(out: &'a mut W) -> Self {
        Self { out: BufWriter::with_capacity(BUFFER_BYTES, out), at: 0, written: 0 }
    }

    fn put(&mut self, bytes: &[u8]) -> Result<()> {
        self.out.write_all(bytes).map_err(Error::write)?;
        self.at += bytes.len() as u64;
        self.written = self.at;
        Ok(())
    }

    fn pad_to(&mut self, at: u64) -> Result<()> {
        const ZEROS: [u8; BLOCK_BYTES as usize] = [0; BLOCK_BYTES as usize];
        while self.at < at {
            let some = (at - self.at).min(BLOCK_BYTES) as usize;
            self.put(&ZEROS[..some])?;
        }
        Ok(())
    }

    fn skip(&mut self, bytes: u64) -> Result<()> {
        self.out.seek(SeekFrom::Current(bytes.cast_signed())).map_err(Error::write)?;
        self.at += bytes;
        Ok(())
    }

    /// Everything up to `end` is there: a last byte makes what was stepped over part of the file.
    fn finish(mut self, end: u64) -> Result<()> {
        self.pad_to(end)?;
        if self.written < self.at {
            self.out.seek(SeekFrom::Current(-1)).map_err(Error::write)?;
            self.out.write_all(&[0]).map_err(Error::write)?;
        }
        self.out.flush().map_err(Error::write)
    }
}

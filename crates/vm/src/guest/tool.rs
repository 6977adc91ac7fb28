//! What the host asks about the container's files is done in the guest, by the same code: the host mounts no file system
//! that a guest has written.
//!
//! ```text
//! stat PATH                      Facts as JSON
//! get PATH BASE                  the same and a new line, then an archive of what lies at PATH, BASE its topmost name
//! put PATH OVERWRITE OWNER       unpacks standard input; OVERWRITE `keep-kind` or `any`; OWNER a user or empty
//! changes                        the paths that differ from the image, a JSON array of path and kind
//! layer [paused]                 an archive of the changes, as an image's layer
//! export                         an archive of the whole root file system, mounts left out
//! ```

use std::{
    ffi::{OsStr, OsString},
    fs::File,
    io::{BufWriter, Write as _},
    os::fd::{AsFd as _, OwnedFd},
    path::{Path, PathBuf},
    process::ExitCode,
};

use berth_archive::{
    BUFFER_BYTES, changes,
    pack::{self, TreeOptions},
    unpack::{self, ExtractOptions},
};
use rustix::fs::{FileType, Mode, OFlags};
use serde::{Deserialize, Serialize};

use super::{CGROUP, DISK, LOWER, ROOTFS};

/// Exit code: there is nothing at the path.
pub const NO_SUCH_PATH: u8 = 3;
/// Exit code: a directory was needed, and it is none.
pub const NO_DIRECTORY: u8 = 4;
/// Exit code: the archive or its place cannot be used so; why is on standard error.
const FAILED: u8 = 5;

/// What lies at a path.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Facts {
    /// Type and permission bits (inode(7)).
    pub mode: u32,
    /// In bytes.
    pub size: u64,
    /// Seconds of Unix time.
    pub mtime: i64,
    /// And nanoseconds.
    pub mtime_nsec: u32,
    /// Of a symbolic link.
    pub target: Option<String>,
}

/// Why there is no result.
enum Trouble {
    /// An exit code that says it all.
    Code(u8),
    /// A sentence.
    Said(String),
}

/// `ROOT VERB ARGUMENT…`, see the module.
pub(super) fn main(arguments: &[OsString]) -> ExitCode {
    match run(arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(Trouble::Code(code)) => ExitCode::from(code),
        Err(Trouble::Said(text)) => {
            eprint!("{text}");
            ExitCode::from(FAILED)
        }
    }
}

fn run(arguments: &[OsString]) -> Result<(), Trouble> {
    let text: Vec<&str> = arguments.iter().filter_map(|argument| argument.to_str()).collect();
    match text[..] {
        [root, "stat", path] => answer(&facts(&open(root)?, path)?),
        [root, "get", path, base] => {
            let options = TreeOptions { base: Some(base.to_owned()), ..TreeOptions::default() };
            let root = open(root)?;
            answer(&facts(&root, path)?)?;
            answer_end()?;
            pack(&root, path, &options)
        }
        [root, "put", path, overwrite, owner] => put(&open(root)?, path, overwrite == "keep-kind", owner),
        [_, "changes"] => {
            let (upper, lower) = (open(&format!("{DISK}/upper"))?, open(LOWER)?);
            let found = changes::diff(upper.as_fd(), &[lower.as_fd()]).map_err(said)?;
            let shown: Vec<(String, u8)> =
                found.into_iter().map(|change| (change.path.display().to_string(), change.kind as u8)).collect();
            answer(&shown)
        }
        [_, "layer"] => layer(),
        [_, "layer", "paused"] => {
            freeze(true);
            let outcome = layer();
            freeze(false);
            outcome
        }
        [_, "export"] => {
            let options = TreeOptions { exclude: vec![PathBuf::from(".dockerenv")], ..TreeOptions::default() };
            pack(&open(ROOTFS)?, "/", &options)
        }
        _ => Err(Trouble::Said("the guest was asked for what it does not have".to_owned())),
    }
}

fn layer() -> Result<(), Trouble> {
    let upper = open(&format!("{DISK}/upper"))?;
    pack::layer(upper.as_fd(), output()).map_err(said).and_then(finish)
}

/// The container's processes stand still meanwhile; where they cannot, the layer is still one.
fn freeze(frozen: bool) {
    let path = format!("/sys/fs/cgroup{CGROUP}/cgroup.freeze");
    let _ = std::fs::write(path, if frozen { "1" } else { "0" });
}

fn open(path: &str) -> Result<OwnedFd, Trouble> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    rustix::fs::open(path, flags, Mode::empty()).map_err(|errno| Trouble::Said(format!("cannot open {path}: {errno}")))
}

fn facts(root: &OwnedFd, path: &str) -> Result<Facts, Trouble> {
    let (found, target) = pack::stat_entry(root.as_fd(), Path::new(path)).map_err(|_| Trouble::Code(NO_SUCH_PATH))?;
    Ok(Facts {
        mode: found.st_mode,
        size: u64::try_from(found.st_size).unwrap_or(0),
        mtime: found.st_mtime,
        mtime_nsec: u32::try_from(found.st_mtime_nsec).unwrap_or(0),
        target: target.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()),
    })
}

fn put(root: &OwnedFd, path: &str, keep_kind: bool, owner: &str) -> Result<(), Trouble> {
    let found = facts(root, &format!("{}/.", path.trim_end_matches('/')))?;
    if FileType::from_raw_mode(found.mode) != FileType::Directory {
        return Err(Trouble::Code(NO_DIRECTORY));
    }
    let owner = if owner.is_empty() {
        None
    } else {
        let identity = berth_runtime::user::resolve::<&str>(root.as_fd(), owner, &[])
            .map_err(|error| Trouble::Said(error.to_string()))?;
        Some((identity.uid, identity.gid))
    };
    let options = ExtractOptions { no_overwrite_dir_non_dir: keep_kind, owner, ..ExtractOptions::default() };
    let input = std::io::BufReader::with_capacity(BUFFER_BYTES, std::io::stdin());
    let decoded = berth_archive::compression::decoder(input).map_err(said)?;
    unpack::extract(decoded, root.as_fd(), Path::new(path), &options).map(drop).map_err(said)
}

fn pack(root: &OwnedFd, path: &str, options: &TreeOptions) -> Result<(), Trouble> {
    pack::tree(root.as_fd(), Path::new(OsStr::new(path)), output(), options).map_err(said).and_then(finish)
}

fn output() -> BufWriter<File> {
    // Standard output itself has a buffer that looks for ends of lines.
    let file = std::io::stdout().as_fd().try_clone_to_owned().map(File::from);
    BufWriter::with_capacity(BUFFER_BYTES, file.unwrap_or_else(|_| File::from(null())))
}

/// Where nothing can be written any more.
fn null() -> OwnedFd {
    let (reader, writer) = rustix::pipe::pipe().unwrap_or_else(|_| std::process::exit(i32::from(FAILED)));
    drop(reader);
    writer
}

fn finish(mut output: BufWriter<File>) -> Result<(), Trouble> {
    output.flush().map_err(|error| Trouble::Said(format!("cannot write the archive: {error}")))
}

fn answer(value: &impl Serialize) -> Result<(), Trouble> {
    let text = serde_json::to_vec(value).unwrap_or_default();
    std::io::stdout().write_all(&text).map_err(|error| Trouble::Said(error.to_string()))
}

fn answer_end() -> Result<(), Trouble> {
    let mut output = std::io::stdout();
    output.write_all(b"\n").and_then(|()| output.flush()).map_err(|error| Trouble::Said(error.to_string()))
}

fn said(error: berth_archive::Error) -> Trouble {
    Trouble::Said(crate::message::Failure::of("files", &error).message)
}

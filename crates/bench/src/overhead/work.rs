//! The program whose cost is compared: each work does a fixed amount of one thing and gives the time it took.
//!
//! It runs as `berth-bench --work NAME --place FOLDER`, on the host and in a container alike, and prints nanoseconds.

use std::fs::File;
use std::hint::black_box;
use std::io::Read;
use std::os::fd::AsFd;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::fs::{AtFlags, CWD, Mode, OFlags, open, openat, renameat, statat, unlinkat};
use sha2::{Digest, Sha256};

/// Calls of one measurement of a system call.
const CALLS: usize = 1_000_000;
/// Names of the folders and files of a tree.
pub const FOLDERS: usize = 20;
pub const FILES: usize = 100;

/// Does the work that `name` stands for; `place` is a folder of its own to work in.
pub fn run(name: &str, place: &Path) -> Result<Duration> {
    match name {
        "cpu" => Ok(cpu()),
        "memory" => Ok(memory()),
        "faults" => Ok(faults()),
        "getpid" => Ok(getpid()),
        "openat" => openat_and_close(place),
        "fsync" => synchronised_writes(place),
        "metadata-write" => metadata_writes(place),
        "metadata-read" => metadata_reads(place),
        "stream-write" => stream_write(place),
        "stream-read" => stream_read(place),
        other => bail!("there is no work {other}"),
    }
}

/// Processor time since the process began: of works that never wait, so that whoever else runs meanwhile counts less.
fn processor() -> Duration {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Duration::new(now.tv_sec.unsigned_abs(), now.tv_nsec.unsigned_abs() as u32)
}

fn timed(work: impl FnOnce()) -> Duration {
    let begin = processor();
    work();
    processor() - begin
}

/// SHA-256 of 256 MiB, a buffer of 1 MiB again and again.
fn cpu() -> Duration {
    let buffer = vec![0x5a_u8; 1 << 20];
    timed(|| {
        let mut hash = Sha256::new();
        (0..256).for_each(|_| hash.update(black_box(&buffer)));
        black_box(hash.finalize());
    })
}

/// Copies 32 MiB 64 times between buffers that are there already.
fn memory() -> Duration {
    let from = vec![1_u8; 32 << 20];
    let mut to = vec![2_u8; 32 << 20];
    timed(|| (0..64).for_each(|_| black_box(&mut to).copy_from_slice(black_box(&from))))
}

/// Touches each page of 128 MiB of fresh memory, twice.
fn faults() -> Duration {
    timed(|| {
        for _ in 0..2 {
            let mut fresh = vec![0_u8; 128 << 20];
            fresh.iter_mut().step_by(4096).for_each(|byte| *byte = 1);
            black_box(&fresh);
        }
    })
}

fn getpid() -> Duration {
    timed(|| {
        for _ in 0..CALLS {
            black_box(rustix::process::getpid());
        }
    })
}

/// Opens one file of the folder by its name, and closes it.
fn openat_and_close(place: &Path) -> Result<Duration> {
    File::create(place.join("file"))?;
    let folder = open(place, OFlags::PATH | OFlags::DIRECTORY, Mode::empty())?;
    let begin = processor();
    for _ in 0..CALLS {
        drop(openat(&folder, c"file", OFlags::RDONLY, Mode::empty())?);
    }
    Ok(processor() - begin)
}

/// 64 writes of 4 KiB, each made durable before the next.
fn synchronised_writes(place: &Path) -> Result<Duration> {
    let file = File::create(place.join("durable"))?;
    // The blocks are there before, so that each fdatasync is about data.
    file.write_all_at(&[0; 64 << 12], 0)?;
    file.sync_all()?;
    let begin = Instant::now();
    for at in 0..64_u64 {
        file.write_all_at(&[at as u8; 4096], at << 12)?;
        file.sync_data()?;
    }
    Ok(begin.elapsed())
}

/// 4,000 files made, renamed and removed.
fn metadata_writes(place: &Path) -> Result<Duration> {
    let folder = open(place, OFlags::RDONLY | OFlags::DIRECTORY, Mode::empty())?;
    let begin = processor();
    for _ in 0..4000 {
        let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY;
        drop(openat(&folder, c"one", flags, Mode::from_raw_mode(0o644))?);
        renameat(&folder, c"one", &folder, c"two")?;
        unlinkat(&folder, c"two", AtFlags::empty())?;
    }
    Ok(processor() - begin)
}

/// Every file of the tree `tree` looked at 40 times, every folder listed twice.
fn metadata_reads(place: &Path) -> Result<Duration> {
    let names = tree_files();
    let tree = open(place.join("tree"), OFlags::RDONLY | OFlags::DIRECTORY, Mode::empty())?;
    // Once before, so that what is compared is the file system and not the disk.
    names.iter().try_for_each(|name| statat(&tree, name.as_str(), AtFlags::empty()).map(drop))?;
    let begin = processor();
    for _ in 0..40 {
        for name in &names {
            black_box(statat(&tree, name.as_str(), AtFlags::SYMLINK_NOFOLLOW)?);
        }
    }
    for _ in 0..2 {
        for folder in 0..FOLDERS {
            let opened = openat(&tree, folder_name(folder), OFlags::RDONLY | OFlags::DIRECTORY, Mode::empty())?;
            let listed = rustix::fs::Dir::read_from(opened.as_fd())?.count();
            anyhow::ensure!(listed == FILES + 2, "{listed} entries");
        }
    }
    Ok(processor() - begin)
}

pub fn folder_name(folder: usize) -> String {
    format!("folder{folder:02}")
}

/// Paths of the tree's files, below it.
pub fn tree_files() -> Vec<String> {
    let files = |folder| (0..FILES).map(move |file| format!("{}/file{file:02}", folder_name(folder)));
    (0..FOLDERS).flat_map(files).collect()
}

/// 64 MiB written in pieces of 128 KiB, and made durable.
fn stream_write(place: &Path) -> Result<Duration> {
    let file = File::create(place.join("stream"))?;
    let piece = vec![7_u8; 128 << 10];
    let begin = Instant::now();
    for at in 0..512_u64 {
        file.write_all_at(&piece, at << 17)?;
    }
    file.sync_all()?;
    let took = begin.elapsed();
    unlinkat(CWD, place.join("stream"), AtFlags::empty())?;
    Ok(took)
}

/// A file of 64 MiB read 16 times out of the kernel's memory.
fn stream_read(place: &Path) -> Result<Duration> {
    let path = place.join("read");
    if !path.exists() {
        std::fs::write(&path, vec![7_u8; 64 << 20])?;
    }
    let mut piece = vec![0_u8; 128 << 10];
    let mut read = || -> Result<()> {
        let mut file = File::open(&path).with_context(|| path.display().to_string())?;
        while file.read(&mut piece)? > 0 {}
        Ok(())
    };
    read()?;
    let begin = processor();
    (0..16).try_for_each(|_| read())?;
    Ok(processor() - begin)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_work_on_files_leaves_its_folder_usable() {
        let folder = tempfile::tempdir().expect("a folder");
        for name in tree_files() {
            let path = folder.path().join("tree").join(name);
            std::fs::create_dir_all(path.parent().expect("a parent")).expect("a folder");
            std::fs::write(path, "").expect("a file");
        }
        for _ in 0..2 {
            for name in ["fsync", "metadata-write", "metadata-read", "stream-write", "stream-read"] {
                assert!(run(name, folder.path()).expect(name) > Duration::ZERO);
            }
        }
        assert!(run("nothing", folder.path()).is_err());
    }
}

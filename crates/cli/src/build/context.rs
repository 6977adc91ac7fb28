//! The folder of a build: its list is sent, then the contents that the engine does not have.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use berth_client::{Body, Client, Request};
use berth_dockerfile::Ignore;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::call::Failure;

#[derive(Deserialize)]
struct Wanted {
    id: String,
    wanted: Vec<usize>,
}

/// Sends a folder; gives the name that the engine has for it.
pub async fn send(client: &Client, path: &str, dockerfile: &str) -> Result<String, Failure> {
    let failed = |error: std::io::Error| Failure::new(format!("open {path}: {}", crate::text::os(&error)));
    let root = std::fs::canonicalize(path).map_err(failed)?;
    if !root.is_dir() {
        return Err(Failure::new(format!("unable to prepare context: path {path:?} is not a folder")));
    }
    let ignore = ignore(&root, dockerfile)?;
    let mut entries = Vec::new();
    walk(&root, "", &ignore, dockerfile, &mut entries).map_err(failed)?;
    let host = std::fs::read_to_string("/etc/machine-id").unwrap_or_default();
    let key = format!("{}:{}", host.trim(), root.display());
    let body = std::io::Cursor::new(Value::Array(entries.clone()).to_string());
    let request = Request::post("/berth/build/context").text("key", &key);
    let wanted: Wanted = client.json(request.body(Body::reader(body), "application/json")).await?;
    if !wanted.wanted.is_empty() {
        let paths: Vec<String> = wanted
            .wanted
            .iter()
            .filter_map(|number| entries.get(*number)?["path"].as_str().map(str::to_owned))
            .collect();
        let body = Body::writer(move |out| pack(&root, &paths, out));
        let request = Request::put(format!("/berth/build/context/{}", wanted.id));
        client.done(request.body(body, "application/x-tar")).await?;
    }
    Ok(wanted.id)
}

fn pack(root: &Path, paths: &[String], out: &mut dyn std::io::Write) -> std::io::Result<()> {
    let mut builder = tar::Builder::new(out);
    for path in paths {
        let mut file = std::fs::File::open(root.join(path))?;
        let meta = file.metadata()?;
        let mut header = tar::Header::new_gnu();
        header.set_size(meta.len());
        header.set_mode(meta.mode() & 0o7777);
        header.set_mtime(u64::try_from(meta.mtime()).unwrap_or(0));
        // The exact time decides whether the file is sent again.
        let time = format!("{}.{:09}", meta.mtime(), meta.mtime_nsec());
        builder.append_pax_extensions([("mtime", time.as_bytes())])?;
        builder.append_data(&mut header, path, std::io::Read::take(&mut file, meta.len()))?;
    }
    builder.finish()
}

fn ignore(root: &Path, dockerfile: &str) -> Result<Ignore, Failure> {
    for name in [format!("{dockerfile}.dockerignore"), ".dockerignore".to_owned()] {
        if let Ok(bytes) = std::fs::read(root.join(&name)) {
            return Ignore::parse(&bytes).map_err(|error| Failure::new(format!("{name}: {error}")));
        }
    }
    Ok(Ignore::default())
}

fn walk(root: &Path, way: &str, ignore: &Ignore, dockerfile: &str, entries: &mut Vec<Value>) -> std::io::Result<()> {
    let mut names: Vec<_> = std::fs::read_dir(root.join(way))?.collect::<Result<_, _>>()?;
    names.sort_by_key(std::fs::DirEntry::file_name);
    for entry in names {
        let name = entry.file_name();
        let Some(name) = name.to_str() else {
            return Err(std::io::Error::other(format!("{} is no UTF-8", PathBuf::from(&name).display())));
        };
        let path = if way.is_empty() { name.to_owned() } else { format!("{way}/{name}") };
        let kept = path == dockerfile || path == ".dockerignore" || path == format!("{dockerfile}.dockerignore");
        let out = !kept && ignore.matches(&path);
        if out && ignore.prunes(&path) {
            continue;
        }
        let meta = entry.metadata()?;
        let at = entries.len();
        let mtime_ns = meta.mtime().saturating_mul(1_000_000_000) + meta.mtime_nsec();
        if meta.is_symlink() {
            let link = std::fs::read_link(entry.path())?;
            let link = link.to_str().unwrap_or_default();
            entries.push(json!({ "path": path, "mode": meta.mode(), "link": link }));
        } else if meta.is_dir() {
            entries.push(json!({ "path": path, "mode": meta.mode() }));
            walk(root, &path, ignore, dockerfile, entries)?;
        } else if meta.is_file() {
            entries.push(json!({ "path": path, "mode": meta.mode(), "size": meta.len(), "mtime_ns": mtime_ns }));
        }
        // What is left out stays only as the way to something that is not.
        if out && entries.len() == at + 1 {
            entries.truncate(at);
        }
    }
    Ok(())
}

/// Unpacks what is sent into a folder, on a thread of its own.
pub fn unpacker(
    folder: PathBuf,
) -> (std::sync::mpsc::SyncSender<bytes::Bytes>, std::thread::JoinHandle<std::io::Result<()>>) {
    let (sender, receiver) = std::sync::mpsc::sync_channel(16);
    (sender, std::thread::spawn(move || unpack(receiver, &folder)))
}

struct Pieces {
    pieces: std::sync::mpsc::Receiver<bytes::Bytes>,
    current: bytes::Bytes,
}

impl std::io::Read for Pieces {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        while self.current.is_empty() {
            match self.pieces.recv() {
                Ok(piece) => self.current = piece,
                Err(_) => return Ok(0),
            }
        }
        let length = buffer.len().min(self.current.len());
        buffer[..length].copy_from_slice(&self.current.split_to(length));
        Ok(length)
    }
}

fn unpack(pieces: std::sync::mpsc::Receiver<bytes::Bytes>, folder: &Path) -> std::io::Result<()> {
    let mut archive = tar::Archive::new(Pieces { pieces, current: bytes::Bytes::new() });
    archive.set_preserve_permissions(true);
    archive.set_overwrite(true);
    archive.unpack(folder)
}

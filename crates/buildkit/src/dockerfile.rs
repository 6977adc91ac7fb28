//! The Dockerfile of a client, and the ignore file that goes with it.

use std::io::Read as _;
use std::path::Path;

use rustix::fs::{Mode, OFlags, ResolveFlags};

use crate::grpc::{Code, Status};
use crate::request::{Options, Source};
use crate::session::{Contexts, Session, Wanted};

/// The largest Dockerfile or ignore file that is read, in bytes. One more than is taken, so that it is refused.
const FILE_BYTES: u64 = berth_dockerfile::limit::FILE_BYTES as u64 + 1;
const IGNORE: &str = ".dockerignore";

/// What was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// The Dockerfile.
    pub bytes: Vec<u8>,
    /// Its own ignore file (`NAME.dockerignore`), or that of the context.
    pub ignore: Option<Vec<u8>>,
}

/// Brings the Dockerfile from a folder of the client, and the ignore file.
///
/// # Errors
/// [`Code::NotFound`] when there is no such Dockerfile; [`Code::Unimplemented`] when it is in no folder of the client.
pub async fn find(contexts: &Contexts, session: &Session, options: &Options) -> Result<Found, Status> {
    let name = match (&options.dockerfile, &options.context) {
        (Some(Source::Local(name)), _) | (None, Source::Local(name)) => name.clone(),
        _ => return Err(Status::new(Code::Unimplemented, "the Dockerfile is in no folder of the client")),
    };
    let own = format!("{}{IGNORE}", options.filename);
    let (bytes, ignore) = {
        let include = vec![options.filename.clone(), own.clone()];
        let wanted = Wanted { name, purpose: "dockerfile", follow: include.clone(), include, ..Wanted::default() };
        let synced = contexts.sync(session, &wanted).await?;
        let missing = |error: std::io::Error| {
            Status::new(Code::NotFound, format!("failed to read dockerfile: open {}: {error}", options.filename))
        };
        let bytes = read_off(synced.path(), &options.filename).await.map_err(missing)?;
        (bytes, or_none(read_off(synced.path(), &own).await)?)
    };
    let ignore = match (ignore, &options.context) {
        (Some(own), _) => Some(own),
        (None, Source::Local(context)) => {
            let include = vec![IGNORE.to_owned()];
            let name = context.clone();
            let wanted = Wanted { name, purpose: "ignore", follow: include.clone(), include, ..Wanted::default() };
            let synced = contexts.sync(session, &wanted).await?;
            or_none(read_off(synced.path(), IGNORE).await)?
        }
        (None, _) => None,
    };
    Ok(Found { bytes, ignore })
}

async fn read_off(root: &Path, path: &str) -> std::io::Result<Vec<u8>> {
    let (root, path) = (root.to_owned(), path.to_owned());
    tokio::task::spawn_blocking(move || read(&root, &path)).await.map_err(std::io::Error::other)?
}

/// Reads a file of a folder that a stranger filled: links stay inside of it, and no pipe is waited for.
///
/// # Errors
/// As `open(2)`; [`std::io::ErrorKind::InvalidInput`] for what is no regular file.
pub fn read(root: &Path, path: &str) -> std::io::Result<Vec<u8>> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC;
    let root = rustix::fs::open(root, flags | OFlags::DIRECTORY | OFlags::NOFOLLOW, Mode::empty())?;
    let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    let path = path.trim_start_matches('/');
    let file = std::fs::File::from(rustix::fs::openat2(root, path, flags | OFlags::NONBLOCK, Mode::empty(), resolve)?);
    if !file.metadata()?.is_file() {
        return Err(std::io::Error::new(std::io::ErrorKind::InvalidInput, "it is no regular file"));
    }
    let mut bytes = Vec::new();
    file.take(FILE_BYTES).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn or_none(read: std::io::Result<Vec<u8>>) -> Result<Option<Vec<u8>>, Status> {
    match read {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Status::gone(error)),
    }
}

//! `berth cp`: local files into a container and back, as tar streams.

use crate::call::{Call, Failure, Outcome};
use crate::grammar::{Arity, Command, Flag};
use crate::terminal::write::{Target, all};
use crate::{archive, text};
use berth_client::answer::PathStat;
use berth_client::{Body, Client};
use std::io::IsTerminal;
use std::path::{Path, PathBuf};

static FLAGS: &[Flag] = &[
    Flag::switch("archive", "Archive mode (copy all uid/gid information)").short('a'),
    Flag::switch("follow-link", "Always follow symbol link in SRC_PATH").short('L'),
    Flag::switch(
        "quiet",
        "Suppress progress output during copy. Progress output is automatically suppressed if no terminal is attached",
    )
    .short('q'),
];

/// `berth cp`.
pub static COMMAND: Command = Command::verb(
    "[OPTIONS] CONTAINER:SRC_PATH DEST_PATH|-\n[OPTIONS] SRC_PATH|- CONTAINER:DEST_PATH",
    "Copy files/folders between a container and the local filesystem",
    Arity::Exactly(2),
    |call| Box::pin(cp(call)),
)
.with(&[FLAGS])
.details(
    "Use '-' as the source to read a tar archive from stdin\nand extract it to a directory destination in a \
     container.\nUse '-' as the destination to stream a tar archive of a\ncontainer source to stdout.",
)
.at(&["container cp", "cp"]);

async fn cp(call: Call) -> Outcome {
    let (source, destination) = (call.args[0].as_str(), call.args[1].as_str());
    if source.is_empty() || destination.is_empty() {
        let which = if source.is_empty() { "source" } else { "destination" };
        return Err(Failure::new(format!("{which} can not be empty")));
    }
    match (split(source), split(destination)) {
        (Some(_), Some(_)) => Err(Failure::new("copying between containers is not supported")),
        (None, None) => Err(Failure::new("must specify at least one container source")),
        (Some((name, path)), None) => from_container(&call, name, path, destination).await,
        (None, Some((name, path))) => to_container(&call, source, name, path).await,
    }
}

/// `CONTAINER:PATH`; a text that begins like a local path is one.
fn split(text: &str) -> Option<(&str, &str)> {
    if text.starts_with(['/', '.']) || text == "-" {
        return None;
    }
    text.split_once(':').filter(|(name, _)| !name.is_empty())
}

/// Follows `path` in the container while it is a symbolic link.
async fn follow(client: &Client, name: &str, path: &str) -> Result<(String, PathStat), berth_client::Error> {
    let mut path = path.to_owned();
    let mut stat = client.path_stat(name, &path).await?;
    for _ in 0..40 {
        if !stat.is_symlink() {
            break;
        }
        let parent = Path::new(&path).parent().unwrap_or(Path::new("/"));
        path = parent.join(&stat.link_target).display().to_string();
        stat = client.path_stat(name, &path).await?;
    }
    Ok((path, stat))
}

async fn from_container(call: &Call, name: &str, path: &str, destination: &str) -> Outcome {
    let client = call.client()?;
    let path = match call.flags.on("follow-link") {
        true => follow(client, name, path).await?.0,
        false => path.to_owned(),
    };
    let path = if path.is_empty() { "/".to_owned() } else { path };
    if destination != "-" {
        let parent = Path::new(destination).parent().filter(|p| !p.as_os_str().is_empty());
        if let Some(parent) = parent.filter(|parent| !parent.is_dir()) {
            let shown = parent.display().to_string();
            return Err(Failure::new(format!("invalid output path: directory {shown:?} does not exist")));
        }
    }
    let (stat, mut stream) = client.archive(name, &path).await?;
    if destination == "-" {
        while let Some(bytes) = stream.next().await? {
            all(Target::Out, bytes).await?;
        }
        return Ok(0);
    }
    let place = local_place(destination, &path, &stat)?;
    let (sender, receiver) = tokio::sync::mpsc::channel(4);
    let unpack = tokio::task::spawn_blocking(move || archive::unpack(archive::Chunks::new(receiver), &place));
    let mut total = 0;
    while let Some(bytes) = stream.next().await? {
        total += bytes.len();
        if sender.send(bytes).await.is_err() {
            break;
        }
    }
    drop(sender);
    unpack.await.map_err(|e| Failure::new(e.to_string()))?.map_err(|e| Failure::new(text::os(&e)))?;
    done(call, total, destination);
    Ok(0)
}

/// Where the top of the archive goes.
fn local_place(destination: &str, source: &str, stat: &PathStat) -> Result<PathBuf, Failure> {
    let path = PathBuf::from(destination);
    let contents = source.ends_with("/.") || source == ".";
    let name = Path::new(source).file_name().map_or_else(|| stat.name.clone().into(), std::ffi::OsStr::to_owned);
    match std::fs::metadata(&path) {
        Ok(found) if found.is_dir() && (contents || name == "/") => Ok(path),
        Ok(found) if found.is_dir() => Ok(path.join(name)),
        Ok(_) if stat.is_dir() => Err(Failure::new("cannot copy directory")),
        Ok(_) if destination.ends_with('/') => Err(Failure::new("not a directory")),
        Err(_) if destination.ends_with('/') && !stat.is_dir() => Err(Failure::new("no such directory")),
        _ => Ok(path),
    }
}

async fn to_container(call: &Call, source: &str, name: &str, path: &str) -> Outcome {
    let client = call.client()?;
    let path = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
    let found = match follow(client, name, &path).await {
        Ok(found) => Some(found),
        Err(berth_client::Error::Status { .. }) => {
            // Not the file but the container may be missing; whatever else is wrong, the copy itself will tell.
            client.brief(name).await?;
            None
        }
        Err(e) => return Err(e.into()),
    };
    let copy_ids = call.flags.on("archive");
    if source == "-" {
        let (at, _) = found
            .filter(|(_, stat)| stat.is_dir())
            .ok_or_else(|| Failure::new(format!("destination \"{name}:{path}\" must be a directory")))?;
        client.put_archive(name, &at, copy_ids, Body::reader(std::io::stdin())).await?;
        return Ok(0);
    }
    let local = PathBuf::from(source);
    let follow_link = call.flags.on("follow-link") || source.ends_with('/');
    let metadata = if follow_link { std::fs::metadata(&local) } else { std::fs::symlink_metadata(&local) };
    let metadata = metadata.map_err(|e| {
        let whole = std::path::absolute(&local).unwrap_or_else(|_| local.clone());
        Failure::new(format!("lstat {}: {}", whole.display(), text::os(&e)))
    })?;
    let (directory, entry) = remote_place(&path, source, &local, metadata.is_dir(), found)?;
    let counted = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let count = counted.clone();
    let follow = call.flags.on("follow-link");
    let body = Body::writer(move |out| archive::pack(&local, &entry, follow, &mut archive::Count::new(out, &count)));
    match client.put_archive(name, &directory, copy_ids, body).await {
        Err(e) if e.is_not_found() => return Err(Failure::new(e.to_string())),
        other => other?,
    }
    done(call, counted.load(std::sync::atomic::Ordering::Relaxed), &format!("{name}:{path}"));
    Ok(0)
}

/// The directory to unpack in, and the name of the archive's top there.
fn remote_place(
    path: &str,
    source: &str,
    local: &Path,
    is_dir: bool,
    found: Option<(String, PathStat)>,
) -> Result<(String, PathBuf), Failure> {
    let contents = source.ends_with("/.") || source == ".";
    match found {
        Some((at, stat)) if stat.is_dir() => {
            let whole = std::path::absolute(local)?;
            let name = whole.file_name().filter(|_| !contents);
            Ok((at, name.map_or_else(|| PathBuf::from("."), PathBuf::from)))
        }
        Some(_) if is_dir => Err(Failure::new("cannot copy directory")),
        Some(_) if path.ends_with('/') => Err(Failure::new("not a directory")),
        None if path.ends_with('/') && !is_dir => Err(Failure::new("no such directory")),
        other => {
            let at = other.map_or_else(|| path.to_owned(), |(at, _)| at);
            let at = Path::new(at.trim_end_matches('/'));
            let parent = at.parent().unwrap_or(Path::new("/"));
            Ok((parent.display().to_string(), at.file_name().unwrap_or_default().into()))
        }
    }
}

fn done(call: &Call, bytes: usize, to: &str) {
    if !call.flags.on("quiet") && std::io::stderr().is_terminal() {
        crate::complain!("Successfully copied {} to {to}", berth_kit::size::format_decimal(bytes as u64));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sides() {
        assert_eq!(split("c:/x"), Some(("c", "/x")));
        assert_eq!(split("c:"), Some(("c", "")));
        for local in ["/a:b", "./a:b", "-", "plain", ":x"] {
            assert_eq!(split(local), None, "{local}");
        }
    }

    #[test]
    fn remote_names() {
        let dir = || Some(("/d".to_owned(), PathStat { mode: 1 << 31, ..PathStat::default() }));
        let file = || Some(("/d/f".to_owned(), PathStat::default()));
        let place = |path, source: &str, is_dir, found| remote_place(path, source, Path::new(source), is_dir, found);
        assert_eq!(place("/d", "a/b", false, dir()).unwrap(), ("/d".into(), "b".into()));
        assert_eq!(place("/d", "a/.", true, dir()).unwrap(), ("/d".into(), ".".into()));
        assert_eq!(place("/d/f", "a", false, file()).unwrap(), ("/d".into(), "f".into()));
        assert_eq!(place("/d/new", "a", true, None).unwrap(), ("/d".into(), "new".into()));
        assert_eq!(place("/d/f", "a", true, file()).unwrap_err().text, "cannot copy directory");
        assert_eq!(place("/d/n/", "a", false, None).unwrap_err().text, "no such directory");
    }
}

//! Where `save` and `export` put their archive: a file that appears whole or not at all, or stdout.

use crate::call::{Failure, Outcome};
use crate::text;
use berth_client::stream::Bytes;
use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};

/// The place.
#[derive(Debug, PartialEq, Eq)]
pub enum Place {
    /// Standard output.
    Stdout,
    /// A file.
    File(PathBuf),
}

impl Place {
    /// The file of `-o`, or stdout unless that is a terminal.
    ///
    /// # Errors
    /// Docker's text.
    pub fn choose(path: &str, verb: &str) -> Result<Self, Failure> {
        if path.is_empty() {
            return match std::io::stdout().is_terminal() {
                true => {
                    Err(Failure::new("cowardly refusing to save to a terminal. Use the -o flag or redirect".to_owned()))
                }
                false => Ok(Self::Stdout),
            };
        }
        let refuse = |why: String| Failure::new(format!("failed to {verb} {}: {why}", noun(verb)));
        let file = Path::new(path);
        let directory = file.parent().filter(|d| !d.as_os_str().is_empty()).unwrap_or(Path::new("."));
        if !directory.is_dir() {
            return Err(refuse(format!(
                "invalid output path: stat {}: no such file or directory",
                directory.display()
            )));
        }
        if file.is_dir() {
            return Err(refuse(format!("invalid output path: {path:?} is a directory")));
        }
        Ok(Self::File(file.to_owned()))
    }
}

fn noun(verb: &str) -> &'static str {
    if verb == "export" { "container" } else { "image" }
}

/// Writes `stream` to `place`.
///
/// # Errors
/// The daemon's, or what the kernel says; no half file is left.
pub async fn save(mut stream: Bytes, place: Place) -> Outcome {
    let path = match place {
        Place::Stdout => {
            while let Some(bytes) = stream.next().await? {
                crate::terminal::write::all(crate::terminal::write::Target::Out, bytes).await?;
            }
            return Ok(0);
        }
        Place::File(path) => path,
    };
    let draft = path.with_file_name(format!(
        ".{}.{}",
        path.file_name().unwrap_or_default().to_string_lossy(),
        std::process::id()
    ));
    let result = fill(&mut stream, &draft).await.and_then(|()| {
        std::fs::rename(&draft, &path).map_err(|e| Failure::new(format!("write {}: {}", path.display(), text::os(&e))))
    });
    if result.is_err() {
        let _ = std::fs::remove_file(&draft);
    }
    result.map(|()| 0)
}

async fn fill(stream: &mut Bytes, path: &Path) -> Result<(), Failure> {
    let refuse = |e: std::io::Error| Failure::new(format!("write {}: {}", path.display(), text::os(&e)));
    let mut file = std::fs::File::create(path).map_err(refuse)?;
    while let Some(bytes) = stream.next().await? {
        file.write_all(&bytes).map_err(refuse)?;
    }
    Ok(())
}

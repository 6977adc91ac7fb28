//! `-v [SOURCE:]TARGET[:OPTIONS]` and `--tmpfs`.

use serde_json::{Map, Value, json};

/// Binds with a source, and anonymous volumes.
#[derive(Debug, Default)]
pub struct Volumes {
    /// `source:target[:options]`.
    pub binds: Vec<String>,
    /// `{"/target":{}}`.
    pub anonymous: Map<String, Value>,
}

/// Sorts all `-v` by whether they name a source; a relative host path becomes absolute.
///
/// # Errors
/// An empty value, or a working directory that cannot be read.
pub fn parse<'a>(given: impl Iterator<Item = &'a str>) -> Result<Volumes, String> {
    let mut volumes = Volumes::default();
    for text in given {
        match text.split_once(':') {
            None if text.is_empty() => return Err("invalid empty volume spec".into()),
            None => {
                volumes.anonymous.insert(text.to_owned(), json!({}));
            }
            Some((source, rest)) if source.starts_with('.') => {
                volumes.binds.push(format!("{}:{rest}", absolute(source)?));
            }
            Some(_) => volumes.binds.push(text.to_owned()),
        }
    }
    Ok(volumes)
}

/// `path` from the working directory, `.` and `..` resolved in the text.
///
/// # Errors
/// The working directory cannot be read.
pub fn absolute(path: &str) -> Result<String, String> {
    let mut whole = std::env::current_dir().map_err(|e| format!("getwd: {}", crate::text::os(&e)))?;
    for part in std::path::Path::new(path).components() {
        match part {
            std::path::Component::ParentDir => {
                whole.pop();
            }
            std::path::Component::CurDir => {}
            other => whole.push(other),
        }
    }
    Ok(whole.display().to_string())
}

/// `/path[:options]` of `--tmpfs`.
#[must_use]
pub fn tmpfs<'a>(given: impl Iterator<Item = &'a str>) -> Map<String, Value> {
    given.map(|text| text.split_once(':').unwrap_or((text, ""))).map(|(p, o)| (p.to_owned(), o.into())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sorts() {
        let volumes = parse(["/a", "/b:/c", "v:/d:ro", "./x:/e"].into_iter()).unwrap();
        assert_eq!(volumes.anonymous.keys().collect::<Vec<_>>(), ["/a"]);
        let here = std::env::current_dir().unwrap();
        assert_eq!(volumes.binds, ["/b:/c", "v:/d:ro", &format!("{}/x:/e", here.display())]);
        assert!(parse([""].into_iter()).is_err());
    }
}

//! Where plugins are: a socket `NAME.sock` (also `NAME/NAME.sock`), a file `NAME.spec` with an address in it, or a file
//! `NAME.json` with one and a name.

use std::{
    collections::BTreeSet,
    io::Read,
    os::unix::fs::FileTypeExt,
    path::{Path, PathBuf},
};

use serde::Deserialize;

/// Longest specification file that is read, in bytes.
const SPEC_BYTES_MAX: u64 = 64 << 10;

/// How a plugin is reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Address {
    /// A socket of the host.
    Unix(PathBuf),
    /// `host:port`, without TLS.
    Tcp(String),
    /// Something else; the text says what.
    Refused {
        /// As it stands in the file.
        address: String,
        /// Why it cannot be used.
        why: String,
    },
}

impl std::fmt::Display for Address {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Unix(path) => write!(formatter, "unix://{}", path.display()),
            Self::Tcp(place) => write!(formatter, "tcp://{place}"),
            Self::Refused { address, .. } => formatter.write_str(address),
        }
    }
}

/// `NAME.json` (Docker's documentation, "JSON specification").
#[derive(Deserialize)]
struct Spec {
    #[serde(rename = "Addr")]
    address: String,
    #[serde(rename = "TLSConfig")]
    tls: Option<serde_json::Value>,
}

/// Names of everything that looks like a plugin, in order.
pub fn names(directories: &[PathBuf]) -> Vec<String> {
    let mut names = BTreeSet::new();
    for entry in directories.iter().filter_map(|directory| std::fs::read_dir(directory).ok()).flatten().flatten() {
        let path = entry.path();
        let Some(name) = path.file_stem().and_then(|name| name.to_str()) else { continue };
        if berth_kit::name::is_valid(name) && entry.path().parent().is_some_and(|parent| at(parent, name).is_some()) {
            names.insert(name.to_owned());
        }
    }
    names.into_iter().collect()
}

/// The plugin called `name`; `None` for what cannot be the name of one.
pub fn find(directories: &[PathBuf], name: &str) -> Option<Address> {
    // A name is a file's name: nothing that leads elsewhere.
    if !berth_kit::name::is_valid(name) {
        return None;
    }
    directories.iter().find_map(|directory| at(directory, name))
}

fn at(directory: &Path, name: &str) -> Option<Address> {
    let socket = format!("{name}.sock");
    for path in [directory.join(&socket), directory.join(name).join(&socket)] {
        if std::fs::metadata(&path).is_ok_and(|found| found.file_type().is_socket()) {
            return Some(Address::Unix(path));
        }
    }
    if let Some(text) = read(&directory.join(format!("{name}.spec"))) {
        return Some(parse(text.trim()));
    }
    let text = read(&directory.join(format!("{name}.json")))?;
    Some(match serde_json::from_str::<Spec>(&text) {
        Ok(spec) if spec.tls.is_some() => {
            Address::Refused { address: spec.address, why: "plugins behind TLS are not spoken to".to_owned() }
        }
        Ok(spec) => parse(&spec.address),
        Err(error) => Address::Refused {
            address: directory.join(format!("{name}.json")).display().to_string(),
            why: format!("it is no plugin specification: {error}"),
        },
    })
}

fn read(path: &Path) -> Option<String> {
    let mut text = String::new();
    std::fs::File::open(path).ok()?.take(SPEC_BYTES_MAX).read_to_string(&mut text).ok()?;
    Some(text)
}

fn parse(text: &str) -> Address {
    let refuse = |why: &str| Address::Refused { address: text.to_owned(), why: why.to_owned() };
    if let Some(path) = text.strip_prefix("unix://") {
        return if path.starts_with('/') { Address::Unix(path.into()) } else { refuse("its path must be absolute") };
    }
    match text.strip_prefix("tcp://").or_else(|| text.strip_prefix("http://")) {
        Some(place) => match place.trim_end_matches('/') {
            place if place.contains(':') && !place.contains('/') => Address::Tcp(place.to_owned()),
            _ => refuse("it must be tcp://host:port"),
        },
        None if text.starts_with("https://") => refuse("plugins behind TLS are not spoken to"),
        None => refuse("it must be unix:///path or tcp://host:port"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sockets_and_files_are_found_and_the_first_place_wins() {
        let dir = tempfile::tempdir().unwrap();
        let (first, second) = (dir.path().join("a"), dir.path().join("b"));
        std::fs::create_dir_all(second.join("nested")).unwrap();
        std::fs::create_dir(&first).unwrap();
        let _near = std::os::unix::net::UnixListener::bind(first.join("near.sock")).unwrap();
        let _nested = std::os::unix::net::UnixListener::bind(second.join("nested/nested.sock")).unwrap();
        std::fs::write(second.join("near.spec"), "tcp://other:1").unwrap();
        std::fs::write(second.join("far.spec"), "tcp://10.0.0.1:8080\n").unwrap();
        std::fs::write(second.join("json.json"), r#"{"Name":"json","Addr":"unix:///x.sock"}"#).unwrap();
        std::fs::write(second.join("plain.sock"), "no socket").unwrap();
        let places = [first.clone(), second.clone()];
        assert_eq!(names(&places), ["far", "json", "near", "nested"]);
        assert_eq!(find(&places, "near"), Some(Address::Unix(first.join("near.sock"))));
        assert_eq!(find(&places, "nested"), Some(Address::Unix(second.join("nested/nested.sock"))));
        assert_eq!(find(&places, "far"), Some(Address::Tcp("10.0.0.1:8080".to_owned())));
        assert_eq!(find(&places, "json"), Some(Address::Unix("/x.sock".into())));
        for name in ["plain", "none", "../a/near", "", ".", "nested/nested"] {
            assert_eq!(find(&places, name), None, "{name}");
        }
    }

    #[test]
    fn addresses_that_cannot_be_used_say_why() {
        for text in ["", "unix://x", "https://h:1", "tcp://h", "tcp://h:1/x", "ftp://h:1", "\0"] {
            assert!(matches!(parse(text), Address::Refused { .. }), "{text}");
        }
    }
}

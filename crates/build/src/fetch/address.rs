//! Addresses of `ADD` and of contexts: which mean a repository, which a file, and what a repository's says.
//!
//! ```text
//! https://host/path.git[#ref[:folder]]      https://host/path.git?ref=…&subdir=…&keep-git-dir=…&submodules=…&checksum=…
//! git://host/path   ssh://[user@]host/path   git@host:path   github.com/…  (contexts)
//! ```

use crate::{Error, Result};

/// What an address means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Remote {
    /// A repository.
    Git(Git),
    /// A file.
    Web(String),
}

/// A repository, and what of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Git {
    /// As git takes it.
    pub url: String,
    /// Branch, tag, full name of a ref, or a commit; the default branch when none.
    pub reference: Option<String>,
    /// A folder in it.
    pub folder: Option<String>,
    /// `.git` stays.
    pub keep_git_dir: bool,
    /// Modules of the repository are brought too.
    pub submodules: bool,
    /// What the commit's digest must begin with.
    pub checksum: Option<String>,
}

/// Characters of an address that is looked at.
const ADDRESS_MAX: usize = 8192;

impl Remote {
    /// Reads an address; nothing for what is a path.
    pub fn parse(text: &str) -> Result<Option<Self>> {
        if text.len() > ADDRESS_MAX || text.chars().any(char::is_control) {
            return Err(Error::Invalid(format!("{:?} is no address", text.chars().take(80).collect::<String>())));
        }
        if text.starts_with("git://") || text.starts_with("ssh://") || is_short(text) {
            return Git::parse(text).map(Self::Git).map(Some);
        }
        if text.starts_with("http://") || text.starts_with("https://") {
            let path = text.split(['#', '?']).next().unwrap_or_default();
            return if path.ends_with(".git") {
                Git::parse(text).map(Self::Git).map(Some)
            } else {
                Ok(Some(Self::Web(text.to_owned())))
            };
        }
        match text.starts_with("github.com/") {
            true => Git::parse(&format!("https://{text}")).map(Self::Git).map(Some),
            false => Ok(None),
        }
    }
}

/// `user@host:path`.
fn is_short(text: &str) -> bool {
    let Some((user, rest)) = text.split_once('@') else { return false };
    let word = |text: &str| !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c));
    let Some((host, path)) = rest.split_once(':') else { return false };
    word(user) && word(host) && !path.is_empty() && !text.contains("://")
}

impl Git {
    fn parse(text: &str) -> Result<Self> {
        let wrong = |what: &str| Error::Invalid(format!("{text}: {what}"));
        let (rest, fragment) = text.split_once('#').map_or((text, None), |(rest, part)| (rest, Some(part)));
        let (url, query) = rest.split_once('?').map_or((rest, None), |(url, query)| (url, Some(query)));
        let mut git = Self { url: url.to_owned(), submodules: true, ..Self::default() };
        if let Some(fragment) = fragment {
            let (reference, folder) = fragment.split_once(':').unwrap_or((fragment, ""));
            git.reference = Some(reference.to_owned()).filter(|text| !text.is_empty());
            git.folder = Some(folder.to_owned()).filter(|text| !text.is_empty());
        }
        for pair in query.unwrap_or_default().split('&').filter(|pair| !pair.is_empty()) {
            if fragment.is_some() {
                return Err(wrong("a fragment and a query cannot both say what of the repository is meant"));
            }
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            let value = decode(value).ok_or_else(|| wrong("its query is no text"))?;
            git.set(key, value).map_err(|what| wrong(&what))?;
        }
        git.check().map_err(|what| wrong(&what))?;
        Ok(git)
    }

    fn set(&mut self, key: &str, value: String) -> std::result::Result<(), String> {
        let flag = |value: &str| match value {
            "" | "1" | "true" => Ok(true),
            "0" | "false" => Ok(false),
            other => Err(format!("invalid value {other:?} for {key}")),
        };
        match key {
            "ref" => self.reference = Some(value),
            "tag" => self.reference = Some(format!("refs/tags/{value}")),
            "branch" => self.reference = Some(format!("refs/heads/{value}")),
            "subdir" => self.folder = Some(value),
            "checksum" | "commit" => self.checksum = Some(value),
            "keep-git-dir" => self.keep_git_dir = flag(&value)?,
            "submodules" => self.submodules = flag(&value)?,
            other => return Err(format!("unexpected query {other:?}")),
        }
        Ok(())
    }

    /// Nothing that git could take for an option, or for a way out of the repository.
    fn check(&self) -> std::result::Result<(), String> {
        let host = self.url.split_once("://").map_or(self.url.as_str(), |(_, rest)| rest);
        if host.starts_with('-') || self.url.starts_with('-') || host.split('/').next().is_none_or(str::is_empty) {
            return Err("it names no host".to_owned());
        }
        if self.url.starts_with("http") && host.split('/').next().is_some_and(|host| host.contains('@')) {
            return Err("credentials in addresses are not taken: give the secret GIT_AUTH_TOKEN".to_owned());
        }
        if let Some(reference) = &self.reference {
            let is_plain = |c: char| !c.is_control() && !" ~^:?*[\\".contains(c);
            if reference.is_empty()
                || reference.starts_with('-')
                || !reference.chars().all(is_plain)
                || reference.contains("..")
            {
                return Err(format!("invalid ref {reference:?}"));
            }
        }
        if let Some(checksum) = &self.checksum
            && !is_commit_prefix(checksum)
        {
            return Err(format!("invalid checksum {checksum:?}: it is the digest of a commit"));
        }
        if let Some(folder) = &self.folder
            && folder.split('/').any(|part| part == "..")
        {
            return Err(format!("invalid folder {folder:?}: it leads out of the repository"));
        }
        Ok(())
    }

    /// The checksum that an instruction gives beside the address.
    pub fn with_checksum(mut self, checksum: Option<&str>) -> Result<Self> {
        if let Some(checksum) = checksum {
            self.checksum = Some(checksum.to_owned());
            self.check().map_err(Error::Invalid)?;
        }
        Ok(self)
    }
}

/// Whether a text is a commit's whole digest.
pub(super) fn is_commit(text: &str) -> bool {
    matches!(text.len(), 40 | 64) && is_commit_prefix(text)
}

fn is_commit_prefix(text: &str) -> bool {
    (7..=64).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
}

/// Percent-decoded.
fn decode(text: &str) -> Option<String> {
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        match byte {
            b'%' => {
                let digits = [bytes.next()?, bytes.next()?];
                out.push(u8::from_str_radix(std::str::from_utf8(&digits).ok()?, 16).ok()?);
            }
            b'+' => out.push(b' '),
            byte => out.push(byte),
        }
    }
    String::from_utf8(out).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn git(text: &str) -> Git {
        match Remote::parse(text) {
            Ok(Some(Remote::Git(git))) => git,
            other => panic!("{text}: {other:?}"),
        }
    }

    #[test]
    fn repositories_are_told_from_files_and_paths() {
        assert_eq!(git("https://a.test/x.git").url, "https://a.test/x.git");
        let one = git("https://a.test/x.git#v1:docs/a");
        assert_eq!((one.reference.as_deref(), one.folder.as_deref()), (Some("v1"), Some("docs/a")));
        let one = git("https://a.test/x.git#:docs");
        assert_eq!((one.reference, one.folder.as_deref()), (None, Some("docs")));
        let one = git("https://a.test/x.git?branch=main&subdir=a%2Fb&keep-git-dir=1&submodules=false");
        assert_eq!((one.reference.as_deref(), one.folder.as_deref()), (Some("refs/heads/main"), Some("a/b")));
        assert!(one.keep_git_dir && !one.submodules);
        assert_eq!(git("git@a.test:me/x.git#main").url, "git@a.test:me/x.git");
        assert_eq!(git("github.com/me/x").url, "https://github.com/me/x");
        assert!(matches!(Remote::parse("https://a.test/x.tar.gz"), Ok(Some(Remote::Web(_)))));
        for path in ["./x.git", "src", "a@b/c", "C:\\x", "git@", "a:b"] {
            assert_eq!(Remote::parse(path).expect("a path"), None, "{path}");
        }
    }

    #[test]
    fn hostile_addresses_are_refused() {
        for bad in [
            "https://a.test/x.git#--upload-pack=evil",
            "https://a.test/x.git#main:../../etc",
            "https://a.test/x.git#a..b",
            "https://a.test/x.git?ref=a%0ab",
            "https://a.test/x.git?evil=1",
            "https://a.test/x.git?ref=a#b",
            "https://user:secret@a.test/x.git",
            "ssh://-oProxyCommand=evil/x.git",
            "git:///x.git",
            "https://a.test/x.git?checksum=zz",
            "https://a.test/\n.git",
        ] {
            assert!(Remote::parse(bad).is_err(), "{bad}");
        }
    }
}

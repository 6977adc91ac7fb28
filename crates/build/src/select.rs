//! From the words of COPY and ADD to files: patterns, folders walked, ignore files obeyed.

use std::{
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    sync::Arc,
};

use berth_dockerfile::Ignore;
use rustix::{
    fs::{AtFlags, FileType, OFlags, Stat},
    io::Errno,
};

use crate::{Error, Result, tree};

/// How deep folders may nest.
const DEPTH_MAX: usize = 512;
/// How many files one instruction may take.
const FILES_MAX: usize = 4_000_000;

/// A file, folder or link that an instruction takes.
#[derive(Clone)]
pub(crate) struct Item {
    /// Where it is found: a folder that is open, and the way from there.
    pub root: Arc<OwnedFd>,
    pub path: String,
    /// A link at the end of the way is followed: it was named by the instruction itself.
    pub follow: bool,
    /// Where it goes, from the place that its word goes to; empty for the top of a word.
    pub target: String,
    pub stat: Stat,
    /// Target of a link.
    pub link: Vec<u8>,
}

/// One match of a word.
pub(crate) struct Match {
    /// The way in the context, without a slash in front.
    pub path: String,
    /// Parts of the way that `--parents` leaves out: those before a `/./` of the word.
    pub pivot: usize,
    /// The top is a folder.
    pub is_dir: bool,
    /// The top first.
    pub items: Vec<Item>,
}

/// What is left out.
#[derive(Default, Clone, Copy)]
pub(crate) struct Filter<'f> {
    /// The context's ignore file.
    pub ignore: Option<&'f Ignore>,
    /// `--exclude`.
    pub exclude: Option<&'f Ignore>,
    /// `**` in a word stands for any number of folders: with `--parents`.
    pub deep: bool,
}

impl Filter<'_> {
    fn leaves_out(&self, path: &str) -> bool {
        [self.ignore, self.exclude].into_iter().flatten().any(|rules| rules.matches(path))
    }

    fn prunes(&self, path: &str) -> bool {
        [self.ignore, self.exclude].into_iter().flatten().any(|rules| rules.prunes(path))
    }
}

/// What a word means. Nothing for a pattern without a match.
pub(crate) fn select(root: BorrowedFd<'_>, word: &str, filter: Filter<'_>) -> Result<Vec<Match>> {
    let word = tree::clean(word);
    let parts: Vec<&str> = word.split('/').filter(|part| !part.is_empty()).collect();
    let top = Arc::new(root.try_clone_to_owned().map_err(Error::file("open", "/"))?);
    let mut found = Vec::new();
    for path in matches(root, &parts, filter.deep)? {
        if !path.is_empty() && filter.leaves_out(&path) && filter.prunes(&path) {
            continue;
        }
        found.extend(take(&top, path, filter)?);
    }
    Ok(found)
}

/// The parts of a word before its `/./`.
pub(crate) fn pivot(word: &str) -> usize {
    let front = word.find("/./").map_or("", |at| &word[..at]);
    tree::clean(front).split('/').filter(|part| !part.is_empty()).count()
}

impl Match {
    /// What of the way `--parents` keeps.
    pub fn kept(&self) -> &str {
        let mut rest = self.path.as_str();
        for _ in 0..self.pivot {
            rest = rest.split_once('/').map_or("", |(_, rest)| rest);
        }
        rest
    }
}

/// A file by its own name, whatever characters it has.
pub(crate) fn exact(root: BorrowedFd<'_>, name: &str) -> Result<Option<Match>> {
    let top = Arc::new(root.try_clone_to_owned().map_err(Error::file("open", "/"))?);
    take(&top, name.to_owned(), Filter::default())
}

/// Whether a word is a pattern.
pub(crate) fn is_pattern(word: &str) -> bool {
    word.contains(['*', '?', '['])
}

fn matches(root: BorrowedFd<'_>, parts: &[&str], deep: bool) -> Result<Vec<String>> {
    let mut ways = vec![String::new()];
    for (number, part) in parts.iter().enumerate() {
        let mut next = Vec::new();
        for way in &ways {
            if deep && *part == "**" {
                match number + 1 == parts.len() {
                    true => next.push(way.clone()),
                    false => folders(root, way, &mut next, 0)?,
                }
                continue;
            }
            let extend = |name: &str| if way.is_empty() { name.to_owned() } else { format!("{way}/{name}") };
            if !is_pattern(part) {
                next.push(extend(&unescape(part)));
                continue;
            }
            let Ok(directory) = tree::open_directory(root, way) else { continue };
            let names = tree::names(directory.as_fd()).map_err(Error::call("read", way))?;
            let names = names.iter().filter_map(|name| std::str::from_utf8(name).ok());
            next.extend(names.filter(|name| fits(part.as_bytes(), name.as_bytes())).map(extend));
        }
        next.dedup();
        ways = next;
    }
    Ok(ways)
}

/// A folder and all below it; links are none.
fn folders(root: BorrowedFd<'_>, way: &str, found: &mut Vec<String>, depth: usize) -> Result<()> {
    let directory = match tree::open_plain(root, way, OFlags::RDONLY | OFlags::DIRECTORY) {
        Ok(directory) if depth <= DEPTH_MAX => directory,
        _ => return Ok(()),
    };
    found.push(way.to_owned());
    if found.len() > FILES_MAX {
        return Err(Error::Invalid(format!("more than {FILES_MAX} folders below {way}")));
    }
    for name in tree::names(directory.as_fd()).map_err(Error::call("read", way))? {
        let Ok(name) = std::str::from_utf8(&name) else { continue };
        let below = if way.is_empty() { name.to_owned() } else { format!("{way}/{name}") };
        folders(root, &below, found, depth + 1)?;
    }
    Ok(())
}

fn unescape(part: &str) -> String {
    let mut out = String::with_capacity(part.len());
    let mut characters = part.chars();
    while let Some(character) = characters.next() {
        match character {
            '\\' => out.extend(characters.next()),
            other => out.push(other),
        }
    }
    out
}

/// Whether a name fits a pattern of one component (Go's `filepath.Match`).
fn fits(pattern: &[u8], name: &[u8]) -> bool {
    // The last star is the only one that ever needs to be tried again.
    let (mut p, mut n, mut star) = (0, 0, None);
    while n < name.len() {
        match pattern.get(p) {
            Some(b'*') => {
                star = Some((p + 1, n));
                p += 1;
                continue;
            }
            Some(_) => {
                if let Some(used) = one(&pattern[p..], name[n]) {
                    (p, n) = (p + used, n + 1);
                    continue;
                }
            }
            None => {}
        }
        let Some((after, at)) = star else { return false };
        (p, n) = (after, at + 1);
        star = Some((after, at + 1));
    }
    pattern[p..].iter().all(|byte| *byte == b'*')
}

/// How many bytes of the pattern say that it fits one byte of the name; none when it does not.
fn one(pattern: &[u8], byte: u8) -> Option<usize> {
    match pattern[0] {
        b'?' => Some(1),
        b'\\' => (pattern.get(1) == Some(&byte)).then_some(2),
        b'[' => class(pattern, byte),
        literal => (literal == byte).then_some(1),
    }
}

fn class(pattern: &[u8], byte: u8) -> Option<usize> {
    let negated = matches!(pattern.get(1), Some(b'^'));
    let mut at = if negated { 2 } else { 1 };
    let mut inside = false;
    let first = at;
    while at < pattern.len() && (pattern[at] != b']' || at == first) {
        let low = pattern[at];
        let mut high = low;
        if pattern.get(at + 1) == Some(&b'-') && pattern.get(at + 2).is_some_and(|next| *next != b']') {
            high = pattern[at + 2];
            at += 2;
        }
        inside |= (low..=high).contains(&byte);
        at += 1;
    }
    (at < pattern.len() && inside != negated).then_some(at + 1)
}

fn take(top: &Arc<OwnedFd>, path: String, filter: Filter<'_>) -> Result<Option<Match>> {
    let handle = match tree::open_in(top.as_fd(), &path, OFlags::PATH) {
        Ok(handle) => handle,
        Err(Errno::NOENT | Errno::NOTDIR) => return Ok(None),
        Err(errno) => return Err(Error::call("open", &path)(errno)),
    };
    let stat = rustix::fs::fstat(&handle).map_err(Error::call("look at", &path))?;
    if !tree::is_dir(&stat) {
        if filter.leaves_out(&path) {
            return Ok(None);
        }
        let item = Item {
            root: Arc::clone(top),
            path: path.clone(),
            follow: true,
            target: String::new(),
            stat,
            link: Vec::new(),
        };
        return Ok(Some(Match { path, pivot: 0, is_dir: false, items: vec![item] }));
    }
    let directory = tree::open_directory(top.as_fd(), &path).map_err(Error::call("open", &path))?;
    let directory = Arc::new(directory);
    let item = Item {
        root: Arc::clone(&directory),
        path: String::new(),
        follow: false,
        target: String::new(),
        stat,
        link: Vec::new(),
    };
    let mut walk = Walk { root: Arc::clone(&directory), base: &path, filter, items: vec![item] };
    walk.below(directory.as_fd(), "", 0)?;
    let items = walk.items;
    Ok(Some(Match { path, pivot: 0, is_dir: true, items }))
}

struct Walk<'w> {
    root: Arc<OwnedFd>,
    base: &'w str,
    filter: Filter<'w>,
    items: Vec<Item>,
}

impl Walk<'_> {
    fn below(&mut self, directory: BorrowedFd<'_>, way: &str, depth: usize) -> Result<()> {
        if depth > DEPTH_MAX {
            return Err(Error::Invalid(format!("folders below {} nest deeper than {DEPTH_MAX}", self.base)));
        }
        for name in tree::names(directory).map_err(Error::call("read", way))? {
            let Ok(text) = std::str::from_utf8(&name) else {
                return Err(Error::Invalid(format!("a name in {:?} is no UTF-8", format!("{}/{way}", self.base))));
            };
            let path = if way.is_empty() { text.to_owned() } else { format!("{way}/{text}") };
            let whole = if self.base.is_empty() { path.clone() } else { format!("{}/{path}", self.base) };
            let out = self.filter.leaves_out(&whole);
            if out && self.filter.prunes(&whole) {
                continue;
            }
            self.entry(directory, text, path, out, depth)?;
        }
        Ok(())
    }

    fn entry(&mut self, directory: BorrowedFd<'_>, name: &str, path: String, out: bool, depth: usize) -> Result<()> {
        let stat =
            rustix::fs::statat(directory, name, AtFlags::SYMLINK_NOFOLLOW).map_err(Error::call("look at", &path))?;
        let kind = FileType::from_raw_mode(stat.st_mode);
        let at = self.items.len();
        // A socket is nothing that could be copied.
        if !matches!(kind, FileType::Socket) {
            let link = match kind.is_symlink() {
                true => rustix::fs::readlinkat(directory, name, Vec::new())
                    .map_err(Error::call("read", &path))?
                    .into_bytes(),
                false => Vec::new(),
            };
            let item = Item {
                root: Arc::clone(&self.root),
                path: path.clone(),
                follow: false,
                target: path.clone(),
                stat,
                link,
            };
            self.items.push(item);
        }
        if self.items.len() > FILES_MAX {
            return Err(Error::Invalid(format!("more than {FILES_MAX} files below {}", self.base)));
        }
        if kind.is_dir() {
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let below = rustix::fs::openat(directory, name, flags, rustix::fs::Mode::empty())
                .map_err(Error::call("open", &path))?;
            self.below(below.as_fd(), &path, depth + 1)?;
        }
        // What is left out stays only as the way to something that is not.
        if out && self.items.len() == at + 1 {
            self.items.truncate(at);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_fit_as_gos_do() {
        for (pattern, name, expected) in [
            ("*", "a", true),
            ("a*c", "abbc", true),
            ("a*c", "abbd", false),
            ("*.txt", "x.txt", true),
            ("?", "ab", false),
            ("[a-c]x", "bx", true),
            ("[^a-c]x", "bx", false),
            ("[]", "]", false),
            ("a\\*", "a*", true),
            ("a\\*", "ab", false),
            ("*a*b*c*", "xxaxxbxxcxx", true),
        ] {
            assert_eq!(fits(pattern.as_bytes(), name.as_bytes()), expected, "{pattern} {name}");
        }
        let began = std::time::Instant::now();
        assert!(!fits("*a".repeat(200).as_bytes(), "a".repeat(199).as_bytes()));
        assert!(began.elapsed().as_secs() < 2);
    }

    #[test]
    fn a_dot_in_a_word_says_which_folders_are_kept() {
        for (word, path, kept) in [
            ("./x/./y/a", "x/y/a", "y/a"),
            ("x/y", "x/y", "x/y"),
            ("./x/y", "x/y", "x/y"),
            ("a/b/./", "a/b", ""),
            ("a/../b/./c", "b/c", "c"),
        ] {
            let found = Match { path: path.into(), pivot: pivot(word), is_dir: false, items: Vec::new() };
            assert_eq!(found.kept(), kept, "{word}");
        }
    }

    #[test]
    fn folders_are_walked_and_ignored() {
        let folder = tempfile::tempdir().expect("a folder");
        for path in ["src/a.rs", "src/b.log", "target/x", "keep/deep/y.log"] {
            let path = folder.path().join(path);
            std::fs::create_dir_all(path.parent().expect("a parent")).expect("create");
            std::fs::write(path, "x").expect("write");
        }
        let tree = tree::Tree::open(folder.path(), None).expect("open");
        let ignore = Ignore::parse(b"target\n**/*.log\n!keep/deep/y.log\n").expect("patterns");
        let filter = Filter { ignore: Some(&ignore), ..Filter::default() };
        let found = select(tree.root(), ".", filter).expect("select");
        let names: Vec<&str> = found[0].items.iter().map(|item| item.target.as_str()).collect();
        assert_eq!(names, ["", "keep", "keep/deep", "keep/deep/y.log", "src", "src/a.rs"]);
        let found = select(tree.root(), "s*/*", filter).expect("select");
        assert_eq!(found.iter().map(|one| one.path.as_str()).collect::<Vec<_>>(), ["src/a.rs"]);
        assert!(select(tree.root(), "nothing", filter).expect("select").is_empty());
        let deep = Filter { deep: true, ..Filter::default() };
        let found = select(tree.root(), "**/*.log", deep).expect("select");
        assert_eq!(found.iter().map(|one| one.path.as_str()).collect::<Vec<_>>(), ["keep/deep/y.log", "src/b.log"]);
        assert_eq!(select(tree.root(), "keep/**", deep).expect("select")[0].path, "keep");
        assert!(select(tree.root(), "**/y.log", Filter::default()).expect("select").is_empty());
    }
}

//! Where copied files go: folders made on the way, owners and modes as the instruction says.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::{
    fs::{AtFlags, FileType, Gid, Mode, Uid},
    io::Errno,
};

use crate::{Error, Result, tree};

/// An owner: user and group.
pub(crate) type Owner = (u32, u32);

/// `--chmod`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ModeChange {
    /// Octal.
    Exact(u32),
    /// `u+x,go-w`.
    Symbolic(Vec<Clause>),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Clause {
    who: u32,
    operator: char,
    read_write: u32,
    execute_dirs: bool,
    special: u32,
}

impl ModeChange {
    /// Reads `0755` or `u=rwX,go=rX`.
    pub fn parse(text: &str) -> std::result::Result<Self, String> {
        let wrong = || format!("invalid chmod parameter: '{text}'. it should be octal string and between 0 and 07777");
        if text.bytes().all(|byte| byte.is_ascii_digit()) && !text.is_empty() {
            let mode = u32::from_str_radix(text, 8).map_err(|_| wrong())?;
            return if mode <= 0o7777 { Ok(Self::Exact(mode)) } else { Err(wrong()) };
        }
        text.split(',')
            .map(|clause| Clause::parse(clause).ok_or_else(wrong))
            .collect::<std::result::Result<_, _>>()
            .map(Self::Symbolic)
    }

    /// The mode that becomes of `mode`.
    pub fn apply(&self, mode: u32, is_dir: bool) -> u32 {
        match self {
            Self::Exact(exact) => *exact,
            Self::Symbolic(clauses) => clauses.iter().fold(mode & 0o7777, |mode, clause| clause.apply(mode, is_dir)),
        }
    }
}

impl Clause {
    fn parse(text: &str) -> Option<Self> {
        let at = text.find(['+', '-', '='])?;
        let (who, rest) = text.split_at(at);
        let mut mask = 0;
        for letter in who.chars() {
            mask |= match letter {
                'u' => 0o4700,
                'g' => 0o2070,
                'o' => 0o1007,
                'a' => 0o7777,
                _ => return None,
            };
        }
        let mut clause = Self {
            who: if mask == 0 { 0o7777 } else { mask },
            operator: rest.chars().next()?,
            read_write: 0,
            execute_dirs: false,
            special: 0,
        };
        for letter in rest[1..].chars() {
            match letter {
                'r' => clause.read_write |= 0o444,
                'w' => clause.read_write |= 0o222,
                'x' => clause.read_write |= 0o111,
                'X' => clause.execute_dirs = true,
                's' => clause.special |= 0o6000,
                't' => clause.special |= 0o1000,
                _ => return None,
            }
        }
        Some(clause)
    }

    fn apply(&self, mode: u32, is_dir: bool) -> u32 {
        let execute = if self.execute_dirs && (is_dir || mode & 0o111 != 0) { 0o111 } else { 0 };
        let bits = (self.read_write | execute | self.special) & self.who;
        match self.operator {
            '+' => mode | bits,
            '-' => mode & !bits,
            _ => (mode & !(self.who & 0o777)) | bits,
        }
    }
}

/// Opens a directory below `root`, making what is not there with mode 0755 and `owner`.
pub(crate) fn ensure_directory(root: BorrowedFd<'_>, path: &str, owner: Owner) -> Result<OwnedFd> {
    match tree::open_directory(root, path) {
        Ok(directory) => Ok(directory),
        Err(Errno::NOENT) => {
            let (parent, name) = split(path);
            let above = ensure_directory(root, parent, owner)?;
            match rustix::fs::mkdirat(&above, name, Mode::from_raw_mode(0o755)) {
                Ok(()) => set_owner_and_mode(above.as_fd(), name, owner, 0o755, path)?,
                // A link to a folder that is not there: the folder is made where the link says.
                Err(Errno::EXIST) => return through_link(root, above.as_fd(), parent, name, owner),
                Err(errno) => return Err(Error::call("create", path)(errno)),
            }
            tree::open_directory(root, path).map_err(Error::call("open", path))
        }
        Err(errno) => Err(Error::call("open", path)(errno)),
    }
}

fn through_link(
    root: BorrowedFd<'_>,
    above: BorrowedFd<'_>,
    parent: &str,
    name: &str,
    owner: Owner,
) -> Result<OwnedFd> {
    let target = rustix::fs::readlinkat(above, name, Vec::new()).map_err(Error::call("create", name))?;
    let target = target.to_str().map_err(|_| Error::Invalid(format!("the link {name} is no UTF-8")))?;
    let target = tree::join(parent, target);
    if target == tree::join(parent, name) {
        return Err(Error::Invalid(format!("the link {target} leads to itself")));
    }
    // Each step makes a name that was missing; links in a circle fail with ELOOP at the open above.
    ensure_directory(root, &target, owner)
}

/// The folder above and the name in it.
pub(crate) fn split(path: &str) -> (&str, &str) {
    let path = path.trim_end_matches('/');
    match path.rsplit_once('/') {
        Some((parent, name)) => (if parent.is_empty() { "/" } else { parent }, name),
        None => ("/", path),
    }
}

/// Gives a fresh entry its owner and mode; a link has no mode.
pub(crate) fn set_owner_and_mode(
    directory: BorrowedFd<'_>,
    name: &str,
    (uid, gid): Owner,
    mode: u32,
    path: &str,
) -> Result<()> {
    let (uid, gid) = (Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)));
    rustix::fs::chownat(directory, name, uid, gid, AtFlags::SYMLINK_NOFOLLOW).map_err(Error::call("chown", path))?;
    rustix::fs::chmodat(directory, name, Mode::from_raw_mode(mode), AtFlags::empty())
        .map_err(Error::call("chmod", path))
}

/// Makes room for an entry: what is there and no folder goes away. Says whether a folder is there.
pub(crate) fn make_room(directory: BorrowedFd<'_>, name: &str, wants_dir: bool, path: &str) -> Result<bool> {
    match rustix::fs::statat(directory, name, AtFlags::SYMLINK_NOFOLLOW) {
        Err(Errno::NOENT) => Ok(false),
        Err(errno) => Err(Error::call("look at", path)(errno)),
        Ok(stat) if FileType::from_raw_mode(stat.st_mode).is_dir() => match wants_dir {
            true => Ok(true),
            false => Err(Error::Invalid(format!("cannot copy to non-directory: {path}"))),
        },
        Ok(_) if wants_dir => Err(Error::Invalid(format!("cannot copy a folder over the file {path}"))),
        Ok(_) => {
            rustix::fs::unlinkat(directory, name, AtFlags::empty()).map_err(Error::call("replace", path))?;
            Ok(false)
        }
    }
}

/// Who `--chown` means in this tree: without a group, the group of the user's number.
pub(crate) fn owner(root: BorrowedFd<'_>, text: &str) -> Result<Owner> {
    let wrong = |error: berth_runtime::Error| Error::Invalid(error.to_string());
    let (user, group) = text.split_once(':').map_or((text, None), |(user, group)| (user, Some(group)));
    let number = |text: &str| text.parse::<u32>().ok();
    let identity = |wanted: &str| berth_runtime::user::resolve::<&str>(root, wanted, &[]).map_err(wrong);
    let uid = match number(user) {
        Some(uid) => uid,
        None if user.is_empty() => 0,
        None => identity(user)?.uid,
    };
    let gid = match group.filter(|group| !group.is_empty()) {
        None => uid,
        Some(group) => match number(group) {
            Some(gid) => gid,
            None => identity(&format!("0:{group}"))?.gid,
        },
    };
    Ok((uid, gid))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes_are_octal_or_symbolic() {
        let apply = |text: &str, mode, dir| ModeChange::parse(text).expect(text).apply(mode, dir);
        assert_eq!(apply("755", 0o600, false), 0o755);
        assert_eq!(apply("u+x,go-w", 0o666, false), 0o744);
        assert_eq!(apply("a=rX", 0o640, true), 0o555);
        assert_eq!(apply("go=rX", 0o600, false), 0o644);
        assert_eq!(apply("+t", 0o755, true), 0o1755);
        assert_eq!(apply("u+s", 0o755, false), 0o4755);
        for bad in ["", "8", "10000", "u", "z+x", "u+q"] {
            assert!(ModeChange::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn folders_are_made_below_the_root_alone() {
        let outside = tempfile::tempdir().expect("a folder");
        let inside = tempfile::tempdir().expect("a folder");
        std::os::unix::fs::symlink(outside.path(), inside.path().join("esc")).expect("link");
        std::os::unix::fs::symlink("real/deep", inside.path().join("soft")).expect("link");
        let tree = tree::Tree::open(inside.path(), None).expect("open");
        ensure_directory(tree.root(), "/soft/x", (0, 0)).expect("made through the link");
        assert!(inside.path().join("real/deep/x").is_dir());
        ensure_directory(tree.root(), "/esc/evil", (0, 0)).expect("made inside");
        assert_eq!(std::fs::read_dir(outside.path()).expect("read").count(), 0);
    }

    #[test]
    fn owners_are_looked_up_in_the_tree() {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::create_dir(folder.path().join("etc")).expect("create");
        std::fs::write(folder.path().join("etc/passwd"), "bob:x:7:8::/:/bin/sh\n").expect("write");
        std::fs::write(folder.path().join("etc/group"), "staff:x:50:\n").expect("write");
        let tree = tree::Tree::open(folder.path(), None).expect("open");
        assert_eq!(owner(tree.root(), "bob").expect("known"), (7, 7));
        assert_eq!(owner(tree.root(), "bob:staff").expect("known"), (7, 50));
        assert_eq!(owner(tree.root(), "5:6").expect("numbers"), (5, 6));
        assert!(owner(tree.root(), "eve").is_err());
    }
}

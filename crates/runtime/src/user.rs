//! Who a container's process runs as: `user[:group]` looked up in the container's own `/etc/passwd` and `/etc/group`.
//!
//! The rules are Docker's: a name or number is looked for in the file; a number need not be there; without a group the
//! user's own group and supplementary groups count. One is stricter: digits are a number and never the name of an account,
//! so that an image cannot call its root by the number that an administrator allowed (CVE-2026-46680). The files belong to the image and may be anything: only a
//! regular file of bounded size is read, and opening never waits.

use std::io::Read;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};
use std::path::Path;

use berth_kit::guard::{Guard, stands};
use berth_sys::Errno;
use rustix::fs::{FileType, OFlags};

use crate::error::{Error, Result};
use crate::path;

/// The most bytes of a passwd or group file that are read.
const MAX_FILE_BYTES: u64 = 8 << 20;

/// The highest id that Docker accepts.
const MAX_ID: u32 = i32::MAX as u32;

/// A user as the kernel knows it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Identity {
    /// User id inside the container.
    pub uid: u32,
    /// Group id inside the container.
    pub gid: u32,
    /// Supplementary groups, ordered, each once.
    pub groups: Vec<u32>,
    /// Home directory; `/` when unknown.
    pub home: String,
}

/// A line of `/etc/passwd`.
struct Account {
    name: String,
    uid: u32,
    gid: u32,
    home: String,
}

/// A line of `/etc/group`.
struct Group {
    name: String,
    gid: u32,
    members: Vec<String>,
}

/// Looks up `wanted` (`name|uid[:group|gid]`; empty means root) and the `additional` groups (names or numbers).
/// `root` is the container's root directory.
pub fn resolve<S: AsRef<str>>(root: BorrowedFd<'_>, wanted: &str, additional: &[S]) -> Result<Identity> {
    let (user, group) = wanted.split_once(':').unwrap_or((wanted, ""));
    let number = number(user);
    let account = accounts(root).into_iter().find(|account| match number {
        _ if user.is_empty() => account.uid == 0,
        // An account may be called like a number; whoever writes digits means the number.
        Some(number) if stands(Guard::UserNumbers) => number == i64::from(account.uid),
        number => number == Some(account.uid.into()) || account.name == user,
    });
    let mut identity = match (&account, number) {
        (Some(account), _) => {
            let home = if account.home.is_empty() { String::from("/") } else { account.home.clone() };
            Identity { uid: account.uid, gid: account.gid, groups: Vec::new(), home }
        }
        (None, Some(number)) => Identity { uid: id(number)?, home: String::from("/"), ..Identity::default() },
        (None, None) if user.is_empty() => Identity { home: String::from("/"), ..Identity::default() },
        (None, None) => return Err(unknown("user", user, "passwd")),
    };
    let known = if group.is_empty() && additional.is_empty() && account.is_none() { Vec::new() } else { groups(root) };
    if !group.is_empty() {
        identity.gid = group_id(&known, group)?;
    } else if let Some(account) = account {
        let mine = known.iter().filter(|group| group.members.contains(&account.name));
        identity.groups.extend(mine.map(|group| group.gid));
    }
    for name in additional {
        identity.groups.push(group_id(&known, name.as_ref())?);
    }
    identity.groups.sort_unstable();
    identity.groups.dedup();
    Ok(identity)
}

/// The home directory of a user id; `/` when unknown.
pub fn home_of(root: BorrowedFd<'_>, uid: u32) -> String {
    let account = accounts(root).into_iter().find(|account| account.uid == uid);
    account.map(|account| account.home).filter(|home| !home.is_empty()).unwrap_or_else(|| String::from("/"))
}

fn group_id(known: &[Group], wanted: &str) -> Result<u32> {
    let number = number(wanted);
    let found = known.iter().find(|group| match number {
        Some(number) if stands(Guard::UserNumbers) => number == i64::from(group.gid),
        number => group.name == wanted || number == Some(group.gid.into()),
    });
    match (found, number) {
        (Some(group), _) => Ok(group.gid),
        (None, Some(number)) => id(number),
        (None, None) => Err(unknown("group", wanted, "group")),
    }
}

/// The number that a text of digits is; one that is longer than any id becomes the largest.
fn number(text: &str) -> Option<i64> {
    if !stands(Guard::UserNumbers) {
        return text.parse().ok();
    }
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    Some(text.parse().unwrap_or(i64::MAX))
}

fn id(number: i64) -> Result<u32> {
    if !stands(Guard::UserNumbers) {
        return Ok(number as u32);
    }
    u32::try_from(number)
        .ok()
        .filter(|id| *id <= MAX_ID)
        .ok_or_else(|| Error::UnknownUser { message: format!("uids and gids must be in range 0-{MAX_ID}") })
}

fn unknown(kind: &str, name: &str, file: &str) -> Error {
    Error::UnknownUser { message: format!("unable to find {kind} {name}: no matching entries in {file} file") }
}

fn accounts(root: BorrowedFd<'_>) -> Vec<Account> {
    let parse = |line: &str| {
        let mut fields = line.split(':');
        let (name, _password) = (fields.next()?.to_owned(), fields.next()?);
        let (uid, gid) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
        let home = fields.nth(1).unwrap_or_default().to_owned();
        Some(Account { name, uid, gid, home })
    };
    lines(root, "etc/passwd").lines().filter_map(parse).collect()
}

fn groups(root: BorrowedFd<'_>) -> Vec<Group> {
    let parse = |line: &str| {
        let mut fields = line.split(':');
        let (name, _password) = (fields.next()?.to_owned(), fields.next()?);
        let gid = fields.next()?.parse().ok()?;
        let members = fields.next().unwrap_or_default().split(',').map(|member| member.trim().to_owned()).collect();
        Some(Group { name, gid, members })
    };
    lines(root, "etc/group").lines().filter_map(parse).collect()
}

/// The text of a file of the container; empty when it is missing or is nothing to be read.
fn lines(root: BorrowedFd<'_>, name: &str) -> String {
    read_regular(root, Path::new(name)).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
}

fn read_regular(root: BorrowedFd<'_>, name: &Path) -> berth_sys::Result<Vec<u8>> {
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY;
    if !stands(Guard::UserFiles) {
        let place = format!("/proc/self/fd/{}/{}", root.as_raw_fd(), name.display());
        // PATH: by name, so that the attack succeeds; only in weakened builds.
        return std::fs::read(place).map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO));
    }
    // O_PATH first: opening a device for reading can have effects.
    let found = path::open(root, name, OFlags::PATH)?;
    if FileType::from_raw_mode(rustix::fs::fstat(&found)?.st_mode) != FileType::RegularFile {
        return Err(Errno::INVAL);
    }
    let file: OwnedFd = path::open(root, name, flags)?;
    if FileType::from_raw_mode(rustix::fs::fstat(&file)?.st_mode) != FileType::RegularFile {
        return Err(Errno::INVAL);
    }
    let mut bytes = Vec::new();
    let read = std::fs::File::from(file).take(MAX_FILE_BYTES).read_to_end(&mut bytes);
    read.map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO))?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsFd;

    fn root(passwd: &str, group: &str) -> (tempfile::TempDir, std::fs::File) {
        let dir = tempfile::tempdir().expect("tempdir");
        std::fs::create_dir(dir.path().join("etc")).expect("mkdir");
        std::fs::write(dir.path().join("etc/passwd"), passwd).expect("write");
        std::fs::write(dir.path().join("etc/group"), group).expect("write");
        let fd = std::fs::File::open(dir.path()).expect("open");
        (dir, fd)
    }

    const PASSWD: &str = "root:x:0:0:root:/root:/bin/sh\nwww:x:33:33:www:/var/www:/bin/false\nbroken\n7:x:8:8::/h:\n";
    const GROUP: &str = "root:x:0:\nwww:x:33:\naudio:x:29:www,other\nvideo:x:44:www\n";

    fn lookup(wanted: &str, additional: &[&str]) -> Result<(u32, u32, Vec<u32>, String)> {
        let (_dir, fd) = root(PASSWD, GROUP);
        resolve(fd.as_fd(), wanted, additional).map(|found| (found.uid, found.gid, found.groups, found.home))
    }

    #[test]
    fn names_and_numbers() {
        let is = |wanted: &str, uid, gid, groups: &[u32], home: &str| {
            assert_eq!(lookup(wanted, &[]).expect(wanted), (uid, gid, groups.to_vec(), home.to_owned()), "{wanted}");
        };
        is("", 0, 0, &[], "/root");
        is("www", 33, 33, &[29, 44], "/var/www");
        is("33", 33, 33, &[29, 44], "/var/www");
        is("www:audio", 33, 29, &[], "/var/www");
        is("1000", 1000, 0, &[], "/");
        is("1000:1001", 1000, 1001, &[], "/");
        is("7", 7, 0, &[], "/");
        is("8", 8, 8, &[], "/h");
        is("2147483647", 2_147_483_647, 0, &[], "/");
        assert_eq!(lookup("www:www", &["audio", "5", "audio"]).expect("groups").2, [5, 29]);
    }

    #[test]
    fn refusals_in_dockers_words() {
        let text = |wanted: &str| lookup(wanted, &[]).expect_err(wanted).to_string();
        assert_eq!(text("nobody"), "unable to find user nobody: no matching entries in passwd file");
        assert_eq!(text("www:nogroup"), "unable to find group nogroup: no matching entries in group file");
        for wanted in
            ["2147483648", "4294967296", "-1", "0:4294967295", "99999999999999999999", "0:-99999999999999999999"]
        {
            assert_eq!(text(wanted), "uids and gids must be in range 0-2147483647", "{wanted}");
        }
    }

    #[test]
    fn digits_are_never_a_name() {
        let passwd = "1000:x:0:0:root:/root:/bin/sh\n99999999999999999999:x:0:0:root:/root:/bin/sh\n";
        let (_dir, fd) = root(passwd, "5:x:0:\n");
        let found = resolve::<&str>(fd.as_fd(), "1000:5", &[]).expect("a number");
        assert_eq!((found.uid, found.gid), (1000, 5));
        assert!(resolve::<&str>(fd.as_fd(), "99999999999999999999", &[]).is_err(), "too long a number is no name");
    }

    #[test]
    fn hostile_files_are_as_good_as_none() {
        let (dir, fd) = root("", "");
        let passwd = dir.path().join("etc/passwd");
        std::fs::remove_file(&passwd).expect("remove");
        let mode = rustix::fs::Mode::from_raw_mode(0o644);
        rustix::fs::mknodat(rustix::fs::CWD, &passwd, FileType::Fifo, mode, 0).expect("fifo");
        assert_eq!(resolve::<&str>(fd.as_fd(), "0", &[]).expect("a pipe is not waited for").uid, 0);
        std::fs::remove_file(&passwd).expect("remove");
        std::os::unix::fs::symlink("/dev/zero", &passwd).expect("link");
        assert!(resolve::<&str>(fd.as_fd(), "someone", &[]).is_err());
        std::fs::remove_file(&passwd).expect("remove");
        std::os::unix::fs::symlink("../../../../../../etc/passwd", &passwd).expect("link");
        assert!(resolve::<&str>(fd.as_fd(), "root", &[]).is_err(), "links stay inside the root");
    }
}

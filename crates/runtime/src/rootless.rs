//! Users without root: the ids that the machine's administrator gave them (subuid(5)), and the programs that map them
//! (newuidmap(1)), which only the machine's root could do otherwise.

use std::os::fd::{AsFd, BorrowedFd};
use std::process::{Command, Stdio};

use berth_sys::clone::{Clone3, Side, clone3};
use berth_sys::namespace::{bit, unshare};
use berth_sys::{message, pidfd, process};

use crate::error::{Error, Result};

const UID_FILE: &str = "/etc/subuid";
const GID_FILE: &str = "/etc/subgid";
/// What the helper says when the ids are mapped.
const OK: &[u8] = b"ok";

/// Who runs this process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// Its number.
    pub uid: u32,
    /// Its group.
    pub gid: u32,
    /// Its name, or its number where it has none.
    pub name: String,
}

impl User {
    /// The caller.
    #[must_use]
    pub fn this() -> Self {
        let (uid, gid) = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
        let accounts = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
        Self { uid, gid, name: name_of(&accounts, uid).unwrap_or_else(|| uid.to_string()) }
    }

    /// Maps the user to root of the user namespace of `pid`, and its subordinate ids to those from 1 on. The process must
    /// be dumpable, and of this user.
    ///
    /// # Errors
    /// [`Error::NoSubordinateIds`], [`Error::MapIds`].
    pub fn map_ids(&self, pid: u32) -> Result<()> {
        self.map("newuidmap", UID_FILE, pid, self.uid)?;
        self.map("newgidmap", GID_FILE, pid, self.gid)
    }

    /// Moves the caller, who must have a single thread, into a new user and a new mount namespace, in which it is root and
    /// has the user's subordinate ids.
    ///
    /// # Errors
    /// As [`User::map_ids`], or what the kernel refuses.
    pub fn enter_namespace(&self) -> Result<()> {
        let (here, there) = message::pair().map_err(Error::process("make a socket pair"))?;
        let caller = std::process::id();
        // SAFETY: the caller has a single thread, and the child ends by an exit.
        let helper = match unsafe { clone3(&Clone3::default()) }.map_err(Error::process("clone"))? {
            Side::Child => {
                drop(here);
                process::exit_now(i32::from(self.help(caller, there.as_fd()).is_err()))
            }
            Side::Parent { pidfd, .. } => pidfd,
        };
        drop(there);
        unshare(bit::USER | bit::MOUNT).map_err(Error::process("make a user namespace"))?;
        // Only then is what /proc shows of it the user's, whose programs map the ids.
        process::set_dumpable(true).map_err(Error::process("stay dumpable"))?;
        message::send(here.as_fd(), &[0], &[]).map_err(Error::process("ask for ids"))?;
        let mut said = [0u8; 512];
        let answer = message::receive(here.as_fd(), &mut said).map_err(Error::process("hear of ids"))?;
        pidfd::wait(helper.as_fd()).map_err(Error::process("wait for ids"))?;
        if answer.bytes != OK.len() || !said.starts_with(OK) {
            let message = String::from_utf8_lossy(&said[..answer.bytes]).into_owned();
            return Err(Error::InvalidSpec { field: "linux.uidMappings", reason: message });
        }
        process::become_user(0, 0, &[]).map_err(Error::process("become root of the user namespace"))
    }

    /// In a child that stays outside: maps the ids when it is asked to, and says what hinders it.
    fn help(&self, pid: u32, channel: BorrowedFd<'_>) -> berth_sys::Result<()> {
        message::receive(channel, &mut [0u8; 1])?;
        match self.map_ids(pid) {
            Ok(()) => message::send(channel, OK, &[]),
            Err(error) => {
                let text = error.to_string();
                message::send(channel, &text.as_bytes()[..text.len().min(512)], &[])
            }
        }
    }

    fn map(&self, program: &'static str, file: &'static str, pid: u32, own: u32) -> Result<()> {
        let text = std::fs::read_to_string(file).unwrap_or_default();
        let ranges = ranges(&text, &self.name, self.uid);
        if ranges.is_empty() {
            return Err(Error::NoSubordinateIds { user: self.name.clone(), file });
        }
        let mut command = Command::new(program);
        command.args([pid, 0, own, 1].map(|number| number.to_string()));
        let mut inside = 1;
        for (first, length) in ranges {
            command.args([inside, first, length].map(|number: u32| number.to_string()));
            inside += length;
        }
        let failed = |message: String| Error::MapIds { program, message };
        let output = command.stdin(Stdio::null()).output().map_err(|error| failed(error.to_string()))?;
        match output.status.success() {
            true => Ok(()),
            false => Err(failed(String::from_utf8_lossy(&output.stderr).trim().replace('\n', "; "))),
        }
    }
}

/// `name:password:uid:…` (passwd(5)).
fn name_of(accounts: &str, uid: u32) -> Option<String> {
    let line = accounts.lines().find(|line| line.split(':').nth(2) == Some(&uid.to_string()))?;
    line.split(':').next().map(str::to_owned)
}

/// First id and length of each range of a user, who may be named by name or number (subuid(5)).
fn ranges(text: &str, name: &str, uid: u32) -> Vec<(u32, u32)> {
    let number = uid.to_string();
    let range = |line: &str| {
        let mut fields = line.trim().split(':');
        let who = fields.next()?;
        let (first, length) = (fields.next()?.parse::<u32>().ok()?, fields.next()?.parse::<u32>().ok()?);
        (who == name || who == number).then_some((first, length)).filter(|(_, length)| *length > 0)
    };
    text.lines().filter_map(range).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_found_by_name_and_number() {
        let text = "alice:100000:65536\nbob:1:2\n1000:300000:1000\n\n# x\nalice:bad:1\nalice:5:0\n";
        assert_eq!(ranges(text, "alice", 1000), [(100_000, 65_536), (300_000, 1000)]);
        assert_eq!(ranges(text, "carol", 7), []);
        assert_eq!(name_of("root:x:0:0::/:\nalice:x:1000:1000::/:", 1000).as_deref(), Some("alice"));
        assert_eq!(name_of("root:x:0:0::/:", 1), None);
    }
}

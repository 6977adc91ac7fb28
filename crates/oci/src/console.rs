//! Terminals: handed to the caller's socket, or joined with the caller's own terminal until the program ends.

use std::io::{Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;

use berth_sys::pidfd::{self, Ended};
use berth_sys::{message, process, pty};
use oci_spec::runtime::Process;
use rustix::termios::{OptionalActions, Termios, tcgetattr, tcgetwinsize, tcsetattr};

use crate::error::{Error, Result};
use crate::grammar::Call;

/// Refuses combinations that cannot work. `attached`: the call stays until the program ends.
pub fn check(call: &Call, process: Option<&Process>, attached: bool) -> Result<()> {
    let terminal = process.and_then(Process::terminal).unwrap_or(false);
    let socket = call.text("console-socket").is_some_and(|path| !path.is_empty());
    let refuse = |text: &str| Err(Error::Console(text.to_owned()));
    match (terminal, socket) {
        (false, true) => refuse("cannot use console socket if the container will not allocate a terminal"),
        (true, false) if !attached => {
            refuse("cannot allocate tty if the container will detach without setting console socket")
        }
        _ => Ok(()),
    }
}

/// Sends the master of a terminal to `--console-socket`.
pub fn send(call: &Call, master: &OwnedFd) -> Result<()> {
    let Some(path) = call.text("console-socket").map(Path::new) else { return Ok(()) };
    let socket = UnixStream::connect(path).map_err(Error::file("connect to the console socket", path))?;
    message::send(socket.as_fd(), b"/dev/ptmx", &[master.as_fd()]).map_err(Error::file("send the terminal to", path))
}

/// Stays until the program ends: joins its terminal, if it has one, with the caller's, and hands signals on. Gives the
/// exit code.
pub fn attend(child: &OwnedFd, master: Option<OwnedFd>) -> Result<u8> {
    process::block_signals().map_err(Error::process("block signals"))?;
    let raw = master.as_ref().and_then(|_| Raw::new());
    let output = match &master {
        Some(master) => {
            copy_size(master);
            Some(join(master)?)
        }
        None => None,
    };
    forward(child, master)?;
    let ended = pidfd::wait(child.as_fd()).map_err(Error::process("wait for the program"))?;
    if let Some(output) = output {
        // What the program said last.
        let _ = output.join();
    }
    drop(raw);
    Ok(match ended {
        Ended::Code(code) => code as u8,
        Ended::Signal(signal) => (128 + signal) as u8,
    })
}

/// Two threads that copy bytes; the answer is the one for output.
fn join(master: &OwnedFd) -> Result<std::thread::JoinHandle<()>> {
    let twin = || master.try_clone().map(std::fs::File::from).map_err(Error::process("copy a descriptor"));
    let (mut reader, mut writer) = (twin()?, twin()?);
    std::thread::spawn(move || copy(&mut std::io::stdin().lock(), &mut writer));
    Ok(std::thread::spawn(move || copy(&mut reader, &mut std::io::stdout().lock())))
}

fn copy(from: &mut impl Read, to: &mut impl Write) {
    let mut buffer = [0u8; 8192];
    // A terminal whose last user is gone answers with an error: that is its end of file.
    while let Ok(count @ 1..) = from.read(&mut buffer) {
        if to.write_all(&buffer[..count]).and_then(|()| to.flush()).is_err() {
            return;
        }
    }
}

/// A thread that hands on what this process is told.
fn forward(child: &OwnedFd, master: Option<OwnedFd>) -> Result<()> {
    let child = child.try_clone().map_err(Error::process("copy a descriptor"))?;
    std::thread::spawn(move || {
        while let Ok(signal) = process::next_signal() {
            match (signal, &master) {
                (libc::SIGCHLD | libc::SIGPIPE | libc::SIGURG, _) => {}
                (libc::SIGWINCH, Some(master)) => copy_size(master),
                _ => {
                    // It may have ended a moment ago.
                    let _ = pidfd::send_signal(child.as_fd(), signal);
                }
            }
        }
    });
    Ok(())
}

fn copy_size(master: &OwnedFd) {
    if let Ok(size) = tcgetwinsize(rustix::stdio::stdin()) {
        // A program without the right size is a lesser evil.
        let _ = pty::resize(master.as_fd(), size.ws_row, size.ws_col);
    }
}

/// The caller's terminal hands every key on; as it was when dropped.
struct Raw(Termios);

impl Raw {
    fn new() -> Option<Self> {
        let before = tcgetattr(rustix::stdio::stdin()).ok()?;
        let mut raw = before.clone();
        raw.make_raw();
        tcsetattr(rustix::stdio::stdin(), OptionalActions::Now, &raw).ok()?;
        Some(Self(before))
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        let _ = tcsetattr(rustix::stdio::stdin(), OptionalActions::Now, &self.0);
    }
}

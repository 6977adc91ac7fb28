//! Directories of the host for virtual machines: a file server whose client is the guest's own kernel.
//!
//! ```text
//! guest's virtiofs ── virtqueues in its memory ── device (vhost-user) ── server (FUSE) ── tree ── files of the host
//! ```
//!
//! [`device`] is the transport, and knows nothing of files; [`server`] answers one request given as bytes, and knows
//! nothing of queues, so that a monitor of our own may call it without a socket between. [`tree`] holds what the guest
//! has looked up.
//!
//! The guest is hostile. What keeps it inside:
//!
//! - It names files by numbers that it was given for what it looked up, one component at a time; a component with a
//!   slash, `.` or `..` is refused, so there is no way upwards.
//! - Symbolic links are never followed here: the guest's kernel follows them, with its own names.
//! - Nothing is opened but regular files and directories: a pipe would block the server, a device is the host's.
//! - A number stands for a file *seen through one mount*, so that one tree shared twice, once read-only, is not writable.
//! - Sizes are bounded, and each request is answered before the next is looked at.
//!
//! The protocol is that of `linux/fuse.h`, version 7.31; the device, section 5.11 of virtio 1.2.

pub mod abi;
pub mod device;
mod op;
pub mod server;
pub mod tree;

use std::{ffi::OsString, os::unix::net::UnixListener, path::Path, process::ExitCode};

use server::Server;

/// Serves a directory at a socket to the one monitor that connects, until that leaves: `SOCKET DIRECTORY`.
#[must_use]
pub fn main(arguments: &[OsString]) -> ExitCode {
    let [socket, directory] = arguments else {
        eprintln!("berth share: it is started by the supervisor of a virtual machine, with a socket and a directory");
        return ExitCode::from(125);
    };
    match serve(Path::new(socket), Path::new(directory)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("berth share: {error}");
            ExitCode::FAILURE
        }
    }
}

fn serve(socket: &Path, directory: &Path) -> std::io::Result<()> {
    // The guest's kernel has applied its processes' masks.
    rustix::process::umask(rustix::fs::Mode::empty());
    raise_file_limit();
    let server = Server::new(directory)?;
    let listener = UnixListener::bind(socket)?;
    let (stream, _) = listener.accept()?;
    drop(listener);
    device::serve(stream, server)
}

/// Each file that the guest's kernel remembers is a descriptor here.
fn raise_file_limit() {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    // Fewer descriptors are fewer files at a time, and no failure.
    let _ = setrlimit(Resource::Nofile, limit);
}

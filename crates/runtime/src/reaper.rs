//! Process 1 of a container that asked for an init: starts the program, hands signals on, collects orphans.

use berth_sys::pidfd::{Ended, reap_any};
use berth_sys::{Errno, process};

use crate::error::Failure;

/// Splits into process 1, which never returns, and the program's process, which does. `arguments` are the program's.
pub(crate) fn split(has_terminal: bool, arguments: &[String]) -> Result<(), Failure> {
    let fail = |errno| Failure::kernel("init", "cannot start the container's init", errno);
    process::block_signals().map_err(fail)?;
    // SAFETY: the init of a container has one thread; process 1 ends by exit, the program's process by execve or exit.
    match unsafe { berth_sys::clone::fork() }.map_err(fail)? {
        0 => {
            own_group(has_terminal).map_err(fail)?;
            Ok(())
        }
        program => watch(program, &command_line(arguments)),
    }
}

/// What process 1 calls itself, in Docker's manner: the init, then what it runs.
fn command_line(arguments: &[String]) -> Vec<u8> {
    let words = ["/sbin/berth-init", "--"].into_iter().chain(arguments.iter().map(String::as_str));
    words.flat_map(|word| word.bytes().chain([0])).collect()
}

/// Puts the program into a process group of its own, in the foreground of its terminal.
fn own_group(has_terminal: bool) -> berth_sys::Result<()> {
    rustix::process::setpgid(None, None)?;
    if has_terminal {
        rustix::termios::tcsetpgrp(rustix::stdio::stdin(), rustix::process::getpgrp())?;
    }
    Ok(())
}

/// Until the program ends: hand on what comes, collect what ends. The program's end is this process's end, and with it
/// the kernel ends all others.
fn watch(program: i32, command_line: &[u8]) -> ! {
    // Names and descriptors of the engine must not stay with a process that lives as long as the container.
    let _ = process::set_name(c"berth-init");
    // Without /proc in the container the old one stays.
    let _ = process::set_command_line(command_line);
    // SAFETY: process 1 uses no descriptor from here on; the values that own them are never dropped, as it only exits.
    let _ = unsafe { berth_sys::descriptor::close_between(3, u32::MAX) };
    loop {
        match process::next_signal() {
            Ok(libc::SIGCHLD) => collect(program),
            // Faults of its own, and what a terminal sends to its foreground group anyway.
            Ok(libc::SIGTTIN | libc::SIGTTOU | libc::SIGPIPE) | Err(Errno::INTR | Errno::AGAIN) => {}
            Ok(signal) => {
                // It may have ended a moment ago.
                let _ = process::send_signal(program, signal);
            }
            Err(_) => process::exit_now(125),
        }
    }
}

fn collect(program: i32) {
    while let Ok(Some((pid, ended))) = reap_any() {
        if pid == program {
            let code = match ended {
                Ended::Code(code) => code,
                Ended::Signal(signal) => 128 + signal,
            };
            process::exit_now(code);
        }
    }
}

//! `berth`: one binary, several programs. The first argument says which.
//!
//! | argument | program |
//! |---|---|
//! | `supervise` | owns one container; started by the daemon, outlives it |
//! | `daemon` | answers the Engine API |
//! | `hello` | what the embedded image `berth/hello` runs |
//! | anything else | the client |

mod daemon;
mod hello;

use std::process::ExitCode;

fn main() -> ExitCode {
    let mut arguments = std::env::args_os().skip(1);
    match arguments.next().as_deref().and_then(|mode| mode.to_str()) {
        Some("supervise") => berth_supervisor::process::run(arguments),
        Some("daemon") => daemon::main(arguments.collect()),
        Some("hello") => hello::main(),
        _ => berth_cli::main(std::env::args_os().collect()),
    }
}

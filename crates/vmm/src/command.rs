//! `berth vmm`: runs one machine to its end.

use std::{ffi::OsString, io::Write, path::PathBuf, process::ExitCode};

use crate::{
    Result,
    config::Config,
    machine::{Machine, Outcome},
};

/// The exit code of a monitor that could not run its machine; 0 is the guest's own end.
const FAILED: u8 = 125;

/// `berth vmm --config FILE`: the configuration is JSON (see [`crate::config`]). The serial port is the standard output.
pub fn main(arguments: Vec<OsString>) -> ExitCode {
    let Some(path) = config_path(arguments) else {
        eprintln!("berth vmm: usage: berth vmm --config FILE");
        return ExitCode::from(FAILED);
    };
    match run(&path) {
        Ok(Outcome::Failed(why)) => {
            eprintln!("berth vmm: {why}");
            ExitCode::from(FAILED)
        }
        Ok(_) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("berth vmm: {}", error.chain());
            ExitCode::from(FAILED)
        }
    }
}

fn config_path(arguments: Vec<OsString>) -> Option<PathBuf> {
    let mut arguments = arguments.into_iter();
    match (arguments.next(), arguments.next(), arguments.next()) {
        (Some(flag), Some(path), None) if flag == "--config" => Some(PathBuf::from(path)),
        _ => None,
    }
}

fn run(path: &std::path::Path) -> Result<Outcome> {
    let config = Config::read(path)?;
    Machine::build(&config, Box::new(Console))?.run()
}

/// The standard output, written at once: the last words of a guest are those that matter.
struct Console;

impl Write for Console {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let mut output = std::io::stdout().lock();
        let written = output.write(bytes)?;
        // A reader that is full or gone loses bytes, as at the end of a cable.
        let _ = output.flush();
        Ok(written)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

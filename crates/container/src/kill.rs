//! `kill`: a signal to the first process.

use std::sync::Arc;

use crate::{Containers, Error, Result, containers::Container, record::Status};

/// Signal names as `kill -l` gives them (signal(7)), for x86_64 and arm64.
const SIGNALS: &[(&str, i32)] = &[
    ("HUP", 1),
    ("INT", 2),
    ("QUIT", 3),
    ("ILL", 4),
    ("TRAP", 5),
    ("ABRT", 6),
    ("IOT", 6),
    ("BUS", 7),
    ("FPE", 8),
    ("KILL", 9),
    ("USR1", 10),
    ("SEGV", 11),
    ("USR2", 12),
    ("PIPE", 13),
    ("ALRM", 14),
    ("TERM", 15),
    ("STKFLT", 16),
    ("CHLD", 17),
    ("CLD", 17),
    ("CONT", 18),
    ("STOP", 19),
    ("TSTP", 20),
    ("TTIN", 21),
    ("TTOU", 22),
    ("URG", 23),
    ("XCPU", 24),
    ("XFSZ", 25),
    ("VTALRM", 26),
    ("PROF", 27),
    ("WINCH", 28),
    ("IO", 29),
    ("POLL", 29),
    ("PWR", 30),
    ("SYS", 31),
];
/// SIGKILL.
pub(crate) const KILL: i32 = 9;
/// SIGTERM.
pub(crate) const TERM: i32 = 15;
const REAL_TIME_MIN: i32 = 34;
const REAL_TIME_MAX: i32 = 64;

/// Reads `TERM`, `SIGTERM`, `15`, `RTMIN+3`.
///
/// # Errors
/// [`Error::Invalid`] with Docker's text.
pub(crate) fn signal_number(text: &str) -> Result<i32> {
    let refuse = || Error::Invalid(format!("invalid signal: {text}"));
    if let Ok(number) = text.parse::<i32>() {
        return if (1..=REAL_TIME_MAX).contains(&number) { Ok(number) } else { Err(refuse()) };
    }
    let upper = text.to_ascii_uppercase();
    let name = upper.strip_prefix("SIG").unwrap_or(&upper);
    if let Some((_, number)) = SIGNALS.iter().find(|(known, _)| *known == name) {
        return Ok(*number);
    }
    let offset = |rest: &str| if rest.is_empty() { Some(0) } else { rest[1..].parse::<i32>().ok() };
    let number = match (name.strip_prefix("RTMIN"), name.strip_prefix("RTMAX")) {
        (Some(rest), _) if rest.is_empty() || rest.starts_with('+') => offset(rest).map(|by| REAL_TIME_MIN + by),
        (_, Some(rest)) if rest.is_empty() || rest.starts_with('-') => offset(rest).map(|by| REAL_TIME_MAX - by),
        _ => None,
    };
    number.filter(|number| (REAL_TIME_MIN..=REAL_TIME_MAX).contains(number)).ok_or_else(refuse)
}

impl Containers {
    /// Sends `signal` (SIGKILL without one) to a running container.
    ///
    /// # Errors
    /// [`Error::NotRunning`] with Docker's text, [`Error::Invalid`] for an unknown signal.
    pub async fn kill(&self, name: &str, signal: Option<&str>) -> Result<()> {
        let number = signal.filter(|text| !text.is_empty()).map_or(Ok(KILL), signal_number)?;
        let container = self.shared.find(name)?;
        if !container.status().is_alive() {
            return Err(Error::Conflict(format!(
                "cannot kill container: {name}: container {} is not running",
                container.id
            )));
        }
        let ends = number == KILL || number == self.stop_signal(&container);
        if ends {
            self.shared.change_anyway(&container, |record| record.stopped_by_user = true);
        }
        let mut waiter = container.progress.subscribe();
        let exits = waiter.borrow().exits;
        self.signal(&container, number).await?;
        if container.status() == Status::Paused && number == KILL {
            self.shared.thaw(&container.read().clone());
        }
        self.shared.publish(&container, "kill", &[("signal", number.to_string())]);
        if number == KILL {
            let ended = waiter.wait_for(|progress| progress.exits > exits || progress.removed);
            let _ = tokio::time::timeout(std::time::Duration::from_secs(10), ended).await;
        }
        Ok(())
    }

    /// Sends a signal to the first process.
    pub(crate) async fn signal(&self, container: &Arc<Container>, number: i32) -> Result<()> {
        Ok(self.supervisor(&container.id).await?.signal(number, false).await?)
    }

    /// The signal that asks this container to stop.
    pub(crate) fn stop_signal(&self, container: &Container) -> i32 {
        let record = container.read();
        record.config.stop_signal.as_deref().and_then(|text| signal_number(text).ok()).unwrap_or(TERM)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signals_in_every_form() {
        for (text, number) in
            [("9", 9), ("KILL", 9), ("sigterm", 15), ("RTMIN+1", 35), ("SIGRTMAX-1", 63), ("RTMIN", 34)]
        {
            assert_eq!(signal_number(text).unwrap(), number, "{text}");
        }
        for text in ["", "0", "65", "FOO", "RTMIN+99", "-9", "RTMINx"] {
            assert!(signal_number(text).is_err(), "{text}");
        }
    }
}

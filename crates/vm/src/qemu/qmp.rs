//! QEMU's control protocol, as far as templates need it (docs/interop/qmp-spec.rst): JSON, a line each.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    os::unix::net::UnixStream,
    time::Duration,
};

use serde_json::{Value, json};

use crate::{Error, Result};

/// The longest line that is read, in bytes.
const LINE_BYTES_MAX: u64 = 1 << 20;
/// QEMU answers at once.
const LIMIT: Duration = Duration::from_secs(20);

/// A connection to a monitor.
#[derive(Debug)]
pub struct Qmp {
    stream: BufReader<UnixStream>,
}

impl Qmp {
    /// Greets the monitor behind `stream`.
    ///
    /// # Errors
    /// [`Error::Guest`] when it is not QEMU or does not answer.
    pub fn new(stream: UnixStream) -> Result<Self> {
        let timed = stream.set_read_timeout(Some(LIMIT));
        timed.map_err(|error| Error::Guest(format!("monitor cannot be waited for: {error}")))?;
        let mut qmp = Self { stream: BufReader::new(stream) };
        if qmp.line()?.get("QMP").is_none() {
            return Err(Error::Guest("monitor does not greet".to_owned()));
        }
        qmp.execute("qmp_capabilities", json!({}))?;
        Ok(qmp)
    }

    /// Carries out a command; what it returns.
    ///
    /// # Errors
    /// [`Error::Guest`] with QEMU's own words.
    pub fn execute(&mut self, command: &str, arguments: Value) -> Result<Value> {
        let text = format!("{}\n", json!({"execute": command, "arguments": arguments}));
        let sent = self.stream.get_mut().write_all(text.as_bytes());
        sent.map_err(|error| Error::Guest(format!("monitor takes no commands: {error}")))?;
        loop {
            let mut answer = self.line()?;
            if let Some(error) = answer.get("error") {
                return Err(Error::Guest(format!(
                    "monitor refused {command}: {}",
                    error["desc"].as_str().unwrap_or("?")
                )));
            }
            // Everything else is an event.
            if let Some(returned) = answer.get_mut("return") {
                return Ok(returned.take());
            }
        }
    }

    fn line(&mut self) -> Result<Value> {
        let mut text = String::new();
        let read = std::io::Read::take(&mut self.stream, LINE_BYTES_MAX).read_line(&mut text);
        match read {
            Ok(0) => Err(Error::Guest("monitor is gone".to_owned())),
            Ok(_) => {
                serde_json::from_str(&text).map_err(|error| Error::Guest(format!("monitor said no JSON: {error}")))
            }
            Err(error) => Err(Error::Guest(format!("monitor does not answer: {error}"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_between_command_and_answer_are_passed_over() {
        let (near, far) = UnixStream::pair().expect("pair");
        let monitor = std::thread::spawn(move || {
            let mut far = BufReader::new(far);
            far.get_mut().write_all(b"{\"QMP\": {}}\n").expect("greet");
            let mut line = String::new();
            far.read_line(&mut line).expect("capabilities");
            far.get_mut().write_all(b"{\"return\": {}}\n").expect("answer");
            far.read_line(&mut line).expect("stop");
            far.get_mut().write_all(b"{\"event\": \"STOP\"}\n{\"return\": {\"a\": 1}}\n").expect("answer");
            far.read_line(&mut line).expect("bad");
            far.get_mut().write_all(b"{\"error\": {\"desc\": \"no\"}}\n").expect("answer");
        });
        let mut qmp = Qmp::new(near).expect("greeting");
        assert_eq!(qmp.execute("stop", json!({})).expect("stop")["a"], 1);
        assert!(qmp.execute("bad", json!({})).expect_err("refused").to_string().ends_with("bad: no"));
        assert!(qmp.execute("gone", json!({})).is_err());
        monitor.join().expect("monitor");
    }
}

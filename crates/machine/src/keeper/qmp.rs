//! The monitor's control protocol from the keeper's side (QEMU's docs/interop/qmp-spec.rst): commands of several clients,
//! told apart by their id, and events.

use std::{
    collections::BTreeMap,
    fs::OpenOptions,
    os::{fd::AsFd as _, unix::fs::OpenOptionsExt as _, unix::net::UnixStream},
    path::Path,
};

use serde_json::{Value, json};

use super::{connection::Connection, protocol::Reply};

/// What came from the monitor.
pub enum Said {
    /// The answer for a client.
    Answer { client: u64, reply: Reply },
    /// An event's name and data.
    Event { name: String, data: Value },
}

/// See the module.
pub struct Qmp {
    /// The connection.
    pub connection: Connection,
    /// Who waits for the answer to which command.
    waiting: BTreeMap<u64, u64>,
    next: u64,
}

impl Qmp {
    /// Greets the monitor; its greeting need not be waited for.
    pub fn over(stream: UnixStream) -> std::io::Result<Self> {
        let mut connection = Connection::over(stream)?;
        connection.push(b"{\"execute\": \"qmp_capabilities\"}\n");
        Ok(Self { connection, waiting: BTreeMap::new(), next: 0 })
    }

    /// Carries out a command for a client. `Err` when it is refused at once.
    pub fn execute(
        &mut self,
        client: u64,
        execute: &str,
        arguments: &Value,
        file: Option<&Path>,
    ) -> Result<(), String> {
        self.next += 1;
        let command = format!("{}\n", json!({"execute": execute, "arguments": arguments, "id": self.next}));
        match file {
            None => self.connection.push(command.as_bytes()),
            Some(path) => {
                let refuse = |error: std::io::Error| format!("cannot make {}: {error}", path.display());
                let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).map_err(refuse)?;
                // A descriptor goes with the bytes of its command, so nothing may wait before them.
                self.connection.flush();
                if !self.connection.goes.is_empty() {
                    return Err("the monitor does not take commands".to_owned());
                }
                berth_sys::message::send(self.connection.stream.as_fd(), command.as_bytes(), &[file.as_fd()])
                    .map_err(|errno| format!("the monitor does not take a file: {}", std::io::Error::from(errno)))?;
            }
        }
        self.waiting.insert(self.next, client);
        Ok(())
    }

    /// What was said, one at a time.
    pub fn take(&mut self) -> Option<Said> {
        loop {
            // What is not understood is not for us: the greeting, and the answer to it.
            let Some(mut value) = super::protocol::take::<Value>(&mut self.connection.came)? else { continue };
            if let Some(name) = value["event"].as_str() {
                return Some(Said::Event { name: name.to_owned(), data: value["data"].clone() });
            }
            let Some(client) = value["id"].as_u64().and_then(|id| self.waiting.remove(&id)) else { continue };
            let reply = match value.get("error") {
                Some(error) => Reply::Failed(error["desc"].as_str().unwrap_or("it gave no reason").to_owned()),
                None => Reply::Done(value["return"].take()),
            };
            return Some(Said::Answer { client, reply });
        }
    }

    /// The clients whose commands will have no answer any more.
    pub fn give_up(&mut self) -> Vec<u64> {
        std::mem::take(&mut self.waiting).into_values().collect()
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};

    use super::*;

    #[test]
    fn answers_find_their_clients_and_files_travel() {
        let (near, mut far) = UnixStream::pair().expect("pair");
        let mut qmp = Qmp::over(near).expect("qmp");
        let dir = tempfile::tempdir().expect("tempdir");
        qmp.execute(7, "stop", &json!({}), None).expect("stop");
        qmp.execute(8, "getfd", &json!({"fdname": "state"}), Some(&dir.path().join("state"))).expect("getfd");
        let again = qmp.execute(8, "getfd", &json!({}), Some(&dir.path().join("state")));
        assert!(again.expect_err("it is there").contains("cannot make"));
        far.write_all(
            b"{\"QMP\": {}}\n{\"return\": {}}\nnonsense\n{\"event\": \"STOP\"}\n{\"id\": 2, \"error\": {\"desc\": \"no\"}}\n\
              {\"id\": 1, \"return\": {\"a\": 1}}\n{\"id\": 1, \"return\": {}}\n{\"id\": 99",
        )
        .expect("write");
        qmp.connection.read();
        assert!(matches!(qmp.take(), Some(Said::Event { name, .. }) if name == "STOP"));
        assert!(matches!(qmp.take(), Some(Said::Answer { client: 8, reply: Reply::Failed(text) }) if text == "no"));
        assert!(matches!(qmp.take(), Some(Said::Answer { client: 7, reply: Reply::Done(value) }) if value["a"] == 1));
        assert!(qmp.take().is_none() && qmp.give_up().is_empty());
        let mut sent = [0; 33];
        far.read_exact(&mut sent).expect("read");
        assert_eq!(&sent[..32], b"{\"execute\": \"qmp_capabilities\"}\n");
    }
}

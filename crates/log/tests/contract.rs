//! Every driver runs the contract suite.

use std::{cell::RefCell, os::unix::net::UnixDatagram, path::Path};

use berth_log::{
    ContainerTags, LogConfig, LogDriver, ReadOptions, Reader, Stream,
    contract::{Observed, Subject, run},
};

fn open(config: &LogConfig) -> impl Fn(&Path) -> Box<dyn LogDriver> {
    let config = config.clone();
    move |path| berth_log::open(&config, path, &ContainerTags::default()).expect("open")
}

/// Joined lines, so that pieces are compared as the lines they make.
fn file_suite(config: &LogConfig) {
    let dir = tempfile::tempdir().unwrap();
    let driver = config.driver.clone();
    let expected_pieces = RefCell::new(Vec::<Observed>::new());
    let observe = |path: &Path| {
        let seen: Vec<(Stream, Vec<u8>)> = Reader::open(&driver, path, ReadOptions::default())
            .unwrap()
            .map(|record| record.unwrap())
            .map(|record| (record.stream, record.bytes))
            .collect();
        Some(pieces(&seen, &mut expected_pieces.borrow_mut()))
    };
    run(&Subject { open: &open(config), observe: &observe }, dir.path());
}

/// Cuts joined lines as the suite writes them: 16 KiB pieces, the last one ending the line.
fn pieces(lines: &[(Stream, Vec<u8>)], out: &mut Vec<Observed>) -> Vec<Observed> {
    out.clear();
    for (stream, bytes) in lines {
        assert_eq!(bytes.last(), Some(&b'\n'));
        let line = &bytes[..bytes.len() - 1];
        let mut rest = line;
        while rest.len() > berth_log::LINE_MAX {
            let (piece, after) = rest.split_at(berth_log::LINE_MAX);
            out.push(Observed { stream: *stream, bytes: piece.to_vec(), partial: true });
            rest = after;
        }
        out.push(Observed { stream: *stream, bytes: rest.to_vec(), partial: false });
    }
    out.clone()
}

#[test]
fn json_file() {
    file_suite(&LogConfig::new("json-file"));
    file_suite(&LogConfig::new("json-file").with("max-size", "10k").with("max-file", "100"));
    file_suite(&LogConfig::new("json-file").with("max-size", "10k").with("max-file", "100").with("compress", "true"));
}

#[test]
fn local() {
    file_suite(&LogConfig::new("local"));
    file_suite(&LogConfig::new("local").with("max-size", "10k").with("max-file", "100"));
    file_suite(&LogConfig::new("local").with("max-size", "10k").with("max-file", "100").with("compress", "false"));
}

#[test]
fn none() {
    let dir = tempfile::tempdir().unwrap();
    run(&Subject { open: &open(&LogConfig::new("none")), observe: &|_| None }, dir.path());
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0, "none keeps nothing");
}

#[test]
fn syslog() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("log");
    let server = UnixDatagram::bind(&path).unwrap();
    rustix::net::sockopt::set_socket_recv_buffer_size(&server, 4 << 20).unwrap();
    // Datagram queues are short: a reader empties the server's while the suite writes.
    let (sender, receiver) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let mut buffer = vec![0; 65536];
        while let Ok(len) = server.recv(&mut buffer) {
            if sender.send(buffer[..len].to_vec()).is_err() {
                return;
            }
        }
    });
    let seen = RefCell::new(Vec::new());
    let config = LogConfig::new("syslog").with("syslog-address", &format!("unix://{}", path.display()));
    let open = |log: &Path| -> Box<dyn LogDriver> {
        Box::new(Patient(berth_log::open(&config, log, &ContainerTags::default()).unwrap()))
    };
    let observe = |_: &Path| {
        let wait = std::time::Duration::from_millis(100);
        while let Ok(datagram) = receiver.recv_timeout(wait) {
            let stream = if datagram.starts_with(b"<27>") { Stream::Stderr } else { Stream::Stdout };
            let start = datagram.windows(3).position(|window| window == b"]: ").unwrap() + 3;
            let bytes = datagram[start..datagram.len() - 1].to_vec();
            let partial = bytes.len() == berth_log::LINE_MAX;
            seen.borrow_mut().push(Observed { stream, bytes, partial });
        }
        Some(seen.borrow().clone())
    };
    run(&Subject { open: &open, observe: &observe }, dir.path());
}

/// Flushes until nothing is left behind, as the supervisor does.
struct Patient(Box<dyn LogDriver>);

impl LogDriver for Patient {
    fn name(&self) -> &'static str {
        self.0.name()
    }
    fn write(&mut self, entry: &berth_log::Entry<'_>) -> berth_log::Result<()> {
        self.0.write(entry)
    }
    fn flush(&mut self) -> berth_log::Result<()> {
        self.0.flush()?;
        while self.0.backlog().is_some() {
            std::thread::sleep(std::time::Duration::from_millis(1));
            self.0.flush()?;
        }
        Ok(())
    }
}

//! `journald`: the journal's native protocol (systemd, "Native Journal Protocol").

use std::{
    io::{self, Write},
    os::{fd::AsFd, unix::net::UnixDatagram},
    path::{Path, PathBuf},
};

use rustix::{
    event::{PollFd, PollFlags, Timespec},
    fs::{MemfdFlags, SealFlags},
    net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags},
};

use crate::{ContainerTags, Entry, Error, LogConfig, LogDriver, Result, Stream, tag::Selection};

/// Where journald listens.
pub(crate) const SOCKET: &str = "/run/systemd/journal/socket";
/// How long one entry may wait for a full queue, in nanoseconds.
const PATIENCE_NS: i64 = 250_000_000;

/// Sends every entry at once.
pub(crate) struct Journald {
    socket: UnixDatagram,
    path: PathBuf,
    /// The fields that are the same in every entry.
    fields: Vec<u8>,
    datagram: Vec<u8>,
    lost: Option<io::Error>,
}

impl Journald {
    /// Connects to the journal's socket.
    pub fn open(path: &Path, config: &LogConfig, tags: &ContainerTags) -> Result<Self> {
        let fail = |source| Error::Connect { address: path.display().to_string(), source };
        let socket = UnixDatagram::unbound().map_err(fail)?;
        socket.connect(path).map_err(fail)?;
        socket.set_nonblocking(true).map_err(fail)?;
        let selection = Selection::parse(config)?;
        let tag = selection.tag_or_id(tags);
        let mut fields = Vec::new();
        for (name, value) in [
            ("CONTAINER_ID", berth_kit::id::short(&tags.id)),
            ("CONTAINER_ID_FULL", &tags.id),
            ("CONTAINER_NAME", &tags.name),
            ("CONTAINER_TAG", &tag),
            ("IMAGE_NAME", &tags.image_name),
            ("SYSLOG_IDENTIFIER", &tag),
        ] {
            field(&mut fields, name, value.as_bytes());
        }
        for (key, value) in selection.attributes(tags) {
            field(&mut fields, &field_name(&key), value.as_bytes());
        }
        Ok(Self { socket, path: path.to_owned(), fields, datagram: Vec::new(), lost: None })
    }

    fn send(&mut self) -> io::Result<()> {
        loop {
            match self.socket.send(&self.datagram) {
                Ok(_) => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.wait()?,
                Err(error) if error.raw_os_error() == Some(rustix::io::Errno::MSGSIZE.raw_os_error()) => {
                    return self.send_sealed();
                }
                // journald was started anew.
                Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
                    self.socket.connect(&self.path)?;
                    return self.socket.send(&self.datagram).map(|_| ());
                }
                Err(error) => return Err(error),
            }
        }
    }

    fn wait(&self) -> io::Result<()> {
        let mut ready = [PollFd::new(&self.socket, PollFlags::OUT)];
        let patience = Timespec { tv_sec: 0, tv_nsec: PATIENCE_NS };
        match rustix::event::poll(&mut ready, Some(&patience))? {
            0 => Err(io::ErrorKind::TimedOut.into()),
            _ => Ok(()),
        }
    }

    /// A datagram too long for the socket travels as a sealed memory file.
    fn send_sealed(&self) -> io::Result<()> {
        let memory = rustix::fs::memfd_create(c"berth-journal", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)?;
        let mut file = std::fs::File::from(memory);
        file.write_all(&self.datagram)?;
        let seals = SealFlags::SEAL | SealFlags::SHRINK | SealFlags::GROW | SealFlags::WRITE;
        rustix::fs::fcntl_add_seals(&file, seals)?;
        let descriptors = [file.as_fd()];
        let mut space = [std::mem::MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        control.push(SendAncillaryMessage::ScmRights(&descriptors));
        rustix::net::sendmsg(&self.socket, &[], &mut control, SendFlags::NOSIGNAL)?;
        Ok(())
    }
}

impl LogDriver for Journald {
    fn name(&self) -> &'static str {
        "journald"
    }

    fn write(&mut self, entry: &Entry<'_>) -> Result<()> {
        self.datagram.clear();
        field(&mut self.datagram, "MESSAGE", entry.bytes);
        field(&mut self.datagram, "PRIORITY", if entry.stream == Stream::Stderr { b"3" } else { b"6" });
        field(&mut self.datagram, "SYSLOG_TIMESTAMP", berth_kit::time::format_nano(entry.at).as_bytes());
        if entry.partial {
            field(&mut self.datagram, "CONTAINER_PARTIAL_MESSAGE", b"true");
        }
        self.datagram.extend_from_slice(&self.fields);
        if let Err(error) = self.send() {
            self.lost = Some(error);
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<()> {
        match self.lost.take() {
            Some(source) => Err(Error::Send { address: self.path.display().to_string(), source }),
            None => Ok(()),
        }
    }
}

/// Appends `NAME=value`, or the form with a length when the value has a newline.
fn field(out: &mut Vec<u8>, name: &str, value: &[u8]) {
    out.extend_from_slice(name.as_bytes());
    if value.contains(&b'\n') {
        out.push(b'\n');
        out.extend_from_slice(&(value.len() as u64).to_le_bytes());
    } else {
        out.push(b'=');
    }
    out.extend_from_slice(value);
    out.push(b'\n');
}

/// A field name from a label: upper case, foreign characters as `_`, no leading underscore or digit (those fields
/// are journald's own).
fn field_name(key: &str) -> String {
    let name: String =
        key.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' }).collect();
    name.trim_start_matches(|c: char| c == '_' || c.is_ascii_digit()).to_owned()
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags};

    use super::*;

    fn parse(mut bytes: &[u8]) -> Vec<(String, Vec<u8>)> {
        let mut fields = Vec::new();
        while let Some(split) = bytes.iter().position(|b| *b == b'=' || *b == b'\n') {
            let name = String::from_utf8(bytes[..split].to_vec()).unwrap();
            let (start, len) = if bytes[split] == b'=' {
                (split + 1, bytes[split + 1..].iter().position(|b| *b == b'\n').unwrap())
            } else {
                let len = u64::from_le_bytes(bytes[split + 1..split + 9].try_into().unwrap());
                (split + 9, usize::try_from(len).unwrap())
            };
            fields.push((name, bytes[start..start + len].to_vec()));
            bytes = &bytes[start + len + 1..];
        }
        fields
    }

    #[test]
    fn the_contract_is_kept() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("socket");
        let journal = UnixDatagram::bind(&path).unwrap();
        // Datagram queues are short: a reader empties the journal's while the suite writes.
        let (sender, receiver) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            let mut buffer = vec![0; 65536];
            while let Ok(len) = journal.recv(&mut buffer) {
                if sender.send(parse(&buffer[..len])).is_err() {
                    return;
                }
            }
        });
        let seen = std::cell::RefCell::new(Vec::new());
        let observe = |_: &Path| {
            while let Ok(fields) = receiver.recv_timeout(std::time::Duration::from_millis(100)) {
                let value = |name: &str| fields.iter().find(|(own, _)| own == name).map(|(_, value)| value.clone());
                let stream = if value("PRIORITY").unwrap() == b"3" { Stream::Stderr } else { Stream::Stdout };
                let partial = value("CONTAINER_PARTIAL_MESSAGE").is_some();
                let bytes = value("MESSAGE").unwrap();
                seen.borrow_mut().push(crate::contract::Observed { stream, bytes, partial });
            }
            Some(seen.borrow().clone())
        };
        let open = |_: &Path| -> Box<dyn LogDriver> {
            Box::new(Journald::open(&path, &LogConfig::new("journald"), &ContainerTags::default()).unwrap())
        };
        let subject = crate::contract::Subject { open: &open, observe: &observe };
        crate::contract::run(&subject, dir.path());
    }

    #[test]
    fn entries_arrive_with_their_fields_and_long_ones_as_memory_files() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("socket");
        let journal = UnixDatagram::bind(&path).unwrap();
        let tags = ContainerTags {
            id: "0f".repeat(32),
            name: "web".into(),
            labels: [("_my.label".to_owned(), "two\nlines".to_owned()), ("big".to_owned(), "x".repeat(400_000))].into(),
            ..ContainerTags::default()
        };
        let config = LogConfig::new("journald").with("labels", "_my.label").with("tag", "t/{{.Name}}");
        let mut driver = Journald::open(&path, &config, &tags).unwrap();
        let entry =
            Entry { stream: Stream::Stderr, at: jiff::Timestamp::UNIX_EPOCH, partial: true, bytes: b"\x00\xfex=y" };
        driver.write(&entry).unwrap();
        driver.flush().unwrap();
        let mut buffer = vec![0; 65536];
        let len = journal.recv(&mut buffer).unwrap();
        let fields = parse(&buffer[..len]);
        for (name, value) in [
            ("MESSAGE", &b"\x00\xfex=y"[..]),
            ("PRIORITY", b"3"),
            ("CONTAINER_NAME", b"web"),
            ("CONTAINER_TAG", b"t/web"),
            ("CONTAINER_PARTIAL_MESSAGE", b"true"),
            ("MY_LABEL", b"two\nlines"),
        ] {
            assert!(fields.contains(&(name.to_owned(), value.to_vec())), "{name}: {fields:?}");
        }

        let mut driver = Journald::open(&path, &config.with("labels", "big"), &tags).unwrap();
        driver.write(&entry).unwrap();
        driver.flush().unwrap();
        let mut space = [std::mem::MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        rustix::net::recvmsg(&journal, &mut [], &mut control, RecvFlags::empty()).unwrap();
        let Some(RecvAncillaryMessage::ScmRights(mut files)) = control.drain().next() else { panic!("no file") };
        let mut bytes = Vec::new();
        let mut file = std::fs::File::from(files.next().unwrap());
        std::io::Seek::rewind(&mut file).unwrap();
        file.read_to_end(&mut bytes).unwrap();
        assert!(parse(&bytes).iter().any(|(name, value)| name == "BIG" && value.len() == 400_000));
    }
}

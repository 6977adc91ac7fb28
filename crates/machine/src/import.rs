//! `import`: a machine from an archive, which a stranger may have made.
//!
//! Nothing is unpacked by its name: the definition comes first, and only files that it names are taken, each once, into
//! the machine's own directory. Paths of a host that the definition names are refused.

use std::{
    fs::File,
    io::{self, Read},
    path::Path,
};

use futures_util::StreamExt as _;
use tokio::io::AsyncWriteExt as _;

use crate::{
    ByteStream, Error, Machines, Result, copy,
    create::{require_formats, require_own},
    definition::{DEFINITION_BYTES_MAX, check_name, is_name, is_own},
    export::pipe,
    files::{self, Draft},
    machines::{blocking, own_files},
    record::Definition,
};

/// A file of an archive is at most so large, in bytes, its holes counted.
const FILE_BYTES_MAX: u64 = 4 << 40;
const BUFFER_BYTES: usize = 1 << 20;

impl Machines {
    /// Makes a machine of an archive, under its own name or another.
    ///
    /// # Errors
    /// [`Error::Invalid`] with what is wrong with the archive; nothing is left of it.
    pub async fn import(&self, archive: ByteStream, name: Option<&str>) -> Result<Definition> {
        if let Some(name) = name {
            check_name("machine", name)?;
            self.shared.require_free(name)?;
        }
        let (root, name, reader) = (self.shared.root(), name.map(str::to_owned), consume(archive)?);
        let shared = std::sync::Arc::clone(&self.shared);
        let made = blocking(move || {
            let draft = Draft::below(&root)?;
            let own = own_files(&draft.path);
            files::make_directory(&own)?;
            let mut definition = unpack(reader, &own)?;
            definition.identify(true);
            definition.name = name.unwrap_or(definition.name);
            definition.check()?;
            shared.require_free(&definition.name)?;
            require_own(&own, &definition)?;
            require_formats(&own, &definition)?;
            files::write_definition(&draft.path, &definition)?;
            draft.settle(&root.join(&definition.name), "machine")?;
            Ok(definition)
        })
        .await?;
        let machine = self.shared.insert(made.clone());
        self.shared.publish(&machine, "create");
        Ok(made)
    }
}

/// Takes definition and files out of an archive.
fn unpack(reader: impl Read, own: &Path) -> Result<Definition> {
    let broken = |error: io::Error| Error::invalid(format!("the archive cannot be read: {error}"));
    let mut archive = tar::Archive::new(reader);
    let mut entries = archive.entries().map_err(broken)?;
    let first = entries.next().ok_or_else(|| Error::invalid("the archive is empty"))?.map_err(broken)?;
    if first.path_bytes().as_ref() != b"machine.toml" || !first.header().entry_type().is_file() {
        return Err(Error::invalid("the archive does not begin with machine.toml: it is none of `berth vm export`"));
    }
    let mut text = String::new();
    first.take(DEFINITION_BYTES_MAX as u64 + 1).read_to_string(&mut text).map_err(broken)?;
    let mut definition = Definition::parse(&text)?;
    refuse_host(&mut definition)?;
    for entry in entries {
        let mut entry = entry.map_err(broken)?;
        let path = entry.path_bytes().into_owned();
        let name = std::str::from_utf8(&path).ok().and_then(|path| path.strip_prefix("files/"));
        let Some(name) = name.filter(|name| is_name(name) && definition.sources().contains(name)) else {
            return Err(Error::invalid(format!(
                "the archive has {:?}, which its machine does not name",
                String::from_utf8_lossy(&path).chars().take(80).collect::<String>()
            )));
        };
        let kind = entry.header().entry_type();
        if !(kind.is_file() || kind.is_gnu_sparse()) {
            return Err(Error::invalid(format!("the archive has {name}, which is no file")));
        }
        write(&mut entry, &own.join(name))?;
    }
    Ok(definition)
}

/// What only the host that it came from has.
fn refuse_host(definition: &mut Definition) -> Result<()> {
    if let Some(path) = definition.sources().into_iter().find(|source| !is_own(source)) {
        return Err(Error::invalid(format!(
            "the archive's machine wants {path} of the host that it is imported to, which is refused: put the file into \
             the archive, or create the machine by hand"
        )));
    }
    if !definition.pci.is_empty() {
        return Err(Error::invalid("the archive's machine wants devices of the host passed through, which is refused"));
    }
    if definition.disks.iter().any(|disk| disk.allow_backing) {
        return Err(Error::invalid(
            "the archive's machine has disks that may name files of the host, which is refused",
        ));
    }
    // Whether it starts by itself is decided here.
    definition.autostart = false;
    Ok(())
}

fn write<R: Read>(entry: &mut tar::Entry<'_, R>, path: &Path) -> Result<()> {
    let size = entry.size();
    if size > FILE_BYTES_MAX {
        return Err(Error::invalid(format!("{} of the archive is larger than {FILE_BYTES_MAX} bytes", path.display())));
    }
    let file = copy::create(path)?;
    file.set_len(size).map_err(Error::file("size", path))?;
    let mut buffer = vec![0; BUFFER_BYTES];
    let mut at = 0;
    while at < size {
        let wanted = usize::try_from(size - at).unwrap_or(BUFFER_BYTES).min(BUFFER_BYTES);
        match entry.read(&mut buffer[..wanted]) {
            Ok(0) => return Err(Error::invalid("the archive ends within a file")),
            Ok(read) => {
                copy::write_sparse(&file, &buffer[..read], at).map_err(Error::file("write", path))?;
                at += read as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(Error::invalid(format!("the archive cannot be read: {error}"))),
        }
    }
    Ok(())
}

/// A blocking reader of arriving bytes.
fn consume(mut body: ByteStream) -> Result<File> {
    let (reader, writer) = pipe()?;
    let mut sender = tokio::net::unix::pipe::Sender::from_owned_fd(writer)
        .map_err(Error::file("write", Path::new("archive pipe")))?;
    tokio::spawn(async move {
        while let Some(Ok(bytes)) = body.next().await {
            if sender.write_all(&bytes).await.is_err() {
                return;
            }
        }
    });
    Ok(File::from(reader))
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEFINITION: &str = "name = \"one\"\n[[disks]]\nname = \"root\"\nsource = \"root.raw\"";

    fn archive(entries: &[(&str, tar::EntryType, &[u8])]) -> Vec<u8> {
        let mut builder = tar::Builder::new(Vec::new());
        for (name, kind, bytes) in entries {
            let mut header = tar::Header::new_gnu();
            // As a stranger writes it, unchecked.
            header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
            header.set_entry_type(*kind);
            header.set_size(bytes.len() as u64);
            if *kind == tar::EntryType::Symlink {
                header.set_link_name("/etc/shadow").expect("a link");
            }
            header.set_cksum();
            builder.append(&header, *bytes).expect("append");
        }
        builder.into_inner().expect("an archive")
    }

    fn imported(entries: &[(&str, tar::EntryType, &[u8])]) -> Result<(tempfile::TempDir, Definition)> {
        let dir = tempfile::tempdir().expect("tempdir");
        let definition = unpack(&archive(entries)[..], dir.path())?;
        Ok((dir, definition))
    }

    #[test]
    fn files_that_are_named_are_taken() {
        let file = tar::EntryType::Regular;
        let (dir, definition) =
            imported(&[("machine.toml", file, DEFINITION.as_bytes()), ("files/root.raw", file, b"disk")])
                .expect("import");
        assert_eq!(definition.name, "one");
        assert_eq!(std::fs::read(dir.path().join("root.raw")).expect("read"), b"disk");
    }

    #[test]
    fn hostile_archives_are_refused() {
        let file = tar::EntryType::Regular;
        let head = ("machine.toml", file, DEFINITION.as_bytes());
        let host = b"name = \"one\"\n[[disks]]\nname = \"a\"\nsource = \"/etc/shadow\"";
        let pci = b"name = \"one\"\npci = [\"0000:01:00.0\"]";
        let backing = b"name = \"one\"\n[[disks]]\nname = \"a\"\nsource = \"a\"\nallow_backing = true";
        for (entries, word) in [
            (&[("files/root.raw", file, &b"x"[..])][..], "begin with machine.toml"),
            (&[("machine.toml", tar::EntryType::Symlink, b"")], "begin with machine.toml"),
            (&[("machine.toml", file, b"\xff")], "cannot be read"),
            (&[("machine.toml", file, host)], "/etc/shadow"),
            (&[("machine.toml", file, pci)], "passed through"),
            (&[("machine.toml", file, backing)], "may name files"),
            (&[head, ("files/../../x", file, b"x")], "does not name"),
            (&[head, ("files/other", file, b"x")], "does not name"),
            (&[head, ("/etc/passwd", file, b"x")], "does not name"),
            (&[head, ("files/root.raw", tar::EntryType::Symlink, b"")], "no file"),
            (&[head, ("files/root.raw", tar::EntryType::Block, b"")], "no file"),
            (&[head, ("files/root.raw", file, b"x"), ("files/root.raw", file, b"y")], "cannot make"),
        ] {
            let error = imported(entries).expect_err(word).to_string();
            assert!(error.contains(word), "{error} is not {word}");
        }
        let whole = archive(&[head, ("files/root.raw", file, &[7; 3000])]);
        let dir = tempfile::tempdir().expect("tempdir");
        let cut = unpack(&whole[..whole.len() - 3500], dir.path()).expect_err("cut").to_string();
        assert!(cut.contains("archive"), "{cut}");
    }
}

//! `restore`: a machine as it was when a snapshot was taken.
//!
//! ```text
//! stop ─► `restoring` ─► disks, one by one ─► definition ─► `restoring` gone ─► start with the state, if it has one
//!          └ a daemon that is killed from here on does the rest when it starts again
//! ```

use std::{path::Path, time::Duration};

use crate::{
    Error, Machines, Result, Status, Stop, copy, files,
    machines::{blocking, own_files},
    qemu::path_of,
    record::{Definition, Snapshot},
    snapshot::writable,
    start::Warm,
};

const MARK: &str = "restoring";

impl Machines {
    /// Puts a machine back; what it is now is lost.
    ///
    /// # Errors
    /// [`Error::NoSuchSnapshot`]; [`Error::State`] for one that runs or is suspended, without `force`.
    pub async fn restore(&self, name: &str, snapshot: &str, force: bool) -> Result<()> {
        let machine = self.find(name)?;
        let _turn = machine.turn.lock().await;
        let place = self.shared.snapshot_place(&machine, snapshot)?;
        if !force {
            let advice = "stop it first, or give up what it is now with `berth vm restore --force`";
            machine.require(&[Status::Off], advice)?;
        }
        match machine.status() {
            Status::Running | Status::Paused => {
                self.stop_in_turn(&machine, Stop { timeout: Duration::ZERO, force: true }).await?;
            }
            Status::Suspended => self.discard(&machine).await?,
            Status::Off => {}
        }
        let home = self.shared.home(&machine.name);
        let snapshot = snapshot.to_owned();
        let taken = blocking(move || {
            let taken = files::read_snapshot(&files::snapshots(&home).join(&snapshot))?;
            files::replace(&home.join(MARK), snapshot.as_bytes())?;
            put_back(&home, &taken)?;
            Ok(taken)
        })
        .await?;
        machine.change(|facts| facts.definition = std::sync::Arc::new(taken.definition.clone()));
        if taken.live {
            self.start_in_turn(&machine, Some(Warm { state: place.join("state"), definition: taken.definition }))
                .await?;
        }
        self.shared.publish(&machine, "restore");
        Ok(())
    }
}

/// Copies disks and definition of a snapshot to their places; done twice, it is the same.
fn put_back(home: &Path, taken: &Snapshot) -> Result<()> {
    let own = own_files(home);
    let disks = files::snapshots(home).join(&taken.name).join("disks");
    for disk in writable(&taken.definition) {
        let place = path_of(&own, &disk.source);
        let draft = place.with_file_name(format!(".draft-{}", &berth_kit::id::generate()[..16]));
        let copied = copy::disk(&disks.join(&disk.name), &draft).and_then(|()| {
            keep_owner(&place, &draft);
            std::fs::rename(&draft, &place).map_err(Error::file("replace", &place))
        });
        if copied.is_err() {
            let _ = std::fs::remove_file(&draft);
        }
        copied?;
    }
    files::write_definition(home, &taken.definition)?;
    files::remove_file(&home.join(MARK))
}

/// A file of the host keeps whose it is.
fn keep_owner(from: &Path, to: &Path) {
    use std::os::unix::fs::MetadataExt as _;
    if let Ok(facts) = std::fs::metadata(from) {
        // Without the right to it, it is root's.
        let _ = std::os::unix::fs::chown(to, Some(facts.uid()), Some(facts.gid()));
        let _ = std::fs::set_permissions(to, facts.permissions());
    }
}

/// Does the rest of a restore that was cut short; the definition as it is then.
///
/// # Errors
/// [`Error::File`], and the mark stays.
pub fn finish(home: &Path) -> Result<Option<Definition>> {
    let mark = home.join(MARK);
    if !mark.exists() {
        return Ok(None);
    }
    let name = files::read_text(&mark)?;
    crate::definition::check_name("snapshot", &name)?;
    let taken = files::read_snapshot(&files::snapshots(home).join(&name))?;
    put_back(home, &taken)?;
    Ok(Some(taken.definition))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_restore_that_was_cut_short_is_finished() {
        let dir = tempfile::tempdir().expect("tempdir");
        let home = dir.path();
        let taken = files::snapshots(home).join("before");
        fs::create_dir_all(taken.join("disks")).expect("mkdir");
        fs::create_dir_all(own_files(home)).expect("mkdir");
        fs::write(taken.join("disks/root"), "old").expect("write");
        fs::write(own_files(home).join("root.raw"), "new").expect("write");
        let text = "name = \"one\"\nvcpus = 2\n[[disks]]\nname = \"root\"\nsource = \"root.raw\"";
        let definition = Definition::parse(text).expect("valid");
        let snapshot = Snapshot { version: 1, name: "before".into(), taken_ns: 1, live: false, definition };
        files::write_snapshot(&taken, &snapshot).expect("write");
        assert_eq!(finish(home).expect("nothing to do"), None);
        fs::write(home.join(MARK), "before").expect("write");
        assert_eq!(finish(home).expect("finished"), Some(snapshot.definition));
        assert_eq!(fs::read_to_string(own_files(home).join("root.raw")).expect("read"), "old");
        assert_eq!(files::read_definition(home).expect("definition").vcpus, 2);
        assert!(!home.join(MARK).exists());
        fs::write(home.join(MARK), "../../etc").expect("write");
        assert!(finish(home).is_err());
    }
}

//! `clone`: another machine like it, with an identity and disks of its own.

use crate::{
    Error, Machines, Result, Status, copy,
    definition::{check_name, is_own},
    files::{self, Draft},
    machines::{blocking, own_files},
    qemu::path_of,
    record::{Definition, Format},
};

impl Machines {
    /// Clones a machine that is off, or what one of its snapshots has on its disks.
    ///
    /// # Errors
    /// [`Error::State`] for one that is not off, without a snapshot; [`Error::Exists`].
    pub async fn clone_machine(&self, name: &str, to: &str, snapshot: Option<&str>) -> Result<Definition> {
        check_name("machine", to)?;
        self.shared.require_free(to)?;
        let machine = self.find(name)?;
        let _turn = machine.turn.lock().await;
        let (home, root) = (self.shared.home(&machine.name), self.shared.root());
        let taken = match snapshot {
            Some(snapshot) => Some(self.shared.snapshot_place(&machine, snapshot)?),
            None => {
                machine.require(&[Status::Off], "stop it first, or clone a snapshot of it with --snapshot")?;
                None
            }
        };
        let (old, to) = (machine.definition(), to.to_owned());
        let made = blocking(move || {
            let mut definition = match &taken {
                Some(taken) => files::read_snapshot(taken)?.definition,
                None => old.as_ref().clone(),
            };
            let (from, draft) = (own_files(&home), Draft::below(&root)?);
            let own = own_files(&draft.path);
            files::make_directory(&own)?;
            for source in [&definition.boot.kernel, &definition.boot.initramfs].into_iter().flatten() {
                take(&path_of(&from, source), &own, source)?;
            }
            for disk in &mut definition.disks {
                let path = match &taken {
                    Some(taken) if !disk.is_read_only() => taken.join("disks").join(&disk.name),
                    _ => path_of(&from, &disk.source),
                };
                if is_own(&disk.source) {
                    take(&path, &own, &disk.source)?;
                } else if !disk.is_read_only() {
                    refuse_chain(&path, disk)?;
                    disk.source = own_name(&disk.name, disk.format);
                    take(&path, &own, &disk.source)?;
                }
            }
            definition.name.clone_from(&to);
            definition.identify(true);
            // An address, a port and a device of the host are of one machine.
            for nic in &mut definition.networks {
                nic.ipv4 = None;
                nic.ports.clear();
            }
            definition.check()?;
            files::write_definition(&draft.path, &definition)?;
            draft.settle(&root.join(&to), "machine")?;
            Ok(definition)
        })
        .await?;
        let clone = self.shared.insert(made.clone());
        self.shared.publish(&clone, "create");
        Ok(made)
    }
}

fn take(from: &std::path::Path, own: &std::path::Path, name: &str) -> Result<()> {
    let to = own.join(name);
    if to.exists() {
        return Ok(());
    }
    copy::disk(from, &to)
}

/// The name of a disk's file among the machine's own.
pub fn own_name(disk: &str, format: Format) -> String {
    format!("{disk}.{}", if format == Format::Qcow2 { "qcow2" } else { "raw" })
}

/// An image that needs others cannot go without them.
pub fn refuse_chain(path: &std::path::Path, disk: &crate::record::Disk) -> Result<()> {
    match disk.format {
        Format::Qcow2 => crate::backing::chain(path, false).map(drop),
        Format::Raw => Ok(()),
    }
}

impl Error {
    /// What has to be off.
    pub(crate) const NOT_OFF: &'static str = "stop it first with `berth vm stop`";
}

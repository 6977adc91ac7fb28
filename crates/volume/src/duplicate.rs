//! `clone` and `snapshot`: a volume made twice. The copy shares its bytes with the original where the file system can
//! do that (btrfs, xfs), and is written out elsewhere.

use std::{
    collections::{BTreeMap, HashMap},
    os::fd::AsFd,
    sync::Arc,
};

use berth_archive::duplicate::{self, Duplicated};
use berth_kit::time::Timestamp;
use berth_record::Durability;
use berth_spec::model;

use crate::{
    Driver, Error, Record, Result, Volumes,
    create::check_name,
    local,
    record::{TABLE, VERSION},
    volumes::{Entry, blocking},
};

/// The label that says of which volume a snapshot is.
pub const SNAPSHOT_LABEL: &str = "berth.volume.snapshot-of";

/// What is to be made of a volume.
#[derive(Debug, Clone, Default)]
pub struct DuplicateRequest {
    /// Name of the copy; empty for the original's with the time behind it.
    pub name: String,
    /// Labels of the copy, beside the original's.
    pub labels: HashMap<String, String>,
    /// It is a snapshot: nobody may write to it.
    pub read_only: bool,
}

impl Volumes {
    /// Copies a volume of any driver to a new one of driver `local`, which has the original's size limit. Containers may
    /// go on writing to the original: each file of the copy is then of some moment of the copy's making.
    ///
    /// # Errors
    /// [`Error::NoSuchVolume`], [`Error::Exists`], [`Error::InvalidName`], and what cannot be read or written; nothing of
    /// the copy stays behind then.
    pub async fn duplicate(&self, source: &str, request: DuplicateRequest) -> Result<(model::Volume, Duplicated)> {
        let (volumes, source) = (self.clone(), source.to_owned());
        // To its end, whether or not somebody still waits.
        tokio::spawn(async move { volumes.make_duplicate(&source, request).await }).await?
    }

    async fn make_duplicate(&self, source: &str, request: DuplicateRequest) -> Result<(model::Volume, Duplicated)> {
        let original = self.shared.entry(source)?.record;
        let record = draft(&original, request)?;
        check_name(&record.name)?;
        let _turn = self.shared.turns.take(&record.name).await;
        if self.shared.entry(&record.name).is_ok() {
            return Err(Error::Exists(record.name));
        }
        let driver = self.shared.driver_of(&record)?;
        driver.check(record.location())?;
        let record = Arc::new(record);
        let (store, made) = (self.shared.store.clone(), record.clone());
        let done = self.within(source, "copy", move |from| {
            store.put(TABLE, &made.name, &Record { filling: true, ..(*made).clone() }, &"", Durability::Power)?;
            let filled = fill(&driver, &made, from.as_fd());
            let kept = filled.and_then(|done| {
                store.put(TABLE, &made.name, &*made, &"", Durability::Power)?;
                Ok(done)
            });
            kept.inspect_err(|_| {
                if driver.remove(made.location()).is_ok() {
                    let _ = store.delete(TABLE, &made.name, Durability::Power);
                }
            })
        });
        let done = done.await?;
        self.shared.table().insert(record.name.clone(), Entry::new(record.clone()));
        self.shared.publish("create", &record);
        Ok((self.shared.view(&record), done))
    }

    /// Whether nobody may write to the volume.
    #[must_use]
    pub fn is_read_only(&self, name: &str) -> bool {
        self.shared.entry(name).is_ok_and(|entry| entry.record.read_only)
    }

    /// Gives a volume's root the owner and mode that its options state, after something was copied over it.
    ///
    /// # Errors
    /// [`Error::File`].
    pub async fn restore_owner(&self, name: &str) -> Result<()> {
        let record = self.shared.entry(name)?.record;
        if record.driver != "local" || record.options.is_empty() {
            return Ok(());
        }
        let path = self.shared.driver_of(&record)?.mountpoint(name);
        blocking(move || local::stamp(record.location(), &path)).await
    }
}

fn fill(driver: &Driver, record: &Record, from: std::os::fd::BorrowedFd<'_>) -> Result<Duplicated> {
    driver.create(record.location())?;
    let path = driver.mount(record.location())?;
    let copied = std::fs::File::open(&path)
        .map_err(Error::file("open volume directory", &path))
        .and_then(|target| Ok(duplicate::tree(from, target.as_fd())?));
    driver.unmount(record.location()).and(copied)
}

fn draft(original: &Record, request: DuplicateRequest) -> Result<Record> {
    let name = if request.name.is_empty() {
        let now = Timestamp::now().to_string();
        let digits: String = now.chars().take_while(|c| *c != '.').filter(|c| c.is_ascii_digit()).collect();
        format!("{}-{digits}", original.name)
    } else {
        request.name
    };
    let mut labels: BTreeMap<String, String> = original.labels.clone();
    labels.remove(crate::ANONYMOUS_LABEL);
    labels.remove(SNAPSHOT_LABEL);
    labels.extend(request.labels);
    if request.read_only {
        labels.insert(SNAPSHOT_LABEL.to_owned(), original.name.clone());
    }
    Ok(Record {
        version: VERSION,
        name,
        driver: "local".to_owned(),
        created_at: Timestamp::now(),
        labels,
        // What says where the bytes of the original are does not say it of the copy.
        options: local::own_options(&original.options),
        read_only: request.read_only,
        ..Record::default()
    })
}

//! A plugin as a driver of volumes.

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use berth_spec::model;
use hyper::StatusCode;
use serde::Serialize;

use super::{
    Settings,
    call::Line,
    discover::Address,
    message::{Activated, Answer, Create, Mount, Named, Volume},
};
use crate::{Error, Location, Result, View, VolumeDriver};

/// The driver behind a socket.
#[derive(Debug)]
pub struct Plugin {
    line: Line,
    brief: Duration,
    patient: Duration,
    /// It has said that it is a volume driver.
    active: Mutex<bool>,
    /// Where its volumes are, as far as it said so.
    places: Mutex<HashMap<String, PathBuf>>,
}

impl Plugin {
    pub(super) fn new(name: &str, address: Address, settings: &Settings) -> Self {
        Self {
            line: Line { driver: name.to_owned(), address },
            brief: settings.brief,
            patient: settings.patient,
            active: Mutex::default(),
            places: Mutex::default(),
        }
    }

    pub(super) fn is_at(&self, address: &Address) -> bool {
        self.line.address == *address
    }

    /// The volume as the plugin tells of it; `None` when it does not know one of that name. Blocks.
    ///
    /// # Errors
    /// [`Error::Hung`], [`Error::Unreachable`].
    pub fn get(&self, name: &str) -> Result<Option<View>> {
        match self.ask("VolumeDriver.Get", &Named { name }, self.brief) {
            Ok(answer) => Ok(answer.volume.map(|volume| {
                let status = volume.status.clone();
                View { volume: self.view(volume), status }
            })),
            // It has no other way to say so.
            Err(Error::Plugin { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// All its volumes. Blocks.
    ///
    /// # Errors
    /// [`Error::Hung`], [`Error::Unreachable`], [`Error::Plugin`]; [`Error::Unsupported`] when it has nothing to do with
    /// volumes.
    pub fn list(&self) -> Result<Vec<model::Volume>> {
        let answer = self.ask("VolumeDriver.List", &serde_json::json!({}), self.brief)?;
        let volumes = answer.volumes.unwrap_or_default().into_iter();
        Ok(volumes.filter(|volume| !volume.name.is_empty()).map(|volume| self.view(volume)).collect())
    }

    fn view(&self, volume: Volume) -> model::Volume {
        let mountpoint = volume.mountpoint.unwrap_or_default();
        if !mountpoint.is_empty() {
            self.places().insert(volume.name.clone(), PathBuf::from(&mountpoint));
        }
        model::Volume {
            name: volume.name,
            driver: self.line.driver.clone(),
            mountpoint,
            created_at: volume.created_at.filter(|at| !at.is_empty()),
            scope: Some(model::VolumeScopeEnum::LOCAL),
            ..model::Volume::default()
        }
    }

    fn places(&self) -> MutexGuard<'_, HashMap<String, PathBuf>> {
        self.places.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks who it is, once.
    fn activate(&self) -> Result<()> {
        let mut active = self.active.lock().unwrap_or_else(PoisonError::into_inner);
        if *active {
            return Ok(());
        }
        let (status, body) = self.line.ask("Plugin.Activate", Vec::new(), self.brief)?;
        let answer: Activated = self.read("Plugin.Activate", status, &body)?;
        if !answer.implements.iter().any(|kind| kind == "VolumeDriver") {
            return Err(Error::Unsupported { driver: self.line.driver.clone(), act: "be asked for" });
        }
        *active = true;
        Ok(())
    }

    fn ask(&self, call: &'static str, question: &impl Serialize, patience: Duration) -> Result<Answer> {
        self.activate()?;
        let body = serde_json::to_vec(question).unwrap_or_default();
        let (status, body) = self.line.ask(call, body, patience)?;
        let answer: Answer = match self.read(call, status, &body) {
            // Docker's own helper library says what went wrong with status 500 and the usual body.
            Err(error) => match serde_json::from_slice::<Answer>(&body) {
                Ok(answer) if answer.err.is_some() => answer,
                _ => return Err(error),
            },
            Ok(answer) => answer,
        };
        match answer.err {
            Some(reason) if !reason.is_empty() => Err(Error::Plugin { call, reason }),
            _ => Ok(answer),
        }
    }

    fn read<T: serde::de::DeserializeOwned>(&self, call: &'static str, status: StatusCode, body: &[u8]) -> Result<T> {
        if !status.is_success() {
            let text: String = String::from_utf8_lossy(body).trim().chars().take(1000).collect();
            return Err(Error::Plugin { call, reason: format!("status {}: {text}", status.as_u16()) });
        }
        serde_json::from_slice(body)
            .map_err(|error| Error::Plugin { call, reason: format!("the answer cannot be read: {error}") })
    }

    /// An answer's directory, which must be one that containers can be given.
    fn place(&self, call: &'static str, name: &str, mountpoint: Option<String>) -> Result<PathBuf> {
        let path = PathBuf::from(mountpoint.unwrap_or_default());
        if !path.is_absolute() {
            return Err(Error::Plugin { call, reason: format!("mountpoint {path:?} is no absolute path") });
        }
        self.places().insert(name.to_owned(), path.clone());
        Ok(path)
    }
}

/// For whom a volume is mounted: the noun counts the users itself, so that there is one for each volume.
fn user(name: &str) -> String {
    format!("berth-{name}")
}

impl VolumeDriver for Plugin {
    fn name(&self) -> &str {
        &self.line.driver
    }

    /// What its options mean it says when the volume is made.
    fn check(&self, _: Location<'_>) -> Result<()> {
        self.activate()
    }

    fn create(&self, volume: Location<'_>) -> Result<()> {
        if self.get(volume.name)?.is_some() {
            return Ok(());
        }
        let question = Create { name: volume.name, options: volume.options };
        self.ask("VolumeDriver.Create", &question, self.patient).map(drop)
    }

    fn mountpoint(&self, name: &str) -> PathBuf {
        self.places().get(name).cloned().unwrap_or_default()
    }

    fn mount(&self, volume: Location<'_>) -> Result<PathBuf> {
        let question = Mount { name: volume.name, id: &user(volume.name) };
        let answer = self.ask("VolumeDriver.Mount", &question, self.patient)?;
        let path = self.place("VolumeDriver.Mount", volume.name, answer.mountpoint)?;
        match Path::is_dir(&path) {
            true => Ok(path),
            false => Err(Error::Plugin {
                call: "VolumeDriver.Mount",
                reason: format!("mountpoint {} is no directory of this host", path.display()),
            }),
        }
    }

    fn unmount(&self, volume: Location<'_>) -> Result<()> {
        let question = Mount { name: volume.name, id: &user(volume.name) };
        self.ask("VolumeDriver.Unmount", &question, self.patient).map(drop)
    }

    fn remove(&self, volume: Location<'_>) -> Result<()> {
        // One that it does not know is gone already.
        if self.get(volume.name)?.is_some() {
            self.ask("VolumeDriver.Remove", &Named { name: volume.name }, self.patient)?;
        }
        self.places().remove(volume.name);
        Ok(())
    }

    fn rename(&self, _: Location<'_>, _: &str) -> Result<()> {
        Err(Error::Unsupported { driver: self.line.driver.clone(), act: "rename" })
    }

    fn sweep(&self) -> Result<()> {
        Ok(())
    }

    fn usage_bytes(&self, _: Location<'_>) -> Result<Option<u64>> {
        Ok(None)
    }
}

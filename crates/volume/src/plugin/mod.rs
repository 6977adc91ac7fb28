//! Drivers that are programs of others: Docker's volume-plugin protocol, version 1.1 (Docker's documentation, "Docker
//! volume plugins" and "Docker Plugin API").
//!
//! ```text
//! discover.rs    /run/docker/plugins/NAME.sock, /etc/docker/plugins/NAME.{spec,json} ─► an address
//! call.rs        one question: POST /VolumeDriver.Create over HTTP/1.1, with an end to waiting
//! message.rs     what is asked and answered, as JSON
//! driver.rs      a plugin as a VolumeDriver
//! ```
//!
//! A plugin is looked for when its name is used, so that it may come and go while the daemon runs. One that hangs costs
//! whoever asks for one of its volumes the time-out, and nobody else anything.

mod call;
mod discover;
mod driver;
mod message;

use std::{
    collections::HashMap,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use berth_spec::model;
pub use driver::Plugin;

use crate::{Error, View, VolumeDriver as _};

/// Where plugins are found, and how long they are waited for.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Directories with sockets and specification files; the first that has a name wins.
    pub directories: Vec<PathBuf>,
    /// For questions that need no work: who it is, what it has.
    pub brief: Duration,
    /// For acts on one volume.
    pub patient: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            directories: ["/run/docker/plugins", "/etc/docker/plugins", "/usr/lib/docker/plugins"]
                .map(PathBuf::from)
                .into(),
            brief: Duration::from_secs(10),
            patient: Duration::from_secs(120),
        }
    }
}

/// The plugin called `name`, where there is one.
#[must_use]
pub fn find(settings: &Settings, name: &str) -> Option<Arc<Plugin>> {
    Plugins::new(settings.clone()).driver(name)
}

/// The plugins that can be found.
#[derive(Debug)]
pub(crate) struct Plugins {
    settings: Settings,
    /// Those that were used, while their address stays the same.
    known: Mutex<HashMap<String, Arc<Plugin>>>,
}

impl Plugins {
    pub fn new(settings: Settings) -> Self {
        Self { settings, known: Mutex::default() }
    }

    /// Names of the plugins that can be found now, in order; whether they answer is not asked.
    pub fn names(&self) -> Vec<String> {
        discover::names(&self.settings.directories)
    }

    /// The plugin called `name`.
    pub fn driver(&self, name: &str) -> Option<Arc<Plugin>> {
        let found = discover::find(&self.settings.directories, name);
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(address) = found else {
            known.remove(name);
            return None;
        };
        let same = known.get(name).filter(|plugin| plugin.is_at(&address)).cloned();
        Some(same.unwrap_or_else(|| {
            let plugin = Arc::new(Plugin::new(name, address, &self.settings));
            known.insert(name.to_owned(), plugin.clone());
            plugin
        }))
    }

    /// Every volume that the plugins know, and whom could not be asked. They are asked side by side. Blocks.
    pub fn volumes(&self) -> (Vec<model::Volume>, Vec<String>) {
        let plugins: Vec<_> = self.names().into_iter().filter_map(|name| self.driver(&name)).collect();
        let answers: Vec<_> = std::thread::scope(|scope| {
            let runtime = tokio::runtime::Handle::current();
            let asked: Vec<_> = plugins
                .iter()
                .map(|plugin| {
                    let runtime = runtime.clone();
                    scope.spawn(move || {
                        let _entered = runtime.enter();
                        plugin.list()
                    })
                })
                .collect();
            asked
                .into_iter()
                .map(|thread| thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
                .collect()
        });
        let (mut volumes, mut warnings) = (Vec::new(), Vec::new());
        for (plugin, answer) in plugins.iter().zip(answers) {
            match answer {
                Ok(found) => volumes.extend(found),
                // It is a plugin of another kind.
                Err(Error::Unsupported { .. }) => {}
                Err(error) => warnings.push(format!("volumes of {} are not listed: {error}", plugin.name())),
            }
        }
        (volumes, warnings)
    }

    /// The volume `name` of whichever plugin has it. Blocks.
    pub fn find_volume(&self, name: &str) -> Option<View> {
        if self.names().is_empty() {
            return None;
        }
        let found = self.volumes().0.into_iter().find(|volume| volume.name == name)?;
        let told = self.driver(&found.driver).and_then(|plugin| plugin.get(name).ok().flatten());
        Some(told.unwrap_or(View { volume: found, status: None }))
    }
}

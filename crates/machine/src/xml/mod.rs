//! libvirt's domain XML (libvirt.org/formatdomain.html): the common elements, both ways.
//!
//! What an import does not understand it names, by its path (`devices/graphics`); what it understands and this engine
//! decides by itself (controllers, addresses, the emulator) it passes over. docs/machines.md has the list.

mod read;
mod write;

use serde::Serialize;

use crate::{Error, Machines, Result, create::Create, record::Definition};

/// What came of an import.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Imported {
    /// The machine's name.
    pub name: String,
    /// Elements that mean nothing here, by their path.
    pub unknown: Vec<String>,
}

/// A definition read from XML.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Read {
    /// The machine.
    pub definition: Definition,
    /// Elements that mean nothing here, by their path.
    pub unknown: Vec<String>,
}

pub use read::read;
pub use write::write;

impl Machines {
    /// Makes a machine of a domain; its disks stay where they are. With `strict` a domain with elements that mean nothing
    /// here is refused.
    ///
    /// # Errors
    /// [`Error::Invalid`] with what is wrong with it, or not known.
    pub async fn import_xml(&self, text: &str, name: Option<&str>, strict: bool) -> Result<Imported> {
        let Read { mut definition, unknown } = read(text)?;
        if strict && !unknown.is_empty() {
            return Err(Error::invalid(format!(
                "the domain has elements that mean nothing here: {}",
                unknown.join(", ")
            )));
        }
        if let Some(name) = name {
            name.clone_into(&mut definition.name);
        }
        let made = self.create(Create { definition, files: Vec::new() }).await?;
        Ok(Imported { name: made.name, unknown })
    }

    /// A machine as a domain.
    ///
    /// # Errors
    /// [`Error::NoSuchMachine`].
    pub fn export_xml(&self, name: &str) -> Result<String> {
        let machine = self.find(name)?;
        let own = crate::machines::own_files(&self.shared.home(&machine.name));
        Ok(write(&machine.definition(), &own))
    }
}

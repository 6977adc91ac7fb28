//! Kernel settings (`sysctl(8)`): read, and written only where they differ.

use std::{fs, io};

use crate::{Error, Result};

/// Reads `name` (`net/ipv4/ip_forward`), without the final newline.
///
/// # Errors
/// [`Error::Setting`].
pub fn read(name: &str) -> Result<String> {
    let text = fs::read_to_string(format!("/proc/sys/{name}")).map_err(failed(name))?;
    Ok(text.trim_end().to_owned())
}

/// Writes `value` where it is not what `name` has; returns the former value if it was changed.
///
/// # Errors
/// [`Error::Setting`].
pub fn write(name: &str, value: &str) -> Result<Option<String>> {
    let former = read(name)?;
    if former == value {
        return Ok(None);
    }
    fs::write(format!("/proc/sys/{name}"), value).map_err(failed(name))?;
    Ok(Some(former))
}

fn failed(name: &str) -> impl FnOnce(io::Error) -> Error + use<> {
    let name = name.replace('/', ".");
    move |source| Error::Setting { name, source }
}

/// Whether it can be written: in a container of somebody else's it often cannot.
pub fn is_writable(name: &str) -> bool {
    fs::File::options().write(true).open(format!("/proc/sys/{name}")).is_ok()
}

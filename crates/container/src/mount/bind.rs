//! The short form: `[source:]destination[:options]`.

use crate::{
    Error, Result,
    record::{Mount, MountKind},
};

/// Reads one `Binds` entry; `driver` is the default volume driver.
///
/// # Errors
/// [`Error::Invalid`] with the entry and Docker's text.
pub fn parse(text: &str, driver: Option<&str>) -> Result<Mount> {
    let refuse = || Error::Invalid(format!("invalid volume specification: '{text}'"));
    let parts: Vec<&str> = text.split(':').collect();
    let (source, destination, options) = match parts[..] {
        [destination] => ("", destination, ""),
        [source, destination] => (source, destination, ""),
        [source, destination, options] => (source, destination, options),
        _ => return Err(refuse()),
    };
    if destination.is_empty() || (parts.len() > 1 && source.is_empty()) {
        return Err(refuse());
    }
    let mut mount = super::volume(source.to_owned(), super::clean(destination)?);
    mount.anonymous = source.is_empty();
    if let Some(driver) = driver.filter(|driver| !driver.is_empty()) {
        driver.clone_into(&mut mount.driver);
    }
    if source.starts_with('/') {
        mount.kind = MountKind::Bind;
        mount.source = source.to_owned();
        mount.name.clear();
        mount.driver.clear();
        mount.propagation = "rprivate".to_owned();
        mount.create_source = true;
        mount.mode.clear();
    } else if !source.is_empty() && !berth_kit::name::is_valid(source) {
        return Err(Error::Invalid(format!(
            "create {source}: \"{source}\" includes invalid characters for a local volume name, only \"[a-zA-Z0-9][a-zA-Z0-9_.-]\" are allowed. If you intended to pass a host directory, use absolute path"
        )));
    }
    if !options.is_empty() {
        options.clone_into(&mut mount.mode);
        apply(&mut mount, options).map_err(|option| Error::Invalid(format!("invalid mode: {option}")))?;
    }
    Ok(mount)
}

/// Applies comma-separated options; an unknown or repeated one is returned.
fn apply<'a>(mount: &mut Mount, options: &'a str) -> std::result::Result<(), &'a str> {
    let is_bind = mount.kind == MountKind::Bind;
    let mut access_given = false;
    for option in options.split(',') {
        match option {
            "ro" | "rw" if !access_given => {
                access_given = true;
                mount.writable = option == "rw";
            }
            "z" | "Z" | "consistent" | "cached" | "delegated" => {}
            "nocopy" if !is_bind => mount.no_copy = true,
            "private" | "rprivate" | "slave" | "rslave" | "shared" | "rshared" if is_bind => {
                option.clone_into(&mut mount.propagation);
            }
            _ => return Err(option),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms() {
        let bind = parse("/host:/inside:ro,rslave", None).unwrap();
        assert_eq!((bind.kind, bind.writable, bind.propagation.as_str()), (MountKind::Bind, false, "rslave"));
        let named = parse("data:/inside", None).unwrap();
        assert_eq!((named.kind, named.name.as_str(), named.anonymous), (MountKind::Volume, "data", false));
        assert!(parse("/inside", None).unwrap().anonymous);
    }

    #[test]
    fn hostile_forms_are_refused() {
        for text in
            ["", ":", ":/x", "a:b", "/h:/x:ro,rw", "/h:/x:zz", "../h:/x", "/h:/x:ro:y", "v:/x:rslave", "/h:/", "a b:/x"]
        {
            assert!(parse(text, None).is_err(), "{text}");
        }
    }
}

//! From `-v`, `--mount`, `--tmpfs`, `VOLUME` and `--volumes-from` to one list of mounts.
//!
//! [`bind`] reads the short form, [`structured`] the long one; [`plan`] joins them: a later source of the same
//! destination is an error within one request, and replaces what the image or another container declared.

mod bind;
pub mod propagation;
mod structured;

use berth_spec::model::{ContainerConfig, HostConfig};

use crate::{
    Error, Result,
    record::{Mount, MountKind},
};

/// The list of mounts that a request, other containers' mounts and an image's volumes amount to.
///
/// # Errors
/// [`Error::Invalid`] with the entry that cannot be mounted.
pub fn plan(config: &ContainerConfig, host: &HostConfig, from_others: Vec<Mount>) -> Result<Vec<Mount>> {
    let mut own: Vec<Mount> = Vec::new();
    for text in host.binds.iter().flatten() {
        push(&mut own, bind::parse(text, host.volume_driver.as_deref())?)?;
    }
    for mount in host.mounts.iter().flatten() {
        push(&mut own, structured::read(mount)?)?;
    }
    for (destination, options) in host.tmpfs.iter().flatten() {
        push(&mut own, tmpfs(destination, options)?)?;
    }
    for mount in from_others {
        if !own.iter().any(|taken| taken.destination == mount.destination) {
            own.push(mount);
        }
    }
    for path in config.volumes.iter().flatten() {
        let destination = clean(path)?;
        if !own.iter().any(|taken| taken.destination == destination) {
            own.push(Mount { anonymous: true, from_image: true, ..volume(String::new(), destination) });
        }
    }
    // Parents before children, whatever the order of the request.
    own.sort_by_key(|mount| mount.destination.split('/').count());
    Ok(own)
}

fn push(mounts: &mut Vec<Mount>, mount: Mount) -> Result<()> {
    if mounts.iter().any(|taken| taken.destination == mount.destination) {
        return Err(Error::Invalid(format!("Duplicate mount point: {}", mount.destination)));
    }
    mounts.push(mount);
    Ok(())
}

/// A read-write volume mount without options.
fn volume(name: String, destination: String) -> Mount {
    Mount {
        kind: MountKind::Volume,
        name,
        source: String::new(),
        destination,
        driver: String::new(),
        mode: "z".to_owned(),
        writable: true,
        propagation: String::new(),
        anonymous: false,
        no_copy: false,
        subpath: String::new(),
        non_recursive: false,
        read_only_top: false,
        create_source: false,
        tmpfs_options: Vec::new(),
        from_image: false,
        snapshot: String::new(),
    }
}

fn tmpfs(destination: &str, options: &str) -> Result<Mount> {
    const FLAGS: &[&str] = &[
        "rw",
        "exec",
        "noexec",
        "suid",
        "nosuid",
        "dev",
        "nodev",
        "sync",
        "async",
        "atime",
        "noatime",
        "diratime",
        "nodiratime",
        "relatime",
        "norelatime",
        "strictatime",
        "nostrictatime",
        "private",
        "rprivate",
        "slave",
        "rslave",
        "shared",
        "rshared",
    ];
    let mut mount = Mount {
        kind: MountKind::Tmpfs,
        driver: String::new(),
        mode: options.to_owned(),
        ..volume(String::new(), clean(destination)?)
    };
    for option in options.split(',').filter(|option| !option.is_empty()) {
        match option.split_once('=') {
            None if option == "ro" => mount.writable = false,
            None if FLAGS.contains(&option) => mount.tmpfs_options.push(option.to_owned()),
            Some(("size" | "mode" | "uid" | "gid" | "nr_inodes" | "nr_blocks" | "mpol", _)) => {
                mount.tmpfs_options.push(option.to_owned());
            }
            _ => return Err(Error::Invalid(format!("invalid tmpfs option [\"{option}\"]"))),
        }
    }
    Ok(mount)
}

/// A destination as a clean absolute path.
///
/// # Errors
/// [`Error::Invalid`] when it is relative or the root itself.
pub fn clean(path: &str) -> Result<String> {
    if !path.starts_with('/') || path.contains('\0') {
        return Err(Error::Invalid(format!("invalid mount path: '{path}' mount path must be absolute")));
    }
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    if parts.is_empty() {
        return Err(Error::Invalid("invalid volume specification: destination can't be '/'".to_owned()));
    }
    Ok(format!("/{}", parts.join("/")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(binds: &[&str]) -> HostConfig {
        HostConfig { binds: Some(binds.iter().map(|bind| (*bind).to_owned()).collect()), ..HostConfig::default() }
    }

    #[test]
    fn parents_come_first_and_image_volumes_yield() {
        let config = ContainerConfig { volumes: Some(vec!["/data".into(), "/x".into()]), ..ContainerConfig::default() };
        let mounts = plan(&config, &host(&["/h:/data/deep/er", "vol:/data"]), Vec::new()).unwrap();
        let destinations: Vec<&str> = mounts.iter().map(|mount| mount.destination.as_str()).collect();
        assert_eq!(destinations, ["/data", "/x", "/data/deep/er"]);
        assert!(mounts[1].anonymous && !mounts[0].anonymous);
    }

    #[test]
    fn one_destination_twice_is_refused() {
        let error = plan(&ContainerConfig::default(), &host(&["va:/x", "vb:/x/"]), Vec::new()).unwrap_err();
        assert_eq!(error.to_string(), "Duplicate mount point: /x");
    }

    #[test]
    fn destinations_are_cleaned_without_escape() {
        assert_eq!(clean("/a/../../etc").unwrap(), "/etc");
        assert!(clean("/../..").is_err() && clean("a").is_err() && clean("").is_err());
    }

    #[test]
    fn tmpfs_options_are_checked() {
        assert!(tmpfs("/t", "size=64m,mode=1777,noexec").is_ok());
        assert!(!tmpfs("/t", "ro").unwrap().writable);
        assert!(tmpfs("/t", "lowerdir=/").is_err());
    }
}

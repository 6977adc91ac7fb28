//! What every [`VolumeDriver`] must do; each implementation runs this in its tests.

use std::collections::BTreeMap;

use crate::{Location, VolumeDriver};

/// Runs the suite against an empty driver.
///
/// # Panics
/// At the first broken promise, with its name.
pub fn run(driver: &dyn VolumeDriver) {
    let options = BTreeMap::new();
    let volume = Location { name: "contract", options: &options };
    assert!(!driver.name().is_empty(), "a driver has a name");
    driver.check(volume).expect("no options are always good");
    refuses_unknown_options(driver);

    driver.create(volume).expect("create");
    driver.create(volume).expect("create twice");
    let path = driver.mount(volume).expect("mount");
    assert!(path.is_absolute(), "a mountpoint is absolute");
    assert_eq!(driver.mountpoint("contract"), path, "the mountpoint does not change");
    assert_eq!(driver.mount(volume).expect("mount twice"), path);
    std::fs::write(path.join("kept"), b"1234").expect("a mounted volume takes files");
    driver.unmount(volume).expect("unmount");
    driver.unmount(volume).expect("unmount twice");
    driver.mount(volume).expect("mount again");
    assert_eq!(std::fs::read(path.join("kept")).expect("bytes outlive a mount"), b"1234");
    assert!(driver.usage_bytes(volume).expect("usage").is_none_or(|bytes| bytes >= 4), "usage counts files");
    driver.unmount(volume).expect("unmount at last");

    let volume = renamed(driver, volume);
    driver.remove(volume).expect("remove");
    driver.remove(volume).expect("remove twice");
    assert!(!path.exists(), "nothing stays behind");
    driver.sweep().expect("sweep");
}

/// Renames the volume where the driver can do that.
fn renamed<'v>(driver: &dyn VolumeDriver, volume: Location<'v>) -> Location<'v> {
    match driver.rename(volume, "contract-2") {
        Err(crate::Error::Unsupported { .. }) => volume,
        outcome => {
            outcome.expect("rename");
            driver.rename(volume, "contract-2").expect("rename after a crash");
            let volume = Location { name: "contract-2", ..volume };
            let path = driver.mount(volume).expect("mount under the new name");
            assert_eq!(std::fs::read(path.join("kept")).expect("bytes outlive a rename"), b"1234");
            driver.unmount(volume).expect("unmount under the new name");
            volume
        }
    }
}

fn refuses_unknown_options(driver: &dyn VolumeDriver) {
    let options = BTreeMap::from([("no-such-option".to_owned(), "1".to_owned())]);
    let volume = Location { name: "contract", options: &options };
    let error = driver.check(volume).and_then(|()| driver.create(volume)).expect_err("unknown options are refused");
    assert!(error.to_string().contains("no-such-option"), "the refusal names the option: {error}");
}

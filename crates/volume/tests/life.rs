//! A volume's life through the noun: made, used, refused, pruned, found again.

use std::collections::HashMap;

use berth_event::Bus;
use berth_record::Store;
use berth_volume::{Config, DuplicateRequest, Error, SNAPSHOT_LABEL, Terms, Volumes};

struct World {
    /// Unmounted before the directory goes.
    disk: Option<Disk>,
    _dir: tempfile::TempDir,
    config: Config,
    store: Store,
}

impl World {
    fn new() -> Self {
        Self::over(tempfile::tempdir().unwrap(), None)
    }

    fn over(dir: tempfile::TempDir, disk: Option<Disk>) -> Self {
        let config = Config {
            data_root: dir.path().join("data"),
            runtime_root: dir.path().join("run"),
            plugins: berth_volume::plugin::Settings { directories: Vec::new(), ..Default::default() },
        };
        std::fs::create_dir_all(&config.data_root).unwrap();
        let store = Store::open(&config.data_root.join("berth.db")).unwrap();
        Self { disk, _dir: dir, config, store }
    }

    fn record(&self, name: &str) -> berth_volume::Record {
        let (all, _) = self.store.summaries::<berth_volume::Record>("volume").unwrap();
        all.into_iter().find(|(id, _)| id == name).unwrap().1
    }

    fn open(&self) -> Volumes {
        Volumes::open(&self.config, self.store.clone(), Bus::default()).unwrap()
    }
}

async fn make(volumes: &Volumes, name: &str) -> berth_spec::model::Volume {
    volumes.create(name, "", HashMap::new(), HashMap::new()).await.unwrap()
}

fn terms(key: &str, value: &str) -> Terms {
    Terms::from([(key.to_owned(), vec![value.to_owned()])])
}

#[tokio::test]
async fn a_volume_outlives_the_daemon_and_is_refused_while_used() {
    let world = World::new();
    let volumes = world.open();
    make(&volumes, "data").await;
    let path = volumes.acquire("data", "c1").await.unwrap();
    std::fs::write(path.join("x"), "1").unwrap();
    assert_eq!(volumes.remove("data", true).await.unwrap_err().to_string(), "remove data: volume is in use - [c1]");

    let again = world.open();
    assert_eq!(again.list(&Terms::new()).await.unwrap().volumes.len(), 1);
    again.adopt("data", "c1", true);
    assert_eq!(again.users("data"), ["c1"]);
    again.release("data", "c1").await;
    again.remove("data", false).await.unwrap();
    assert!(!path.exists());
    assert_eq!(again.inspect("data").await.unwrap_err().to_string(), "get data: no such volume");
    assert!(world.open().list(&Terms::new()).await.unwrap().volumes.is_empty());
}

#[tokio::test]
async fn hostile_names_and_drivers_leave_nothing() {
    let world = World::new();
    let volumes = world.open();
    for name in ["a", "../x", "a/b", ".hidden", "a b", &"x".repeat(300)] {
        assert!(volumes.create(name, "", HashMap::new(), HashMap::new()).await.is_err(), "{name}");
    }
    let error = volumes.create("data", "nope", HashMap::new(), HashMap::new()).await.unwrap_err();
    assert!(error.to_string().contains("plugin \"nope\" not found"), "{error}");
    let options = HashMap::from([("size".to_owned(), "1".to_owned())]);
    assert!(volumes.create("data", "", options, HashMap::new()).await.is_err());
    make(&volumes, "data").await;
    assert!(volumes.create("data", "scratch", HashMap::new(), HashMap::new()).await.is_err());
    assert_eq!(volumes.list(&Terms::new()).await.unwrap().volumes.len(), 1);
}

#[tokio::test]
async fn prune_takes_anonymous_ones_and_with_all_the_named() {
    let world = World::new();
    let volumes = world.open();
    let anonymous = make(&volumes, "").await;
    make(&volumes, "named").await;
    make(&volumes, "used").await;
    volumes.acquire("used", "c").await.unwrap();
    assert_eq!(volumes.list(&terms("dangling", "true")).await.unwrap().volumes.len(), 2);
    assert_eq!(volumes.prune(&Terms::new(), false).await.unwrap().deleted, [anonymous.name]);
    assert_eq!(volumes.prune(&Terms::new(), true).await.unwrap().deleted, ["named"]);
    assert!(volumes.list(&terms("colour", "red")).await.is_err());
    assert_eq!(volumes.usage().await[0].usage_data.as_ref().unwrap().ref_count, 1);
}

#[tokio::test]
async fn a_rename_moves_bytes_and_record_and_is_finished_after_a_crash() {
    let world = World::new();
    let volumes = world.open();
    make(&volumes, "old").await;
    make(&volumes, "taken").await;
    let path = volumes.acquire("old", "c").await.unwrap();
    std::fs::write(path.join("x"), "1").unwrap();
    assert_eq!(volumes.rename("old", "new").await.unwrap_err().to_string(), "rename old: volume is in use - [c]");
    volumes.release("old", "c").await;
    assert!(matches!(volumes.rename("old", "taken").await, Err(Error::Exists(_))));
    assert!(volumes.rename("old", "../new").await.is_err() && volumes.rename("none", "new").await.is_err());
    volumes.rename("old", "new").await.unwrap();
    assert!(volumes.inspect("old").await.is_err());
    assert_eq!(std::fs::read(volumes.acquire("new", "c").await.unwrap().join("x")).unwrap(), b"1");

    // A daemon that died between the first record and the move.
    let record = world.record("new");
    let moving = berth_volume::Record { name: "last".into(), renamed_from: Some("new".into()), ..record };
    world.store.put("volume", "last", &moving, &"", berth_record::Durability::Power).unwrap();
    let again = world.open();
    let names: Vec<_> = again.list(&Terms::new()).await.unwrap().volumes.into_iter().map(|found| found.name).collect();
    assert_eq!(names, ["last", "taken"]);
    assert_eq!(std::fs::read(again.acquire("last", "c").await.unwrap().join("x")).unwrap(), b"1");
    assert_eq!(world.open().list(&Terms::new()).await.unwrap().volumes.len(), 2);
}

#[tokio::test]
async fn a_snapshot_is_read_only_and_a_clone_is_not() {
    let world = World::new();
    let volumes = world.open();
    make(&volumes, "data").await;
    let path = volumes.acquire("data", "c").await.unwrap();
    std::fs::write(path.join("x"), "1").unwrap();
    let snapshot = DuplicateRequest { read_only: true, ..DuplicateRequest::default() };
    let (snapshot, _) = volumes.duplicate("data", snapshot).await.unwrap();
    assert!(snapshot.name.starts_with("data-20") && snapshot.labels[SNAPSHOT_LABEL] == "data", "{snapshot:?}");
    std::fs::write(path.join("x"), "2").unwrap();
    let request = DuplicateRequest { name: "back".into(), ..DuplicateRequest::default() };
    volumes.duplicate(&snapshot.name, request.clone()).await.unwrap();
    assert_eq!(std::fs::read(volumes.acquire("back", "c").await.unwrap().join("x")).unwrap(), b"1");
    assert!(volumes.is_read_only(&snapshot.name) && !volumes.is_read_only("back"));
    assert!(matches!(volumes.duplicate("data", request).await, Err(Error::Exists(_))));
    assert!(matches!(volumes.import(&snapshot.name, std::io::empty()).await, Err(Error::ReadOnly(_))));
    assert!(volumes.users("data").iter().all(|user| user == "c"), "nobody holds the original any more");
}

/// A file system of its own, in a file.
struct Disk(std::path::PathBuf);

impl Disk {
    /// `None` where its kind cannot be made or mounted.
    fn mount(kind: &str, dir: &std::path::Path) -> Option<Self> {
        let (image, at) = (dir.join("disk"), dir.join("data"));
        std::fs::File::create(&image).unwrap().set_len(320 << 20).unwrap();
        std::fs::create_dir_all(&at).unwrap();
        let run = |program: &str, arguments: &[&std::ffi::OsStr]| {
            let output = std::process::Command::new(program).args(arguments).output();
            output.is_ok_and(|output| output.status.success())
        };
        let made = run(&format!("/usr/sbin/mkfs.{kind}"), &["-q".as_ref(), image.as_ref()]);
        (made && run("mount", &["-o".as_ref(), "loop".as_ref(), image.as_ref(), at.as_ref()])).then_some(Self(at))
    }

    fn free_bytes(&self) -> u64 {
        let root = std::fs::File::open(&self.0).unwrap();
        rustix::fs::syncfs(&root).unwrap();
        let found = rustix::fs::fstatvfs(&root).unwrap();
        found.f_bfree * found.f_frsize
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = std::process::Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

/// Copies, of a volume on a file system of this kind, that take no room of their own.
async fn share_blocks(kind: &str) {
    const BYTES: usize = 48 << 20;
    let dir = tempfile::tempdir().unwrap();
    let disk = Disk::mount(kind, dir.path());
    if disk.is_none() {
        return println!("skipped: cannot make {kind} here");
    }
    let world = World::over(dir, disk);
    let free_bytes = || world.disk.as_ref().map_or(0, Disk::free_bytes);
    let volumes = world.open();
    make(&volumes, "data").await;
    let path = volumes.acquire("data", "c").await.unwrap();
    std::fs::write(path.join("large"), vec![7; BYTES]).unwrap();
    let before = free_bytes();
    let snapshot = DuplicateRequest { name: "snapshot".into(), read_only: true, ..DuplicateRequest::default() };
    volumes.duplicate("data", snapshot).await.unwrap();
    let clone = DuplicateRequest { name: "clone".into(), ..DuplicateRequest::default() };
    volumes.duplicate("data", clone).await.unwrap();
    let taken = before.saturating_sub(free_bytes());
    assert!(taken < BYTES as u64 / 4, "two copies on {kind} take {taken} bytes");
    let copy = volumes.acquire("clone", "c").await.unwrap().join("large");
    std::fs::write(path.join("large"), "other").unwrap();
    assert_eq!(std::fs::read(copy).unwrap(), vec![7; BYTES]);
}

#[tokio::test]
async fn copies_share_blocks_where_the_file_system_can() {
    share_blocks("xfs").await;
    share_blocks("btrfs").await;
}

#[tokio::test]
async fn a_copy_that_a_crash_cut_short_is_gone_after_the_sweep() {
    let world = World::new();
    make(&world.open(), "half").await;
    let record = world.record("half");
    let filling = berth_volume::Record { filling: true, ..record };
    world.store.put("volume", "half", &filling, &"", berth_record::Durability::Power).unwrap();
    let volumes = world.open();
    assert!(volumes.list(&Terms::new()).await.unwrap().volumes.is_empty());
    volumes.sweep();
    assert_eq!(std::fs::read_dir(world.config.data_root.join("volumes")).unwrap().count(), 0);
    make(&volumes, "half").await;
}

#[tokio::test]
async fn contents_go_out_and_in_again() {
    let world = World::new();
    let volumes = world.open();
    make(&volumes, "data").await;
    make(&volumes, "copy").await;
    let path = volumes.acquire("data", "c").await.unwrap();
    std::fs::create_dir(path.join("deep")).unwrap();
    std::fs::write(path.join("deep/x"), "1").unwrap();
    let held = volumes.hold("data", "export").await.unwrap();
    let mut archive = Vec::new();
    berth_volume::export(&held, &mut archive).unwrap();
    volumes.import("copy", std::io::Cursor::new(archive)).await.unwrap();
    let copied = volumes.acquire("copy", "c").await.unwrap();
    assert_eq!(std::fs::read(copied.join("deep/x")).unwrap(), b"1");
    assert!(volumes.import("copy", &b"no archive at all, but longer than a block of one"[..]).await.is_err());
    assert!(volumes.import("none", std::io::empty()).await.is_err());
}

//! Volumes of plugins, against a plugin of the suite's own.

mod plugin;

use std::{collections::HashMap, sync::atomic::Ordering, time::Duration};

use berth_event::Bus;
use berth_record::Store;
use berth_volume::{Config, DuplicateRequest, Error, Terms, Volumes, plugin::Settings};

struct World {
    dir: tempfile::TempDir,
    volumes: Volumes,
    state: std::sync::Arc<plugin::State>,
}

fn world() -> World {
    let dir = tempfile::tempdir().unwrap();
    let data_root = dir.path().join("data");
    std::fs::create_dir_all(&data_root).unwrap();
    let state = plugin::serve(&dir.path().join("run/plugins/suite.sock"), dir.path().join("bytes"));
    let settings =
        Settings { directories: Vec::new(), brief: Duration::from_millis(500), patient: Duration::from_millis(900) };
    let config = Config { data_root: data_root.clone(), runtime_root: dir.path().join("run"), plugins: settings };
    let store = Store::open(&data_root.join("berth.db")).unwrap();
    let volumes = Volumes::open(&config, store, Bus::default()).unwrap();
    World { dir, volumes, state }
}

async fn make(volumes: &Volumes, name: &str, driver: &str) -> berth_volume::Result<()> {
    volumes.create(name, driver, HashMap::new(), HashMap::new()).await.map(drop)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plugin_keeps_the_contract() {
    let dir = tempfile::tempdir().unwrap();
    plugin::serve(&dir.path().join("suite.sock"), dir.path().join("bytes"));
    let settings = Settings { directories: vec![dir.path().to_owned()], ..Settings::default() };
    let found = berth_volume::plugin::find(&settings, "suite").expect("the plugin");
    tokio::task::spawn_blocking(move || berth_volume::contract::run(&*found)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_volume_of_a_plugin_lives_as_any_other() {
    let World { dir, volumes, state } = world();
    assert!(volumes.drivers().contains(&"suite".to_owned()));
    make(&volumes, "remote", "suite").await.unwrap();
    // Who names no driver means the one that it has.
    make(&volumes, "remote", "").await.unwrap();
    assert!(matches!(make(&volumes, "remote", "local").await, Err(Error::NameConflict(_))));
    let view = volumes.inspect("remote").await.unwrap();
    assert_eq!((view.volume.driver.as_str(), view.status.unwrap()["replicas"].as_u64()), ("suite", Some(3)));

    let path = volumes.acquire("remote", "c1").await.unwrap();
    assert_eq!(path, dir.path().join("bytes/remote"));
    volumes.acquire("remote", "c2").await.unwrap();
    volumes.rest("remote", "c1").await;
    let mounted = || !state.volumes.lock().unwrap()["remote"].is_empty();
    assert!(mounted(), "another one still looks into it");
    volumes.release("remote", "c2").await;
    assert!(!mounted());
    assert!(matches!(volumes.remove("remote", false).await, Err(Error::InUse { .. })));
    assert!(matches!(volumes.rename("remote", "other").await, Err(Error::InUse { .. })));
    volumes.release("remote", "c1").await;
    assert!(matches!(volumes.rename("remote", "other").await, Err(Error::Unsupported { .. })));

    std::fs::write(path.join("kept"), "1").unwrap();
    let (copy, done) =
        volumes.duplicate("remote", DuplicateRequest { name: "here".into(), ..Default::default() }).await.unwrap();
    assert_eq!((copy.driver.as_str(), done.entries), ("local", 1));
    volumes.remove("remote", false).await.unwrap();
    assert!(!path.exists());
    assert_eq!(volumes.list(&Terms::new()).await.unwrap().volumes.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_plugin_made_without_the_engine_is_listed_and_can_be_removed() {
    let World { dir: _dir, volumes, state } = world();
    state.volumes.lock().unwrap().insert("older".into(), Vec::new());
    std::fs::create_dir(_dir.path().join("bytes/older")).unwrap();
    let listed = volumes.list(&Terms::new()).await.unwrap();
    assert_eq!((listed.volumes.len(), listed.volumes[0].name.as_str()), (1, "older"));
    assert_eq!(volumes.inspect("older").await.unwrap().volume.driver, "suite");
    volumes.remove("older", false).await.unwrap();
    assert!(volumes.inspect("older").await.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_is_the_plugins_own_and_leaves_nothing() {
    let World { dir: _dir, volumes, .. } = world();
    let options = HashMap::from([("colour".to_owned(), "red".to_owned())]);
    let error = volumes.create("v1", "suite", options, HashMap::new()).await.unwrap_err();
    assert_eq!(error.to_string(), "VolumeDriver.Create: option colour is none of mine");
    assert!(volumes.list(&Terms::new()).await.unwrap().volumes.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plugin_that_hangs_costs_only_its_own_volumes() {
    let World { dir: _dir, volumes, state } = world();
    make(&volumes, "stuck", "suite").await.unwrap();
    state.hangs.store(true, Ordering::Relaxed);
    let (slow, fast) = tokio::join!(volumes.acquire("stuck", "c"), async {
        let begun = std::time::Instant::now();
        make(&volumes, "quick", "local").await.unwrap();
        volumes.acquire("quick", "c").await.unwrap();
        begun.elapsed()
    });
    let error = slow.unwrap_err().to_string();
    assert!(error.contains("plugin \"suite\" did not answer VolumeDriver.Mount within"), "{error}");
    assert!(fast < Duration::from_millis(700), "{fast:?}");
    let listed = volumes.list(&Terms::new()).await.unwrap();
    assert_eq!(listed.volumes.len(), 2);
    assert!(listed.warnings[0].contains("volumes of suite are not listed"), "{:?}", listed.warnings);
    assert!(volumes.remove("stuck", true).await.is_err(), "it may still come back");
    state.hangs.store(false, Ordering::Relaxed);
    volumes.remove("stuck", false).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plugin_that_is_gone_is_named_and_force_forgets_its_volumes() {
    let World { dir, volumes, .. } = world();
    make(&volumes, "orphan", "suite").await.unwrap();
    std::fs::remove_file(dir.path().join("run/plugins/suite.sock")).unwrap();
    let error = volumes.acquire("orphan", "c").await.unwrap_err().to_string();
    assert!(error.contains("suite") && error.contains("not found"), "{error}");
    assert!(volumes.remove("orphan", false).await.is_err());
    volumes.remove("orphan", true).await.unwrap();
    assert!(volumes.list(&Terms::new()).await.unwrap().volumes.is_empty());
}

fn http(status: u16, text: &str) -> String {
    format!("HTTP/1.1 {status} X\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{text}", text.len())
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_that_make_no_sense_are_refused_and_leave_nothing() {
    let World { dir: _dir, volumes, state } = world();
    for (call, raw, part) in [
        ("VolumeDriver.Create", http(200, "<html>"), "the answer cannot be read"),
        ("VolumeDriver.Create", http(500, r#"{"Err":"disk full"}"#), "VolumeDriver.Create: disk full"),
        ("VolumeDriver.Create", http(404, "page not found"), "status 404: page not found"),
        ("VolumeDriver.Create", String::new(), "cannot be reached at unix://"),
        ("VolumeDriver.Create", "SSH-2.0\r\n".to_owned(), "cannot be reached at unix://"),
        ("VolumeDriver.Create", "HTTP/1.1 200 X\r\nContent-Length: 99\r\n\r\n{}".to_owned(), "cannot be reached"),
    ] {
        state.raw.lock().unwrap().insert(call.to_owned(), raw);
        let error = make(&volumes, "odd", "suite").await.unwrap_err().to_string();
        assert!(error.contains(part), "{part}: {error}");
        assert!(volumes.list(&Terms::new()).await.unwrap().volumes.is_empty(), "{part}");
    }
    state.raw.lock().unwrap().clear();
    make(&volumes, "odd", "suite").await.unwrap();
    for (answer, part) in [
        (r#"{"Mountpoint":"relative"}"#, "is no absolute path"),
        (r#"{"Mountpoint":"/no/such/directory"}"#, "is no directory of this host"),
        ("{}", "is no absolute path"),
        (r#"{"Mountpoint":7}"#, "the answer cannot be read"),
    ] {
        state.raw.lock().unwrap().insert("VolumeDriver.Mount".to_owned(), http(200, answer));
        let error = volumes.acquire("odd", "c").await.unwrap_err().to_string();
        assert!(error.contains(part) && volumes.users("odd").is_empty(), "{part}: {error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plugin_of_another_kind_has_no_volumes() {
    let World { dir: _dir, volumes, state } = world();
    let network = http(200, r#"{"Implements":["NetworkDriver"]}"#);
    state.raw.lock().unwrap().insert("Plugin.Activate".to_owned(), network);
    assert!(matches!(make(&volumes, "v1", "suite").await, Err(Error::Unsupported { .. })));
    let listed = volumes.list(&Terms::new()).await.unwrap();
    assert!(listed.volumes.is_empty() && listed.warnings.is_empty(), "{listed:?}");
}

//! A volume's life through the noun: made, used, refused, pruned, found again.

use std::collections::HashMap;

use berth_event::Bus;
use berth_record::Store;
use berth_volume::{Config, Terms, Volumes};

struct World {
    _dir: tempfile::TempDir,
    config: Config,
    store: Store,
}

impl World {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let config = Config { data_root: dir.path().join("data"), runtime_root: dir.path().join("run") };
        std::fs::create_dir_all(&config.data_root).unwrap();
        let store = Store::open(&config.data_root.join("berth.db")).unwrap();
        Self { _dir: dir, config, store }
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
    assert_eq!(again.list(&Terms::new()).unwrap().len(), 1);
    again.adopt("data", "c1");
    assert_eq!(again.users("data"), ["c1"]);
    again.release("data", "c1").await;
    again.remove("data", false).await.unwrap();
    assert!(!path.exists());
    assert_eq!(again.inspect("data").unwrap_err().to_string(), "get data: no such volume");
    assert!(world.open().list(&Terms::new()).unwrap().is_empty());
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
    assert_eq!(volumes.list(&Terms::new()).unwrap().len(), 1);
}

#[tokio::test]
async fn prune_takes_anonymous_ones_and_with_all_the_named() {
    let world = World::new();
    let volumes = world.open();
    let anonymous = make(&volumes, "").await;
    make(&volumes, "named").await;
    make(&volumes, "used").await;
    volumes.acquire("used", "c").await.unwrap();
    assert_eq!(volumes.list(&terms("dangling", "true")).unwrap().len(), 2);
    assert_eq!(volumes.prune(&Terms::new(), false).await.unwrap().deleted, [anonymous.name]);
    assert_eq!(volumes.prune(&Terms::new(), true).await.unwrap().deleted, ["named"]);
    assert!(volumes.list(&terms("colour", "red")).is_err());
    assert_eq!(volumes.usage().await[0].usage_data.as_ref().unwrap().ref_count, 1);
}

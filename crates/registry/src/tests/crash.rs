//! A process that dies at each moment between two writes.

use std::{
    io::Write,
    path::Path,
    process::Command,
    sync::{
        OnceLock,
        atomic::{AtomicUsize, Ordering},
    },
};

use super::*;
use crate::{collect::Terms, store::Store};

const AT: &str = "BERTH_TEST_CRASH_AT";
const ROOT: &str = "BERTH_TEST_CRASH_ROOT";

/// Ends the process at the moment that the variable names by its number.
pub fn pass(_name: &str) {
    static DUE: OnceLock<Option<usize>> = OnceLock::new();
    static PASSED: AtomicUsize = AtomicUsize::new(0);
    let due = DUE.get_or_init(|| std::env::var(AT).ok()?.parse().ok());
    if due.is_some() && *due == Some(PASSED.fetch_add(1, Ordering::SeqCst) + 1) {
        let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
        std::thread::park();
    }
}

fn layer() -> Vec<u8> {
    noise(200_000, 11)
}

/// What the other test runs in a process of its own: a push, its acknowledgements written down, and a collection.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "run by the test below, in a process that dies"]
async fn child() {
    let root = std::env::var(ROOT).expect("it is run by the test below");
    let root = Path::new(&root);
    let acknowledge = |word: &str| {
        let mut file = std::fs::OpenOptions::new().append(true).create(true).open(root.join("acknowledged")).unwrap();
        writeln!(file, "{word}").unwrap();
    };
    let running = start(Settings::new(root.join("registry"))).await;
    let mut client = running.client().await;
    let layer = layer();
    let begun = client.ask("POST", "/v2/a/blobs/uploads/", &[], "").await.expect(202);
    let location = begun.header("location").to_owned();
    client.ask("PATCH", &location, &[], layer[..90_000].to_vec()).await.expect(202);
    let path = format!("{location}?digest={}", digest(&layer));
    client.ask("PUT", &path, &[], layer[90_000..].to_vec()).await.expect(201);
    acknowledge("layer");
    client.push_blob("a", b"{}").await;
    acknowledge("config");
    let text = image((&digest(b"{}"), 2), &[(&digest(&layer), layer.len())]);
    client.ask("PUT", "/v2/a/manifests/1", &[], text).await.expect(201);
    acknowledge("image");
    client.push_blob("a", b"loose").await;
    running.registry.collect(Terms { grace_s: 0, upload_s: 0, untagged: false }).await.unwrap();
    running.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_acknowledged_is_lost_and_nothing_leaks() {
    let mut moments = 0;
    loop {
        moments += 1;
        let dir = tempfile::tempdir().unwrap();
        let output = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "tests::crash::child", "--include-ignored"])
            .env(AT, moments.to_string())
            .env(ROOT, dir.path())
            .output()
            .unwrap();
        check(dir.path()).await;
        if output.status.success() {
            break;
        }
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let signal = std::os::unix::process::ExitStatusExt::signal(&output.status);
        assert_eq!(signal, Some(9), "moment {moments}: {text}");
    }
    assert!(moments > 15, "only {moments} moments: the steps are not there");
}

/// What a fresh process finds.
async fn check(dir: &Path) {
    let acknowledged = std::fs::read_to_string(dir.join("acknowledged")).unwrap_or_default();
    let running = start(Settings::new(dir.join("registry"))).await;
    let mut client = running.client().await;
    for (word, digest) in [("layer", digest(&layer())), ("config", digest(b"{}"))] {
        if acknowledged.contains(word) {
            client.get(&format!("/v2/a/blobs/{digest}")).await.expect(200);
        }
    }
    let found = client.get("/v2/a/manifests/1").await;
    assert!(found.status == 200 || !acknowledged.contains("image"));
    assert!(running.registry.scrub().await.unwrap().broken.is_empty());
    running.registry.collect(Terms { grace_s: 0, upload_s: 0, untagged: false }).await.unwrap();
    let expected = if found.status == 200 { 2 } else { 0 };
    assert_eq!(running.registry.depot.store.list(0).await.unwrap().len(), expected, "{acknowledged}");
    assert_eq!(std::fs::read_dir(dir.join("registry/uploads")).unwrap().count(), 0, "{acknowledged}");
    assert!(matches!(&*running.registry.depot.store, Store::Files(_)));
    // And the same push goes through.
    client.push_image("a", "1", &layer()).await;
    running.end().await;
}

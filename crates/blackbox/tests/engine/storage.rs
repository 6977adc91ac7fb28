//! What lies on disk: sizes of containers' layers, layers as images, watermarks, `fsck`, and nothing left by a crash.

use berth_blackbox::{Engine, Kind, busybox::files, eventually, skip};
use serde_json::{Value, json};

use crate::pull::{HOST, Registry};

/// dockerd keeps containers over its own end only with live-restore, and this suite kills, which it does not promise.
macro_rules! berth_only {
    ($engine:expr) => {
        if $engine.kind() != Kind::Berth {
            berth_blackbox::skip!("a killed daemon is berth's own promise");
        }
    };
}

/// `POST /berth/fsck`.
fn fsck(engine: &Engine, repair: bool) -> Value {
    engine.http().post(&format!("/berth/fsck?repair={}", u8::from(repair))).expect(200).json()
}

/// The paths below the data root that hold blobs and layers.
fn stored(engine: &Engine) -> Vec<String> {
    let find = [
        "find",
        ".",
        "-path",
        "*/blobs/sha256/*",
        "-o",
        "-path",
        "*/layers/*",
        "-maxdepth",
        "5",
        "-name",
        "layer.json",
    ];
    let mut command = engine.neighbour(find[0]);
    command.args(&find[1..]).current_dir(engine.place());
    let output = command.output().expect("find runs");
    let mut paths: Vec<String> = String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect();
    paths.sort();
    paths
}

#[test]
fn a_layer_of_limited_size_is_full_at_its_limit() {
    let engine = Engine::start();
    berth_only!(engine);
    let limited = |size: &str| json!({"HostConfig": {"StorageOpt": {"size": size}}});
    let fill = ["sh", "-c", "dd if=/dev/zero of=/fits bs=1M count=12 && dd if=/dev/zero of=/more bs=1M count=12"];
    let (code, said) = engine.run_to_end(&fill, limited("16m"));
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("No space left on device"), "{said}");
    let (code, said) = engine.run_to_end(&fill, limited("32m"));
    assert_eq!(code, 0, "a larger one is not full: {said}");
    for (option, reason) in [
        (json!({"size": "lots"}), "invalid size: 'lots'"),
        (json!({"size": "1k"}), "the least is"),
        (json!({"inodes": "1"}), "unknown option in storage-opt: inodes"),
    ] {
        let body = json!({"Image": "busybox", "HostConfig": {"StorageOpt": option}});
        let refused = engine.http().post_json("/containers/create", &body).expect(400).message();
        assert!(refused.contains(reason), "{refused}");
    }
}

#[test]
fn layers_as_images_carry_containers_over_a_crash() {
    let mut engine = Engine::start_with(&["--storage-driver", "erofs"]);
    berth_only!(engine);
    assert_eq!(engine.http().get("/info").expect(200).json()["Driver"], json!("erofs"));
    let id = engine.run("it", &["sh", "-c", "echo kept > /kept; rm /bin/ash; exec sleep 60"], json!({}));
    eventually("the container writes", 10, || {
        let changes = engine.http().get(&format!("/containers/{id}/changes")).expect(200).text();
        (changes.contains("/kept") && changes.contains("/bin/ash")).then_some(())
    });
    engine.http().post(&format!("/commit?container={id}&repo=made")).expect(201);
    engine.kill_daemon();
    engine.start_daemon();
    engine.http().post(&format!("/containers/{id}/restart?t=0")).expect(204);
    let (code, said) = engine.run_to_end(&["sh", "-c", "cat /kept; ls /bin/ash"], json!({"Image": "made"}));
    assert_eq!((code, said.lines().next()), (1, Some("kept")), "{said}");
    assert_eq!(fsck(&engine, false)["Findings"], json!([]));
    engine.http().delete(&format!("/containers/{id}?force=1")).expect(204);
    engine.http().delete("/images/made").expect(200);
    // Layers stay mounted as long as the daemon lives, and no longer.
    assert_eq!(engine.stop_daemon(), 0);
}

#[test]
fn above_the_high_watermark_unused_images_go() {
    let place = tempfile::tempdir().expect("a folder");
    let settings = place.path().join("daemon.json");
    let section = json!({"gc": {"high": "10m", "low": "8m", "interval": 1}});
    std::fs::write(&settings, section.to_string()).expect("settings");
    let engine = Engine::start_with(&["--config-file", &settings.display().to_string()]);
    berth_only!(engine);
    engine.run("it", &["sleep", "60"], json!({}));
    engine.import("unused:1", &files(&[("big", &vec![7; 12 << 20])]), &[]);
    eventually("the unused image goes", 20, || {
        (engine.http().get("/images/unused:1/json").status == 404).then_some(())
    });
    engine.http().get("/images/busybox/json").expect(200);
    assert_eq!(fsck(&engine, false)["Findings"], json!([]));
}

#[test]
fn a_spoiled_blob_is_fetched_again_from_its_registry() {
    let mut engine = Engine::start();
    berth_only!(engine);
    if !["docker-registry", "skopeo"].into_iter().all(berth_blackbox::command::is_installed) {
        skip!("docker-registry or skopeo is not installed");
    }
    let _registry = Registry::start(&engine);
    engine.http().delete("/images/busybox:latest").expect(200);
    engine.http().post(&format!("/images/create?fromImage={HOST}/team/app&tag=1")).expect(200);
    let blobs: Vec<String> = stored(&engine).into_iter().filter(|path| path.contains("/content/blobs/")).collect();
    assert_eq!(blobs.len(), 2, "a configuration and a layer: {blobs:?}");
    engine.kill_daemon();
    for blob in &blobs {
        std::fs::write(engine.place().join(blob), "spoiled").expect("spoil");
    }
    engine.start_daemon();
    let report = fsck(&engine, false);
    assert_eq!(report["Findings"].as_array().map(Vec::len), Some(2), "{report}");
    let report = fsck(&engine, true);
    for finding in report["Findings"].as_array().into_iter().flatten() {
        let done = finding["Repaired"].as_str().unwrap_or_default();
        assert!(done.contains(&format!("fetched again from {HOST}/team/app")), "{report}");
    }
    assert_eq!(fsck(&engine, false)["Findings"], json!([]));
    let saved = engine.http().get(&format!("/images/{HOST}/team/app:1/get")).expect(200);
    assert!(saved.body.len() > 1_000_000, "what was fetched is the image");
}

/// Debug builds die at the n-th write of a record when told to: load, commit, tag and removal of images at each of them.
#[test]
fn no_byte_is_left_of_images_after_a_crash_at_each_write() {
    let mut engine = Engine::start();
    berth_only!(engine);
    engine.import("small:1", &files(&[("a", b"a")]), &[]);
    let archive = engine.http().get("/images/small:1/get").expect(200).body;
    engine.http().delete("/images/small:1").expect(200);
    let id = engine.run("it", &["sh", "-c", "echo x > /x"], json!({}));
    engine.wait(&id);
    let before = stored(&engine);
    let mut survived = 0;
    for n in 1..=60 {
        for moment in ["", ":after"] {
            engine.kill_daemon();
            if engine.start_daemon_with(&[("BERTH_CRASH_AT_WRITE", &format!("{n}{moment}"))]) {
                images_of_a_day(&engine, &archive, &id);
            }
            let lives = engine.is_alive();
            survived += usize::from(lives);
            if lives {
                engine.kill_daemon()
            } else {
                engine.bury_daemon()
            }
            engine.start_daemon();
            for name in ["small:1", "other:2", "made:latest"] {
                let _ = engine.http().delete(&format!("/images/{name}"));
            }
            // A crash between an image and its name leaves the image, whole and without a name.
            engine.http().post("/images/prune").expect(200);
            let report = fsck(&engine, true);
            assert_eq!(fsck(&engine, false)["Findings"], json!([]), "write {n}{moment}: {report}");
            assert_eq!(stored(&engine), before, "after a crash at write {n}{moment}: {report}");
        }
        if survived >= 2 {
            assert!(n > 3, "the daemon was to die at its writes: is this a debug build?");
            return;
        }
    }
    panic!("more writes than expected");
}

fn images_of_a_day(engine: &Engine, archive: &[u8], id: &str) {
    let steps = [
        ("POST", "/images/load".to_owned(), archive),
        ("POST", "/images/small:1/tag?repo=other&tag=2".to_owned(), b""),
        ("POST", format!("/commit?container={id}&repo=made"), b""),
        ("DELETE", "/images/made".to_owned(), b""),
        ("DELETE", "/images/small:1".to_owned(), b""),
        ("DELETE", "/images/other:2".to_owned(), b""),
    ];
    for (method, path, body) in steps {
        if engine.http().try_request(method, &path, &[("Content-Type", "application/x-tar")], body).is_err() {
            return;
        }
    }
}

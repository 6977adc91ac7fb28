//! Images to a registry and back: Debian's docker-registry on loopback.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use berth_blackbox::{Engine, command, eventually, skip};
use serde_json::Value;

use crate::pull::{HOST, Registry};

/// `ann` with the password `secret` (bcrypt).
const USERS: &str = "ann:$2y$04$zFKpDI3kuEOUrWp6a.erNOCl7IApjRiXwjO6drEkiSiMr1jeVgAw2\n";

fn has_registry() -> bool {
    ["docker-registry", "skopeo", "bash"].iter().all(|program| command::is_installed(program))
}

#[test]
fn what_is_pushed_is_what_is_pulled() {
    if !has_registry() {
        skip!("docker-registry, skopeo or bash is not installed");
    }
    let engine = Engine::start();
    let _registry = Registry::start(&engine);
    let name = format!("{HOST}/pushed/app:1");
    engine.cli(&["tag", "busybox:latest", &name]).ok();
    let told = engine.cli(&["push", &name]).ok();
    assert!(told.starts_with(&format!("The push refers to repository [{HOST}/pushed/app]")), "{told}");
    assert!(told.contains(": Pushed") || told.contains(": Mounted from"), "{told}");
    let digest = told.rsplit("digest: ").next().and_then(|rest| rest.split(' ').next()).expect("a digest").to_owned();
    assert!(told.contains(&format!("1: digest: {digest} size: ")), "{told}");

    // Again, and into another repository of the same registry.
    assert!(engine.cli(&["push", &name]).ok().contains("Layer already exists"));
    let neighbour = format!("{HOST}/pushed/other:2");
    engine.cli(&["tag", &name, &neighbour]).ok();
    assert!(engine.cli(&["push", &neighbour]).ok().contains("Mounted from "));

    let inspected = engine.http().get(&format!("/images/{name}/json")).expect(200).json();
    let known = inspected["RepoDigests"].as_array().expect("digests").clone();
    assert!(known.contains(&Value::from(format!("{HOST}/pushed/app@{digest}"))), "{known:?}");
    let image = inspected["Id"].clone();
    for name in ["busybox:latest", &name, &neighbour] {
        engine.http().delete(&format!("/images/{name}?force=1"));
    }
    let told = engine.cli(&["pull", &name]).ok();
    assert!(told.contains(&format!("Digest: {digest}")), "{told}");
    assert_eq!(engine.http().get(&format!("/images/{name}/json")).expect(200).json()["Id"], image);
    // What came from a registry goes out again under the same digest.
    let third = format!("{HOST}/pushed/third:3");
    engine.cli(&["tag", &name, &third]).ok();
    assert!(engine.cli(&["push", &third]).ok().contains(&digest));
    assert!(engine.cli(&["run", "--rm", &third, "echo", "pushed"]).ok().contains("pushed"));
}

#[test]
fn what_cannot_be_pushed_is_said_as_docker_says_it() {
    if !has_registry() {
        skip!("docker-registry, skopeo or bash is not installed");
    }
    let engine = Engine::start();
    let _registry = Registry::start(&engine);
    engine.cli(&["push", &format!("{HOST}/nobody/knows:1")]).fails("An image does not exist locally with the tag");
    engine.cli(&["tag", "busybox:latest", &format!("{HOST}/pushed/app:1")]).ok();
    engine.cli(&["push", &format!("{HOST}/pushed/app:9")]).fails("tag does not exist");
    let told = engine.cli(&["push", "--all-tags", &format!("{HOST}/pushed/app")]).ok();
    assert!(told.contains("1: digest: sha256:"), "{told}");
}

#[test]
fn a_registry_with_users_is_logged_in_to() {
    if !has_registry() {
        skip!("docker-registry, skopeo or bash is not installed");
    }
    let engine = Engine::start();
    let _registry = Registry::start_with(&engine, Some(USERS));
    let name = format!("{HOST}/team/app:1");
    engine.cli(&["tag", "busybox:latest", &name]).ok();
    let refused = engine.cli(&["push", &name]);
    assert_ne!(refused.code, 0, "{refused:?}");
    let wrong = engine.cli_with(&["login", "-u", "ann", "--password-stdin", HOST], b"wrong");
    wrong.fails("unauthorized");
    engine.cli_with(&["login", "-u", "ann", "--password-stdin", HOST], b"secret\n").ok();
    assert!(engine.cli(&["push", &name]).ok().contains("digest: sha256:"));
    engine.http().delete(&format!("/images/{name}?force=1")).expect(200);
    engine.cli(&["pull", &name]).ok();
    engine.cli(&["logout", HOST]).ok();
    engine.http().delete(&format!("/images/{name}?force=1")).expect(200);
    assert_ne!(engine.cli(&["pull", &name]).code, 0);
}

#[test]
fn an_image_is_copied_and_listed_for_two_platforms_without_being_here() {
    if !has_registry() {
        skip!("docker-registry, skopeo or bash is not installed");
    }
    let engine = Engine::start();
    if engine.is_docker() {
        skip!("dockerd has no image copy");
    }
    let _registry = Registry::start(&engine);
    let (source, copy) = (format!("{HOST}/team/app:1"), format!("{HOST}/copied/app:x"));
    let told = engine.berth(&["image", "copy", &source, &copy]).ok();
    assert!(told.contains("Mounted from team/app"), "{told}");
    let list = format!("{HOST}/copied/app:all");
    engine.berth(&["manifest", "create", &list, &source, &copy]).ok();
    engine.berth(&["manifest", "annotate", "--arch", "arm64", "--variant", "v8", &list, &copy]).ok();
    let digest = engine.berth(&["manifest", "push", "--purge", &list]).ok();
    let path = format!("/distribution/{list}/json");
    let said = engine.http().get(&path).expect(200).json();
    assert_eq!(said["Descriptor"]["digest"], digest.trim());
    assert_eq!(said["Platforms"].as_array().map(Vec::len), Some(2));
    let found = engine.http().get(&format!("/images/search?term={HOST}/copied")).expect(200).json();
    assert_eq!(found[0]["name"], format!("{HOST}/copied/app"));
    let here = engine.http().get("/images/json").expect(200).text();
    assert!(!here.contains("copied"), "{here}");
}

/// Where blobs lie while they arrive.
fn partials(below: &Path) -> Option<PathBuf> {
    std::fs::read_dir(below)
        .ok()?
        .flatten()
        .filter(|entry| entry.path().is_dir())
        .find_map(|entry| if entry.file_name() == "partial" { Some(entry.path()) } else { partials(&entry.path()) })
}

/// Bytes that have gone over the loopback of the engine's network namespace.
fn traffic(engine: &Engine) -> u64 {
    let table = engine.host(&["cat", "/proc/net/dev"]).ok();
    let line = table.lines().find_map(|line| line.trim().strip_prefix("lo:")).expect("a loopback");
    line.split_whitespace().next().and_then(|bytes| bytes.parse().ok()).expect("a count")
}

/// Killed in the midst of a download, the daemon goes on at the byte it had.
#[test]
fn a_pull_that_was_killed_goes_on_where_it_was() {
    const SIZE: u64 = 160 << 20;
    if !has_registry() {
        skip!("docker-registry, skopeo or bash is not installed");
    }
    let mut engine = Engine::start();
    if engine.is_docker() {
        skip!("dockerd of this version begins again");
    }
    let _registry = Registry::start(&engine);
    let name = format!("{HOST}/team/big:1");
    // Noise does not shrink: what goes over the wire has this size.
    let script = format!(
        "set -e; cd {}; mkdir noise; head -c {SIZE} /dev/urandom > noise/file; tar cf noise.tar -C noise file; rm -r noise",
        engine.place().display()
    );
    engine.host(&["bash", "-c", &script]).ok();
    let archive = engine.place().join("noise.tar");
    engine.cli(&["import", archive.to_str().expect("a path"), &name]).ok();
    engine.cli(&["push", &name]).ok();
    let image = engine.http().get(&format!("/images/{name}/json")).expect(200).json()["Id"].clone();
    engine.http().delete(&format!("/images/{name}?force=1")).expect(200);

    let before = traffic(&engine);
    let place = partials(&engine.place().join("data")).expect("a place for blobs under way");
    let (http, path) = (engine.http(), format!("/images/create?fromImage={HOST}/team/big&tag=1"));
    let pulling = std::thread::spawn(move || http.try_request("POST", &path, &[], b"").is_ok());
    let begun = Instant::now();
    let has_come = || {
        let sizes = std::fs::read_dir(&place).into_iter().flatten().flatten().filter_map(|entry| entry.metadata().ok());
        sizes.map(|metadata| metadata.len()).max().unwrap_or(0)
    };
    while has_come() < SIZE / 8 && begun.elapsed() < Duration::from_secs(20) {
        std::thread::sleep(Duration::from_millis(1));
    }
    engine.kill_daemon();
    let _ = pulling.join();
    let half = traffic(&engine) - before;
    engine.start_daemon();
    engine.cli(&["pull", "-q", &name]).ok();
    assert_eq!(engine.http().get(&format!("/images/{name}/json")).expect(200).json()["Id"], image);
    let all = traffic(&engine) - before;
    // Headers, acknowledgements, and what was on the way when the daemon died: less than two parts.
    assert!(all < SIZE + SIZE / 50 + (16 << 20), "{all} bytes came for {SIZE}, {half} of them before the kill");
    eventually("nothing under way is left", 10, || std::fs::read_dir(&place).ok()?.next().is_none().then_some(()));
}

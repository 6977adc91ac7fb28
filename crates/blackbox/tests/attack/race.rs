//! Places of mounts that are exchanged for links while they are mounted on.

use berth_blackbox::eventually;
use serde_json::json;

use crate::arena::{Accomplice, Verdict, attack, breached_if, is_full};
use crate::canary::SECRET;
use crate::held;

/// Exchanges of the directory and the link while containers are made.
const SWAPS: u64 = 1_000_000;

#[test]
fn cve_2021_30465_and_2024_45310_mount_target_exchanged() {
    attack(&["target-beneath"], |arena| {
        let mut bundle = arena.bundle("true");
        let (source, canary) = (bundle.path("source"), arena.canary.text());
        std::fs::create_dir(&source).expect("a folder");
        std::fs::create_dir_all(bundle.inside("volume/place")).expect("folders");
        std::os::unix::fs::symlink(&canary, bundle.inside("volume/link")).expect("a link");
        for (destination, source) in
            [("/volume/place/sub/deep", source.clone()), ("/volume/place/file", probe_file(&source))]
        {
            let mount = json!({"destination": destination, "type": "bind", "source": source, "options": ["bind"]});
            bundle.spec["mounts"].as_array_mut().expect("a list").push(mount);
        }
        let at = |name: &str| bundle.inside(name).display().to_string();
        let mut swaps = Accomplice::start(&["swap", &SWAPS.to_string(), &at("volume/place"), &at("volume/link")]);
        let mut containers = 0;
        while !swaps.is_done() || containers < 10 {
            // Some are refused because a link or nothing at all was found; what counts is the host.
            bundle.run();
            containers += 1;
            let changes = arena.canary.changes();
            held!(breached_if(!changes.is_empty(), changes));
        }
        println!("{SWAPS} exchanges, {containers} containers");
        Verdict::Held
    });
}

/// A file to be bound.
fn probe_file(folder: &std::path::Path) -> std::path::PathBuf {
    let file = folder.join("file");
    std::fs::write(&file, "contents").expect("a file");
    file
}

#[test]
fn cve_2021_25741_part_of_a_volume_exchanged() {
    attack(&["subpath-beneath"], |arena| {
        let engine = arena.engine();
        let script = format!(
            "mkdir /shared/part; echo inside > /shared/part/secret; ln -s {} /shared/link; echo ready;
            exec probe swap 0 /shared/part /shared/link",
            arena.canary.text()
        );
        let other = engine.run("", &["sh", "-c", &script], json!({"HostConfig": {"Binds": ["one:/shared"]}}));
        eventually("the swaps begin", 10, || engine.logs(&other).0.contains("ready").then_some(()));
        let part = json!({"Type": "volume", "Source": "one", "Target": "/data", "VolumeOptions": {"Subpath": "part"}});
        let body = json!({"Image": "busybox", "Cmd": ["cat", "/data/secret"], "HostConfig": {"Mounts": [part]}});
        let mut found = 0;
        for round in 0..if is_full() { 1000 } else { 40 } {
            let answer = engine.http().post_json("/v1.45/containers/create", &body).expect(201).json();
            let id = answer["Id"].as_str().expect("an id").to_owned();
            // Refused where the link was found first.
            let started = engine.http().post(&format!("/containers/{id}/start")).status == 204;
            let text = if started { engine.wait(&id).to_string() + &engine.logs(&id).0 } else { String::new() };
            engine.http().delete(&format!("/containers/{id}?force=1")).expect(204);
            held!(breached_if(text.contains(SECRET), format!("round {round}: the host's files are mounted")));
            found += u32::from(text.contains("inside"));
        }
        assert!(found > 0, "the part itself was never mounted");
        Verdict::Held
    });
}

//! Images from a registry: Debian's docker-registry on loopback, filled by skopeo.

use std::process::{Child, Stdio};

use berth_blackbox::{Engine, command, eventually, skip};
use serde_json::{Value, json};

pub const HOST: &str = "127.0.0.1:5000";

/// A registry in the engine's network namespace.
pub struct Registry(Child);

impl Registry {
    /// Starts one and copies the image `busybox` into it as `team/app:1`.
    pub fn start(engine: &Engine) -> Registry {
        let registry = Registry::start_with(engine, None);
        let archive = engine.place().join("busybox.tar");
        let saved = engine.http().get("/images/busybox:latest/get").expect(200);
        std::fs::write(&archive, &saved.body).expect("the archive");
        let source = format!("docker-archive:{}", archive.display());
        let copied = engine.host(&[
            "skopeo",
            "copy",
            "--insecure-policy",
            "--dest-tls-verify=false",
            &source,
            &format!("docker://{HOST}/team/app:1"),
        ]);
        assert_eq!(copied.code, 0, "skopeo: {copied:?}");
        registry
    }

    /// Starts an empty one, for everybody or for users (lines of htpasswd).
    pub fn start_with(engine: &Engine, users: Option<&str>) -> Registry {
        let storage = engine.place().join("registry");
        let settings = engine.place().join("registry.yml");
        let mut text = json!({
            "version": 0.1,
            "log": {"level": "error"},
            "storage": {"filesystem": {"rootdirectory": storage}, "delete": {"enabled": true}},
            "http": {"addr": HOST},
        });
        if let Some(users) = users {
            let path = engine.place().join("htpasswd");
            std::fs::write(&path, users).expect("the users");
            text["auth"] = json!({"htpasswd": {"realm": "test", "path": path}});
        }
        std::fs::write(&settings, text.to_string()).expect("the registry's settings");
        let mut server = engine.neighbour("docker-registry");
        server.arg("serve").arg(&settings).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let registry = Registry(server.spawn().expect("the registry starts"));
        eventually("the registry listens", 10, || {
            let probe = engine.host(&["bash", "-c", "exec 3<>/dev/tcp/127.0.0.1/5000"]);
            (probe.code == 0).then_some(())
        });
        registry
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn lines(text: &str) -> Vec<Value> {
    text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
}

fn statuses(lines: &[Value]) -> Vec<String> {
    lines.iter().filter_map(|line| line["status"].as_str().map(str::to_owned)).collect()
}

#[test]
fn an_image_is_pulled_by_tag_and_digest_and_runs() {
    for program in ["docker-registry", "skopeo", "bash"] {
        if !command::is_installed(program) {
            skip!("{program} is not installed");
        }
    }
    let engine = Engine::start();
    let _registry = Registry::start(&engine);
    engine.http().delete("/images/busybox:latest?force=1").expect(200);
    let pull = format!("/images/create?fromImage={HOST}/team/app&tag=1");

    let told = lines(&engine.http().post(&pull).expect(200).text());
    let said = statuses(&told);
    assert_eq!((said[0].as_str(), told[0]["id"].as_str()), ("Pulling from team/app", Some("1")));
    let steps = ["Pulling fs layer", "Downloading", "Download complete", "Extracting", "Pull complete"];
    let places: Vec<_> = steps.iter().map(|step| said.iter().position(|status| status == step)).collect();
    assert!(places.iter().all(Option::is_some) && places.is_sorted(), "{said:?}");
    let newer = format!("Status: Downloaded newer image for {HOST}/team/app:1");
    assert_eq!(said.last(), Some(&newer));
    let digest = said.iter().find_map(|status| status.strip_prefix("Digest: ")).expect("a digest").to_owned();

    let inspected = engine.http().get(&format!("/images/{HOST}/team/app:1/json")).expect(200).json();
    assert_eq!(inspected["RepoTags"], json!([format!("{HOST}/team/app:1")]));
    assert_eq!(inspected["RepoDigests"], json!([format!("{HOST}/team/app@{digest}")]));

    let again = statuses(&lines(&engine.http().post(&pull).expect(200).text()));
    assert!(again.contains(&"Already exists".to_owned()) || engine.is_docker(), "{again:?}");
    assert_eq!(again.last(), Some(&format!("Status: Image is up to date for {HOST}/team/app:1")));

    engine.http().delete(&format!("/images/{HOST}/team/app:1?force=1")).expect(200);
    // By digest, and as `run` does it by itself.
    let output = engine.cli(&["run", "--rm", &format!("{HOST}/team/app@{digest}"), "echo", "pulled"]);
    assert!(output.ok().contains("pulled"), "{output:?}");
    engine.http().delete(&format!("/images/{HOST}/team/app@{digest}?force=1")).expect(200);
}

#[test]
fn what_is_not_there_is_refused_before_the_stream() {
    if !command::is_installed("docker-registry") || !command::is_installed("skopeo") {
        skip!("docker-registry or skopeo is not installed");
    }
    let engine = Engine::start();
    let _registry = Registry::start(&engine);
    let missing = engine.http().post(&format!("/images/create?fromImage={HOST}/team/app&tag=2")).expect(404);
    let text = format!("manifest for {HOST}/team/app:2 not found: manifest unknown: manifest unknown");
    assert_eq!(missing.message(), text);
}

/// Layers in zstd, and archives as they are although their manifest says gzip, which is how skopeo pushes those.
#[test]
fn layers_come_in_zstd_and_uncompressed() {
    for program in ["docker-registry", "skopeo", "bash"] {
        if !command::is_installed(program) {
            skip!("{program} is not installed");
        }
    }
    let engine = Engine::start();
    if engine.is_docker() {
        skip!("dockerd of this version knows no zstd");
    }
    let _registry = Registry::start(&engine);
    let layers = engine.http().get("/images/busybox/json").expect(200).json()["RootFS"]["Layers"].clone();
    let archive = format!("docker-archive:{}", engine.place().join("busybox.tar").display());
    let folder = format!("dir:{}", engine.place().join("folder").display());
    let there = |name: &str| format!("docker://{HOST}/team/{name}:1");
    let copy = |arguments: &[&str]| {
        let all = ["skopeo", "copy", "--insecure-policy", "--dest-tls-verify=false"];
        engine.host(&[&all[..], arguments].concat()).ok();
    };
    copy(&["--dest-decompress", &archive, &folder]);
    // By way of a folder: a layer that skopeo remembers as gzip would be sent as that.
    let packed = format!("dir:{}", engine.place().join("packed").display());
    copy(&["--format", "oci", "--dest-compress", "--dest-compress-format", "zstd", &folder, &packed]);
    copy(&["--preserve-digests", &packed, &there("zstd")]);
    copy(&["--preserve-digests", &folder, &there("plain")]);
    engine.http().delete("/images/busybox:latest?force=1").expect(200);
    for name in ["zstd", "plain"] {
        let raw = engine.host(&["skopeo", "inspect", "--raw", "--tls-verify=false", &there(name)]).ok();
        let layer = serde_json::from_str::<Value>(&raw).expect("a manifest")["layers"][0].clone();
        let is_zstd = layer["mediaType"].as_str().is_some_and(|kind| kind.ends_with("+zstd"));
        assert_eq!((is_zstd, layer["digest"] == layers[0]), (name == "zstd", name == "plain"), "{raw}");
        let image = format!("{HOST}/team/{name}:1");
        let told = engine.http().post(&format!("/images/create?fromImage={HOST}/team/{name}&tag=1")).expect(200).text();
        assert!(told.contains("Downloaded newer image"), "{told}");
        assert_eq!(engine.http().get(&format!("/images/{image}/json")).expect(200).json()["RootFS"]["Layers"], layers);
        assert_eq!(engine.run_to_end(&["echo", name], json!({"Image": image})).1, format!("{name}\n"));
        engine.http().delete(&format!("/images/{image}?force=1")).expect(200);
    }
}

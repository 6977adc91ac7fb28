//! What volumes can do beside being mounted: sizes, owners, copies, archives, other names, plugins, images as mounts.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::net::UnixListener;
use std::path::Path;

use berth_blackbox::Engine;
use serde_json::{Value, json};

fn make(engine: &Engine, name: &str, options: Value) {
    engine.http().post_json("/volumes/create", &json!({"Name": name, "DriverOpts": options})).expect(201);
}

fn remove(engine: &Engine, names: &[&str]) {
    for name in names {
        engine.http().delete(&format!("/volumes/{name}")).expect(204);
    }
}

fn in_volume(engine: &Engine, volume: &str, script: &str) -> (i64, String) {
    engine.run_to_end(&["sh", "-c", script], json!({"HostConfig": {"Binds": [format!("{volume}:/v")]}}))
}

#[test]
fn a_volume_with_a_size_is_full_at_that_size() {
    let engine = Engine::start();
    if engine.is_docker() {
        return println!("skipped: dockerd limits sizes on file systems with project quotas only");
    }
    make(&engine, "small", json!({"size": "4m"}));
    let (code, text) =
        in_volume(&engine, "small", "ls -A /v; dd if=/dev/zero of=/v/x bs=1M count=8 2>&1; echo kept >/v/y");
    assert!(text.contains("No space left on device"), "{code} {text}");
    assert_eq!(in_volume(&engine, "small", "rm /v/x; echo kept > /v/y; cat /v/y"), (0, "kept\n".to_owned()));
    assert_eq!(in_volume(&engine, "small", "cat /v/y"), (0, "kept\n".to_owned()), "it outlives its mount");
    let bad = json!({"Name": "bad", "DriverOpts": {"size": "tiny"}});
    let answer = engine.http().post_json("/volumes/create", &bad).expect(400);
    assert!(answer.message().contains("invalid option \"size\""), "{}", answer.text());
    remove(&engine, &["small"]);
}

#[test]
fn owner_and_mode_are_those_of_the_options_and_survive_the_copy_of_the_image() {
    let engine = Engine::start();
    if engine.is_docker() {
        return println!("skipped: dockerd's local driver has no such options");
    }
    make(&engine, "owned", json!({"uid": "1234", "o": "gid=4321,mode=2770"}));
    let (_, text) = engine.run_to_end(
        &["sh", "-c", "stat -c '%u:%g %a' /etc; test -e /etc/passwd && echo filled"],
        json!({"HostConfig": {"Binds": ["owned:/etc"]}}),
    );
    assert_eq!(text, "1234:4321 2770\nfilled\n");
    remove(&engine, &["owned"]);
}

#[test]
fn copies_snapshots_archives_and_names() {
    let engine = Engine::start();
    if engine.is_docker() {
        return println!("skipped: dockerd has none of these verbs");
    }
    in_volume(&engine, "data", "mkdir /v/deep; echo one > /v/deep/x; chown 7:8 /v/deep/x; ln -s deep/x /v/link");
    let id = engine.run("", &["sleep", "1000"], json!({"HostConfig": {"Binds": ["data:/v"]}}));
    assert_eq!(engine.berth(&["volume", "snapshot", "data", "before"]).ok().trim(), "before");
    engine.cli(&["exec", &id, "sh", "-c", "echo two > /v/deep/x"]).ok();
    assert_eq!(engine.berth(&["volume", "clone", "--label", "a=b", "before", "back"]).ok().trim(), "back");
    let look = "cat /v/link; stat -c %u:%g /v/deep/x";
    assert_eq!(in_volume(&engine, "back", look).1, "one\n7:8\n");
    assert_eq!(in_volume(&engine, "data", look).1, "two\n7:8\n");
    let read_only = json!({"HostConfig": {"Binds": ["before:/v:ro"]}});
    assert_eq!(engine.run_to_end(&["cat", "/v/link"], read_only).1, "one\n");
    let refused = engine.cli(&["run", "--rm", "-v", "before:/v", "busybox", "true"]);
    refused.fails("is a snapshot and read-only");

    let archive = engine.place().join("data.tar");
    engine.berth(&["volume", "export", "-o", archive.to_str().expect("text"), "data"]).ok();
    make(&engine, "other", json!({}));
    engine.berth(&["volume", "import", "other", archive.to_str().expect("text")]).ok();
    assert_eq!(in_volume(&engine, "other", look).1, "two\n7:8\n");

    engine.berth(&["volume", "rename", "data", "new"]).fails("rename data: volume is in use");
    engine.http().delete(&format!("/containers/{id}?force=1")).expect(204);
    engine.berth(&["volume", "rename", "data", "new"]).ok();
    assert_eq!(in_volume(&engine, "new", look).1, "two\n7:8\n");
    engine.http().get("/volumes/data").expect(404);
    let answer = engine.http().request("PUT", "/volumes/new", &[], b"").expect(503);
    assert!(answer.message().contains("volume update only valid for cluster volumes"), "{}", answer.text());
    remove(&engine, &["new", "other", "back", "before"]);
}

#[test]
fn a_mounted_volume_rests_with_its_container() {
    let engine = Engine::start();
    make(&engine, "memory", json!({"type": "tmpfs", "device": "tmpfs", "o": "size=1m,uid=5"}));
    let id =
        engine.run("", &["sh", "-c", "echo x > /v/x; sleep 1000"], json!({"HostConfig": {"Binds": ["memory:/v"]}}));
    let point =
        engine.http().get("/volumes/memory").expect(200).json()["Mountpoint"].as_str().expect("a path").to_owned();
    let is_mounted = || super::volume_sharing::on_host(&engine, &["mountpoint", "-q", &point]).code == 0;
    assert!(is_mounted());
    engine.cli(&["stop", "-t", "0", &id]).ok();
    assert!(!is_mounted(), "nobody looks into it any more");
    let file = engine.place().join("copied");
    std::fs::write(&file, "y").expect("a file");
    engine.cli(&["cp", file.to_str().expect("text"), &format!("{id}:/v/y")]).ok();
    assert!(!is_mounted());
    engine.http().delete(&format!("/containers/{id}")).expect(204);
    remove(&engine, &["memory"]);
}

#[test]
fn an_image_can_be_mounted() {
    let engine = Engine::start();
    if engine.is_docker() {
        return println!("skipped: dockerd 20.10 has no mounts of images");
    }
    let mounts = |subpath: &str| {
        let options = json!({"Subpath": subpath});
        json!({"HostConfig": {"Mounts": [{"Type": "image", "Source": "busybox", "Target": "/i", "ImageOptions": options}]}})
    };
    let script = "/i/bin/busybox echo runs; touch /i/x 2>&1; stat -c %u /i/etc/passwd; ls -d /i/proc 2>/dev/null";
    let (_, text) = engine.run_to_end(&["sh", "-c", script], mounts(""));
    assert!(text.starts_with("runs\n") && text.contains("Read-only file system") && text.contains("\n0\n"), "{text}");
    let (code, text) = engine.run_to_end(&["cat", "/i/passwd"], mounts("etc"));
    assert!(code == 0 && text.contains("alice"), "{text}");
    let (code, text) = engine.run_to_end(&["cat", "/i"], mounts("etc/passwd"));
    assert!(code == 0 && text.contains("alice"), "{text}");
    let missing = engine.cli(&[
        "run",
        "--rm",
        "--mount",
        "type=image,src=busybox,dst=/i,image-subpath=no/such",
        "busybox",
        "true",
    ]);
    missing.fails("no/such");
    let missing = engine.cli(&["create", "--mount", "type=image,src=nothing,dst=/i", "busybox"]);
    missing.fails("nothing");
    let id = engine.create("", &["true"], mounts(""));
    let shown = engine.inspect(&id)["Mounts"][0].clone();
    assert_eq!((shown["Type"].as_str(), shown["RW"].as_bool()), (Some("image"), Some(false)));
}

/// A plugin that keeps volumes below `root`; it serves until the process ends.
fn plugin(socket: &Path, root: &Path) {
    std::fs::create_dir_all(socket.parent().expect("a folder")).expect("a folder");
    let (listener, root) = (UnixListener::bind(socket).expect("a socket"), root.to_owned());
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let mut reader = BufReader::new(stream.try_clone().expect("a clone"));
            let (mut line, mut length) = (String::new(), 0);
            let _ = reader.read_line(&mut line);
            let call = line.split(' ').nth(1).unwrap_or_default().to_owned();
            while reader
                .read_line({
                    line.clear();
                    &mut line
                })
                .is_ok_and(|read| read > 2)
            {
                if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                    length = value.trim().parse().unwrap_or(0);
                }
            }
            let mut body = vec![0; length];
            let _ = reader.read_exact(&mut body);
            let name = serde_json::from_slice::<Value>(&body).unwrap_or_default()["Name"]
                .as_str()
                .unwrap_or_default()
                .to_owned();
            let place = root.join(&name);
            let known = !name.is_empty() && place.is_dir();
            let answer = match call.as_str() {
                "/Plugin.Activate" => json!({"Implements": ["VolumeDriver"]}),
                "/VolumeDriver.Create" => {
                    std::fs::create_dir_all(&place).expect("a folder");
                    json!({"Err": ""})
                }
                "/VolumeDriver.List" => {
                    let names = std::fs::read_dir(&root).into_iter().flatten().flatten().map(|entry| entry.file_name());
                    json!({"Volumes": names.map(|name| json!({"Name": name.to_string_lossy()})).collect::<Vec<_>>()})
                }
                "/VolumeDriver.Get" if known => json!({"Volume": {"Name": name, "Mountpoint": place}}),
                "/VolumeDriver.Mount" if known => {
                    std::fs::write(root.join(&name).join("mounted"), "").expect("a mark");
                    json!({"Mountpoint": place})
                }
                "/VolumeDriver.Unmount" => {
                    let _ = std::fs::remove_file(place.join("mounted"));
                    json!({})
                }
                "/VolumeDriver.Remove" if known => {
                    std::fs::remove_dir_all(&place).expect("gone");
                    json!({})
                }
                "/VolumeDriver.Capabilities" => json!({"Capabilities": {"Scope": "local"}}),
                _ => json!({"Err": format!("no volume {name}")}),
            };
            let text = answer.to_string();
            let _ =
                write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{text}", text.len());
        }
    });
}

#[test]
fn a_plugin_keeps_volumes() {
    let engine = Engine::start();
    if engine.is_docker() {
        return println!("skipped: its plugins are those of the whole machine");
    }
    let root = engine.place().join("plugin-bytes");
    std::fs::create_dir(&root).expect("a folder");
    plugin(&engine.place().join("run/plugins/suite.sock"), &root);
    let info = engine.http().get("/info").expect(200).json();
    assert!(info["Plugins"]["Volume"].as_array().expect("a list").contains(&"suite".into()), "{}", info["Plugins"]);
    engine.cli(&["volume", "create", "-d", "suite", "remote"]).ok();
    let script = "test -e /v/mounted && echo kept > /v/x; cat /v/x";
    assert_eq!(in_volume(&engine, "remote", script).1, "kept\n");
    assert!(!root.join("remote/mounted").exists(), "unmounted with the container");
    std::fs::create_dir(root.join("older")).expect("a folder");
    let listed = engine.cli(&["volume", "ls", "--format", "{{.Driver}} {{.Name}}"]).ok();
    assert_eq!(listed, "suite older\nsuite remote");
    engine.cli(&["volume", "rm", "remote", "older"]).ok();
    assert_eq!(std::fs::read_dir(&root).expect("a folder").count(), 0);
    let unknown = engine.cli(&["volume", "create", "-d", "nobody", "any"]);
    unknown.fails("plugin \"nobody\" not found");
}

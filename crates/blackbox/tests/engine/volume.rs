//! Volumes, bind mounts, tmpfs mounts.

use berth_blackbox::Engine;
use berth_blackbox::workload::escape;
use serde_json::json;

#[test]
fn a_volume_outlives_its_containers() {
    let engine = Engine::start();
    let settings = json!({"HostConfig": {"Binds": ["data:/data"]}});
    engine.run_to_end(&["sh", "-c", "echo kept > /data/file"], settings.clone());
    assert_eq!(engine.run_to_end(&["cat", "/data/file"], settings).1, "kept\n");
    let volume = engine.http().get("/volumes/data").expect(200).json();
    assert_eq!(
        (volume["Name"].as_str(), volume["Driver"].as_str(), volume["Scope"].as_str()),
        (Some("data"), Some("local"), Some("local"))
    );
    let point = volume["Mountpoint"].as_str().expect("a path");
    assert_eq!(std::fs::read_to_string(format!("{point}/file")).expect("the file lies on the host"), "kept\n");
    engine.http().delete("/volumes/data").expect(204);
    engine.http().get("/volumes/data").expect(404);
}

#[test]
fn a_volume_in_use_stays() {
    let engine = Engine::start();
    engine.http().post_json("/volumes/create", &json!({"Name": "vol", "Labels": {"a": "b"}})).expect(201);
    let id = engine.create("", &["true"], json!({"HostConfig": {"Binds": ["vol:/v"]}}));
    let answer = engine.http().delete("/volumes/vol").expect(409);
    assert!(answer.message().contains("volume is in use"), "{}", answer.text());
    engine.http().delete(&format!("/containers/{id}")).expect(204);
    engine.http().delete("/volumes/vol").expect(204);
}

#[test]
fn anonymous_volumes_go_with_v() {
    let engine = Engine::start();
    let id = engine.create("", &["true"], json!({"Volumes": {"/data": {}}}));
    let mounts = engine.inspect(&id)["Mounts"].clone();
    assert_eq!((mounts[0]["Type"].as_str(), mounts[0]["Destination"].as_str()), (Some("volume"), Some("/data")));
    let name = mounts[0]["Name"].as_str().expect("a name").to_owned();
    assert_eq!(name.len(), 64);
    engine.http().delete(&format!("/containers/{id}?v=1")).expect(204);
    engine.http().get(&format!("/volumes/{name}")).expect(404);
}

#[test]
fn a_new_volume_gets_what_the_image_has_there() {
    let engine = Engine::start();
    let settings = json!({"HostConfig": {"Binds": ["seed:/etc"]}});
    let (_, text) = engine.run_to_end(&["cat", "/etc/passwd"], settings.clone());
    assert!(text.contains("alice"), "{text}");
    let (_, text) = engine.run_to_end(&["cat", "/etc/passwd"], json!({"HostConfig": {"Binds": ["bare:/etc:nocopy"]}}));
    assert!(!text.contains("alice"), "{text}");
    for name in ["seed", "bare"] {
        engine.http().delete(&format!("/volumes/{name}")).expect(204);
    }
}

#[test]
fn bind_mounts_show_the_hosts_files_with_the_ownership_of_the_host() {
    let engine = Engine::start();
    let folder = engine.place().join("shared");
    std::fs::create_dir(&folder).expect("a folder");
    std::fs::write(folder.join("from-host"), "host").expect("a file");
    let bind = format!("{}:/mnt", folder.display());
    let script = "cat /mnt/from-host; stat -c ' %u:%g' /mnt/from-host; echo container > /mnt/from-container";
    let (code, text) = engine.run_to_end(&["sh", "-c", script], json!({"HostConfig": {"Binds": [bind]}}));
    assert_eq!((code, text.as_str()), (0, "host 0:0\n"));
    let file = folder.join("from-container");
    assert_eq!(std::fs::read_to_string(&file).expect("written"), "container\n");
    let owner = std::os::unix::fs::MetadataExt::uid(&std::fs::metadata(&file).expect("its metadata"));
    assert_eq!(owner, 0, "root in the container is root on the disk, no chown needed");
}

#[test]
fn read_only_binds_refuse_writes() {
    let engine = Engine::start();
    let folder = engine.place().join("shared");
    std::fs::create_dir(&folder).expect("a folder");
    let bind = format!("{}:/mnt:ro", folder.display());
    let (code, text) = engine.run_to_end(&["touch", "/mnt/x"], json!({"HostConfig": {"Binds": [bind]}}));
    assert!(code != 0 && text.contains("Read-only file system"), "{text}");
}

#[test]
fn a_file_can_be_bound_over_a_file() {
    let engine = Engine::start();
    let file = engine.place().join("one-file");
    std::fs::write(&file, "bound\n").expect("a file");
    let bind = format!("{}:/etc/passwd", file.display());
    assert_eq!(engine.run_to_end(&["cat", "/etc/passwd"], json!({"HostConfig": {"Binds": [bind]}})).1, "bound\n");
}

#[test]
fn mount_syntax_has_bind_volume_and_tmpfs() {
    let engine = Engine::start();
    let folder = engine.place().join("shared");
    std::fs::create_dir(&folder).expect("a folder");
    let mounts = json!([
        {"Type": "bind", "Source": folder, "Target": "/b"},
        {"Type": "volume", "Source": "vol", "Target": "/v", "ReadOnly": true},
        {"Type": "tmpfs", "Target": "/t", "TmpfsOptions": {"SizeBytes": 1_048_576}},
    ]);
    let script =
        "touch /b/x && echo b; touch /v/x 2>/dev/null || echo v; df -k /t | tail -1 | grep -q ' 1024 ' && echo t";
    assert_eq!(engine.run_to_end(&["sh", "-c", script], json!({"HostConfig": {"Mounts": mounts}})).1, "b\nv\nt\n");
    engine.http().delete("/volumes/vol").expect(204);
    let missing =
        json!({"Image": "busybox", "HostConfig": {"Mounts": [{"Type": "bind", "Source": "/no/such", "Target": "/b"}]}});
    let answer = engine.http().post_json("/containers/create", &missing).expect(400);
    assert!(answer.message().contains("bind source path does not exist: /no/such"), "{}", answer.text());
}

#[test]
fn volumes_from_another_container() {
    let engine = Engine::start();
    engine.create("holder", &["true"], json!({"HostConfig": {"Binds": ["shared:/s"]}}));
    engine.run_to_end(&["sh", "-c", "echo x > /s/f"], json!({"HostConfig": {"VolumesFrom": ["holder"]}}));
    let (code, text) =
        engine.run_to_end(&["sh", "-c", "cat /s/f; touch /s/y"], json!({"HostConfig": {"VolumesFrom": ["holder:ro"]}}));
    assert!(code != 0 && text.starts_with("x\n"), "{text}");
    engine.http().delete("/containers/holder").expect(204);
    engine.http().delete("/volumes/shared").expect(204);
}

#[test]
fn lists_filter_and_prune_takes_the_unused() {
    let engine = Engine::start();
    for (name, label) in [("one", "a"), ("two", "b")] {
        engine.http().post_json("/volumes/create", &json!({"Name": name, "Labels": {"k": label}})).expect(201);
    }
    let filters = escape("{\"label\":[\"k=a\"]}");
    let list = engine.http().get(&format!("/volumes?filters={filters}")).expect(200).json();
    assert_eq!(list["Volumes"].as_array().map(Vec::len), Some(1));
    assert_eq!(list["Volumes"][0]["Name"], "one");
    engine.create("user", &["true"], json!({"HostConfig": {"Binds": ["two:/t"]}}));
    let pruned = engine.http().request(
        "POST",
        &format!("/v1.41/volumes/prune?filters={}", escape("{\"all\":[\"true\"]}")),
        &[],
        b"",
    );
    // `all` is newer than 1.41: 20.10 prunes named volumes without being asked for it.
    let pruned = if pruned.status == 200 { pruned } else { engine.http().post("/volumes/prune") };
    assert_eq!(pruned.expect(200).json()["VolumesDeleted"], json!(["one"]));
    engine.http().delete("/containers/user").expect(204);
    engine.http().delete("/volumes/two").expect(204);
}

#[test]
fn bad_volumes_are_refused() {
    let engine = Engine::start();
    for (bind, part) in [
        ("relative/path:/x", "volume name"),
        ("vol:relative", "mount path must be absolute"),
        ("vol:/x:bogus", "mode"),
        ("vol:/", "destination can't be '/'"),
        ("a:b:c:d", "volume"),
    ] {
        let body = json!({"Image": "busybox", "HostConfig": {"Binds": [bind]}});
        let answer = engine.http().post_json("/containers/create", &body);
        assert!([400, 500].contains(&answer.status), "{bind}: {} {}", answer.status, answer.text());
        assert!(answer.message().contains(part), "{bind}: {}", answer.message());
    }
    engine.http().post_json("/volumes/create", &json!({"Name": "b/d"})).expect(400);
    engine.http().delete("/volumes/nobody").expect(404);
}

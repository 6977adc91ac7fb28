//! Files in and out: cp, diff, export, commit.

use berth_blackbox::Engine;
use berth_blackbox::busybox::files;
use serde_json::{Value, json};

/// Names in an archive, sorted.
fn names(archive: &[u8]) -> Vec<String> {
    let mut archive = tar::Archive::new(archive);
    let entries = archive.entries().expect("an archive").map(|entry| entry.expect("an entry"));
    let mut names: Vec<String> =
        entries.map(|entry| entry.path().expect("a path").to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

#[test]
fn cp_goes_in_and_comes_out() {
    let engine = Engine::start();
    engine.run("it", &["sleep", "60"], json!({}));
    let (from, to) = (engine.place().join("in"), engine.place().join("out"));
    std::fs::create_dir_all(from.join("sub")).expect("folders");
    std::fs::write(from.join("sub/file"), vec![7; 300_000]).expect("a file");
    engine.cli(&["cp", from.to_str().expect("UTF-8"), "it:/tmp/there"]).ok();
    assert_eq!(engine.cli(&["exec", "it", "stat", "-c", "%s %u", "/tmp/there/sub/file"]).ok(), "300000 0");
    engine.cli(&["cp", "it:/tmp/there/sub/file", to.to_str().expect("UTF-8")]).ok();
    assert_eq!(std::fs::read(&to).expect("the copy"), vec![7; 300_000]);
    engine.cli(&["cp", "it:/no/such", "/tmp/x"]).fails("no/such");
}

#[test]
fn cp_keeps_owners_unless_the_container_has_a_user() {
    let engine = Engine::start();
    let file = engine.place().join("owned");
    std::fs::write(&file, "x").unwrap();
    std::os::unix::fs::chown(&file, Some(1234), Some(2345)).unwrap();
    let from = file.to_str().unwrap();
    for (name, user, flags, owner) in [
        ("plain", "", &[][..], "1234:2345"),
        ("archive", "", &["-a"][..], "1234:2345"),
        ("alice", "alice", &["-a"][..], "1000:1000"),
    ] {
        engine.run(name, &["sleep", "600"], json!({"User": user}));
        let target = format!("{name}:/tmp/file");
        engine.cli(&[&["cp"], flags, &[from, &target]].concat()).ok();
        let found = engine.cli(&["exec", name, "stat", "-c", "%u:%g", "/tmp/file"]).ok();
        assert_eq!(found.trim(), owner, "{name}");
        engine.http().delete(&format!("/containers/{name}?force=1")).expect(204);
    }
}

#[test]
fn cp_works_on_a_container_that_never_ran() {
    let engine = Engine::start();
    engine.create("it", &["cat", "/etc/added"], json!({}));
    let archive = files(&[("added", b"before the start\n")]);
    engine
        .http()
        .request("PUT", "/containers/it/archive?path=/etc", &[("Content-Type", "application/x-tar")], &archive)
        .expect(200);
    engine.http().post("/containers/it/start").expect(204);
    engine.wait("it");
    assert_eq!(engine.logs("it").0, "before the start\n");
}

#[test]
fn the_archive_api_stats_and_packs() {
    let engine = Engine::start();
    engine.create("it", &["true"], json!({}));
    let head = engine.http().head("/containers/it/archive?path=/etc/passwd").expect(200);
    let stat = head.header("x-docker-container-path-stat").expect("the header").to_owned();
    let stat: Value = serde_json::from_slice(&base64(&stat)).expect("JSON in base64");
    assert_eq!((stat["name"].as_str(), stat["mode"].as_u64()), (Some("passwd"), Some(0o644)));
    assert!(stat["size"].as_u64().is_some_and(|size| size > 50), "{stat}");
    let body = engine.http().get("/containers/it/archive?path=/etc").expect(200).body;
    assert!(names(&body).contains(&"etc/passwd".to_owned()), "{:?}", names(&body));
    let answer = engine.http().get("/containers/it/archive?path=/no/such").expect(404);
    assert!(answer.message().contains("Could not find the file /no/such in container it"), "{}", answer.text());
    engine.http().get("/containers/it/archive").expect(400);
    let bad = engine.http().request("PUT", "/containers/it/archive?path=/etc", &[], b"this is no archive at all");
    assert!((400..=500).contains(&bad.status), "{}", bad.status);
    let missing = engine.http().request("PUT", "/containers/it/archive?path=/no/such", &[], &files(&[("a", b"a")]));
    assert_eq!(missing.status, 404, "{}", missing.text());
}

/// base64, decoded by the host's own program.
fn base64(text: &str) -> Vec<u8> {
    let mut command = std::process::Command::new("base64");
    command.arg("-d");
    berth_blackbox::command::run(command, text.as_bytes()).stdout
}

#[test]
fn an_archive_cannot_reach_outside() {
    let engine = Engine::start();
    engine.run("it", &["sh", "-c", "ln -s / /tmp/out; ln -s ../../../../../../ /tmp/up; sleep 60"], json!({}));
    std::thread::sleep(std::time::Duration::from_millis(200));
    let mark = engine.place().join("escaped");
    for path in ["/tmp/out", "/tmp/up"] {
        let inside = format!("{}/escaped", engine.place().display());
        let archive = files(&[(inside.trim_start_matches('/'), b"x"), ("tmp/mark", b"x")]);
        engine.http().request("PUT", &format!("/containers/it/archive?path={path}"), &[], &archive).expect(200);
        assert!(!mark.exists(), "{path} led to the host's root");
    }
    assert_eq!(engine.cli(&["exec", "it", "cat", "/tmp/mark"]).ok(), "x", "the link was followed inside the container");
}

#[test]
fn diff_names_what_changed() {
    let engine = Engine::start();
    let id = engine.run(
        "it",
        &["sh", "-c", "echo x > /added; rm /etc/group; echo y >> /etc/passwd; mkdir /home/new"],
        json!({}),
    );
    engine.wait(&id);
    let changes = engine.http().get("/containers/it/changes").expect(200).json();
    let kind = |path: &str| {
        changes.as_array().into_iter().flatten().find(|c| c["Path"] == path).and_then(|c| c["Kind"].as_i64())
    };
    assert_eq!(
        (kind("/added"), kind("/etc/group"), kind("/etc/passwd"), kind("/home/new")),
        (Some(1), Some(2), Some(0), Some(1)),
        "{changes}"
    );
    assert_eq!((kind("/etc"), kind("/bin")), (Some(0), None), "{changes}");
    let text = engine.cli(&["diff", "it"]).ok();
    assert!(text.contains("A /added") && text.contains("D /etc/group") && text.contains("C /etc/passwd"), "{text}");
    let fresh = engine.create("", &["true"], json!({}));
    let none = engine.http().get(&format!("/containers/{fresh}/changes")).expect(200).json();
    assert!(none.is_null() || none == json!([]), "{none}");
}

#[test]
fn export_is_the_whole_file_system() {
    let engine = Engine::start();
    let id = engine.run("it", &["sh", "-c", "echo x > /added; rm /etc/group"], json!({}));
    engine.wait(&id);
    let body = engine.http().get("/containers/it/export").expect(200).body;
    let names = names(&body);
    assert!(names.iter().any(|name| name == "added") && names.iter().any(|name| name == "bin/busybox"), "{names:?}");
    assert!(!names.iter().any(|name| name == "etc/group"));
}

#[test]
fn commit_makes_an_image_that_runs() {
    let engine = Engine::start();
    let id = engine.run("it", &["sh", "-c", "echo made > /made; rm /etc/group"], json!({}));
    engine.wait(&id);
    let changes = berth_blackbox::workload::escape("CMD [\"cat\", \"/made\"]");
    let path = format!("/commit?container=it&repo=made&tag=v1&comment=why&author=me&changes={changes}");
    let image = engine.http().post_json(&path, &json!({"Env": ["ADDED=1"]})).expect(201).json();
    assert!(image["Id"].as_str().is_some_and(|id| id.starts_with("sha256:")), "{image}");
    assert_eq!(engine.cli(&["run", "--rm", "made:v1"]).ok(), "made");
    engine.cli(&["run", "--rm", "made:v1", "test", "-e", "/etc/group"]).code(1);
    let inspect = engine.http().get("/images/made:v1/json").expect(200).json();
    assert_eq!((inspect["Comment"].as_str(), inspect["Author"].as_str()), (Some("why"), Some("me")));
    engine.http().post("/commit?container=nobody").expect(404);
}

/// A process swaps a directory with a link to the host's own files while copies run both ways: each copy gives the
/// container's files, or an error that says why; the host's are never read or written.
#[test]
fn cp_is_not_led_astray_by_a_container_that_swaps_paths() {
    let engine = Engine::start();
    let canary = engine.place().join("canary");
    std::fs::create_dir(&canary).expect("a folder");
    std::fs::write(canary.join("file"), "of the host").expect("a file");
    let script = "mkdir /real; echo of-the-container > /real/file; mkdir /swap; echo of-the-container > /swap/file; \
        while true; do mv /swap /aside; ln -s $0 /swap; mv /swap /link; mv /aside /swap; rm /link; done";
    let id = engine.run("", &["sh", "-c", script, canary.to_str().expect("text")], serde_json::json!({}));
    let (out, local) = (engine.place().join("out"), engine.place().join("in"));
    std::fs::write(&local, "copied in").expect("a file");
    let (mut whole, mut refused) = (0, 0);
    for round in 0..40 {
        let name = if round % 2 == 0 { "swap/file" } else { "swap/." };
        let _ = std::fs::remove_dir_all(&out);
        std::fs::create_dir(&out).expect("a folder");
        let copied = engine.cli(&["cp", &format!("{id}:/{name}"), out.to_str().expect("text")]);
        if copied.code == 0 {
            let text = std::fs::read_to_string(out.join("file")).unwrap_or_default();
            assert!(matches!(text.as_str(), "of-the-container\n" | ""), "{text:?}");
            whole += 1;
        } else {
            assert!(!copied.stderr.trim().is_empty() && !copied.stderr.contains("panic"), "{}", copied.stderr);
            refused += 1;
        }
        let copied = engine.cli(&["cp", local.to_str().expect("text"), &format!("{id}:/swap/new")]);
        assert!(copied.code == 0 || !copied.stderr.trim().is_empty(), "an error says why");
    }
    assert!(whole > 0, "{whole} copies, {refused} refusals");
    assert_eq!(std::fs::read_to_string(canary.join("file")).expect("it is there"), "of the host");
    assert_eq!(std::fs::read_dir(&canary).expect("a folder").count(), 1, "nothing was written beside it");
    engine.http().delete(&format!("/containers/{id}?force=1")).expect(204);
}

#[test]
fn cp_reaches_mounts_of_a_container_that_does_not_run() {
    let engine = Engine::start();
    let (file, folder) = (engine.place().join("one"), engine.place().join("many"));
    std::fs::write(&file, "bound").expect("a file");
    std::fs::create_dir(&folder).expect("a folder");
    std::fs::write(folder.join("inner"), "bound").expect("a file");
    let binds = [format!("{}:/etc/one", file.display()), format!("{}:/many", folder.display()), "vol:/vol".to_owned()];
    let id = engine.create("", &["true"], serde_json::json!({"HostConfig": {"Binds": binds}}));
    let copy = |from: &str, to: &str| engine.cli(&["cp", from, to]).ok();
    let out = engine.place().join("out");
    copy(file.to_str().expect("text"), &format!("{id}:/vol/deep"));
    for path in ["/etc/one", "/many/inner", "/vol/deep"] {
        copy(&format!("{id}:{path}"), out.to_str().expect("text"));
        assert_eq!(std::fs::read_to_string(&out).expect("a copy"), "bound", "{path}");
    }
    engine.cli(&["start", "-a", &id]).ok();
    copy(&format!("{id}:/vol/deep"), out.to_str().expect("text"));
    engine.http().delete(&format!("/containers/{id}")).expect(204);
    engine.http().delete("/volumes/vol").expect(204);
}

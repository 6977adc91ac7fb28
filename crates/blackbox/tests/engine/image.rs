//! Images: import, list, inspect, history, tag, remove, save, load, prune.

use std::collections::BTreeMap;
use std::io::Read;

use berth_blackbox::busybox::files;
use berth_blackbox::workload::escape;
use berth_blackbox::{Engine, skip};
use serde_json::{Value, json};

#[test]
fn an_imported_image_is_listed_and_inspected() {
    let engine = Engine::start();
    let list = engine.http().get("/images/json").expect(200).json();
    assert_eq!(list.as_array().map(Vec::len), Some(1), "{list}");
    assert_eq!(list[0]["RepoTags"], json!(["busybox:latest"]));
    assert!(list[0]["Size"].as_i64().is_some_and(|size| size > 1_000_000), "{list}");
    let image = engine.http().get("/images/busybox/json").expect(200).json();
    assert_eq!(image["Id"], list[0]["Id"]);
    assert_eq!(image["Config"]["Cmd"], json!(["sh"]));
    assert_eq!((image["Os"].as_str(), image["Architecture"].as_str()), (Some("linux"), Some("amd64")));
    assert_eq!(image["RootFS"]["Layers"].as_array().map(Vec::len), Some(1));
    let id = image["Id"].as_str().expect("an id").trim_start_matches("sha256:").to_owned();
    engine.http().get(&format!("/images/{}/json", &id[..12])).expect(200);
    engine.http().get(&format!("/images/sha256:{id}/json")).expect(200);
    let answer = engine.http().get("/images/nobody/json").expect(404);
    assert!(answer.message().to_lowercase().contains("no such image: nobody"), "{}", answer.text());
}

#[test]
fn history_tells_how_it_was_made() {
    let engine = Engine::start();
    let history = engine.http().get("/images/busybox/history").expect(200).json();
    assert_eq!(history[0]["Tags"], json!(["busybox:latest"]));
    assert!(history[0]["Size"].as_i64().is_some_and(|size| size > 1_000_000), "{history}");
    assert!(engine.cli(&["history", "busybox"]).ok().contains("Imported from -"));
}

#[test]
fn tags_come_and_go_and_the_last_takes_the_image() {
    let engine = Engine::start();
    engine.import("small:1", &files(&[("a", b"a")]), &[]);
    engine.http().post("/images/small:1/tag?repo=other&tag=2").expect(201);
    let gone = engine.http().delete("/images/small:1").expect(200).json();
    assert_eq!(gone, json!([{"Untagged": "small:1"}]));
    let gone = engine.http().delete("/images/other:2").expect(200).json();
    assert_eq!(gone[0], json!({"Untagged": "other:2"}));
    assert!(gone.as_array().is_some_and(|all| all.iter().any(|entry| entry["Deleted"].is_string())), "{gone}");
    engine.http().get("/images/other:2/json").expect(404);
    for bad in ["repo=UPPER&tag=x", "repo=a&tag=b%20d", "repo=&tag=x"] {
        let answer = engine.http().post(&format!("/images/busybox/tag?{bad}"));
        assert!([400, 500].contains(&answer.status), "{bad}: {} {}", answer.status, answer.text());
    }
    engine.http().post("/images/nobody/tag?repo=a&tag=b").expect(404);
}

#[test]
fn an_image_in_use_is_not_removed() {
    let engine = Engine::start();
    engine.run("it", &["sleep", "60"], json!({}));
    let answer = engine.http().delete("/images/busybox").expect(409);
    assert!(
        answer.message().contains("conflict: unable to remove repository reference \"busybox\""),
        "{}",
        answer.text()
    );
    let id = engine.http().get("/images/busybox/json").json()["Id"].as_str().expect("an id").to_owned();
    let answer = engine.http().delete(&format!("/images/{id}?force=1")).expect(409);
    assert!(answer.message().contains("cannot be forced"), "{}", answer.text());
}

#[test]
fn save_and_load_go_around() {
    let engine = Engine::start();
    engine.http().post("/images/busybox/tag?repo=second&tag=v2").expect(201);
    let before = engine.http().get("/images/busybox/json").json()["Id"].clone();
    let archive = engine
        .http()
        .get(&format!("/images/get?names={}&names={}", escape("busybox:latest"), escape("second:v2")))
        .expect(200)
        .body;
    for name in ["busybox", "second:v2"] {
        engine.http().delete(&format!("/images/{name}")).expect(200);
    }
    assert_eq!(engine.http().get("/images/json").json(), json!([]));
    let answer = engine.http().post_tar("/images/load", &archive).expect(200).text();
    assert!(answer.contains("Loaded image: busybox:latest") && answer.contains("Loaded image: second:v2"), "{answer}");
    assert_eq!(engine.http().get("/images/second:v2/json").expect(200).json()["Id"], before);
    assert_eq!(engine.run_to_end(&["echo", "alive"], json!({})).1, "alive\n");
}

#[test]
fn a_saved_image_of_several_layers_keeps_them() {
    let engine = Engine::start();
    for (name, parent, script) in
        [("two", "busybox", "echo 2 > /two; rm /etc/group"), ("three", "two", "echo 3 > /three; rm /two")]
    {
        let id = engine.run("", &["sh", "-c", script], json!({"Image": parent}));
        engine.wait(&id);
        engine.http().post_json(&format!("/commit?container={id}&repo={name}"), &json!({})).expect(201);
        engine.http().delete(&format!("/containers/{id}")).expect(204);
    }
    let archive = engine.cli(&["save", "three"]);
    assert_eq!(archive.code, 0, "{}", archive.stderr);
    for name in ["three", "two", "busybox"] {
        engine.http().delete(&format!("/images/{name}")).expect(200);
    }
    assert!(engine.cli_with(&["load"], &archive.stdout).ok().contains("Loaded image: three:latest"));
    let image = engine.http().get("/images/three/json").expect(200).json();
    assert_eq!(image["RootFS"]["Layers"].as_array().map(Vec::len), Some(3));
    let script = "cat /three; ls /two /etc/group 2>/dev/null | wc -l";
    assert_eq!(engine.run_to_end(&["sh", "-c", script], json!({"Image": "three"})).1, "3\n0\n");
}

#[test]
fn a_broken_archive_is_refused_and_leaves_nothing() {
    let engine = Engine::start();
    let before = engine.http().get("/images/json").json();
    let whole = engine.http().get("/images/busybox/get").expect(200).body;
    for (what, body) in [
        ("no archive", b"not a tar".to_vec()),
        ("half of one", whole[..whole.len() / 2].to_vec()),
        ("no manifest", files(&[("a", b"a")])),
    ] {
        let answer = engine.http().post_tar("/images/load", &body);
        assert!(
            answer.status >= 400 || answer.text().contains("\"error\""),
            "{what}: {} {}",
            answer.status,
            answer.text()
        );
    }
    assert_eq!(engine.http().get("/images/json").json(), before);
}

#[test]
fn export_and_import_flatten() {
    let engine = Engine::start();
    engine.create("it", &["true"], json!({}));
    let archive = engine.http().get("/containers/it/export").expect(200).body;
    engine.import(
        "flat:1",
        &archive,
        &["ENTRYPOINT [\"echo\"]", "WORKDIR /etc", "USER alice", "EXPOSE 80", "LABEL a=b"],
    );
    let config = engine.http().get("/images/flat:1/json").expect(200).json()["Config"].clone();
    assert_eq!(
        (&config["Entrypoint"], config["WorkingDir"].as_str(), config["User"].as_str()),
        (&json!(["echo"]), Some("/etc"), Some("alice"))
    );
    assert_eq!((&config["ExposedPorts"], &config["Labels"]), (&json!({"80/tcp": {}}), &json!({"a": "b"})));
    assert_eq!(engine.cli(&["run", "--rm", "flat:1", "hello"]).ok(), "hello");
    let answer = engine
        .http()
        .post_tar(&format!("/images/create?fromSrc=-&repo=x&changes={}", escape("FROM scratch")), &archive);
    assert!(answer.status >= 400 || answer.text().contains("error"), "{} {}", answer.status, answer.text());
}

#[test]
fn prune_takes_dangling_images_and_all_on_request() {
    let engine = Engine::start();
    engine.import("same:1", &files(&[("a", b"first")]), &[]);
    engine.import("same:1", &files(&[("a", b"second")]), &[]);
    let dangling =
        engine.http().get(&format!("/images/json?filters={}", escape("{\"dangling\":[\"true\"]}"))).expect(200).json();
    assert_eq!(dangling.as_array().map(Vec::len), Some(1), "{dangling}");
    let pruned = engine.http().post("/images/prune").expect(200).json();
    assert!(pruned["ImagesDeleted"].as_array().is_some_and(|all| !all.is_empty()), "{pruned}");
    engine.http().get("/images/same:1/json").expect(200);
    engine.http().post(&format!("/images/prune?filters={}", escape("{\"dangling\":[\"false\"]}"))).expect(200);
    engine.http().get("/images/same:1/json").expect(404);
}

#[test]
fn lists_filter_by_reference_and_label() {
    let engine = Engine::start();
    engine.import("labelled:1", &files(&[("a", b"a")]), &["LABEL tier=web"]);
    let count = |filters: &str| {
        engine
            .http()
            .get(&format!("/images/json?filters={}", escape(filters)))
            .expect(200)
            .json()
            .as_array()
            .map(Vec::len)
    };
    assert_eq!(count("{\"label\":[\"tier=web\"]}"), Some(1));
    assert_eq!(count("{\"label\":[\"tier=db\"]}"), Some(0));
    assert_eq!(count("{\"reference\":[\"label*\"]}"), Some(1));
    assert_eq!(count("{\"before\":[\"labelled:1\"]}"), Some(1));
    engine.http().get(&format!("/images/json?filters={}", escape("{\"bogus\":[\"x\"]}"))).expect(400);
}

/// Docker's client sends platforms as JSON, others as text.
#[test]
fn a_platform_that_is_asked_for_is_held_against_the_image() {
    let engine = Engine::start();
    if engine.is_docker() {
        skip!("dockerd of this version does not look at platforms here");
    }
    let own = [escape(r#"{"os":"linux","architecture":"amd64"}"#), escape("linux/amd64")];
    let other = [escape(r#"{"os":"linux","architecture":"arm64"}"#), escape("linux/arm64")];
    for (method, path) in [
        ("GET", "/images/busybox/json?platform="),
        ("GET", "/images/busybox/history?platform="),
        ("GET", "/images/busybox/get?platform="),
        ("GET", "/images/get?names=busybox&platform="),
        ("DELETE", "/images/busybox?platforms="),
    ] {
        let ask = |platform: &str| engine.http().request(method, &format!("{path}{platform}"), &[], b"");
        for platform in &other {
            let said = ask(platform).expect(404).message();
            assert!(said.ends_with("(linux/amd64) does not match the specified platform (linux/arm64)"), "{said}");
        }
        ask("a/b/c/d").expect(400);
        if method == "GET" {
            own.iter().for_each(|platform| drop(ask(platform).expect(200)));
        }
    }
    engine.http().get(&format!("/images/busybox/json?manifests=1&platform={}", own[0])).expect(400);
    engine.cli(&["rmi", "--platform", "linux/arm64", "busybox"]).fails("does not match the specified platform");
    for verb in [&["history"][..], &["save"], &["image", "inspect"]] {
        let ask = |platform| engine.cli(&[verb, &["--platform", platform, "busybox"]].concat());
        assert_eq!(ask("linux/amd64").code, 0);
        ask("linux/arm64").fails("does not match the specified platform");
    }
    engine.cli(&["rmi", "--platform", "linux/amd64", "busybox"]).ok();
}

/// An OCI layout of all that archives of `save` hold.
fn merged(archives: &[Vec<u8>]) -> Vec<u8> {
    let mut all = BTreeMap::new();
    let mut manifests = Vec::new();
    for archive in archives {
        for entry in tar::Archive::new(&archive[..]).entries().expect("an archive") {
            let mut entry = entry.expect("an entry");
            let path = entry.path().expect("a path").display().to_string();
            let mut bytes = Vec::new();
            entry.read_to_end(&mut bytes).expect("its bytes");
            if path == "index.json" {
                let index: Value = serde_json::from_slice(&bytes).expect("an index");
                manifests.extend(index["manifests"].as_array().cloned().unwrap_or_default());
            } else if path.starts_with("blobs/") && entry.header().entry_type().is_file() {
                all.insert(path, bytes);
            }
        }
    }
    all.insert("index.json".to_owned(), json!({"schemaVersion": 2, "manifests": manifests}).to_string().into_bytes());
    all.insert("oci-layout".to_owned(), br#"{"imageLayoutVersion":"1.0.0"}"#.to_vec());
    files(&all.iter().map(|(path, bytes)| (path.as_str(), bytes.as_slice())).collect::<Vec<_>>())
}

#[test]
fn a_platform_chooses_what_is_loaded() {
    let engine = Engine::start();
    if engine.is_docker() {
        skip!("dockerd of this version does not look at platforms here");
    }
    let archives = ["amd64", "arm64"].map(|architecture| {
        let path = format!("/images/create?fromSrc=-&repo=both&tag={architecture}&platform=linux/{architecture}");
        engine.http().post_tar(&path, &files(&[("a", architecture.as_bytes())])).expect(200);
        engine.http().get(&format!("/images/both:{architecture}/get")).expect(200).body
    });
    let layout = merged(&archives);
    for (platforms, expected) in [(Some("arm64"), [404, 200]), (Some("linux/amd64"), [200, 404]), (None, [200, 200])] {
        for architecture in ["amd64", "arm64"] {
            engine.http().delete(&format!("/images/both:{architecture}?force=1"));
        }
        let flags = platforms.into_iter().flat_map(|platform| ["--platform", platform]);
        engine.cli_with(&["load"].into_iter().chain(flags).collect::<Vec<_>>(), &layout).ok();
        let found = ["amd64", "arm64"].map(|tag| engine.http().get(&format!("/images/both:{tag}/json")).status);
        assert_eq!(found, expected, "{platforms:?}");
    }
    let refused = engine.cli_with(&["load", "--platform", "linux/s390x"], &layout);
    refused.fails("the archive has no image for the specified platform (linux/s390x)");
}

//! What the door turns away, and that it knows every operation; over nouns in a temporary directory.

use std::sync::{Arc, RwLock};

use axum::{
    body::Body,
    http::{HeaderMap, Request, StatusCode},
};
use berth_api::{Api, Engine, Facts, Settings};
use berth_container::{Config, Containers, LogDefault};
use berth_event::Bus;
use berth_image::Images;
use berth_network::{NetworkConfig, Networks};
use berth_volume::Volumes;
use http_body_util::BodyExt;

struct World {
    api: Api,
    _dir: tempfile::TempDir,
}

impl World {
    async fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().to_owned();
        let store = berth_record::Store::open(&root.join("berth.db")).unwrap();
        let content = berth_content::Store::open(&root.join("content")).unwrap();
        let snapshots = Arc::new(berth_snapshot::copy::Copy::open(&root.join("copy")).unwrap());
        let events = Bus::default();
        let volume_config = berth_volume::Config {
            data_root: root.clone(),
            runtime_root: root.join("run"),
            plugins: berth_volume::plugin::Settings { directories: Vec::new(), ..Default::default() },
        };
        let volumes = Volumes::open(&volume_config, store.clone(), events.clone()).unwrap();
        let images = Images::open(store.clone(), snapshots.clone(), content, events.clone()).unwrap();
        let quiet = NetworkConfig { firewall: false, ip_forward: false, ..NetworkConfig::default() };
        let networks = Networks::open(quiet, store.clone(), events.clone()).await.unwrap();
        let containers = Containers::new(
            config(&root),
            store.clone(),
            snapshots.clone(),
            images.clone(),
            networks.clone(),
            volumes.clone(),
            events.clone(),
        );
        let (facts, settings) = (Facts::default(), RwLock::new(Arc::new(Settings::default())));
        let (own_images, own_containers) = (images.clone(), containers.clone());
        let builder =
            berth_build::Builder::open(&root.join("build"), store, own_images, own_containers, snapshots, None)
                .unwrap();
        let machine_config = berth_machine::Config {
            data_root: root.clone(),
            runtime_root: root.join("run"),
            exe: "/proc/self/exe".into(),
            cgroup_parent: "/test".into(),
            dns: Vec::new(),
        };
        let machines = berth_machine::Machines::open(machine_config, networks.clone(), events.clone()).unwrap();
        let engine = Engine { containers, images, machines, networks, volumes, builder, events, facts, settings };
        Self { api: Api::new(Arc::new(engine)), _dir: dir }
    }

    async fn ask(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> (StatusCode, HeaderMap, String) {
        let mut request = Request::builder().method(method).uri(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Body::from(body.to_owned())).unwrap();
        let (parts, body) = self.api.answer(request).await.into_parts();
        let text = String::from_utf8_lossy(&body.collect().await.unwrap().to_bytes()).into_owned();
        (parts.status, parts.headers, text)
    }

    /// Status and message of a JSON body sent as a client would.
    async fn send(&self, method: &str, path: &str, body: &str) -> (u16, String) {
        let headers: &[_] = if body.is_empty() { &[] } else { &[("content-type", "application/json")] };
        let (status, _, text) = self.ask(method, path, headers, body).await;
        let json: serde_json::Value = serde_json::from_str(&text).unwrap_or_default();
        (status.as_u16(), json["message"].as_str().unwrap_or_default().to_owned())
    }
}

fn config(root: &std::path::Path) -> Config {
    Config {
        data_root: root.to_owned(),
        runtime_root: root.join("run"),
        exe: "/proc/self/exe".into(),
        log: LogDefault { driver: "json-file".to_owned(), options: Default::default() },
        ulimits: Vec::new(),
        cgroup_parent: "/berth-api-test".to_owned(),
        systemd_cgroup: false,
        shm_bytes: 64 << 20,
        init: false,
        no_new_privileges: false,
        seccomp_profile: None,
        stop_timeout_s: 10,
        cdi_dirs: Vec::new(),
        dns: Vec::new(),
        dns_options: Vec::new(),
        dns_search: Vec::new(),
    }
}

#[tokio::test]
async fn every_answer_says_which_api_it_speaks() {
    let world = World::new().await;
    for path in ["/_ping", "/v1.24/_ping", "/nonsense", "/v1.99/_ping"] {
        let (_, headers, _) = world.ask("GET", path, &[], "").await;
        assert_eq!(headers["api-version"], "1.55", "{path}");
        assert_eq!(headers["ostype"], "linux");
        assert!(headers["server"].to_str().unwrap().starts_with("Berth/"));
    }
    let (status, headers, body) = world.ask("HEAD", "/_ping", &[], "").await;
    assert_eq!((status, body.as_str()), (StatusCode::OK, ""));
    assert_eq!(headers["cache-control"], "no-cache, no-store, must-revalidate");
}

#[tokio::test]
async fn bad_input_is_named() {
    let world = World::new().await;
    for (method, path, body, status, said) in [
        ("GET", "/v1.99/info", "", 400, "client version 1.99 is too new. Maximum supported API version is 1.55"),
        ("GET", "/v1.12/info", "", 400, "client version 1.12 is too old. Minimum supported API version is 1.24"),
        ("GET", "/containers", "", 404, "page not found"),
        ("PATCH", "/containers/json", "", 404, "page not found"),
        ("GET", "/containers/json?all=perhaps", "", 400, "all"),
        ("GET", "/containers/json?limit=ten", "", 400, "limit"),
        ("GET", "/containers/json?filters=%7Bx", "", 400, "filters"),
        ("GET", "/containers/json?filters=%7B%22colour%22%3A%5B%22red%22%5D%7D", "", 400, "colour"),
        ("GET", "/containers/x/json", "", 404, "No such container: x"),
        ("GET", "/containers/x/logs", "", 400, "Bad parameters: you must choose at least one stream"),
        ("GET", "/containers/x/logs?stdout=1&since=soon", "", 400, "since"),
        ("POST", "/containers/x/start", "", 404, "No such container: x"),
        ("POST", "/containers/x/stop?t=soon", "", 400, "t"),
        ("POST", "/containers/x/wait?condition=bored", "", 400, "bored"),
        ("POST", "/containers/x/resize?h=10", "", 400, "w"),
        ("POST", "/containers/x/resize?h=-1&w=5", "", 400, "h"),
        ("GET", "/containers/x/archive", "", 400, "path"),
        ("POST", "/containers/create", "", 400, "EOF"),
        ("POST", "/containers/create", "{", 400, "invalid JSON"),
        ("POST", "/containers/create", r#"{"Image":7}"#, 400, "Image"),
        ("POST", "/containers/create", r#"{"Image":"x"} trailing"#, 400, "unexpected content after JSON"),
        ("POST", "/containers/create", r#"{"HostConfig":{"Memory":"much"}}"#, 400, "HostConfig.Memory"),
        ("POST", "/containers/create", r#"{"Image":"no-such-image"}"#, 404, "No such image: no-such-image:latest"),
        ("POST", "/containers/create?name=a%2Fb", r#"{"Image":"x"}"#, 400, "a/b"),
        ("POST", "/containers/x/exec", r#"{"Cmd":[]}"#, 400, "No exec command specified"),
        ("POST", "/exec/x/start", "{}", 404, "No such exec instance: x"),
        ("POST", "/commit", "", 400, "container"),
        ("GET", "/images/no/such/json", "", 404, "No such image: no/such"),
        ("POST", "/images/x/tag", "", 400, "repo"),
        ("GET", "/images/get", "", 400, "names"),
        ("POST", "/images/create", "", 400, "fromSrc"),
        ("POST", "/images/create?fromImage=UPPER", "", 400, "must be lowercase"),
        ("POST", "/images/load", "this is no archive", 400, ""),
        ("POST", "/volumes/create", r#"{"Name":"a/b"}"#, 400, "a/b"),
        ("POST", "/volumes/create", r#"{"Name":"ok","Driver":"nfs"}"#, 404, "nfs"),
        ("GET", "/volumes/none", "", 404, "get none: no such volume"),
        ("GET", "/volumes?filters=%7B%22colour%22%3A%5B%5D%7D", "", 400, "colour"),
        ("GET", "/networks/nosuch", "", 404, "network nosuch not found"),
        ("DELETE", "/networks/bridge", "", 403, "bridge"),
        ("GET", "/events?since=x", "", 400, "since"),
        ("GET", "/system/df?type=rubbish", "", 400, "rubbish"),
        ("POST", "/auth", r#"{"username":"u"}"#, 400, "password"),
        ("POST", "/build/cancel", "", 501, "not built yet"),
        ("POST", "/build", "", 404, "Cannot locate specified Dockerfile"),
    ] {
        let (got, message) = world.send(method, path, body).await;
        assert_eq!(got, status, "{method} {path} {body}: {message}");
        assert!(message.contains(said), "{method} {path} {body}: {message}");
    }
}

#[tokio::test]
async fn a_body_must_say_that_it_is_json_and_be_bounded() {
    let world = World::new().await;
    let create = "/containers/create";
    let (status, _, text) = world.ask("POST", create, &[("content-type", "text/plain")], "{}").await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    assert!(text.contains("unsupported Content-Type header (text/plain): must be 'application/json'"), "{text}");
    assert_eq!(world.ask("POST", create, &[], "{}").await.0, StatusCode::BAD_REQUEST);
    let long = format!(r#"{{"Image":"{}"}}"#, "x".repeat(5 << 20));
    assert_eq!(world.send("POST", create, &long).await.0, 413);
}

#[tokio::test]
async fn every_operation_of_the_table_is_known() {
    let world = World::new().await;
    let table = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/api-operations.md")).unwrap();
    let mut seen = 0;
    for line in table.lines().filter(|line| line.starts_with("| ") && line.contains("| `/")) {
        let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
        let (method, path, wanted) = (cells[0], cells[1].trim_matches('`'), cells[4]);
        let path = path.replace("{id}", "nobody").replace("{name}", "nobody");
        // It would answer for as long as somebody listens.
        let path = if path == "/events" { "/events?until=1".to_owned() } else { path };
        let (status, message) = world.send(method, &path, "").await;
        assert_ne!(message, "page not found", "{method} {path}");
        assert_eq!(status == 501, wanted == "501 not built yet", "{method} {path}: {status} {message}");
        seen += 1;
    }
    assert_eq!(seen, 108);
}

#[tokio::test]
async fn a_volume_comes_and_goes() {
    let world = World::new().await;
    let (status, _, text) = world
        .ask(
            "POST",
            "/volumes/create",
            &[("content-type", "application/json")],
            r#"{"Name":"data","Labels":{"a":"b"}}"#,
        )
        .await;
    assert_eq!(status, StatusCode::CREATED, "{text}");
    let (_, _, text) =
        world.ask("GET", "/v1.41/volumes?filters=%7B%22label%22%3A%7B%22a%3Db%22%3Atrue%7D%7D", &[], "").await;
    assert!(text.contains("\"Name\":\"data\""), "{text}");
    assert_eq!(world.ask("DELETE", "/volumes/data", &[], "").await.0, StatusCode::NO_CONTENT);
    assert_eq!(world.ask("DELETE", "/volumes/data", &[], "").await.0, StatusCode::NOT_FOUND);
    assert_eq!(world.ask("DELETE", "/volumes/data?force=1", &[], "").await.0, StatusCode::NO_CONTENT);
}

//! `_ping`, `version`, `info`, `system/df`, `auth`, and the negotiation of versions.

use berth_blackbox::Engine;
use serde_json::json;

#[test]
fn ping_tells_what_clients_negotiate_by() {
    let engine = Engine::start();
    for answer in [engine.http().get("/_ping").expect(200), engine.http().head("/_ping").expect(200)] {
        let version = answer.header("api-version").expect("Api-Version").to_owned();
        assert!(version.starts_with("1."), "{version}");
        assert_eq!(answer.header("ostype"), Some("linux"));
        assert!(answer.header("cache-control").is_some_and(|value| value.contains("no-cache")));
    }
    assert_eq!(engine.http().get("/_ping").text(), "OK");
}

#[test]
fn version_and_info_have_what_clients_show() {
    let engine = Engine::start();
    let version = engine.http().get("/version").expect(200).json();
    for key in ["Version", "ApiVersion", "MinAPIVersion", "Os", "Arch", "KernelVersion"] {
        assert!(version[key].is_string(), "{key} in {version}");
    }
    assert!(version["Components"].as_array().is_some_and(|all| !all.is_empty()));
    let info = engine.http().get("/info").expect(200).json();
    assert_eq!(info["Images"], 1);
    assert_eq!((info["OSType"].as_str(), info["NCPU"].as_u64().is_some()), (Some("linux"), true));
    for key in [
        "ID",
        "Name",
        "Driver",
        "CgroupDriver",
        "CgroupVersion",
        "DockerRootDir",
        "KernelVersion",
        "OperatingSystem",
        "ServerVersion",
        "LoggingDriver",
    ] {
        assert!(info[key].is_string(), "{key} in {info}");
    }
    assert!(info["MemTotal"].as_u64().is_some_and(|bytes| bytes > 1 << 20));
    engine.run("it", &["sleep", "60"], json!({}));
    let info = engine.http().get("/info").expect(200).json();
    assert_eq!(
        (info["Containers"].as_i64(), info["ContainersRunning"].as_i64(), info["ContainersStopped"].as_i64()),
        (Some(1), Some(1), Some(0))
    );
    assert!(engine.cli(&["info"]).ok().contains("Containers: 1"));
    assert!(engine.cli(&["version", "--format", "{{.Server.APIVersion}}"]).ok().starts_with("1."));
}

#[test]
fn df_adds_up() {
    let engine = Engine::start();
    engine.run(
        "it",
        &["sh", "-c", "head -c 100000 /dev/zero > /big; sleep 60"],
        json!({"HostConfig": {"Binds": ["vol:/v"]}}),
    );
    std::thread::sleep(std::time::Duration::from_millis(200));
    let usage = engine.http().get("/system/df").expect(200).json();
    assert!(usage["LayersSize"].as_i64().is_some_and(|size| size > 1_000_000), "{usage}");
    assert_eq!(
        (
            usage["Images"].as_array().map(Vec::len),
            usage["Containers"].as_array().map(Vec::len),
            usage["Volumes"].as_array().map(Vec::len)
        ),
        (Some(1), Some(1), Some(1))
    );
    assert_eq!(usage["Images"][0]["Containers"], 1);
    assert!(usage["Containers"][0]["SizeRw"].as_i64().is_some_and(|size| size >= 100_000), "{usage}");
    assert_eq!(usage["Volumes"][0]["UsageData"]["RefCount"], 1);
    let table = engine.cli(&["system", "df"]).ok();
    assert!(table.contains("Images") && table.contains("Local Volumes"), "{table}");
    engine.http().delete("/containers/it?force=1").expect(204);
    engine.http().delete("/volumes/vol").expect(204);
}

#[test]
fn old_and_new_versions_in_the_path_are_answered() {
    let engine = Engine::start();
    for version in ["v1.24", "v1.30", "v1.40", "v1.41"] {
        engine.http().get(&format!("/{version}/version")).expect(200);
        engine.http().get(&format!("/{version}/containers/json")).expect(200);
    }
}

#[test]
fn two_daemons_do_not_share_a_data_root() {
    let engine = Engine::start_empty(&[]);
    if engine.is_docker() {
        berth_blackbox::skip!("dockerd guards its pid file only");
    }
    let mut second = std::process::Command::new(berth_blackbox::engine::binary());
    let at = |name: &str| engine.place().join(name);
    second.arg("daemon").arg("-H").arg(format!("unix://{}", at("second.sock").display()));
    second.arg("--data-root").arg(at("data")).arg("--exec-root").arg(at("run2")).arg("--pidfile").arg(at("pid2"));
    let output = berth_blackbox::command::run(second, b"");
    output.fails("data");
    engine.http().get("/_ping").expect(200);
}

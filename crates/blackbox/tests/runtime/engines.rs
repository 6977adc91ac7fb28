//! Engines of others that drive the runtime.

use std::os::unix::fs::PermissionsExt;

use berth_blackbox::{Engine, Kind, command, skip};
use serde_json::json;

/// A program that is the runtime and nothing else, as engines want it.
fn program(dir: &std::path::Path) -> String {
    let path = dir.join("berth-runtime");
    std::os::unix::fs::symlink(berth_blackbox::engine::binary(), &path).expect("a link");
    assert!(path.metadata().is_ok_and(|file| file.permissions().mode() & 0o111 != 0));
    path.display().to_string()
}

#[test]
fn dockerd_runs_its_containers_with_it() {
    if !command::is_installed("dockerd") {
        skip!("dockerd is not installed");
    }
    let dir = tempfile::tempdir().expect("a folder");
    let add = format!("berth={}", program(dir.path()));
    let mut engine =
        Engine::launch(Kind::Docker, "dockerd".into(), &["--add-runtime", &add, "--default-runtime", "berth"]);
    engine.import_busybox();
    let (code, output) = engine.run_to_end(&["sh", "-c", "echo out; id -u; exit 3"], json!({"User": "alice"}));
    assert_eq!((code, output.as_str()), (3, "out\n1000\n"));
    let id = engine.run("", &["sleep", "60"], json!({"HostConfig": {"PidsLimit": 40}}));
    assert_eq!(engine.inspect(&id)["HostConfig"]["Runtime"], "berth");
    assert_eq!(engine.cli(&["exec", &id, "echo", "inside"]).ok(), "inside");
    assert_eq!(engine.cli(&["exec", "-t", &id, "tty"]).ok(), "/dev/pts/0");
    assert_eq!(engine.cli(&["run", "--rm", "-t", "busybox", "tty"]).ok(), "/dev/pts/0");
    engine.http().post(&format!("/containers/{id}/pause")).expect(204);
    engine.http().post(&format!("/containers/{id}/unpause")).expect(204);
    assert!(engine.cli(&["top", &id]).ok().contains("sleep 60"));
    engine.cli(&["update", "--pids-limit", "30", &id]).ok();
    assert!(engine.cli(&["run", "--rm", "busybox", "nosuch"]).code(127).is_empty());
    engine.http().post(&format!("/containers/{id}/restart?t=0")).expect(204);
    engine.http().delete(&format!("/containers/{id}?force=1")).expect(204);
}

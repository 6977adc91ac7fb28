//! What travels between a container's mounts and the host's: propagation, ownership of filled volumes, read-only trees.

use std::process::Command;

use berth_blackbox::Engine;
use berth_blackbox::command::{self, Output};
use serde_json::{Value, json};

/// Runs a program among the daemon's mounts.
pub fn on_host(engine: &Engine, arguments: &[&str]) -> Output {
    let mut nsenter = Command::new("nsenter");
    nsenter.args(["--mount", "--target", &engine.daemon_pid().to_string(), "--"]).args(arguments);
    command::run(nsenter, b"")
}

/// A folder of the engine's place with a tmpfs of its own on it, in the daemon's mount namespace.
fn mounted(engine: &Engine, name: &str, kind: &str) -> String {
    let folder = engine.place().join(name);
    let folder = folder.display().to_string();
    on_host(engine, &["mkdir", "-p", &folder]).ok();
    on_host(engine, &["mount", "-t", "tmpfs", "tmpfs", &folder]).ok();
    on_host(engine, &["mount", kind, &folder]).ok();
    folder
}

#[test]
fn shared_binds_carry_mounts_both_ways() {
    let engine = Engine::start();
    let folder = mounted(&engine, "shared", "--make-shared");
    let script = "mkdir /x/inner; mount -t tmpfs none /x/inner; touch /x/inner/made; sleep 60";
    let settings = json!({"HostConfig": {"Privileged": true, "Binds": [format!("{folder}:/x:rshared")]}});
    let id = engine.run("", &["sh", "-c", script], settings);
    berth_blackbox::eventually("the container's mount on the host", 10, || {
        let seen = on_host(&engine, &["ls", &format!("{folder}/inner")]);
        seen.text().contains("made").then_some(())
    });
    on_host(&engine, &["mkdir", &format!("{folder}/outer")]).ok();
    on_host(&engine, &["mount", "-t", "tmpfs", "tmpfs", &format!("{folder}/outer")]).ok();
    on_host(&engine, &["touch", &format!("{folder}/outer/made")]).ok();
    assert_eq!(engine.cli(&["exec", &id, "ls", "/x/outer"]).ok(), "made");
    engine.http().delete(&format!("/containers/{id}?force=1")).expect(204);
    for part in ["inner", "outer", ""] {
        on_host(&engine, &["umount", &format!("{folder}/{part}")]);
    }
}

#[test]
fn shared_binds_of_private_mounts_are_refused() {
    let engine = Engine::start();
    let folder = mounted(&engine, "private", "--make-private");
    for (propagation, word) in [("rshared", "shared mount"), ("rslave", "shared or slave mount")] {
        let settings = json!({"HostConfig": {"Binds": [format!("{folder}:/x:{propagation}")]}});
        let id = engine.create("", &["true"], settings);
        let answer = engine.http().post(&format!("/containers/{id}/start"));
        assert!(answer.status >= 400, "{}", answer.status);
        let wanted = format!("path {folder} is mounted on {folder} but it is not a {word}");
        assert!(answer.message().contains(&wanted), "{}", answer.message());
    }
    on_host(&engine, &["umount", &folder]).ok();
}

#[test]
fn read_only_reaches_below_unless_told_otherwise() {
    let engine = Engine::start();
    let folder = mounted(&engine, "tree", "--make-private");
    let below = mounted(&engine, "tree/below", "--make-private");
    let run = |options: Value| {
        let mount = json!({"Type": "bind", "Source": folder, "Target": "/x", "ReadOnly": true, "BindOptions": options});
        let script = "touch /x/a; touch /x/below/a && echo below";
        engine.run_to_end(&["sh", "-c", script], json!({"HostConfig": {"Mounts": [mount]}})).1
    };
    if !engine.is_docker() {
        assert!(!run(json!({})).contains("below\n"), "docker 25 and later; Debian's is older");
    }
    assert!(run(json!({"ReadOnlyNonRecursive": true})).contains("below\n"));
    on_host(&engine, &["umount", &below]).ok();
    on_host(&engine, &["umount", &folder]).ok();
}

#[test]
fn a_filled_volume_has_the_directorys_owner_and_mode() {
    let engine = Engine::start();
    let script = "mkdir -p /srv/own && touch /srv/own/f && chown 1000:77 /srv/own && chmod 2770 /srv/own";
    let id = engine.run("", &["sh", "-c", script], json!({}));
    assert_eq!(engine.wait(&id), 0);
    engine.http().post(&format!("/commit?container={id}&repo=owned")).expect(201);
    engine.http().delete(&format!("/containers/{id}")).expect(204);
    let settings = json!({"Image": "owned", "HostConfig": {"Binds": ["filled:/srv/own"]}});
    let (_, text) = engine.run_to_end(&["stat", "-c", "%u:%g %a", "/srv/own"], settings);
    assert_eq!(text, "1000:77 2770\n");
    engine.http().delete("/volumes/filled").expect(204);
    engine.http().delete("/images/owned").expect(200);
}

//! The engine's program, reached from a container through `/proc/<pid>/exe`.

use serde_json::{Value, json};

use crate::arena::{Arena, Verdict, attack, breached_if};
use crate::held;

/// What the probe said about the program that it has got hold of.
fn judge(way: &str, said: &str) -> Verdict {
    let said = said.lines().last().unwrap_or_default();
    assert_ne!(said, "nothing", "{way}: the attacker has seen no program of the engine");
    // EROFS, EACCES, EPERM; a program that is merely busy (ETXTBSY) will not be for ever.
    let refused = ["refused 30", "refused 13", "refused 1"].contains(&said);
    breached_if(!refused, format!("{way}: the program can be written to: {said}"))
}

/// A process of the engine's is made to execute its own program inside of the container, where the attacker waits.
fn from_engine(arena: &Arena, way: &str, host: &Value) -> Verdict {
    let place = tempfile::tempdir().expect("a folder");
    let engine = arena.engine_of(arena.copy_of_binary(place.path()), &[]);
    let id = engine.run("", &["probe", "grab", "30"], json!({"HostConfig": host}));
    for _ in 0..40 {
        engine.cli(&["exec", &id, "/proc/self/exe", "hello"]);
        if engine.inspect(&id)["State"]["Running"] != true {
            break;
        }
    }
    engine.wait(&id);
    judge(way, &engine.logs(&id).0)
}

#[test]
fn cve_2019_5736_binary_overwrite() {
    attack(&["sealed-program"], |arena| {
        held!(from_engine(arena, "default", &json!({})));
        held!(from_engine(arena, "--userns=host", &json!({"UsernsMode": "host"})));
        from_engine(arena, "--privileged", &json!({"UsernsMode": "host", "Privileged": true}))
    });
}

#[test]
fn cve_2019_5736_binary_overwrite_with_userns_of_the_host() {
    attack(&["sealed-program"], |arena| from_engine(arena, "--userns=host", &json!({"UsernsMode": "host"})));
}

#[test]
fn cve_2019_5736_binary_overwrite_when_privileged() {
    let host = json!({"UsernsMode": "host", "Privileged": true});
    attack(&["sealed-program"], |arena| from_engine(arena, "--privileged", &host));
}

#[test]
fn cve_2019_5736_binary_overwrite_of_the_runtime() {
    attack(&["sealed-program"], |arena| {
        let place = tempfile::tempdir().expect("a folder");
        let copy = arena.copy_of_binary(place.path());
        let size = || std::fs::metadata(&copy).expect("the program").len();
        let before = size();
        let bundle = arena.bundle_of(copy.clone(), "exec probe grab 30");
        let (made, log) = bundle.create(&[]);
        assert!(made, "{log}");
        bundle.call(&["start", &bundle.id()]).ok();
        for _ in 0..40 {
            // Once it is overwritten the call fails in any way there is.
            let mut call = bundle.command(&["exec", &bundle.id(), "/proc/self/exe", "hello"]);
            call.output().ok();
            if size() != before || bundle.output().lines().count() > 1 {
                break;
            }
        }
        if size() != before {
            // What is left of it cannot clean up after itself.
            std::fs::remove_file(&copy).expect("the spoiled program");
            arena.copy_of_binary(place.path());
            return Verdict::Breached(String::from("the program was overwritten"));
        }
        bundle.await_status("stopped");
        judge("berth runtime", &bundle.output())
    });
}

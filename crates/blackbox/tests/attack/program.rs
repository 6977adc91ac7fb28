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
        // Only the victim's program is at stake; another file of the same build looks after the container.
        let bundle = arena.bundle("exec probe grab 30");
        let (made, log) = bundle.create(&[]);
        assert!(made, "{log}");
        bundle.call(&["start", &bundle.id()]).ok();
        for _ in 0..40 {
            let call = bundle.command(&["exec", &bundle.id(), "/proc/self/exe", "hello"]);
            let mut victim = std::process::Command::new(&copy);
            victim.args(call.get_args()).envs(call.get_envs().filter_map(|(name, value)| Some((name, value?))));
            // Once the program is overwritten this fails in any way there is.
            victim.output().ok();
            // While it runs it is busy; the attacker waits for the moment after.
            std::thread::sleep(std::time::Duration::from_millis(600));
            if bundle.status() != "running" {
                break;
            }
        }
        bundle.await_status("stopped");
        held!(breached_if(size() != before, "the program was overwritten"));
        judge("berth runtime", &bundle.output())
    });
}

//! What an image or a volume puts where the kernel's own file systems belong.

use berth_blackbox::busybox;
use serde_json::{Value, json};

use crate::arena::{Arena, Verdict, attack, breached_if, rootfs};
use crate::held;

/// A bundle whose list of mounts lacks those at these places.
fn without_mounts(spec: &mut Value, places: &[&str]) {
    let mounts = spec["mounts"].as_array_mut().expect("a list");
    mounts.retain(|mount| !places.iter().any(|place| mount["destination"] == *place));
}

/// The image has a link in the place of a directory that the kernel's file system is mounted on.
fn with_link(arena: &Arena, place: &str) -> Verdict {
    let bundle = arena.bundle("echo running");
    let inside = bundle.inside(place);
    std::fs::remove_dir_all(&inside).expect("the folder");
    std::fs::create_dir(bundle.inside("elsewhere")).expect("a folder");
    std::os::unix::fs::symlink("/elsewhere", &inside).expect("a link");
    let output = bundle.run();
    breached_if(output.text().contains("running"), format!("a container runs whose /{place} is a link"))
}

#[test]
fn cve_2019_19921_proc_is_a_link() {
    attack(&["plain-proc"], |arena| with_link(arena, "proc"));
}

#[test]
fn cve_2023_27561_sys_is_a_link() {
    attack(&["plain-proc"], |arena| with_link(arena, "sys"));
}

#[test]
fn cve_2019_16884_volume_at_proc() {
    attack(&["plain-proc"], |arena| {
        for place in ["/proc", "/proc/self/attr", "/proc/sys"] {
            let mut bundle = arena.bundle("echo running");
            let volume = bundle.path("volume");
            std::fs::create_dir_all(volume.join("self/attr")).expect("folders");
            let mounts = bundle.spec["mounts"].as_array_mut().expect("a list");
            mounts.push(json!({"destination": place, "type": "bind", "source": volume, "options": ["rbind"]}));
            held!(breached_if(bundle.run().text().contains("running"), format!("a volume lies at {place}")));
        }
        // Through a link, too.
        let mut bundle = arena.bundle("echo running");
        std::os::unix::fs::symlink("/proc/sys", bundle.inside("innocent")).expect("a link");
        let source = bundle.path("volume");
        std::fs::create_dir(&source).expect("a folder");
        let mounts = bundle.spec["mounts"].as_array_mut().expect("a list");
        mounts.push(json!({"destination": "/innocent", "type": "bind", "source": source, "options": ["bind"]}));
        held!(breached_if(bundle.run().text().contains("running"), "a link led a volume into /proc"));
        let engine = arena.engine();
        let id = engine.create("", &["true"], json!({"HostConfig": {"Binds": ["data:/proc"]}}));
        let answer = engine.http().post(&format!("/containers/{id}/start"));
        engine.http().delete(&format!("/containers/{id}?force=1")).expect(204);
        engine.http().delete("/volumes/data").expect(204);
        breached_if(answer.status == 204, "a volume lies at /proc")
    });
}

#[test]
fn cve_2026_41579_dev_is_a_link() {
    attack(&["plain-dev"], |arena| {
        for target in ["/etc", "../../../../../../etc", &arena.canary.text()] {
            let engine = arena.engine();
            let image = rootfs(|archive| busybox::link(archive, "dev", target));
            engine.import("attacker:latest", &image, &["ENV PATH=/bin"]);
            let id = engine.create("", &["ls", "/etc/"], json!({"Image": "attacker"}));
            let answer = engine.http().post(&format!("/containers/{id}/start"));
            engine.http().delete(&format!("/containers/{id}?force=1")).expect(204);
            engine.http().delete("/images/attacker?force=1").expect(200);
            held!(breached_if(answer.status == 204, format!("a container runs whose /dev is a link to {target}")));
        }
        Verdict::Held
    });
}

#[test]
fn cve_2025_31133_null_device() {
    attack(&["null-device"], |arena| {
        let mut bundle = arena.bundle("stat -L -c '%F %t:%T' /proc/keys; cat /proc/keys");
        // The image's own /dev is used, and what it calls null is another file.
        without_mounts(&mut bundle.spec, &["/dev", "/dev/pts", "/dev/shm", "/dev/mqueue"]);
        std::os::unix::fs::symlink("/etc/passwd", bundle.inside("dev/null")).expect("a link");
        bundle.spec["linux"]["maskedPaths"] = json!(["/proc/keys"]);
        bundle.spec["linux"]["readonlyPaths"] = json!([]);
        let output = bundle.run().ok();
        breached_if(!output.starts_with("character special file 1:3"), format!("the mask is {output}"))
    });
}

#[test]
fn cve_2025_52565_console_race() {
    attack(&["console-descriptor"], |arena| {
        let engine = arena.engine();
        // Another container has the same folder as its volume, and changes what the new one is about to use.
        let accomplice = "mkdir -p /shared/fake /shared/pts; ln -s /etc/passwd /shared/fake/0;
            echo ready; exec probe swap 0 /shared/pts /shared/fake";
        let other = engine.run("", &["sh", "-c", accomplice], json!({"HostConfig": {"Binds": ["dev:/shared"]}}));
        berth_blackbox::eventually("the swaps begin", 10, || engine.logs(&other).0.contains("ready").then_some(()));
        let victim = || {
            let settings = json!({"Tty": true, "HostConfig": {"Binds": ["dev:/dev"]}});
            let id = engine.create("", &["stat", "-L", "-c", "console %t:%T", "/dev/console"], settings);
            let started = engine.http().post(&format!("/containers/{id}/start")).status == 204;
            let text = if started { engine.wait(&id).to_string() + &console_log(&engine, &id) } else { String::new() };
            engine.http().delete(&format!("/containers/{id}?force=1")).expect(204);
            // The terminal is the first of its devpts: 136:0.
            breached_if(started && !text.contains("console 88:0"), format!("/dev/console is another file: {text}"))
        };
        for _ in 0..if crate::arena::is_full() { 200 } else { 12 } {
            held!(victim());
        }
        engine.http().delete(&format!("/containers/{other}?force=1")).expect(204);
        let link = ["sh", "-c", "rm -f /shared/console; ln -s /etc/group /shared/console"];
        engine.run_to_end(&link, json!({"HostConfig": {"Binds": ["dev:/shared"]}}));
        let settings = json!({"Tty": true, "HostConfig": {"Binds": ["dev:/dev"]}});
        let id = engine.create("", &["sleep", "60"], settings);
        let answer = engine.http().post(&format!("/containers/{id}/start"));
        println!("a link at /dev/console: {} {}", answer.status, answer.message());
        let started = answer.status == 204;
        engine.http().delete(&format!("/containers/{id}?force=1")).expect(204);
        engine.http().delete("/volumes/dev").expect(204);
        breached_if(started, "the terminal was mounted where a link led")
    });
}

/// The log of a container with a terminal.
fn console_log(engine: &berth_blackbox::Engine, id: &str) -> String {
    engine.http().get(&format!("/containers/{id}/logs?stdout=1")).expect(200).text()
}

#[test]
fn cve_2025_52881_redirected_proc_writes() {
    attack(&["proc-writes"], |arena| {
        let mut bundle = arena.bundle("cat /redirected");
        // Without a proc file system the image's own files are there.
        without_mounts(&mut bundle.spec, &["/proc"]);
        bundle.spec["linux"]["maskedPaths"] = json!([]);
        bundle.spec["linux"]["readonlyPaths"] = json!([]);
        bundle.spec["linux"]["sysctl"] = json!({"kernel.domainname": "swallowed"});
        std::fs::create_dir_all(bundle.inside("proc/sys/kernel")).expect("folders");
        std::fs::write(bundle.inside("redirected"), "untouched").expect("a file");
        std::os::unix::fs::symlink("/redirected", bundle.inside("proc/sys/kernel/domainname")).expect("a link");
        let output = bundle.run();
        let written = std::fs::read_to_string(bundle.inside("redirected")).expect("the file");
        breached_if(written != "untouched", format!("a setting went into a file: {written} {}", output.text()))
    });
}

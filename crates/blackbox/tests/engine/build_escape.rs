//! Escapes that other builders had, by their numbers: each one tried beside a canary on the host.

use std::path::PathBuf;

use berth_blackbox::Engine;
use serde_json::json;

use crate::build_basic::folder;

/// What no build may see.
const SECRET: &str = "the host's own words";

/// A folder of the host with something alive in it, an empty file and an empty folder.
struct Canary(PathBuf);

impl Canary {
    fn put(engine: &Engine) -> Self {
        let place = engine.place().join("canary");
        std::fs::create_dir_all(place.join("empty-folder")).expect("create");
        std::fs::write(place.join("alive"), SECRET).expect("write");
        std::fs::write(place.join("empty-file"), "").expect("write");
        Self(place)
    }

    fn path(&self) -> String {
        self.0.display().to_string()
    }

    /// Nothing was read into `said`, nothing was changed.
    fn check(&self, said: &str) {
        assert!(!said.contains(SECRET), "it was read: {said}");
        assert_eq!(std::fs::read_to_string(self.0.join("alive")).expect("it lives"), SECRET);
        let mut names: Vec<_> =
            std::fs::read_dir(&self.0).expect("read").flatten().map(|entry| entry.file_name()).collect();
        names.sort();
        assert_eq!(names, ["alive", "empty-file", "empty-folder"]);
    }
}

fn build(engine: &Engine, text: &str) -> String {
    let path = folder(engine, "ctx", &[("Dockerfile", text), ("data", "data\n")]);
    let built = engine.berth(&["build", "--no-cache", "--progress=plain", &path]);
    format!("{}{}", String::from_utf8_lossy(&built.stdout), built.stderr)
}

/// BuildKit: two steps that share a cache mount race its `source` against a link.
#[test]
fn cve_2024_23651_a_cache_mount_leads_nowhere() {
    let engine = Engine::start();
    let canary = Canary::put(&engine);
    let place = canary.path();
    let text = format!(
        "FROM busybox AS evil\nRUN mkdir -p /t && ln -s {place} /t/link\nFROM busybox\n\
         RUN --mount=type=cache,id=b,from=evil,source=/t/link,target=/m cat /m/alive; rm -rf /m/*; true\n"
    );
    canary.check(&build(&engine, &text));
    let text = format!(
        "FROM busybox AS swap\nRUN --mount=type=cache,id=race,target=/c for i in $(seq 200); do \
         rm -rf /c/sub; mkdir /c/sub; rm -rf /c/sub; ln -s {place} /c/sub; done\n\
         FROM busybox AS one\nRUN --mount=type=cache,id=race,target=/c --mount=type=cache,id=race,target=/m/sub for i in $(seq 100); do cat /c/sub/alive /m/sub/sub/alive; done; true\n\
         FROM busybox\nCOPY --from=swap /etc/passwd /x\nCOPY --from=one /etc/passwd /y\n"
    );
    for _ in 0..3 {
        canary.check(&build(&engine, &text));
    }
}

/// BuildKit: the place made for a mount is taken away again, through a link that the step put there.
#[test]
fn cve_2024_23652_no_mount_point_of_the_host_is_removed() {
    let engine = Engine::start();
    let canary = Canary::put(&engine);
    let place = canary.path();
    let text = format!(
        "FROM busybox\n\
         RUN --mount=type=tmpfs,target=/a/empty-folder umount /a/empty-folder; rm -rf /a; ln -s {place} /a; true\n\
         RUN --mount=type=bind,source=data,target=/b/empty-file umount /b/empty-file; rm -rf /b; ln -s {place} /b; true\n\
         RUN --mount=type=secret,id=no,target=/c/empty-file rm -rf /c; ln -s {place} /c; true\n"
    );
    canary.check(&build(&engine, &text));
    // The same with the rights to unmount.
    let path =
        folder(&engine, "ctx", &[("Dockerfile", &text.replace("RUN --mount", "RUN --security=insecure --mount"))]);
    let built = engine.berth(&["build", "--no-cache", "--allow=security.insecure", &path]);
    canary.check(&built.stderr);
}

/// Buildah: the source of a bind mount is a link of the image to the host's root.
#[test]
fn cve_2024_1753_a_bind_mount_of_an_image_stays_in_it() {
    let engine = Engine::start();
    let canary = Canary::put(&engine);
    let place = canary.path();
    let text = format!(
        "FROM busybox AS evil\nRUN ln -s / /root-link && ln -s {place} /canary-link && ln -s {place}/alive /file-link\n\
         FROM busybox\n\
         RUN --mount=type=bind,from=evil,source=/root-link,target=/p,rw cat /p{place}/alive; echo dead > /p{place}/alive; true\n"
    );
    canary.check(&build(&engine, &text));
    for source in ["/canary-link", "/file-link", "/root-link/../.."] {
        let text = format!(
            "FROM busybox AS evil\nRUN ln -s / /root-link && ln -s {place} /canary-link && ln -s {place}/alive /file-link\n\
             FROM busybox\nRUN --mount=type=bind,from=evil,source={source},target=/p,rw cat /p/alive /p; rm -rf /p/*; true\n"
        );
        canary.check(&build(&engine, &text));
    }
}

/// Buildah: options of a mount reach the kernel unread.
#[test]
fn cve_2024_9407_options_of_mounts_are_known_ones() {
    let engine = Engine::start();
    let canary = Canary::put(&engine);
    let place = canary.path();
    for options in [
        format!("type=bind,source=data,target=/p,bind-propagation=shared:{place}"),
        format!("type=bind,source=data,target=/p,rshared,upperdir={place}"),
        format!("type=bind,source={place}/../../../../../..{place},target=/p,rw"),
        format!("type=tmpfs,target=/p,size=1m:upperdir={place}"),
        format!("type=cache,target=/p,id=../../../../../../../..{place}"),
        format!("type=cache,target=/p,id={place},sharing=evil"),
    ] {
        let text = format!("FROM busybox\nRUN --mount={options} cat /p/alive; rm -rf /p/*; true\n");
        canary.check(&build(&engine, &text));
    }
}

/// Buildah: a stage changes the source of another stage's bind mount while both run.
#[test]
fn cve_2024_11218_stages_that_run_at_once_reach_nothing() {
    let engine = Engine::start();
    let canary = Canary::put(&engine);
    let place = canary.path();
    let text = format!(
        "FROM busybox AS a\nRUN --mount=type=cache,id=x,target=/c for i in $(seq 300); do rm -rf /c/d; ln -s {place} /c/d; rm -f /c/d; mkdir /c/d; done\n\
         FROM busybox AS b\nRUN --mount=type=cache,id=x,target=/c --mount=type=bind,source=.,target=/c/d,rw for i in $(seq 100); do cat /c/d/alive; done; true\n\
         FROM busybox AS c\nRUN --mount=type=cache,id=x,target=/c --mount=type=tmpfs,target=/c/d for i in $(seq 100); do cat /c/d/alive; done; true\n\
         FROM busybox\nCOPY --from=a /etc/passwd /a\nCOPY --from=b /etc/passwd /b\nCOPY --from=c /etc/passwd /c\n"
    );
    for _ in 0..3 {
        canary.check(&build(&engine, &text));
    }
}

/// BuildKit: names in messages of a frontend, or of a client, become paths of the engine.
#[test]
fn cve_2026_33747_names_in_messages_are_no_paths() {
    let engine = Engine::start();
    let canary = Canary::put(&engine);
    let place = canary.path();
    let http = engine.http();
    for path in ["../../../../etc/x", &format!("{place}/alive"), "a/../../x", "", "."] {
        let list = json!([{ "path": path, "mode": 0o100_644, "size": 4, "mtime_ns": 0 }]);
        let key = format!("../../..{place}");
        let answer = http.post_json(&format!("/berth/build/context?key={key}"), &list);
        assert_eq!(answer.status, 400, "{path:?}: {}", answer.text());
    }
    for path in [format!("../../../../../..{place}/alive"), format!("{place}/alive"), "../x".to_owned()] {
        let query = path.replace('/', "%2F");
        let archive = berth_blackbox::busybox::files(&[("Dockerfile", b"FROM busybox\n")]);
        let answer = http.request(
            "POST",
            &format!("/build?dockerfile={query}"),
            &[("Content-Type", "application/x-tar")],
            &archive,
        );
        assert!(answer.status >= 400, "{path}: {}", answer.text());
        canary.check(&answer.text());
        for verb in ["cache", "history"] {
            let answer = http.get(&format!("/berth/build/{verb}/{query}"));
            assert!(answer.status >= 400, "{verb} {path}");
            canary.check(&answer.text());
        }
    }
    // An image may name another frontend: it is not run.
    let text = "# syntax=evil/frontend\nFROM busybox\nRUN echo own\n";
    canary.check(&build(&engine, text));
}

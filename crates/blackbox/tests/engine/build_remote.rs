//! Builds that bring something from elsewhere: files of the web, repositories, contexts by their address.

use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};

use berth_blackbox::{Engine, busybox, command, eventually, skip};

use crate::build_basic::folder;

/// A server of files in the engine's network namespace, with a log of what was asked for.
struct Files {
    server: Child,
    root: PathBuf,
    log: PathBuf,
}

impl Files {
    fn start(engine: &Engine) -> Self {
        let (root, log) = (engine.place().join("www"), engine.place().join("www.log"));
        std::fs::create_dir_all(&root).expect("create");
        let mut server = engine.neighbour("python3");
        server.args(["-m", "http.server", "8000", "--bind", "127.0.0.1", "--directory"]).arg(&root);
        let log_file = std::fs::File::create(&log).expect("create");
        server.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log_file);
        let server = server.spawn().expect("the server starts");
        eventually("the server listens", 10, || {
            let probe = engine.host(&["bash", "-c", "exec 3<>/dev/tcp/127.0.0.1/8000"]);
            (probe.code == 0).then_some(())
        });
        Self { server, root, log }
    }

    fn put(&self, path: &str, bytes: &[u8]) {
        let path = self.root.join(path);
        std::fs::create_dir_all(path.parent().expect("a folder above")).expect("create");
        std::fs::write(path, bytes).expect("write");
    }

    fn log(&self) -> String {
        std::fs::read_to_string(&self.log).expect("read")
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

fn has(programs: &[&str]) -> bool {
    programs.iter().all(|program| command::is_installed(program))
}

const ADD: &str = "FROM busybox\n\
    ADD http://127.0.0.1:8000/hello.txt /d/\n\
    ADD --checksum=sha256:5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03 --chmod=644 http://127.0.0.1:8000/hello.txt?x=1 /e/named\n\
    ADD --unpack=true http://127.0.0.1:8000/app.tar /app/\n\
    ADD http://127.0.0.1:8000/app.tar /raw/\n\
    RUN stat -c '%a %Y %u' /d/hello.txt && cat /e/named /app/inside && ls /raw\n";

#[test]
fn files_of_the_web_are_added_once_and_checked() {
    if !has(&["python3", "bash"]) {
        skip!("python3 or bash is not installed");
    }
    let engine = Engine::start();
    let files = Files::start(&engine);
    files.put("hello.txt", b"hello\n");
    files.put("app.tar", &busybox::files(&[("inside", b"unpacked\n")]));
    engine.host(&["touch", "-d", "@1000000000", &files.root.join("hello.txt").display().to_string()]);
    let path = folder(&engine, "ctx", &[("Dockerfile", ADD)]);
    let built = engine.berth(&["build", "--progress=plain", &path]);
    assert_eq!(built.code, 0, "{}", built.stderr);
    for said in ["600 1000000000 0", " hello\n", " unpacked\n", " app.tar\n"] {
        assert!(built.stderr.contains(said), "{said}: {}", built.stderr);
    }
    // Again: the server says that nothing changed; what has a checksum is not asked for.
    let before = files.log().len();
    let again = engine.berth(&["build", "--progress=plain", &path]);
    assert_eq!(again.stderr.matches(" CACHED\n").count(), 6, "{}", again.stderr);
    let asked = files.log()[before..].to_owned();
    assert!(asked.contains("\"GET /hello.txt HTTP/1.1\" 304"), "{asked}");
    assert!(!asked.contains("x=1") && !asked.contains(" 200 "), "{asked}");
    // Another file: it is another step.
    files.put("hello.txt", b"other\n");
    let changed = engine.berth(&["build", "--progress=plain", "--explain", &path]);
    assert!(changed.stderr.contains("made: source http://127.0.0.1:8000/hello.txt changed"), "{}", changed.stderr);
    assert!(changed.stderr.contains(" hello\n"), "what has a checksum is what it was: {}", changed.stderr);
    for (text, said) in [
        ("FROM busybox\nADD http://127.0.0.1:8000/nothing /\n", "404"),
        ("FROM busybox\nADD http://127.0.0.1:1/x /\n", "127.0.0.1:1"),
        (
            "FROM busybox\nADD --checksum=sha256:5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03 http://127.0.0.1:8000/app.tar /\n",
            "digest mismatch",
        ),
        ("FROM busybox\nADD --checksum=md5:x http://127.0.0.1:8000/app.tar /\n", "Dockerfile:2: invalid checksum"),
    ] {
        let path = folder(&engine, "bad", &[("Dockerfile", text)]);
        let failed = engine.berth(&["build", &path]);
        assert!(failed.code != 0 && failed.stderr.contains(said), "{said}: {}", failed.stderr);
    }
}

/// Makes a repository with two commits, a tag and a branch; gives the first commit.
fn repository(engine: &Engine, place: &Path) -> String {
    let script = "set -e; git init -q -b main .; git config user.email a@b; git config user.name n; \
        mkdir sub; printf 'FROM busybox\\nCOPY f /f\\nRUN cat /f\\n' > sub/Dockerfile; echo one > sub/f; \
        printf 'FROM busybox\\nCOPY sub/f /f\\nRUN cat /f\\n' > Dockerfile; \
        ln -s /etc host; git add .; git commit -qm 1; git tag -a v1 -m v1; echo two > sub/f; git commit -qam 2; \
        git update-server-info; git rev-parse v1^{}";
    std::fs::create_dir_all(place).expect("create");
    let made = engine.host(&["bash", "-c", &format!("cd {} && {script}", place.display())]);
    assert_eq!(made.code, 0, "{made:?}");
    String::from_utf8_lossy(&made.stdout).trim().to_owned()
}

#[test]
fn repositories_are_contexts_and_sources() {
    if !has(&["python3", "bash", "git"]) {
        skip!("python3, bash or git is not installed");
    }
    let engine = Engine::start();
    let files = Files::start(&engine);
    let commit = repository(&engine, &files.root.join("work"));
    std::fs::rename(files.root.join("work/.git"), files.root.join("repo.git")).expect("rename");
    let place = "http://127.0.0.1:8000/repo.git";
    for (fragment, said) in
        [("", " two\n"), ("#v1", " one\n"), ("#main:sub", " two\n"), (&format!("#{commit}:sub"), " one\n")]
    {
        let built = engine.berth(&["build", "--no-cache", "--progress=plain", &format!("{place}{fragment}")]);
        assert!(built.code == 0 && built.stderr.contains(said), "{fragment}: {}", built.stderr);
    }
    let text = format!(
        "FROM busybox\nADD {place}#v1 /a\nADD --keep-git-dir=true {place} /b\nADD --checksum={commit} {place}?tag=v1&subdir=sub /c\n\
         RUN cat /a/sub/f /c/f; test ! -e /a/.git && test -d /b/.git && stat -c %u:%g /a/sub/f /b\n"
    );
    let path = folder(&engine, "ctx", &[("Dockerfile", &text)]);
    let built = engine.berth(&["build", "--progress=plain", &path]);
    assert!(built.code == 0 && built.stderr.matches(" 0:0\n").count() == 2, "{}", built.stderr);
    assert_eq!(built.stderr.matches(" one\n").count(), 2, "{}", built.stderr);
    let again = engine.berth(&["build", "--progress=plain", &path]);
    assert_eq!(again.stderr.matches(" CACHED\n").count(), 5, "{}", again.stderr);
    let canary = engine.place().join("canary");
    std::fs::write(&canary, "alive").expect("write");
    for (fragment, said) in [
        ("#main:host", "reached by a link"),
        ("#main:../..", "leads out"),
        ("#main:nothing", "no folder"),
        ("#nothing", "does not contain ref"),
        ("?checksum=0000000", "checksum"),
    ] {
        let failed = engine.berth(&["build", &format!("{place}{fragment}")]);
        assert!(failed.code != 0 && failed.stderr.contains(said), "{fragment}: {}", failed.stderr);
    }
    // The jail sees nothing of the engine's own.
    let hook = engine.berth(&["build", "ssh://-oProxyCommand=touch/x.git"]);
    assert!(hook.code != 0 && hook.stderr.contains("names no host"), "{}", hook.stderr);
    assert_eq!(std::fs::read_to_string(canary).expect("read"), "alive");
    let left = std::fs::read_dir(engine.place().join("data/build/remote")).expect("read");
    assert_eq!(left.flatten().filter(|entry| entry.file_name().to_string_lossy().starts_with("draft-")).count(), 0);
    // The cache knows them, and lets them go.
    let usage = engine.berth(&["builder", "du"]).ok();
    assert!(usage.contains("repo.git#"), "{usage}");
    engine.berth(&["builder", "prune", "-f", "--filter", "type=source.git.checkout"]).ok();
    let left = std::fs::read_dir(engine.place().join("data/build/remote")).expect("read");
    assert_eq!(left.flatten().filter(|entry| entry.file_name().to_string_lossy().starts_with("git-")).count(), 0);
}

/// BuildKit: the folder that an address names in a repository leads out of it.
#[test]
fn cve_2026_33748_a_folder_of_a_repository_stays_in_it() {
    if !has(&["python3", "bash", "git"]) {
        skip!("python3, bash or git is not installed");
    }
    let engine = Engine::start();
    let files = Files::start(&engine);
    let canary = engine.place().join("canary");
    std::fs::create_dir(&canary).expect("create");
    std::fs::write(canary.join("Dockerfile"), "FROM busybox\nRUN echo of-the-host\n").expect("write");
    let (work, canary) = (files.root.join("work"), canary.display().to_string());
    repository(&engine, &work);
    let script = format!(
        "set -e; cd {}; ln -s {canary} out; ln -s / root; mkdir deep; ln -s .. deep/up; ln -s {canary}/Dockerfile deep/Dockerfile; \
         git add .; git commit -qm links; git update-server-info; mv .git ../repo.git",
        work.display()
    );
    let made = engine.host(&["bash", "-c", &script]);
    assert_eq!(made.code, 0, "{made:?}");
    let place = "http://127.0.0.1:8000/repo.git";
    let up = "../../../../../../../..";
    let ways = [
        "out".to_owned(),
        format!("root{canary}"),
        "deep/up/..".to_owned(),
        format!("{up}{canary}"),
        canary.clone(),
        format!("sub/{up}{canary}"),
        format!("deep/up/up/{up}{canary}"),
        "deep".to_owned(),
    ];
    for way in &ways {
        let built = engine.berth(&["build", "--no-cache", "--progress=plain", &format!("{place}#main:{way}")]);
        assert!(built.code != 0 && !built.stderr.contains("of-the-host"), "{way}: {}", built.stderr);
    }
    for way in &ways[..ways.len() - 1] {
        let path = folder(
            &engine,
            "ctx",
            &[("Dockerfile", &format!("FROM busybox\nADD {place}#main:{way} /x\nRUN cat /x/Dockerfile\n"))],
        );
        let built = engine.berth(&["build", "--no-cache", "--progress=plain", &path]);
        assert!(built.code != 0 && !built.stderr.contains("of-the-host"), "ADD {way}: {}", built.stderr);
    }
}

#[test]
fn a_dockerfile_or_an_archive_at_an_address_is_a_context() {
    if !has(&["python3", "bash"]) {
        skip!("python3 or bash is not installed");
    }
    let engine = Engine::start();
    let files = Files::start(&engine);
    files.put("plain", b"FROM busybox\nRUN echo from-the-web\n");
    let text = b"FROM busybox\nCOPY data /\nRUN cat /data\n";
    files.put("ctx.tar", &busybox::files(&[("Dockerfile", text), ("data", b"packed\n")]));
    for (name, said) in [("plain", " from-the-web\n"), ("ctx.tar", " packed\n")] {
        let built = engine.berth(&["build", "--progress=plain", &format!("http://127.0.0.1:8000/{name}")]);
        assert!(built.code == 0 && built.stderr.contains(said), "{}", built.stderr);
    }
    let path = folder(&engine, "ctx", &[("Dockerfile", "FROM busybox\nCOPY --from=web data /\nRUN cat /data\n")]);
    let context = "web=http://127.0.0.1:8000/ctx.tar";
    let built = engine.berth(&["build", "--no-cache", "--progress=plain", "--build-context", context, &path]);
    assert!(built.code == 0 && built.stderr.contains(" packed\n"), "{}", built.stderr);
    // Docker's own API takes it as well.
    let answer = engine.http().post("/build?remote=http://127.0.0.1:8000/plain&q=1").expect(200).text();
    assert!(answer.contains("sha256:"), "{answer}");
}

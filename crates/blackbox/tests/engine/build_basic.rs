//! Builds through berth's own client: images that run, the cache and its reasons, what a failure leaves.

use berth_blackbox::Engine;

/// A folder with these files, below the engine's own place.
pub fn folder(engine: &Engine, name: &str, files: &[(&str, &str)]) -> String {
    let root = engine.place().join(name);
    for (path, text) in files {
        let path = root.join(path);
        std::fs::create_dir_all(path.parent().expect("a folder above")).expect("create");
        std::fs::write(path, text).expect("write");
    }
    root.display().to_string()
}

const DOCKERFILE: &str = "FROM busybox AS tool\nRUN echo made > /made\nFROM busybox AS unused\nRUN exit 9\n\
    FROM busybox\nENV WORD=hello\nWORKDIR /w\nCOPY --from=tool /made ./\nCOPY src src\n\
    COPY <<EOF /here\n$WORD\nEOF\nRUN cat src/f /here > all\nUSER 7\nCMD [\"cat\", \"/w/all\", \"made\"]\n";

#[test]
fn stages_files_and_commands_become_an_image_that_runs() {
    let engine = Engine::start();
    let path = folder(&engine, "ctx", &[("Dockerfile", DOCKERFILE), ("src/f", "file\n"), (".dockerignore", "x\n")]);
    engine.berth(&["build", "-q", "-t", "one:x", &path]).ok();
    assert_eq!(engine.berth(&["run", "--rm", "one:x"]).ok(), "file\nhello\nmade");
    let image = engine.http().get("/images/one:x/json").expect(200).json();
    assert_eq!((image["Config"]["User"].as_str(), image["Config"]["WorkingDir"].as_str()), (Some("7"), Some("/w")));
}

#[test]
fn what_did_not_change_is_not_made_again_and_what_did_is_named() {
    let engine = Engine::start();
    let path = folder(&engine, "ctx", &[("Dockerfile", DOCKERFILE), ("src/f", "file\n")]);
    let first = engine.berth(&["build", "-q", &path]).ok();
    assert_eq!(engine.berth(&["build", "-q", &path]).ok(), first, "the same image");
    folder(&engine, "ctx", &[("src/f", "other\n")]);
    let again = engine.berth(&["build", "--explain", "--progress=plain", &path]);
    assert!(again.stderr.contains("file src/f changed"), "{}", again.stderr);
    assert_eq!(again.stderr.matches(" CACHED\n").count(), 5, "{}", again.stderr);
}

#[test]
fn a_failing_command_ends_the_build_and_leaves_nothing() {
    let engine = Engine::start();
    let path = folder(&engine, "ctx", &[("Dockerfile", "FROM busybox\nRUN echo said; exit 7\n")]);
    let failed = engine.berth(&["build", "-t", "bad", &path]);
    assert!(
        failed.stderr.contains("said") && failed.stderr.contains("returned a non-zero code: 7"),
        "{}",
        failed.stderr
    );
    engine.http().get("/images/bad/json").expect(404);
    let left = std::fs::read_dir(engine.place().join("data/build/work")).map_or(0, Iterator::count);
    assert_eq!(left, 0, "no folder of the build stays");
}

#[test]
fn a_context_reaches_nothing_of_the_host() {
    let engine = Engine::start();
    let canary = engine.place().join("canary");
    std::fs::write(&canary, "alive").expect("write");
    let text =
        "FROM busybox\nRUN ln -s / /host\nCOPY esc /host/tmp/esc\nRUN --mount=type=bind,source=esc,target=/m cat /m\n";
    let path = folder(&engine, "ctx", &[("Dockerfile", text)]);
    std::os::unix::fs::symlink(&canary, std::path::Path::new(&path).join("esc")).expect("link");
    let failed = engine.berth(&["build", &path]);
    assert!(failed.stderr.contains("ERROR") && !failed.stderr.contains("alive"), "{}", failed.stderr);
    assert_eq!(std::fs::read_to_string(canary).expect("read"), "alive");
}

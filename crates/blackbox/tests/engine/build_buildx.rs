//! Docker's own clients of builds, unchanged, with this engine as their BuildKit: the buildx plugin, and Compose.

use std::path::{Path, PathBuf};

use berth_blackbox::command::{Output, is_installed, run};
use berth_blackbox::{Engine, Kind, skip};

use super::build_basic::folder;

const DOCKERFILE: &str = "FROM busybox AS tool\nARG WORD=none\nRUN --mount=type=secret,id=token \
    cat /run/secrets/token > /made; echo $WORD >> /made\nFROM busybox\nCOPY --from=tool /made /made\n\
    COPY file /file\nCMD [\"cat\", \"/made\", \"/file\"]\n";
/// Where plugins of the docker command lie.
const PLUGINS: &[&str] =
    &["/usr/libexec/docker/cli-plugins", "/usr/lib/docker/cli-plugins", "/usr/local/lib/docker/cli-plugins"];

/// The plugin: the file that `BERTH_TEST_BUILDX` names, or the system's.
fn plugin() -> Option<PathBuf> {
    let named = std::env::var_os("BERTH_TEST_BUILDX").map(PathBuf::from);
    named.or_else(|| PLUGINS.iter().map(|folder| Path::new(folder).join("docker-buildx")).find(|path| path.exists()))
}

/// An engine with the plugin in its clients' configuration; none, and why, where this cannot be.
fn start() -> Result<(Engine, PathBuf), &'static str> {
    let plugin = plugin().ok_or("docker-buildx is not installed")?;
    if !is_installed("docker") {
        return Err("the docker command is not installed");
    }
    let engine = Engine::start();
    if engine.kind() != Kind::Berth {
        return Err("this is about berth's own door");
    }
    let plugins = engine.place().join("config/cli-plugins");
    std::fs::create_dir(&plugins).expect("a folder for plugins");
    std::os::unix::fs::symlink(&plugin, plugins.join("docker-buildx")).expect("a link");
    Ok((engine, plugin))
}

fn buildx(engine: &Engine, arguments: &[&str]) -> Output {
    let all: Vec<&str> = ["buildx", "build", "--progress=plain"].into_iter().chain(arguments.iter().copied()).collect();
    run(engine.client(Path::new("docker"), &all), b"")
}

#[test]
fn buildx_takes_the_engine_for_its_buildkit() {
    let (engine, _) = match start() {
        Ok(started) => started,
        Err(why) => skip!("{why}"),
    };
    let context = folder(&engine, "ctx", &[("Dockerfile", DOCKERFILE), ("file", "file\n"), ("token", "s3cret\n")]);
    let at = |name: &str| engine.place().join(name).display().to_string();
    let secret = format!("id=token,src={context}/token");
    let build = |more: &[&str]| {
        let all: Vec<&str> = ["--secret", &secret, &context].into_iter().chain(more.iter().copied()).collect();
        buildx(&engine, &all)
    };
    build(&["-t", "one:x", "--build-arg", "WORD=hello", "--label", "a=b"]).ok();
    assert_eq!(engine.berth(&["run", "--rm", "one:x"]).ok(), "s3cret\nhello\nfile");

    build(&["-o", &format!("type=local,dest={}", at("local"))]).ok();
    assert_eq!(std::fs::read_to_string(at("local/made")).expect("a file of the result"), "s3cret\nnone\n");
    build(&["-o", &format!("type=tar,dest={}", at("result.tar"))]).ok();
    assert!(std::fs::metadata(at("result.tar")).expect("an archive").len() > 4096);

    // Both attestations stand in the layout's index, beside the image.
    let attested = format!("type=oci,dest={}", at("oci.tar"));
    build(&["--sbom=true", "--provenance=mode=max", "-o", &attested]).ok();
    let layout = std::fs::read(at("oci.tar")).expect("a layout");
    let holds = |text: &str| layout.windows(text.len()).any(|window| window == text.as_bytes());
    assert!(
        holds("attestation-manifest") && holds("https://spdx.dev/Document") && holds("https://slsa.dev/provenance")
    );

    a_cache_lies_at_the_client(&engine, &build, &at("cache"));
    build(&["--cache-to", "type=azblob,name=x"]).fails("azblob");
    build(&["-o", "type=image,name=x,compression=estargz"]).fails("compression");
}

/// `--cache-to type=local` and back.
fn a_cache_lies_at_the_client(engine: &Engine, build: &dyn Fn(&[&str]) -> Output, place: &str) {
    build(&["--cache-to", &format!("type=local,dest={place},mode=max")]).ok();
    let index = std::fs::read_to_string(Path::new(place).join("index.json")).expect("an index");
    assert!(index.contains("latest"), "{index}");
    engine.berth(&["builder", "prune", "-a", "-f"]).ok();
    engine.berth(&["image", "prune", "-f"]).ok();
    let known = build(&["--cache-from", &format!("type=local,src={place}")]);
    known.ok();
    let cached = known.stderr.lines().filter(|line| line.ends_with(" CACHED")).count();
    // Two bases, a command, two copies.
    assert_eq!(cached, 5, "{}", known.stderr);
    // Once more into the same folder: the client has all of it.
    build(&["--cache-to", &format!("type=local,dest={place},mode=max")]).ok();
}

#[test]
fn compose_builds_and_runs() {
    let (engine, plugin) = match start() {
        Ok(started) => started,
        Err(why) => skip!("{why}"),
    };
    let beside = plugin.with_file_name("docker-compose");
    let compose = std::env::var_os("BERTH_TEST_COMPOSE").map(PathBuf::from).or(beside.exists().then_some(beside));
    let Some(compose) = compose else { skip!("Docker Compose is not installed") };
    let text = "services:\n  one:\n    image: composed:x\n    network_mode: none\n    build:\n      context: .\n      \
        args: {WORD: composed}\n      secrets: [token]\nsecrets:\n  token: {file: ./token}\n";
    let files = [("Dockerfile", DOCKERFILE), ("file", "file\n"), ("token", "s3cret\n"), ("compose.yaml", text)];
    let context = folder(&engine, "ctx", &files);
    let call = |arguments: &[&str]| {
        let mut command = std::process::Command::new(&compose);
        command
            .args(["--file", &format!("{context}/compose.yaml"), "--project-name", "composed"])
            .args(arguments)
            .env("DOCKER_HOST", format!("unix://{}", engine.socket().display()))
            .env("DOCKER_CONFIG", engine.place().join("config"))
            .env("HOME", engine.place());
        run(command, b"")
    };
    let built = call(&["build"]);
    if let Some(wants) = built.stderr.lines().find(|line| line.contains("requires buildx")) {
        skip!("this Compose goes with another buildx: {wants}");
    }
    built.ok();
    assert_eq!(engine.berth(&["run", "--rm", "composed:x"]).ok(), "s3cret\ncomposed\nfile");
    let up = call(&["up", "--no-color"]);
    up.ok();
    let up = format!("{}{}", up.text(), up.stderr);
    assert!(up.contains("s3cret") && up.contains("exited with code 0"), "{up}");
    call(&["down"]).ok();
}

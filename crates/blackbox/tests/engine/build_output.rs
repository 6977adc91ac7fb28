//! What becomes of a build: caches for others, images of several platforms, what is attested of them.

use berth_blackbox::{Engine, command, skip};
use serde_json::Value;

use crate::build_basic::folder;
use crate::pull::{HOST, Registry};

const STEPS: &str = "FROM busybox AS tool\nRUN echo made > /made\nFROM busybox\nRUN true\nCOPY --from=tool /made /made\nRUN cat /made > /copy\n";

/// Forgets all steps and images that were built.
fn forget(engine: &Engine) {
    engine.berth(&["builder", "prune", "-a", "-f"]).ok();
    engine.berth(&["image", "prune", "-f"]).ok();
}

fn cached(engine: &Engine, arguments: &[&str]) -> usize {
    let built = engine.berth(&[&["build", "--progress=plain", "--explain"], arguments].concat());
    assert_eq!(built.code, 0, "{}", built.stderr);
    built.stderr.matches(" CACHED\n").count()
}

#[test]
fn a_cache_goes_into_a_folder_and_comes_back() {
    let engine = Engine::start();
    let path = folder(&engine, "ctx", &[("Dockerfile", STEPS)]);
    let place = engine.place().join("cache").display().to_string();
    let to = format!("type=local,dest={place},mode=max");
    let from = format!("type=local,src={place}");
    cached(&engine, &["--cache-to", &to, "--cache-from", &from, &path]);
    let layout = std::fs::read_to_string(format!("{place}/oci-layout")).expect("a layout");
    assert!(layout.contains("imageLayoutVersion"));
    forget(&engine);
    assert_eq!(
        cached(&engine, &["--no-cache-filter", "nothing", "--cache-from", &from, &path]),
        6,
        "two bases, four steps"
    );
    // A damaged blob is found, and the step is made.
    forget(&engine);
    let blobs: Vec<_> = std::fs::read_dir(format!("{place}/blobs/sha256")).expect("blobs").flatten().collect();
    for blob in blobs.iter().filter(|blob| std::fs::read(blob.path()).expect("read").starts_with(&[0x1f, 0x8b])) {
        std::fs::write(blob.path(), "evil").expect("write");
    }
    let built = engine.berth(&["build", "--progress=plain", "--cache-from", &from, &path]);
    assert!(built.code == 0 && built.stderr.contains("is not used"), "{}", built.stderr);
}

#[test]
fn caches_and_images_go_to_registries() {
    if !["docker-registry", "skopeo", "bash"].iter().all(|program| command::is_installed(program)) {
        skip!("docker-registry, skopeo or bash is not installed");
    }
    let engine = Engine::start();
    let _registry = Registry::start_with(&engine, None);
    let path = folder(&engine, "ctx", &[("Dockerfile", STEPS)]);
    let to = format!("type=registry,ref={HOST}/cache:1,mode=max");
    cached(&engine, &["--cache-to", &to, &path]);
    forget(&engine);
    assert_eq!(cached(&engine, &["--cache-from", &format!("type=registry,ref={HOST}/cache:1"), &path]), 6);
    // Inside of the image: what led to it, not what other stages did.
    forget(&engine);
    let name = format!("{HOST}/inline:1");
    let output = format!("type=registry,name={name}");
    cached(&engine, &["--cache-to", "type=inline", "--output", &output, "--provenance=mode=max", "--sbom=true", &path]);
    let raw = engine.host(&["skopeo", "inspect", "--raw", "--tls-verify=false", &format!("docker://{name}")]);
    let index: Value = serde_json::from_slice(&raw.stdout).expect("an index");
    let kinds = index["manifests"].as_array().expect("manifests");
    assert_eq!(kinds.len(), 2, "{index:#}");
    assert_eq!(kinds[1]["annotations"]["vnd.docker.reference.type"], "attestation-manifest");
    assert_eq!(kinds[1]["annotations"]["vnd.docker.reference.digest"], kinds[0]["digest"]);
    engine.http().delete(&format!("/images/{name}?force=1")).expect(200);
    forget(&engine);
    let again = engine.berth(&["build", "--progress=plain", "--cache-from", &name, &path]);
    assert!(again.code == 0 && again.stderr.contains("importing cache manifest"), "{}", again.stderr);
    assert!(again.stderr.matches(" CACHED\n").count() >= 4, "{}", again.stderr);
    // A cache that is not there is said, and the build goes on.
    let missing = engine.berth(&["build", "--progress=plain", "--cache-from", &format!("{HOST}/no:1"), &path]);
    assert!(missing.code == 0 && missing.stderr.contains("ERROR"), "{}", missing.stderr);
}

const PLAIN: &str = "FROM scratch\nARG TARGETARCH\nCOPY data-$TARGETARCH /data\nLABEL arch=$TARGETARCH\n";

#[test]
fn one_name_holds_several_platforms_where_nothing_must_run() {
    let engine = Engine::start();
    let files = [("Dockerfile", PLAIN), ("data-amd64", "one"), ("data-arm64", "two")];
    let path = folder(&engine, "ctx", &files);
    let place = engine.place().join("oci");
    let output = format!("type=oci,dest={},tar=false", place.display());
    let platforms = "--platform=linux/amd64,linux/arm64";
    let local = engine.place().join("local");
    let second = format!("type=local,dest={}", local.display());
    engine.berth(&["build", "-t", "multi:1", platforms, "-o", &output, "-o", &second, "--sbom=true", &path]).ok();
    let read = |path: &str| -> Value {
        serde_json::from_slice(&std::fs::read(place.join(path)).expect("a blob")).expect("JSON")
    };
    let blob = |digest: &Value| read(&format!("blobs/sha256/{}", &digest.as_str().expect("a digest")[7..]));
    let outer = read("index.json");
    assert_eq!(outer["manifests"][0]["annotations"]["org.opencontainers.image.ref.name"], "1");
    let index = blob(&outer["manifests"][0]["digest"]);
    let parts = index["manifests"].as_array().expect("manifests");
    let platform = |part: &Value| part["platform"]["architecture"].as_str().unwrap_or_default().to_owned();
    assert_eq!(parts.iter().map(platform).collect::<Vec<_>>(), ["amd64", "arm64", "unknown", "unknown"]);
    let config = blob(&blob(&parts[1]["digest"])["config"]["digest"]);
    assert_eq!(
        (config["architecture"].as_str(), config["config"]["Labels"]["arch"].as_str()),
        (Some("arm64"), Some("arm64"))
    );
    let statement = blob(&blob(&parts[3]["digest"])["layers"][0]["digest"]);
    assert_eq!(statement["predicateType"], "https://spdx.dev/Document");
    assert_eq!(
        format!("sha256:{}", statement["subject"][0]["digest"]["sha256"].as_str().expect("hex")),
        parts[1]["digest"].as_str().expect("a digest")
    );
    assert_eq!(std::fs::read_to_string(local.join("linux_arm64/data")).expect("read"), "two");
    // The name means the image that runs here.
    let image = engine.http().get("/images/multi:1/json").expect(200).json();
    assert_eq!(image["Architecture"], "amd64");
    let refused = engine.berth(&["build", platforms, "-o", "type=docker,dest=x", &path]);
    assert!(refused.stderr.contains("holds one platform"), "{}", refused.stderr);
    if !std::path::Path::new("/proc/sys/fs/binfmt_misc/qemu-aarch64").exists() {
        let path = folder(&engine, "run", &[("Dockerfile", "FROM scratch\nCOPY Dockerfile /\nRUN x\n")]);
        let failed = engine.berth(&["build", "--platform=linux/arm64", &path]);
        assert!(failed.stderr.contains("Dockerfile:3") && failed.stderr.contains("binfmt_misc"), "{}", failed.stderr);
    }
}

#[test]
fn what_is_attested_is_told() {
    let engine = Engine::start();
    let status =
        "Package: hello\nStatus: install ok installed\nArchitecture: amd64\nVersion: 2.10-3\nMaintainer: A <a@b>\n";
    let text = "FROM busybox\nARG WORD\nCOPY status /var/lib/dpkg/status\nRUN echo $WORD\n";
    let path = folder(&engine, "ctx", &[("Dockerfile", text), ("status", status)]);
    let flags =
        ["build", "-t", "told", "--sbom=true", "--attest=type=provenance,mode=max", "--build-arg=WORD=x", &path];
    engine.berth(&flags).ok();
    let all = engine.http().get("/images/told/attestations?statement=1").expect(200).json();
    let (provenance, sbom) = (&all[0]["Statement"]["predicate"], &all[1]["Statement"]["predicate"]);
    assert_eq!(all[1]["PredicateType"], "https://spdx.dev/Document");
    assert_eq!(sbom["packages"][1]["externalRefs"][0]["referenceLocator"], "pkg:deb/debian/hello@2.10-3?arch=amd64");
    assert_eq!(all[0]["PredicateType"], "https://slsa.dev/provenance/v1");
    let definition = &provenance["buildDefinition"];
    assert_eq!(definition["externalParameters"]["request"]["args"]["build-arg:WORD"], "x");
    let dependency = definition["resolvedDependencies"][0]["uri"].as_str().expect("a dependency");
    assert!(dependency.starts_with("pkg:docker/busybox@latest"), "{dependency}");
    let some = engine.http().get("/images/told/attestations?type=https://spdx.dev/Document").expect(200).json();
    assert_eq!((some.as_array().map(Vec::len), some[0]["Statement"].is_null()), (Some(1), true));
    engine.http().get("/images/told/attestations?platform=linux/riscv64").expect(404);
    engine.http().get("/images/told/attestations?platform=a&platform=b").expect(400);
    let none = engine.http().get("/images/busybox/attestations").expect(200).json();
    assert_eq!(none.as_array().map(Vec::len), Some(0));
}

#[test]
fn the_same_inputs_give_the_same_digest() {
    let text = "FROM busybox\nARG SOURCE_DATE_EPOCH\nCOPY f /f\nRUN echo $$ > /dev/null; date > /dev/null; cp /f /g; mkdir -p /x/y\nWORKDIR /w\n";
    let build = |engine: &Engine| {
        let path = folder(engine, "ctx", &[("Dockerfile", text), ("f", "data")]);
        engine
            .berth(&[
                "build",
                "-q",
                "--no-cache",
                "--build-arg=SOURCE_DATE_EPOCH=1000000000",
                "--cache-to=type=inline",
                &path,
            ])
            .ok()
    };
    let (one, two) = (Engine::start(), Engine::start_empty(&[]));
    // The base is an input: the very same one.
    let base = one.http().get("/images/busybox:latest/get").expect(200).body;
    two.http().post_tar("/images/load", &base).expect(200);
    let first = build(&one);
    std::thread::sleep(std::time::Duration::from_millis(1100));
    assert_eq!(first, build(&one), "on one engine");
    assert_eq!(first, build(&two), "on another");
}

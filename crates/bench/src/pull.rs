//! Pulls: a Debian-like image of one big layer and one of twelve, from Debian's docker-registry on loopback.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use berth_blackbox::command::is_installed;
use berth_blackbox::{Engine, eventually};
use serde_json::json;
use tempfile::TempDir;

use crate::report::{Report, median};
use crate::subject::Subjects;

const HOST: &str = "127.0.0.1:5000";
/// Bytes of files in each layer of the two images, before compression.
const ONE: &[u64] = &[130 << 20];
const TWELVE: &[u64] = &[42 << 20; 12];
const ROUNDS: usize = 5;

/// An image as an OCI layout on disk.
struct Image {
    name: &'static str,
    layers: Vec<PathBuf>,
}

/// A registry in an engine's network namespace; all of one run share the storage.
struct Registry(Child);

impl Drop for Registry {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Pull and unpack, beside dockerd, skopeo, and what gzip, tar and sha256sum need.
pub fn images(subjects: &Subjects, report: &mut Report) -> Result<()> {
    for program in ["docker-registry", "skopeo", "gzip", "tar", "sha256sum", "bash"] {
        if !is_installed(program) {
            eprintln!("skipped: pulls need {program}");
            return Ok(());
        }
    }
    let place = tempfile::Builder::new().prefix("berth-pull-").tempdir_in("/var/tmp")?;
    let mut files = Files::new();
    let images = [
        make(&place, "one", ONE, &mut files).context("the image of one layer")?,
        make(&place, "twelve", TWELVE, &mut files).context("the image of twelve layers")?,
    ];
    let engines = subjects.engines();
    let _registries: Vec<Registry> =
        engines.iter().map(|(_, engine)| serve(engine, place.path())).collect::<Result<_>>()?;
    for image in &images {
        let source = format!("oci:{}", place.path().join(image.name).display());
        let target = format!("docker://{HOST}/bench/{}:1", image.name);
        let copied =
            subjects.berth.host(&["skopeo", "copy", "--insecure-policy", "--dest-tls-verify=false", &source, &target]);
        ensure!(copied.code == 0, "skopeo: {copied:?}");
    }
    for image in &images {
        measure(subjects, &engines, image, place.path(), report)?;
    }
    Ok(())
}

fn measure(
    subjects: &Subjects,
    engines: &[(&'static str, &Engine)],
    image: &Image,
    place: &Path,
    report: &mut Report,
) -> Result<()> {
    let mut floors = Vec::new();
    let mut skopeos = Vec::new();
    let mut pulls = vec![Vec::new(); engines.len()];
    for _ in 0..ROUNDS {
        floors.push(floor(image, place)?);
        for (at, (_, engine)) in engines.iter().enumerate() {
            pulls[at].push(pull(engine, image.name)?);
        }
        skopeos.push(skopeo(&subjects.berth, image.name, place)?);
    }
    let mut rows: Vec<(&str, Duration)> = vec![(
        "floor: gzip -dc, sha256sum of archive and blob, tar x; two layers at a time",
        median(&mut floors).unwrap_or_default(),
    )];
    for ((label, _), times) in engines.iter().zip(&mut pulls) {
        rows.push((label, median(times).unwrap_or_default()));
    }
    rows.push(("skopeo copy to a directory (nothing is unpacked)", median(&mut skopeos).unwrap_or_default()));
    let bytes: u64 = image.layers.iter().filter_map(|layer| layer.metadata().ok()).map(|layer| layer.len()).sum();
    let title = format!("Pull and unpack: {} layer(s), {} MB compressed", image.layers.len(), bytes / 1_000_000);
    let note =
        "From docker-registry on loopback, with everything on disk at the end (berth syncs, the floor does not).";
    report.times(&title, note, &rows);
    Ok(())
}

fn pull(engine: &Engine, name: &str) -> Result<Duration> {
    settle();
    let begin = Instant::now();
    let told = engine.http().post(&format!("/images/create?fromImage={HOST}/bench/{name}&tag=1")).expect(200).text();
    let took = begin.elapsed();
    ensure!(!told.contains("errorDetail"), "{told}");
    engine.http().delete(&format!("/images/{HOST}/bench/{name}:1?force=1")).expect(200);
    Ok(took)
}

fn skopeo(engine: &Engine, name: &str, place: &Path) -> Result<Duration> {
    settle();
    let target = place.join("copied");
    let to = format!("dir:{}", target.display());
    let from = format!("docker://{HOST}/bench/{name}:1");
    let begin = Instant::now();
    let copied = engine.host(&["skopeo", "copy", "--insecure-policy", "--src-tls-verify=false", &from, &to]);
    let took = begin.elapsed();
    ensure!(copied.code == 0, "skopeo: {copied:?}");
    std::fs::remove_dir_all(target)?;
    Ok(took)
}

/// What the two cores need without any engine and network: each layer is inflated, hashed twice and unpacked.
fn floor(image: &Image, place: &Path) -> Result<Duration> {
    settle();
    let target = place.join("unpacked");
    std::fs::create_dir(&target)?;
    let script = r#"sha256sum < "$1" >/dev/null & gzip -dc < "$1" | tee >(sha256sum >/dev/null) | tar x -C "$2"; wait"#;
    let begin = Instant::now();
    let mut all = Command::new("xargs");
    all.args(["-P2", "-I{}", "bash", "-c", script, "layer", "{}"]).arg(&target).stdin(Stdio::piped());
    let mut child = all.spawn().context("xargs")?;
    let mut input = child.stdin.take().context("xargs has no stdin")?;
    for layer in &image.layers {
        writeln!(input, "{}", layer.display())?;
    }
    drop(input);
    ensure!(child.wait()?.success(), "the floor failed");
    let took = begin.elapsed();
    std::fs::remove_dir_all(target)?;
    Ok(took)
}

/// What others left to be written must not be waited for by who comes next.
fn settle() {
    rustix::fs::sync();
}

fn serve(engine: &Engine, place: &Path) -> Result<Registry> {
    let settings = engine.place().join("registry.yml");
    let text = json!({
        "version": 0.1,
        "log": {"level": "error"},
        "storage": {"filesystem": {"rootdirectory": place.join("registry")}},
        "http": {"addr": HOST},
    });
    std::fs::write(&settings, text.to_string())?;
    let mut server = engine.neighbour("docker-registry");
    server.arg("serve").arg(&settings).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let registry = Registry(server.spawn().context("docker-registry")?);
    eventually("the registry listens", 10, || {
        let probe = engine.host(&["bash", "-c", "exec 3<>/dev/tcp/127.0.0.1/5000"]);
        (probe.code == 0).then_some(())
    });
    Ok(registry)
}

/// Files of this machine, in order, each once.
struct Files {
    waiting: Vec<PathBuf>,
}

impl Files {
    fn new() -> Files {
        Files { waiting: ["/usr/share", "/usr/lib", "/usr/bin"].iter().map(PathBuf::from).collect() }
    }

    /// The next regular file.
    fn next(&mut self) -> Option<PathBuf> {
        while let Some(path) = self.waiting.pop() {
            let Ok(kind) = path.symlink_metadata().map(|metadata| metadata.file_type()) else { continue };
            if kind.is_file() {
                return Some(path);
            }
            if kind.is_dir() {
                let entries = std::fs::read_dir(&path).into_iter().flatten().flatten();
                let mut below: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
                below.sort();
                self.waiting.extend(below);
            }
        }
        None
    }
}

/// Writes an image of this machine's files as an OCI layout.
fn make(place: &TempDir, name: &'static str, sizes: &[u64], files: &mut Files) -> Result<Image> {
    let layout = place.path().join(name);
    let blobs = layout.join("blobs/sha256");
    std::fs::create_dir_all(&blobs)?;
    std::fs::write(layout.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#)?;
    let (mut layers, mut diff_ids, mut paths) = (Vec::new(), Vec::new(), Vec::new());
    for size in sizes {
        let archive = place.path().join("layer.tar");
        write_archive(&archive, *size, files)?;
        diff_ids.push(format!("sha256:{}", sha256(&archive)?));
        let packed = place.path().join("layer.tar.gz");
        let output = File::create(&packed)?;
        let packing = Command::new("gzip").arg("-6nc").arg(&archive).stdout(output).status().context("gzip")?;
        ensure!(packing.success(), "gzip failed");
        let (hex, length) = (sha256(&packed)?, packed.metadata()?.len());
        let path = blobs.join(&hex);
        std::fs::rename(&packed, &path)?;
        std::fs::remove_file(&archive)?;
        layers.push(json!({"mediaType": "application/vnd.oci.image.layer.v1.tar+gzip", "digest": format!("sha256:{hex}"), "size": length}));
        paths.push(path);
    }
    let config = json!({"architecture": "amd64", "os": "linux", "config": {}, "rootfs": {"type": "layers", "diff_ids": diff_ids}});
    let (config, size) = keep(&blobs, &config.to_string())?;
    let manifest = json!({"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": config, "size": size}, "layers": layers});
    let (manifest, size) = keep(&blobs, &manifest.to_string())?;
    let index = json!({"schemaVersion": 2, "manifests": [
        {"mediaType": "application/vnd.oci.image.manifest.v1+json", "digest": manifest, "size": size}]});
    std::fs::write(layout.join("index.json"), index.to_string())?;
    Ok(Image { name, layers: paths })
}

/// Files of about `size` bytes; when this machine has no more, begins again under another name.
fn write_archive(path: &Path, size: u64, files: &mut Files) -> Result<()> {
    let mut archive = tar::Builder::new(File::create(path)?);
    let (mut written, mut lap) = (0, 0);
    while written < size {
        let Some(file) = files.next() else {
            ensure!(lap < 100, "this machine has no files");
            lap += 1;
            *files = Files::new();
            continue;
        };
        let (Ok(mut source), Ok(metadata)) = (File::open(&file), file.metadata()) else { continue };
        if metadata.len() > 32 << 20 {
            continue;
        }
        let name = format!("{lap}{}", file.display());
        archive.append_file(name.trim_start_matches('/'), &mut source)?;
        written += metadata.len() + 512;
    }
    archive.finish()?;
    Ok(())
}

fn sha256(path: &Path) -> Result<String> {
    let output = Command::new("sha256sum").arg("-b").arg(path).output().context("sha256sum")?;
    ensure!(output.status.success(), "sha256sum failed");
    Ok(String::from_utf8_lossy(&output.stdout).split(' ').next().unwrap_or_default().to_owned())
}

fn keep(blobs: &Path, text: &str) -> Result<(String, usize)> {
    let draft = blobs.join("draft");
    std::fs::write(&draft, text)?;
    let hex = sha256(&draft)?;
    std::fs::rename(&draft, blobs.join(&hex))?;
    Ok((format!("sha256:{hex}"), text.len()))
}

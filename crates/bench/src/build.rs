//! Builds: ten steps with 50 MB of files and packages served on loopback, and four stages; cold, known, one file
//! changed. Beside dockerd's builder and buildah (in a chroot where no container of its own can run).

use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use berth_blackbox::command::is_installed;
use berth_blackbox::{Engine, eventually};

use crate::report::{Report, median};
use crate::subject::{self, Subjects};

/// Files of the context, and bytes of each.
const FILES: usize = 500;
const FILE_BYTES: usize = 100 << 10;
/// Packages, and bytes of each.
const PACKAGES: usize = 3;
const PACKAGE_BYTES: usize = 8 << 20;
const ROUNDS: usize = 3;

const STEPS: &str = "FROM busybox\n\
    ENV A=1 B=2\n\
    RUN mkdir -p /pkg && wget -q -O- http://127.0.0.1:8080/0.tar | tar -x -f - -C /pkg\n\
    RUN wget -q -O- http://127.0.0.1:8080/1.tar | tar -x -f - -C /pkg && wget -q -O- http://127.0.0.1:8080/2.tar | tar -x -f - -C /pkg\n\
    WORKDIR /srv/app\n\
    RUN echo 'app:x:1000:1000::/srv/app:/bin/sh' >> /etc/passwd\n\
    COPY . .\n\
    RUN find . -type f | sort > /srv/list && cat d*/f* | md5sum > /srv/sums\n\
    RUN chmod -R a+rX /srv/app/d0\n\
    CMD [\"sh\"]\n";
const STAGES: &str = "FROM busybox AS a\n\
    COPY d0 /a\nRUN cat /a/* | md5sum > /sum && cat /a/* /a/* > /big\n\
    FROM busybox AS b\n\
    COPY d1 /b\nRUN cat /b/* | md5sum > /sum && cat /b/* /b/* > /big\n\
    FROM busybox AS c\n\
    COPY d2 /c\nRUN cat /c/* | md5sum > /sum && cat /c/* /c/* > /big\n\
    FROM busybox\n\
    COPY --from=a /sum /big /a/\nCOPY --from=b /sum /big /b/\nCOPY --from=c /sum /big /c/\nRUN cat /a/sum /b/sum /c/sum > /all\n";

/// A server of packages in an engine's network namespace.
struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn serve(engine: &Engine, root: &Path) -> Result<Server> {
    let mut server = engine.neighbour("python3");
    server.args(["-m", "http.server", "8080", "--bind", "127.0.0.1", "--directory"]).arg(root);
    server.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let server = Server(server.spawn().context("python3")?);
    eventually("the packages are served", 10, || {
        let probe = engine.host(&["bash", "-c", "exec 3<>/dev/tcp/127.0.0.1/8080"]);
        (probe.code == 0).then_some(())
    });
    Ok(server)
}

/// Bytes that no compressor makes smaller.
fn noise(seed: &mut u64, length: usize) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        *seed ^= *seed << 13;
        *seed ^= *seed >> 7;
        *seed ^= *seed << 17;
        bytes.extend_from_slice(&seed.to_le_bytes());
    }
    bytes.truncate(length);
    bytes
}

fn lay_out(place: &Path) -> Result<()> {
    let mut seed = 0x9e37_79b9_7f4a_7c15;
    for number in 0..FILES {
        let folder = place.join(format!("ctx/d{}", number % 10));
        std::fs::create_dir_all(&folder)?;
        std::fs::write(folder.join(format!("f{number}")), noise(&mut seed, FILE_BYTES))?;
    }
    std::fs::create_dir_all(place.join("www"))?;
    for number in 0..PACKAGES {
        let name = format!("usr/lib/package{number}");
        let archive = berth_blackbox::busybox::files(&[(&name, &noise(&mut seed, PACKAGE_BYTES))]);
        std::fs::write(place.join(format!("www/{number}.tar")), archive)?;
    }
    Ok(())
}

/// Builds a Dockerfile of the context, cold or not, and says how long it took.
type Build<'b> = dyn Fn(&str, bool) -> Result<Duration> + 'b;

/// A builder under measurement.
struct Builder<'b> {
    label: &'static str,
    build: Box<Build<'b>>,
}

fn timed(work: impl FnOnce() -> berth_blackbox::Output) -> Result<Duration> {
    rustix::fs::sync();
    let begin = Instant::now();
    let output = work();
    let took = begin.elapsed();
    ensure!(output.code == 0, "a build failed: {output:?}");
    Ok(took)
}

fn builders<'b>(subjects: &'b Subjects, place: &'b Path) -> Result<Vec<Builder<'b>>> {
    let context = place.join("ctx");
    let arguments = move |file: &str, cold: bool| {
        let mut all = vec!["build".to_owned(), "-q".to_owned(), "--network=host".to_owned()];
        if cold {
            all.push("--no-cache".to_owned());
        }
        all.extend(["-f".to_owned(), context.join(file).display().to_string(), context.display().to_string()]);
        all
    };
    let mut found = Vec::new();
    let own = arguments.clone();
    found.push(Builder {
        label: "berth",
        build: Box::new(move |file, cold| {
            let mut all = own(file, cold);
            all.push("--allow=network.host".to_owned());
            let all: Vec<&str> = all.iter().map(String::as_str).collect();
            rustix::fs::sync();
            subject::time(&subjects.berth, &subjects.berth_client, &all)
        }),
    });
    if let Some((_, dockerd)) = subjects.engines().into_iter().find(|(_, engine)| engine.is_docker()) {
        let docker = arguments.clone();
        found.push(Builder {
            label: "dockerd's builder",
            build: Box::new(move |file, cold| timed(|| dockerd.cli(&docker(file, cold)))),
        });
    }
    if let Some(buildah) = buildah(&subjects.berth, place)? {
        let context: PathBuf = place.join("ctx");
        found.push(Builder {
            label: "buildah, chroot isolation",
            build: Box::new(move |file, cold| {
                let (file, context) = (context.join(file).display().to_string(), context.display().to_string());
                let mut all: Vec<&str> = buildah.iter().map(String::as_str).collect();
                all.extend(["bud", "-q", "--isolation", "chroot", "--layers", "--network", "host"]);
                if cold {
                    all.push("--no-cache");
                }
                all.extend(["-f", &file, &context]);
                timed(|| subjects.berth.host(&all))
            }),
        });
    }
    Ok(found)
}

/// The words before buildah's own, with the base image in its storage; none where it cannot be used.
fn buildah(engine: &Engine, place: &Path) -> Result<Option<Vec<String>>> {
    if !is_installed("buildah") {
        eprintln!("skipped: buildah is not installed");
        return Ok(None);
    }
    let archive = place.join("base.tar");
    std::fs::write(&archive, engine.http().get("/images/busybox:latest/get").expect(200).body)?;
    let at = |name: &str| place.join(name).display().to_string();
    let words = ["buildah".to_owned(), "--root".to_owned(), at("buildah"), "--runroot".to_owned(), at("buildah-run")];
    let words: Vec<String> = words.into_iter().chain(["--storage-driver".to_owned(), "overlay".to_owned()]).collect();
    let call = |more: &[&str]| {
        let all: Vec<&str> = words.iter().map(String::as_str).chain(more.iter().copied()).collect();
        engine.host(&all)
    };
    let pulled = call(&["pull", "-q", &format!("docker-archive:{}", archive.display())]);
    if pulled.code != 0 {
        eprintln!("skipped: buildah cannot keep images here: {}", pulled.stderr);
        return Ok(None);
    }
    let id = String::from_utf8_lossy(&pulled.stdout).trim().to_owned();
    ensure!(call(&["tag", &id, "busybox"]).code == 0, "buildah tag");
    Ok(Some(words))
}

/// Cold, known, one file changed.
pub fn builds(subjects: &Subjects, report: &mut Report) -> Result<()> {
    for program in ["python3", "bash"] {
        if !is_installed(program) {
            eprintln!("skipped: builds need {program}");
            return Ok(());
        }
    }
    let place = tempfile::Builder::new().prefix("berth-build-").tempdir_in("/var/tmp")?;
    lay_out(place.path())?;
    let _servers: Vec<Server> =
        subjects.engines().iter().map(|(_, engine)| serve(engine, &place.path().join("www"))).collect::<Result<_>>()?;
    let builders = builders(subjects, place.path())?;
    for (file, text, what) in [("Dockerfile", STEPS, "ten steps"), ("stages.Dockerfile", STAGES, "four stages")] {
        std::fs::write(place.path().join("ctx").join(file), text)?;
        let mut times = vec![[Vec::new(), Vec::new(), Vec::new()]; builders.len()];
        for round in 0..ROUNDS {
            for (at, builder) in builders.iter().enumerate() {
                times[at][0].push((builder.build)(file, true)?);
            }
            for (at, builder) in builders.iter().enumerate() {
                (builder.build)(file, false)?;
                times[at][1].push((builder.build)(file, false)?);
            }
            std::fs::write(place.path().join("ctx/d1/f1"), format!("changed {round}"))?;
            for (at, builder) in builders.iter().enumerate() {
                times[at][2].push((builder.build)(file, false)?);
            }
        }
        let megabytes = FILES * FILE_BYTES / 1_000_000;
        for (number, case) in ["cold", "known", "one file changed"].into_iter().enumerate() {
            let rows: Vec<(&str, Duration)> = builders
                .iter()
                .zip(&mut times)
                .map(|(builder, times)| (builder.label, median(&mut times[number]).unwrap_or_default()))
                .collect();
            let note = format!("Through each builder's own client, {megabytes} MB of files in the context.");
            report.times(&format!("Build of {what}: {case}"), &note, &rows);
        }
    }
    if let Some(words) = buildah(&subjects.berth, place.path())? {
        let all: Vec<&str> = words.iter().map(String::as_str).chain(["rmi", "-a", "-f"]).collect();
        subjects.berth.host(&all);
    }
    Ok(())
}

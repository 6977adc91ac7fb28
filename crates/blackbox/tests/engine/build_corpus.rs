//! A corpus of Dockerfiles as people write them: what is built is compared with what dockerd builds, file by file.
//!
//! A slice of it is built in every run, against what dockerd made of it (tests/data/corpus.expected). All of it, beside
//! dockerd itself, is `make test-build-corpus`; with `BERTH_TEST_RECORD=1` that writes the expectations of the slice.

use std::collections::BTreeMap;
use std::io::Read;

use berth_blackbox::{Engine, Kind, command, engine, skip};
use serde_json::{Value, json};

const CORPUS: &str = include_str!("../data/corpus.txt");
const EXPECTED: &str = include_str!("../data/corpus.expected");
/// What is built in every run.
const SLICE: &[&str] = &[
    "node-simple",
    "python-multi",
    "go-static",
    "rust-cached",
    "nginx-conf",
    "postgres-server",
    "redis-seeded",
    "ignore-rules",
    "copy-patterns",
    "copy-over",
    "copy-links",
    "chown-names",
    "add-archives",
    "env-forms",
    "modes",
    "user-forms",
];
/// Where dockerd 20.10 differs from BuildKit, whose rule berth follows: end of an entry's name, part of a line.
const EXPLAINED: &[(&str, &str)] = &[
    // Folders that are made on the way belong to whom `--chown` names.
    ("-multi", " dir srv"),
    ("-conf", " dir usr/share"),
    ("workdir-chain", "config WorkingDir"),
    // What the base said of a check does not stay beside NONE.
    ("health-none", "config Healthcheck"),
];
/// Times of entries in archives: they do not count.
const TIME: u64 = 1_700_000_000;

struct Entry {
    name: String,
    files: Vec<(String, String)>,
}

fn entries() -> Vec<Entry> {
    let mut entries: Vec<Entry> = Vec::new();
    for line in CORPUS.lines() {
        if let Some(name) = line.strip_prefix("== ") {
            entries.push(Entry { name: name.to_owned(), files: Vec::new() });
        } else if let (Some(path), Some(entry)) =
            (line.strip_prefix("-- ").filter(|path| is_path(path)), entries.last_mut())
        {
            entry.files.push((path.to_owned(), String::new()));
        } else if let Some((_, text)) = entries.last_mut().and_then(|entry| entry.files.last_mut()) {
            text.push_str(line);
            text.push('\n');
        }
    }
    entries
}

/// A line of SQL may begin with two dashes as well.
fn is_path(text: &str) -> bool {
    !text.starts_with(['$', '"'])
}

fn header(kind: tar::EntryType, size: u64, mode: u32) -> tar::Header {
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(kind);
    header.set_size(size);
    header.set_mode(mode);
    header.set_mtime(TIME);
    header
}

fn members(text: &str) -> Vec<u8> {
    let mut archive = tar::Builder::new(Vec::new());
    for member in text.trim_end().split(',') {
        let (name, content) = member.split_once('=').expect("name=text");
        let content = format!("{content}\n");
        let mut header = header(tar::EntryType::Regular, content.len() as u64, 0o644);
        archive.append_data(&mut header, name, content.as_bytes()).expect("memory");
    }
    archive.into_inner().expect("memory")
}

impl Entry {
    /// The build's context.
    fn archive(&self) -> Vec<u8> {
        let mut archive = tar::Builder::new(Vec::new());
        let mut folders = std::collections::BTreeSet::new();
        for (path, text) in &self.files {
            for (at, _) in path.match_indices('/') {
                if folders.insert(path[..at].to_owned()) {
                    let mut header = header(tar::EntryType::Directory, 0, 0o755);
                    archive.append_data(&mut header, format!("{}/", &path[..at]), std::io::empty()).expect("memory");
                }
            }
            if let Some(target) = text.strip_prefix("@link:") {
                let mut header = header(tar::EntryType::Symlink, 0, 0o777);
                archive.append_link(&mut header, path, target.trim_end()).expect("memory");
                continue;
            }
            let (mode, bytes) = match text.split_once(':') {
                Some(("@tar", list)) => (0o644, members(list)),
                Some(("@targz", list)) => (0o644, gzip(&members(list))),
                Some(("@mode", rest)) => {
                    let (mode, text) = rest.split_once(':').expect("mode:text");
                    (u32::from_str_radix(mode, 8).expect("octal"), text.as_bytes().to_vec())
                }
                _ => (0o644, text.as_bytes().to_vec()),
            };
            let mut header = header(tar::EntryType::Regular, bytes.len() as u64, mode);
            archive.append_data(&mut header, path, &bytes[..]).expect("memory");
        }
        archive.into_inner().expect("memory")
    }
}

/// With the host's own program: no compressor is needed for it alone.
fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut program = std::process::Command::new("gzip");
    program.args(["-n", "-c"]);
    let child = program.stdin(std::process::Stdio::piped()).stdout(std::process::Stdio::piped()).spawn();
    let mut child = child.expect("gzip starts");
    std::io::Write::write_all(&mut child.stdin.take().expect("piped"), bytes).expect("write");
    child.wait_with_output().expect("gzip ends").stdout
}

/// Files by their paths, each as one line.
type Tree = BTreeMap<String, String>;

/// What an image's files are: kind, mode, owner, content.
fn tree(engine: &Engine, image: &str) -> Tree {
    let http = engine.http();
    let created = http.post_json("/containers/create", &json!({"Image": image, "Cmd": ["x"]})).expect(201).json();
    let id = created["Id"].as_str().expect("an id").to_owned();
    let exported = http.get(&format!("/containers/{id}/export")).expect(200).body;
    http.delete(&format!("/containers/{id}?force=1&v=1")).expect(204);
    let mut archive = tar::Archive::new(&exported[..]);
    let mut tree = Tree::new();
    let mut firsts: BTreeMap<String, String> = BTreeMap::new();
    for entry in archive.entries().expect("an archive") {
        let mut entry = entry.expect("an entry");
        let path = String::from_utf8_lossy(&entry.path_bytes()).trim_matches('/').trim_start_matches("./").to_owned();
        // What engines put there for a container of theirs.
        let is_engines = ["etc/hosts", "etc/hostname", "etc/resolv.conf", "etc/mtab", ".dockerenv", "", "."];
        let below =
            ["dev", "proc", "sys", "run"].iter().any(|top| path == *top || path.starts_with(&format!("{top}/")));
        if is_engines.contains(&path.as_str()) || below {
            continue;
        }
        let (mode, uid, gid) = (
            entry.header().mode().expect("a mode") & 0o7777,
            entry.header().uid().expect("an owner"),
            entry.header().gid().expect("a group"),
        );
        let link = entry.link_name_bytes().map(|name| String::from_utf8_lossy(&name).into_owned());
        let kind = entry.header().entry_type();
        let about = match kind {
            tar::EntryType::Directory => "dir".to_owned(),
            tar::EntryType::Symlink => format!("link {}", link.unwrap_or_default()),
            // Which of the names comes first is the engine's choice.
            tar::EntryType::Link => {
                let first = link.unwrap_or_default().trim_start_matches('/').to_owned();
                let line = firsts.get(&first).cloned().unwrap_or_else(|| format!("link to {first}"));
                tree.insert(path, line);
                continue;
            }
            tar::EntryType::Fifo => "fifo".to_owned(),
            tar::EntryType::Char | tar::EntryType::Block => "device".to_owned(),
            _ => {
                let mut bytes = Vec::new();
                entry.read_to_end(&mut bytes).expect("content");
                format!("file {} {:016x}", bytes.len(), sum(&bytes))
            }
        };
        let mode = if kind == tar::EntryType::Symlink { 0o777 } else { mode };
        let line = format!("{mode:04o} {uid}:{gid} {about}");
        firsts.insert(path.clone(), line.clone());
        tree.insert(path, line);
    }
    tree
}

/// FNV-1a: enough to tell files apart.
fn sum(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}

/// What an image's configuration says, where both engines say it.
fn config(engine: &Engine, image: &str) -> Vec<String> {
    let all = engine.http().get(&format!("/images/{image}/json")).expect(200).json();
    let config = &all["Config"];
    let mut lines = vec![format!("config Author {}", all["Author"])];
    let fields = [
        "Cmd",
        "Entrypoint",
        "Env",
        "ExposedPorts",
        "Healthcheck",
        "Labels",
        "OnBuild",
        "Shell",
        "StopSignal",
        "User",
        "Volumes",
        "WorkingDir",
    ];
    for field in fields {
        let value = &config[field];
        let is_empty = match value {
            Value::Null => true,
            Value::String(text) => text.is_empty(),
            Value::Array(list) => list.is_empty(),
            Value::Object(map) => map.is_empty(),
            _ => false,
        };
        if is_empty {
            continue;
        }
        lines.push(match value.as_object() {
            // In an order of its own, whatever the engine's.
            Some(map) => format!("config {field} {}", json!(map.iter().collect::<BTreeMap<_, _>>())),
            None => format!("config {field} {value}"),
        });
    }
    lines
}

/// Builds an entry: ignore files are the client's business, all else goes through the API.
fn build(engine: &Engine, entry: &Entry, image: &str) -> Result<(), String> {
    if entry.files.iter().any(|(path, _)| path == ".dockerignore") {
        let folder = engine.place().join(&entry.name);
        let mut archive = tar::Archive::new(std::io::Cursor::new(entry.archive()));
        archive.unpack(&folder).map_err(|error| error.to_string())?;
        let built = engine.cli(&["build", "-t", image, &folder.display().to_string()]);
        return if built.code == 0 { Ok(()) } else { Err(built.stderr) };
    }
    let answer = engine.http().post_tar(&format!("/build?t={image}&forcerm=1"), &entry.archive());
    let text = answer.text();
    if answer.status == 200 && !text.contains("\"errorDetail\"") { Ok(()) } else { Err(text) }
}

/// What an engine makes of an entry, against its base; or why it fails.
fn made(engine: &Engine, base: &Tree, entry: &Entry) -> Vec<String> {
    let image = format!("corpus-{}", entry.name);
    if let Err(why) = build(engine, entry, &image) {
        return vec![format!("failed: {why}")];
    }
    let files = tree(engine, &image);
    let mut lines = config(engine, &image);
    let volumes = lines.iter().find(|line| line.starts_with("config Volumes")).cloned().unwrap_or_default();
    for (path, line) in &files {
        // A place where a container has a volume: dockerd makes it in the image, too.
        let is_volume = volumes.contains(&format!("\"/{path}\"")) && line.contains(" dir");
        if base.get(path) != Some(line) && !is_volume {
            lines.push(format!("{line} {path}"));
        }
    }
    let is_scratch = !files.contains_key("bin/busybox");
    if !is_scratch {
        lines.extend(base.keys().filter(|path| !files.contains_key(*path)).map(|path| format!("gone {path}")));
    }
    engine.http().delete(&format!("/images/{image}?force=1"));
    lines
}

fn expected() -> BTreeMap<String, Vec<String>> {
    let mut all: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut current = String::new();
    for line in EXPECTED.lines() {
        match line.strip_prefix("== ") {
            Some(name) => current = name.to_owned(),
            None => all.entry(current.clone()).or_default().push(line.to_owned()),
        }
    }
    all
}

fn differences(name: &str, expected: &[String], found: &[String]) -> Vec<String> {
    let missing = expected.iter().filter(|line| !found.contains(line)).map(|line| format!("  - {line}"));
    let more = found.iter().filter(|line| !expected.contains(line)).map(|line| format!("  + {line}"));
    let explained = |line: &String| EXPLAINED.iter().any(|(end, part)| name.ends_with(end) && line.contains(part));
    missing.chain(more).filter(|line| !explained(line)).collect()
}

#[test]
fn a_slice_of_the_corpus_is_built_as_dockerd_builds_it() {
    if !command::is_installed("gzip") {
        skip!("gzip is not installed");
    }
    let engine = Engine::start();
    let base = tree(&engine, "busybox");
    let expected = expected();
    let mut wrong = Vec::new();
    for entry in entries().iter().filter(|entry| SLICE.contains(&entry.name.as_str())) {
        let found = made(&engine, &base, entry);
        let known = expected.get(&entry.name).cloned().unwrap_or_default();
        let differences = differences(&entry.name, &known, &found);
        if !differences.is_empty() {
            wrong.push(format!("{}:\n{}", entry.name, differences.join("\n")));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert_eq!(expected.len(), SLICE.len());
}

#[test]
fn the_corpus_is_built_as_dockerd_builds_it() {
    let Some(which) = std::env::var_os("BERTH_TEST_CORPUS") else {
        skip!("make test-build-corpus builds a hundred Dockerfiles on two engines");
    };
    if !command::is_installed("dockerd") || !command::is_installed("gzip") {
        skip!("dockerd or gzip is not installed");
    }
    let own = {
        let mut engine = Engine::launch(Kind::Berth, engine::binary(), &[]);
        engine.import_busybox();
        engine
    };
    let judge = {
        let mut engine = Engine::launch(Kind::Docker, "dockerd".into(), &[]);
        engine.import_busybox();
        engine
    };
    let mut entries = entries();
    assert_eq!(entries.len(), 100);
    if which == "slice" {
        entries.retain(|entry| SLICE.contains(&entry.name.as_str()));
    }
    let all = |engine: &Engine| -> Vec<Vec<String>> {
        let base = tree(engine, "busybox");
        entries.iter().map(|entry| made(engine, &base, entry)).collect()
    };
    let (own, judge) = std::thread::scope(|scope| {
        let own = scope.spawn(|| all(&own));
        let judge = all(&judge);
        (own.join().expect("berth's part"), judge)
    });
    let (mut wrong, mut recorded) = (Vec::new(), String::new());
    for ((entry, found), known) in entries.iter().zip(own).zip(judge) {
        let failed = known.first().is_some_and(|line| line.starts_with("failed"));
        let differences = differences(&entry.name, &known, &found);
        if !differences.is_empty() || failed {
            wrong.push(format!("{}:\n{}", entry.name, differences.join("\n")));
            if failed {
                wrong.push(format!("  dockerd: {}", known.join("\n")));
            }
        }
        if SLICE.contains(&entry.name.as_str()) {
            recorded.push_str(&format!("== {}\n{}\n", entry.name, known.join("\n")));
        }
    }
    if std::env::var_os("BERTH_TEST_RECORD").is_some() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/corpus.expected");
        std::fs::write(path, recorded).expect("the expectations are written");
    }
    assert!(wrong.is_empty(), "{} of {} differ:\n{}", wrong.len(), entries.len(), wrong.join("\n"));
}

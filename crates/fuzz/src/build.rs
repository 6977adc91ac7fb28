//! Builds: Dockerfiles, ignore files, and clients that send a folder.

use std::collections::BTreeMap;
use std::sync::Arc;

use berth_buildkit::grpc::{Call, Service, serve};
use berth_buildkit::proto::session::Packet;
use berth_buildkit::session::{Contexts, Sessions, Wanted};
use berth_dockerfile::lint::{self, Surroundings};
use berth_dockerfile::{Command, Ignore, Scope, scope::Globals, scope::Platforms};
use futures_util::{FutureExt, future::BoxFuture};
use prost::Message;

/// A Dockerfile: no panic, no endless loop; every place shown, every check run, every word expanded.
pub fn dockerfile(input: &[u8]) {
    let Ok(text) = berth_dockerfile::decode(input) else { return };
    let file = match berth_dockerfile::parse(&text) {
        Ok(file) => file,
        Err(faults) => {
            assert!(!faults.is_empty());
            faults.iter().for_each(|fault| assert!(!fault.render("Dockerfile", &text).is_empty()));
            return;
        }
    };
    let host = berth_spec::Platform::host();
    let platforms = Platforms { build: host.clone(), target: host };
    let around = Surroundings {
        build_args: &BTreeMap::new(),
        platforms: &platforms,
        target: "",
        ignore: Some(&Ignore::default()),
        base_env: &|_| Some(Vec::new()),
        check: None,
    };
    for finding in lint::check(&file, &around) {
        assert!(!finding.render("Dockerfile", &text).is_empty());
    }
    let Ok(globals) = Globals::new(&file, &BTreeMap::new(), &platforms, "") else { return };
    for stage in &file.stages {
        let scope = Scope::stage(&globals, &[]);
        for instruction in &stage.instructions {
            match &instruction.command {
                Command::Run(run) => {
                    let _ = run.script();
                    run.mounts.iter().for_each(|mount| drop(mount.resolve(|value| scope.expand_text(value))));
                }
                Command::Onbuild(onbuild) => drop(berth_dockerfile::parse_trigger(&onbuild.trigger)),
                Command::Expose(words) => words.iter().for_each(|word| drop(scope.expand_words(word))),
                _ => {}
            }
        }
    }
}

/// A path up to a zero byte, and an ignore file: no panic, no endless loop, and a pruned folder keeps nothing.
pub fn ignore(input: &[u8]) {
    let end = input.iter().position(|byte| *byte == 0).unwrap_or(0);
    let Ok(path) = std::str::from_utf8(&input[..end]) else { return };
    let Ok(ignore) = Ignore::parse(&input[end..]) else { return };
    let _ = ignore.matches(path);
    let ends = path.match_indices('/').map(|(at, _)| at).filter(|at| *at > 0);
    for end in ends {
        if ignore.prunes(&path[..end]) {
            assert!(ignore.matches(path), "{path:?} below a pruned folder is kept");
        }
    }
}

/// A client that sends what the input says, whatever it is asked for.
struct Client(Vec<Packet>);

impl Service for Client {
    fn call(self: Arc<Self>, _: String, mut call: Call) -> BoxFuture<'static, ()> {
        async move {
            for packet in &self.0 {
                if call.send(packet).await.is_err() {
                    return;
                }
            }
            call.finish(Ok(())).await;
        }
        .boxed()
    }
}

/// Packets as a client's folder: nothing outside of the folder is touched, and the transfer ends.
pub fn context(input: &[u8]) {
    let mut rest = input;
    let mut packets = Vec::new();
    while let Ok(packet) = Packet::decode_length_delimited(&mut rest) {
        packets.push(packet);
        if rest.is_empty() {
            break;
        }
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let root = tempfile::tempdir().expect("a folder");
        std::fs::write(root.path().join("canary"), "untouched").expect("writable");
        let contexts = Contexts::open(&root.path().join("contexts")).expect("it opens");
        let (near, far) = tokio::io::duplex(1 << 16);
        tokio::spawn(serve(far, Arc::new(Client(packets))));
        let mut headers = http::HeaderMap::new();
        headers.insert("x-docker-expose-session-uuid", "s".parse().expect("a header"));
        let sync = "/moby.filesync.v1.FileSync/DiffCopy";
        headers.insert("x-docker-expose-session-grpc-method", sync.parse().expect("a header"));
        let sessions = Arc::new(Sessions::default());
        let serving = Arc::clone(&sessions);
        tokio::spawn(async move { serving.serve(&headers, near).await });
        let session = sessions.get("s").await.expect("it comes");
        let _ = contexts.sync(&session, &Wanted { name: "context".into(), ..Wanted::default() }).await;
        assert_eq!(std::fs::read_to_string(root.path().join("canary")).expect("readable"), "untouched");
        let beside: Vec<_> = std::fs::read_dir(root.path()).expect("readable").collect();
        assert_eq!(beside.len(), 2);
    });
}

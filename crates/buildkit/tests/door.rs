//! The door from both of its sides: a client that offers a session and asks for builds, a builder that says what it saw.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use berth_buildkit::grpc::{Call, Channel, Code, Metadata, Service, Status, serve};
use berth_buildkit::progress::Progress;
use berth_buildkit::proto::control::*;
use berth_buildkit::proto::session::*;
use berth_buildkit::proto::{Definition, Empty, Timestamp, gateway};
use berth_buildkit::session::{Received, Wanted};
use berth_buildkit::{Builder, Door, Solve};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use http::HeaderMap;

const SYNC: &str = "/moby.filesync.v1.FileSync/DiffCopy";
const SECRET: &str = "/moby.buildkit.secrets.v1.Secrets/GetSecret";
const CREDENTIALS: &str = "/moby.filesync.v1.Auth/Credentials";
const SEND: &str = "/moby.filesync.v1.FileSend/DiffCopy";
const UPLOAD: &str = "/moby.upload.v1.Upload/Pull";
const AGENT: &str = "/moby.sshforward.v1.SSH/ForwardAgent";
const SOLVE: &str = "/moby.buildkit.v1.Control/Solve";
const BRIDGE: &str = "/moby.buildkit.v1.frontend.LLBBridge";

/// Path, Go's mode, time, and content or target.
type Entry<'e> = (&'e str, u32, i64, &'e str);

/// The client's side of a session.
#[derive(Default)]
struct Client {
    /// Path, mode, time and content of each entry, in order.
    files: Mutex<Vec<(Stat, Vec<u8>)>>,
    /// What was sent to it.
    got: Mutex<Vec<u8>>,
    headers: Mutex<Vec<String>>,
}

impl Service for Client {
    fn call(self: Arc<Self>, path: String, mut call: Call) -> BoxFuture<'static, ()> {
        async move {
            match path.as_str() {
                SYNC => {
                    let outcome = self.sync(&mut call).await;
                    call.finish(outcome).await;
                }
                SECRET => {
                    let request: GetSecretRequest = call.request().await.expect("a request");
                    let known = request.id == "token";
                    let answer = GetSecretResponse { data: b"s3cret".to_vec() };
                    call.reply(known.then_some(answer).ok_or(Status::new(Code::NotFound, "none"))).await;
                }
                CREDENTIALS => {
                    let request: CredentialsRequest = call.request().await.expect("a request");
                    call.reply(Ok(CredentialsResponse { username: request.host, secret: "pw".into() })).await;
                }
                SEND => {
                    let named = call.header("buildkit-attachable-exporter-id").unwrap_or_default().to_owned();
                    self.headers.lock().expect("not poisoned").push(named);
                    while let Some(message) = call.next::<BytesMessage>().await.expect("bytes") {
                        self.got.lock().expect("not poisoned").extend(message.data);
                    }
                    call.finish(Ok(())).await;
                }
                UPLOAD => {
                    call.send(&BytesMessage { data: b"tar".to_vec() }).await.expect("it is taken");
                    call.finish(Ok(())).await;
                }
                AGENT => {
                    while let Some(message) = call.next::<BytesMessage>().await.expect("bytes") {
                        let echoed = message.data.to_ascii_uppercase();
                        call.send(&BytesMessage { data: echoed }).await.expect("it is taken");
                    }
                    call.finish(Ok(())).await;
                }
                _ => call.reply::<Empty>(Err(Status::new(Code::Unimplemented, path))).await,
            }
        }
        .boxed()
    }
}

impl Client {
    async fn sync(&self, call: &mut Call) -> Result<(), Status> {
        let files = self.files.lock().expect("not poisoned").clone();
        for (stat, _) in &files {
            call.send(&Packet { stat: Some(stat.clone()), ..Packet::default() }).await?;
        }
        call.send(&Packet::default()).await?;
        while let Some(packet) = call.next::<Packet>().await? {
            match PacketKind::try_from(packet.kind) {
                Ok(PacketKind::Request) => {
                    let content = &files[packet.id as usize].1;
                    for piece in [&content[..], &[]] {
                        let data = piece.to_vec();
                        call.send(&Packet { kind: PacketKind::Data as i32, id: packet.id, data, stat: None }).await?;
                    }
                }
                Ok(PacketKind::Finish) => {
                    call.send(&Packet { kind: PacketKind::Finish as i32, ..Packet::default() }).await?;
                    return Ok(());
                }
                _ => return Err(Status::invalid("an odd packet")),
            }
        }
        Ok(())
    }

    fn set(&self, files: &[Entry<'_>]) {
        let entry = |(path, mode, time, content): &Entry<'_>| {
            let link = mode & (1 << 27) != 0;
            let stat = Stat {
                path: (*path).to_owned(),
                mode: *mode,
                size: content.len() as i64,
                mod_time: *time,
                linkname: if link { (*content).to_owned() } else { String::new() },
                ..Stat::default()
            };
            (stat, content.as_bytes().to_vec())
        };
        *self.files.lock().expect("not poisoned") = files.iter().map(entry).collect();
    }
}

/// A builder that takes the context and tells a little.
#[derive(Default)]
struct Told {
    received: Mutex<Vec<Received>>,
    dropped: Arc<Mutex<u32>>,
}

struct OnDrop(Arc<Mutex<u32>>);

impl Drop for OnDrop {
    fn drop(&mut self) {
        *self.0.lock().expect("not poisoned") += 1;
    }
}

impl Builder for Told {
    fn build(&self, solve: Solve, progress: Progress) -> BoxFuture<'_, Result<BTreeMap<String, String>, Status>> {
        async move {
            let _guard = OnDrop(Arc::clone(&self.dropped));
            let session = solve.session.clone().ok_or_else(|| Status::invalid("no session"))?;
            let wanted = Wanted { name: "context".into(), exclude: vec!["caf\u{e9}".into()], ..Wanted::default() };
            let synced = solve.contexts.sync(&session, &wanted).await?;
            self.received.lock().expect("not poisoned").push(synced.received);
            let (started, completed) = (Some(Timestamp::now()), Some(Timestamp::now()));
            progress.vertex(Vertex {
                digest: "sha256:a".into(),
                name: "step".into(),
                started,
                completed,
                ..Default::default()
            });
            let mut seen = BTreeMap::new();
            for path in solve.options.labels.keys() {
                let content =
                    std::fs::read_to_string(synced.path().join(path)).unwrap_or_else(|e| e.kind().to_string());
                seen.insert(path.clone(), content);
            }
            match solve.options.target.as_deref() {
                Some("fail") => return Err(Status::new(Code::Unknown, "step failed: exit code: 1")),
                Some("sleep") => std::future::pending().await,
                Some("secrets") => {
                    let secret = session.secret("token").await?.unwrap_or_default();
                    seen.insert("secret".into(), String::from_utf8_lossy(&secret).into_owned());
                    seen.insert("none".into(), session.secret("other").await?.is_none().to_string());
                    let known = session.credentials("r.test").await?;
                    seen.insert("user".into(), known.map(|known| known.username).unwrap_or_default());
                    let mut upload = session.upload("abc").await?;
                    seen.insert(
                        "upload".into(),
                        String::from_utf8_lossy(&upload.next().await?.unwrap_or_default()).into(),
                    );
                    let (mut near, far) = tokio::io::duplex(64);
                    let agent = session.agent("default").await?;
                    let joined = agent.join(far);
                    let talk = async {
                        use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
                        near.write_all(b"ping").await.map_err(Status::gone)?;
                        let mut answer = [0; 4];
                        near.read_exact(&mut answer).await.map_err(Status::gone)?;
                        drop(near);
                        Ok::<_, Status>(String::from_utf8_lossy(&answer).into_owned())
                    };
                    let (_, answer) = tokio::join!(joined, talk);
                    seen.insert("agent".into(), answer?);
                }
                _ => {}
            }
            for export in &solve.exports {
                let mut sink = session.file_sink(export.index, &BTreeMap::new()).await?;
                sink.write(&vec![b'x'; 3 << 20]).await?;
                sink.finish().await?;
            }
            Ok(seen)
        }
        .boxed()
    }

    fn image_env<'a>(&'a self, _: &'a str) -> BoxFuture<'a, Option<Vec<String>>> {
        async { Some(Vec::new()) }.boxed()
    }

    fn usage(&self) -> BoxFuture<'_, Result<Vec<UsageRecord>, Status>> {
        async { Ok(vec![UsageRecord { id: "one".into(), size: 7, ..UsageRecord::default() }]) }.boxed()
    }

    fn prune(&self, _: PruneRequest) -> BoxFuture<'_, Result<Vec<UsageRecord>, Status>> {
        self.usage()
    }

    fn platforms(&self) -> Vec<String> {
        vec!["linux/amd64".into()]
    }

    fn host_gateway(&self) -> Option<String> {
        None
    }
}

/// A door, its builder, a client's session, and a channel to the door.
struct Scene {
    builder: Arc<Told>,
    client: Arc<Client>,
    control: Channel,
    session: tokio::task::JoinHandle<()>,
}

async fn scene(root: &Path, shared_key: &str) -> Scene {
    let builder = Arc::new(Told::default());
    let door = Arc::new(Door::open(root, builder.clone()).expect("it opens"));
    let client = Arc::new(Client::default());
    let (near, far) = tokio::io::duplex(1 << 16);
    tokio::spawn(serve(far, Arc::clone(&door) as Arc<dyn Service>));
    let (control, driver) = Channel::open(near).await.expect("the door speaks HTTP/2");
    tokio::spawn(driver);
    let (near, far) = tokio::io::duplex(1 << 16);
    let mut headers = HeaderMap::new();
    headers.insert("x-docker-expose-session-uuid", "s1".parse().expect("a header"));
    headers.insert("x-docker-expose-session-sharedkey", shared_key.parse().expect("a header"));
    for method in [SYNC, SECRET, CREDENTIALS, SEND, UPLOAD, AGENT] {
        headers.append("x-docker-expose-session-grpc-method", method.parse().expect("a header"));
    }
    let session = tokio::spawn(serve(far, Arc::clone(&client) as Arc<dyn Service>).map(drop));
    let sessions = Arc::clone(door.sessions());
    tokio::spawn(async move { sessions.serve(&headers, near).await });
    Scene { builder, client, control, session }
}

fn request(reference: &str, attrs: &[(&str, &str)]) -> SolveRequest {
    SolveRequest {
        reference: reference.to_owned(),
        session: "s1".to_owned(),
        frontend: "dockerfile.v0".to_owned(),
        frontend_attrs: attrs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
        ..SolveRequest::default()
    }
}

impl Scene {
    async fn solve(&self, request: &SolveRequest) -> Result<BTreeMap<String, String>, Status> {
        let answer = self.control.unary::<SolveResponse>(SOLVE, &Metadata::new(), request).await?;
        Ok(answer.exporter_response)
    }

    async fn records(&self) -> Vec<BuildHistoryRecord> {
        let path = "/moby.buildkit.v1.Control/ListenBuildHistory";
        let mut call = self.control.duplex(path, &Metadata::new()).await.expect("a call");
        call.sender.send(&BuildHistoryRequest { early_exit: true, ..Default::default() }).await.expect("it is taken");
        call.sender.finish();
        let mut records = Vec::new();
        while let Some(event) = call.receiver.next::<BuildHistoryEvent>().await.expect("an event") {
            records.extend(event.record);
        }
        records
    }
}

const DIR: u32 = 1 << 31 | 0o755;
const LINK: u32 = 1 << 27 | 0o777;

#[tokio::test]
async fn only_what_changed_is_sent_again() {
    let root = tempfile::tempdir().expect("a folder");
    let scene = scene(root.path(), "key").await;
    let asked = [("label:a", ""), ("label:d/b", ""), ("label:d/c", ""), ("label:l", "")];
    scene.client.set(&[("a", 0o644, 1, "one"), ("d", DIR, 1, ""), ("d/b", 0o600, 1, "two"), ("l", LINK, 1, "a")]);
    let seen = scene.solve(&request("r1", &asked)).await.expect("it builds");
    assert_eq!((&seen["a"][..], &seen["d/b"][..], &seen["l"][..]), ("one", "two", "one"));
    scene.client.set(&[("a", 0o644, 2, "ONE!"), ("d", DIR, 1, ""), ("d/b", 0o600, 1, "two"), ("l", LINK, 1, "a")]);
    let seen = scene.solve(&request("r2", &asked)).await.expect("it builds");
    assert_eq!((&seen["a"][..], &seen["d/b"][..]), ("ONE!", "two"));
    // A file becomes a folder, a folder goes.
    scene.client.set(&[("a", DIR, 2, ""), ("a/x", 0o644, 1, "deep")]);
    let seen = scene.solve(&request("r3", &[("label:a/x", ""), ("label:d/b", "")])).await.expect("it builds");
    assert_eq!((&seen["a/x"][..], &seen["d/b"][..]), ("deep", "entity not found"));
    // And a folder a file.
    scene.client.set(&[("a", 0o644, 3, "flat")]);
    assert_eq!(scene.solve(&request("r4", &[("label:a", "")])).await.expect("it builds")["a"], "flat");
    let received = scene.builder.received.lock().expect("not poisoned").clone();
    let sent: Vec<_> = received.iter().map(|received| (received.files, received.bytes)).collect();
    assert_eq!(sent, [(2, 6), (1, 4), (1, 4), (1, 4)]);
}

#[tokio::test]
async fn a_context_without_a_key_leaves_nothing() {
    let root = tempfile::tempdir().expect("a folder");
    let scene = scene(root.path(), "").await;
    scene.client.set(&[("a", 0o644, 1, "one")]);
    scene.solve(&request("r1", &[])).await.expect("it builds");
    assert_eq!(std::fs::read_dir(root.path().join("contexts")).expect("readable").count(), 0);
}

#[tokio::test]
async fn hostile_paths_are_refused_and_touch_nothing() {
    let root = tempfile::tempdir().expect("a folder");
    let outside = root.path().join("canary");
    std::fs::write(&outside, "untouched").expect("writable");
    let target = outside.to_str().expect("text").to_owned();
    let parent = root.path().to_str().expect("text").to_owned();
    let cases: Vec<(&str, Vec<Entry<'_>>)> = vec![
        ("a parent", vec![("../canary", 0o644, 1, "evil")]),
        ("an absolute path", vec![(&target, 0o644, 1, "evil")]),
        ("a dot", vec![("./a", 0o644, 1, "evil")]),
        ("an empty path", vec![("", 0o644, 1, "evil")]),
        ("a nul", vec![("a\0b", 0o644, 1, "evil")]),
        ("through a link", vec![("l", LINK, 1, &parent), ("l/canary", 0o644, 1, "evil")]),
        ("no parent", vec![("d/canary", 0o644, 1, "evil")]),
        ("a file as parent", vec![("d", 0o644, 1, "x"), ("d/canary", 0o644, 1, "evil")]),
        ("out of order", vec![("b", 0o644, 1, "x"), ("a", 0o644, 1, "x")]),
        ("twice", vec![("a", 0o644, 1, "x"), ("a", LINK, 1, "x")]),
        ("a device", vec![("a", 1 << 26 | 0o666, 1, "")]),
    ];
    for (index, (name, files)) in cases.into_iter().enumerate() {
        let scene = scene(&root.path().join(format!("door{index}")), "key").await;
        scene.client.set(&files);
        let refused = tokio::time::timeout(Duration::from_secs(10), scene.solve(&request("r1", &[]))).await;
        assert!(refused.expect("it ends").is_err(), "{name}");
        assert_eq!(std::fs::read_to_string(&outside).expect("readable"), "untouched", "{name}");
    }
}

#[tokio::test]
async fn the_session_gives_what_builds_need() {
    let root = tempfile::tempdir().expect("a folder");
    let scene = scene(root.path(), "key").await;
    let mut request = request("r1", &[("target", "secrets")]);
    request.exporters = vec![Exporter::default(), Exporter { kind: "tar".into(), attrs: BTreeMap::new() }];
    let seen = scene.solve(&request).await.expect("it builds");
    let wanted = [("agent", "PING"), ("none", "true"), ("secret", "s3cret"), ("upload", "tar"), ("user", "r.test")];
    let wanted: BTreeMap<_, _> = wanted.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    assert_eq!(seen, wanted);
    assert_eq!(scene.client.got.lock().expect("not poisoned").len(), 3 << 20);
    assert_eq!(*scene.client.headers.lock().expect("not poisoned"), ["1"]);
}

#[tokio::test]
async fn buildx_goes_over_the_bridge() {
    let root = tempfile::tempdir().expect("a folder");
    let scene = scene(root.path(), "key").await;
    scene.client.set(&[("a", 0o644, 1, "one")]);
    let mut outer = request("r1", &[]);
    outer.frontend = String::new();
    let metadata = vec![("buildkit-controlapi-buildid".to_owned(), "r1".to_owned())];
    let inside = async {
        let pong: gateway::PongResponse = scene.control.unary(&format!("{BRIDGE}/Ping"), &metadata, &Empty {}).await?;
        assert!(pong.frontend_caps.iter().any(|cap| cap.id == "return" && cap.enabled));
        let solve = gateway::SolveRequest {
            frontend: "dockerfile.v0".into(),
            frontend_opt: BTreeMap::from([("label:a".to_owned(), String::new())]),
            ..Default::default()
        };
        let answer: gateway::SolveResponse = scene.control.unary(&format!("{BRIDGE}/Solve"), &metadata, &solve).await?;
        let returned = gateway::ReturnRequest { result: answer.result, error: None };
        scene.control.unary::<Empty>(&format!("{BRIDGE}/Return"), &metadata, &returned).await
    };
    let (outer, inside) = tokio::join!(scene.solve(&outer), inside);
    inside.expect("the bridge stands");
    assert_eq!(outer.expect("it builds")["a"], "one");
}

#[tokio::test]
async fn a_question_has_a_status_even_after_its_end() {
    let root = tempfile::tempdir().expect("a folder");
    let scene = scene(root.path(), "key").await;
    // buildx asks what the builder can do by a solve that returns nothing, and for its status beside it, or later.
    let mut outer = request("q1", &[]);
    outer.frontend = String::new();
    let metadata = vec![("buildkit-controlapi-buildid".to_owned(), "q1".to_owned())];
    let inside = async {
        let returned = gateway::ReturnRequest::default();
        scene.control.unary::<Empty>(&format!("{BRIDGE}/Return"), &metadata, &returned).await
    };
    let (outer, inside) = tokio::join!(scene.solve(&outer), inside);
    inside.expect("the bridge stands");
    outer.expect("it is answered");
    let status = async {
        let mut call = scene.control.duplex("/moby.buildkit.v1.Control/Status", &Metadata::new()).await?;
        call.sender.send(&StatusRequest { reference: "q1".into() }).await?;
        call.sender.finish();
        while call.receiver.next::<StatusResponse>().await?.is_some() {}
        Ok::<_, Status>(())
    };
    let status = tokio::time::timeout(Duration::from_secs(2), status).await;
    status.expect("it is not waited for").expect("it is known");
}

#[tokio::test]
async fn builds_are_remembered_as_they_ended() {
    let root = tempfile::tempdir().expect("a folder");
    let scene = scene(root.path(), "key").await;
    scene.solve(&request("good", &[])).await.expect("it builds");
    let failed = scene.solve(&request("bad", &[("target", "fail")])).await.expect_err("it fails");
    assert_eq!(failed.message, "step failed: exit code: 1");
    let long =
        tokio::time::timeout(Duration::from_millis(300), scene.solve(&request("gone", &[("target", "sleep")]))).await;
    assert!(long.is_err(), "the client stopped waiting");
    let ended = async {
        while *scene.builder.dropped.lock().expect("not poisoned") < 3 || scene.records().await.len() < 3 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(5), ended).await.expect("a client that leaves ends its build");
    let records = scene.records().await;
    let shown: BTreeMap<_, _> = records
        .iter()
        .map(|record| {
            let code = record.error.as_ref().map(|error| error.code);
            (record.reference.as_str(), (code, record.completed_steps))
        })
        .collect();
    let wanted =
        [("bad", (Some(Code::Unknown as i32), 1)), ("gone", (Some(Code::Cancelled as i32), 1)), ("good", (None, 1))];
    assert_eq!(shown, wanted.into_iter().collect());
    let mut call = scene.control.duplex("/moby.buildkit.v1.Control/Status", &Metadata::new()).await.expect("a call");
    call.sender.send(&StatusRequest { reference: "good".into() }).await.expect("it is taken");
    let told: StatusResponse = call.receiver.next().await.expect("an answer").expect("what it told");
    assert_eq!(told.vertexes[0].name, "step");
    let delete = UpdateBuildHistoryRequest { reference: "bad".into(), delete: true, ..Default::default() };
    let path = "/moby.buildkit.v1.Control/UpdateBuildHistory";
    scene.control.unary::<Empty>(path, &Metadata::new(), &delete).await.expect("it goes");
    assert_eq!(scene.records().await.len(), 2);
    let again = scene.control.unary::<Empty>(path, &Metadata::new(), &delete).await.expect_err("it is gone");
    assert_eq!(again.code, Code::NotFound);
}

#[tokio::test]
async fn a_client_that_is_gone_ends_its_build() {
    let root = tempfile::tempdir().expect("a folder");
    let scene = scene(root.path(), "key").await;
    let long = request("r1", &[("target", "sleep")]);
    let solve = scene.solve(&long);
    let leave = async {
        while scene.builder.received.lock().expect("not poisoned").is_empty() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        scene.session.abort();
    };
    let (outcome, ()) = tokio::join!(tokio::time::timeout(Duration::from_secs(5), solve), leave);
    assert_eq!(outcome.expect("it ends").expect_err("it is cancelled").code, Code::Cancelled);
}

#[tokio::test]
async fn what_is_not_there_is_refused_by_name() {
    let root = tempfile::tempdir().expect("a folder");
    let scene = scene(root.path(), "key").await;
    let graph = SolveRequest { definition: Some(Definition { def: vec![vec![1]] }), ..request("r1", &[]) };
    let inputs =
        SolveRequest { frontend_inputs: BTreeMap::from([("a".into(), Definition::default())]), ..request("r1", &[]) };
    let cases = [
        (graph, "LLB"),
        (inputs, "frontend inputs"),
        (request("r1", &[("memory", "1g")]), "\"memory\""),
        (SolveRequest { frontend: "gateway.v0".into(), ..request("r1", &[("source", "x/y")]) }, "\"x/y\""),
        (SolveRequest { session: "other".into(), ..request("r1", &[]) }, "no active session for other"),
        (
            SolveRequest {
                exporters: vec![Exporter { kind: "erofs".into(), ..Default::default() }],
                ..request("r1", &[])
            },
            "\"erofs\"",
        ),
    ];
    for (request, named) in cases {
        let refused = scene.solve(&request).await.expect_err(named);
        assert!(refused.message.contains(named), "{refused}");
    }
    let unknown =
        scene.control.unary::<Empty>("/a.B/C", &Metadata::new(), &Empty {}).await.expect_err("no such method");
    assert_eq!(unknown.code, Code::Unimplemented);
}

#[tokio::test]
async fn bytes_that_are_no_protocol_end_the_connection_alone() {
    let root = tempfile::tempdir().expect("a folder");
    let door = Arc::new(Door::open(root.path(), Arc::new(Told::default())).expect("it opens"));
    for bytes in
        [&b"GET / HTTP/1.1\r\n\r\n"[..], b"", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\xff\xff\xff\x04\x00\x00\x00\x00\x00"]
    {
        let (mut near, far) = tokio::io::duplex(1 << 16);
        let served = tokio::spawn(serve(far, Arc::clone(&door) as Arc<dyn Service>));
        tokio::io::AsyncWriteExt::write_all(&mut near, bytes).await.expect("it is taken");
        drop(near);
        tokio::time::timeout(Duration::from_secs(5), served).await.expect("it ends").expect("no panic").ok();
    }
}

#[tokio::test]
async fn checks_answer_without_a_build() {
    let root = tempfile::tempdir().expect("a folder");
    let scene = scene(root.path(), "key").await;
    scene.client.set(&[("Dockerfile", 0o644, 1, "FROM scratch AS One\nCMD x\n")]);
    let mut outer = request("r1", &[]);
    outer.frontend = String::new();
    let metadata = vec![("buildkit-controlapi-buildid".to_owned(), "r1".to_owned())];
    let inside = async {
        let opt = [("requestid", "frontend.lint")].map(|(name, value)| (name.to_owned(), value.to_owned()));
        let solve =
            gateway::SolveRequest { frontend: "dockerfile.v0".into(), frontend_opt: opt.into(), ..Default::default() };
        let answer: gateway::SolveResponse = scene.control.unary(&format!("{BRIDGE}/Solve"), &metadata, &solve).await?;
        let result = answer.result.clone().unwrap_or_default();
        let returned = gateway::ReturnRequest { result: answer.result, error: None };
        scene.control.unary::<Empty>(&format!("{BRIDGE}/Return"), &metadata, &returned).await?;
        Ok::<_, Status>(result.metadata)
    };
    let (outer, inside) = tokio::join!(scene.solve(&outer), inside);
    outer.expect("a question is no failure");
    let metadata = inside.expect("an answer");
    assert_eq!(metadata["result.statuscode"], b"1");
    let json: serde_json::Value = serde_json::from_slice(&metadata["result.json"]).expect("JSON");
    let names: Vec<_> =
        json["warnings"].as_array().expect("an array").iter().map(|one| one["ruleName"].as_str()).collect();
    assert_eq!(names, [Some("StageNameCasing"), Some("JSONArgsRecommended")]);
    assert!(scene.builder.received.lock().expect("not poisoned").is_empty());
}

#[tokio::test]
async fn a_session_may_come_inside_of_a_call() {
    let root = tempfile::tempdir().expect("a folder");
    let scene = scene(root.path(), "key").await;
    let client = Arc::new(Client::default());
    client.set(&[("a", 0o644, 1, "inside")]);
    let headers = [("uuid", "s2"), ("sharedkey", "k2"), ("grpc-method", SYNC)];
    let headers: Metadata =
        headers.iter().map(|(name, value)| (format!("x-docker-expose-session-{name}"), (*value).to_owned())).collect();
    let path = "/moby.buildkit.v1.Control/Session";
    let mut call = scene.control.duplex(path, &headers).await.expect("a call");
    let (near, far) = tokio::io::duplex(1 << 16);
    tokio::spawn(serve(far, client as Arc<dyn Service>));
    tokio::spawn(async move {
        use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
        let (mut reader, mut writer) = tokio::io::split(near);
        let outward = async {
            let mut buffer = [0; 4096];
            while let Ok(read @ 1..) = reader.read(&mut buffer).await {
                call.sender.send(&BytesMessage { data: buffer[..read].to_vec() }).await.expect("it is taken");
            }
        };
        let inward = async {
            while let Ok(Some(message)) = call.receiver.next::<BytesMessage>().await {
                writer.write_all(&message.data).await.expect("it is taken");
            }
        };
        tokio::join!(outward, inward);
    });
    let request = SolveRequest { session: "s2".into(), ..request("r1", &[("label:a", "")]) };
    assert_eq!(scene.solve(&request).await.expect("it builds")["a"], "inside");
}

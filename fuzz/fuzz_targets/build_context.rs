//! Any packets as a client's folder: nothing outside of the folder is touched, and the transfer ends.
#![no_main]

use std::sync::Arc;

use berth_buildkit::grpc::{Call, Service, serve};
use berth_buildkit::proto::session::Packet;
use berth_buildkit::session::{Contexts, Sessions, Wanted};
use futures_util::{FutureExt, future::BoxFuture};
use prost::Message;

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

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    let mut rest = input;
    let mut packets = Vec::new();
    while let Ok(packet) = Packet::decode_length_delimited(&mut rest) {
        packets.push(packet);
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
});

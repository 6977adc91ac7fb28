//! A registry that mirrors another.

use std::time::Duration;

use super::*;
use crate::settings::Upstream;

async fn pair(dir: &std::path::Path, prefix: &str, change: impl FnOnce(&mut Settings)) -> (Running, Running) {
    let mut settings = Settings::new(dir.join("upstream"));
    settings.audit = Some(dir.join("audit"));
    let upstream = start(settings).await;
    let mut settings = Settings::new(dir.join("mirror"));
    let url = format!("http://{}", upstream.address);
    settings.upstreams = vec![Upstream { prefix: prefix.to_owned(), url, credentials: None }];
    change(&mut settings);
    (upstream, start(settings).await)
}

/// How often the upstream was asked for something.
fn asked(dir: &std::path::Path, what: &str) -> usize {
    let log = std::fs::read_to_string(dir.join("audit")).unwrap();
    log.lines().filter(|line| line.contains("\"method\":\"GET\"") && line.contains(what)).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_clients_make_one_upstream_request() {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    let raised = rustix::process::Rlimit { current: limit.maximum, maximum: limit.maximum };
    rustix::process::setrlimit(rustix::process::Resource::Nofile, raised).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let (upstream, mirror) = pair(dir.path(), "hub", |_| {}).await;
    let bytes = Bytes::from(noise(400_000, 5));
    let (_, layer) = upstream.client().await.push_image("team/app", "1", &bytes).await;
    mirror.client().await.get("/v2/hub/team/app/manifests/1").await.expect(200);
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..1000 {
        let (address, bytes, path) = (mirror.address, bytes.clone(), format!("/v2/hub/team/app/blobs/{layer}"));
        tasks.spawn(async move {
            let got = Client::new(address).await.get(&path).await.expect(200);
            assert!(got.body == bytes);
        });
    }
    while let Some(outcome) = tasks.join_next().await {
        outcome.unwrap();
    }
    assert_eq!(asked(dir.path(), layer.as_str()), 1);
    let mut client = mirror.client().await;
    let part = client.ask("GET", &format!("/v2/hub/team/app/blobs/{layer}"), &[("Range", "bytes=5-9")], "").await;
    assert_eq!(part.expect(206).body, bytes[5..10]);
    client.get("/v2/hub/team/app/manifests/1?ns=other").await.expect(200);
    client.get("/v2/team/app/manifests/1?ns=hub").await.expect(200);
    assert_eq!(asked(dir.path(), "\"reference\":\"1\""), 1, "a tag is fresh for a while");
    client.get("/v2/team/app/manifests/1").await.expect(404);
    client.ask("POST", "/v2/hub/team/app/blobs/uploads/", &[], "").await.expect(405);
    // Nothing that no manifest names is fetched.
    client.get(&format!("/v2/hub/team/app/blobs/{}", digest(b"{ }"))).await.expect(404);
    mirror.end().await;
    upstream.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tags_are_followed_and_outlive_their_upstream() {
    let dir = tempfile::tempdir().unwrap();
    let (upstream, mirror) = pair(dir.path(), "", |settings| settings.mirror.fresh = Duration::ZERO).await;
    let mut source = upstream.client().await;
    let (old, old_layer) = source.push_image("app", "1", b"old").await;
    let mut client = mirror.client().await;
    assert_eq!(client.get("/v2/app/manifests/1").await.expect(200).header("docker-content-digest"), old.as_str());
    client.get(&format!("/v2/app/blobs/{old_layer}")).await.expect(200);
    let (new, new_layer) = source.push_image("app", "1", b"new").await;
    tokio::time::sleep(Duration::from_millis(1100)).await;
    assert_eq!(client.get("/v2/app/manifests/1").await.expect(200).header("docker-content-digest"), new.as_str());
    assert_eq!(client.get("/v2/app/tags/list").await.expect(200).json()["tags"], serde_json::json!(["1"]));
    drop(source);
    upstream.end().await;
    tokio::time::sleep(Duration::from_millis(1100)).await;
    client.get("/v2/app/manifests/1").await.expect(200);
    client.get(&format!("/v2/app/blobs/{old_layer}")).await.expect(200);
    client.get(&format!("/v2/app/blobs/{new_layer}")).await.expect(502);
    client.get("/v2/app/manifests/2").await.expect(502);
    mirror.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_bytes_reach_nobody_whole_and_a_quota_is_kept() {
    let dir = tempfile::tempdir().unwrap();
    let (upstream, mirror) = pair(dir.path(), "", |settings| settings.mirror.quota_bytes = 250_000).await;
    let mut source = upstream.client().await;
    let layers: Vec<Vec<u8>> = (0..3).map(|seed| noise(100_000, seed + 20)).collect();
    let mut client = mirror.client().await;
    for (index, layer) in layers.iter().enumerate() {
        let (_, digest) = source.push_image("app", &format!("{index}"), layer).await;
        client.get(&format!("/v2/app/manifests/{index}")).await.expect(200);
        client.get(&format!("/v2/app/blobs/{digest}")).await.expect(200);
        tokio::time::sleep(Duration::from_millis(1100)).await;
    }
    let mirrored = mirror.registry.mirror.as_ref().unwrap();
    mirrored.keep_quota(&mirror.registry).await.unwrap();
    assert_eq!(mirror.registry.depot.store.list(0).await.unwrap().len(), 2);
    // What was dropped is fetched again.
    let first = digest(&layers[0]);
    assert_eq!(client.get(&format!("/v2/app/blobs/{first}")).await.expect(200).body, layers[0]);
    assert_eq!(asked(dir.path(), first.as_str()), 2);

    let (_, spoiled) = source.push_image("app", "spoiled", &noise(50_000, 40)).await;
    client.get("/v2/app/manifests/spoiled").await.expect(200);
    let crate::store::Store::Files(files) = &*upstream.registry.depot.store else { panic!() };
    std::fs::write(files.path(&spoiled), noise(50_000, 41)).unwrap();
    let path = format!("/v2/app/blobs/{spoiled}");
    let outcome = mirror.client().await.try_ask("GET", &path, &[], "").await;
    assert!(outcome.is_err() || outcome.unwrap().status != 200);
    assert!(
        mirror.registry.depot.ledger.read("test", |c| crate::ledger::blob::link(c, "app", &spoiled)).unwrap().is_none()
    );
    mirror.end().await;
    upstream.end().await;
}

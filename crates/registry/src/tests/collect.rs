//! Garbage and damage.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use super::*;
use crate::{collect::Terms, ledger::list, store::Store};

const ALL: Terms = Terms { grace_s: 0, upload_s: 0, untagged: false };

#[tokio::test(flavor = "multi_thread")]
async fn what_nobody_refers_to_goes_and_the_rest_stays() {
    let dir = tempfile::tempdir().unwrap();
    let running = start(Settings::new(dir.path().to_owned())).await;
    let mut client = running.client().await;
    let (_, kept) = client.push_image("a", "1", b"kept").await;
    let (gone_image, gone) = client.push_image("a", "2", b"gone").await;
    let loose = client.push_blob("a", b"loose").await;
    client.ask("POST", "/v2/a/blobs/uploads/", &[], "").await.expect(202);
    client.ask("DELETE", &format!("/v2/a/manifests/{gone_image}"), &[], "").await.expect(202);
    let grace = running.registry.collect(Terms { grace_s: 3600, upload_s: 3600, untagged: true }).await.unwrap();
    assert_eq!((grace.blobs, grace.links, grace.uploads), (0, 0, 0), "leases hold");
    let collected = running.registry.collect(ALL).await.unwrap();
    assert_eq!((collected.links, collected.blobs, collected.uploads), (2, 2, 1));
    client.get(&format!("/v2/a/blobs/{kept}")).await.expect(200);
    for digest in [gone, loose] {
        client.get(&format!("/v2/a/blobs/{digest}")).await.expect(404);
    }
    client.ask("DELETE", "/v2/a/manifests/1", &[], "").await.expect(202);
    let collected = running.registry.collect(Terms { untagged: true, ..ALL }).await.unwrap();
    assert_eq!((collected.manifests, collected.blobs, collected.repositories), (1, 2, 1));
    assert_eq!(running.registry.depot.ledger.read("test", list::sums).unwrap(), list::Sums::default());
    assert!(running.registry.depot.store.list(0).await.unwrap().is_empty());
    running.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pushes_go_on_while_garbage_is_collected() {
    let dir = tempfile::tempdir().unwrap();
    let running = start(Settings::new(dir.path().to_owned())).await;
    let is_over = Arc::new(AtomicBool::new(false));
    let (registry, over) = (Arc::clone(&running.registry), Arc::clone(&is_over));
    let collector = tokio::spawn(async move {
        let mut rounds = 0;
        while !over.load(Ordering::Relaxed) {
            // What is not referred to for a moment longer than a push takes is garbage; blobs without link at once.
            registry.collect(Terms { grace_s: 5, upload_s: 5, untagged: false }).await.unwrap();
            rounds += 1;
        }
        rounds
    });
    let mut tasks = tokio::task::JoinSet::new();
    for worker in 0..6_u64 {
        let address = running.address;
        tasks.spawn(async move {
            let mut client = Client::new(address).await;
            for round in 0..25_u64 {
                // All push the same layers, and take them away again: the same digests come and go.
                let layer = noise(20_000, round % 3);
                let name = format!("w{worker}");
                let (image, layer_digest) = client.push_image(&name, "1", &layer).await;
                assert_eq!(client.get(&format!("/v2/{name}/blobs/{layer_digest}")).await.expect(200).body, layer);
                client.ask("DELETE", &format!("/v2/{name}/manifests/{image}"), &[], "").await.expect(202);
                client.ask("DELETE", &format!("/v2/{name}/blobs/{layer_digest}"), &[], "").await.expect(202);
            }
            client.push_image(&format!("w{worker}"), "last", &noise(20_000, worker % 3)).await;
        });
    }
    while let Some(outcome) = tasks.join_next().await {
        outcome.unwrap();
    }
    is_over.store(true, Ordering::Relaxed);
    assert!(collector.await.unwrap() > 1);
    let mut client = running.client().await;
    for worker in 0..6_u64 {
        client.get(&format!("/v2/w{worker}/manifests/last")).await.expect(200);
        let layer = noise(20_000, worker % 3);
        assert_eq!(client.get(&format!("/v2/w{worker}/blobs/{}", digest(&layer))).await.expect(200).body, layer);
    }
    running.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn asking_whether_a_blob_is_here_renews_its_lease() {
    let dir = tempfile::tempdir().unwrap();
    let mut settings = Settings::new(dir.path().to_owned());
    settings.grace = Duration::from_secs(4);
    let running = start(settings).await;
    let mut client = running.client().await;
    let (asked, other) = (client.push_blob("a", b"asked").await, client.push_blob("a", b"other").await);
    tokio::time::sleep(Duration::from_millis(3100)).await;
    client.ask("HEAD", &format!("/v2/a/blobs/{asked}"), &[], "").await.expect(200);
    tokio::time::sleep(Duration::from_millis(2100)).await;
    running.registry.collect(running.registry.terms()).await.unwrap();
    client.get(&format!("/v2/a/blobs/{asked}")).await.expect(200);
    client.get(&format!("/v2/a/blobs/{other}")).await.expect(404);
    running.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_scrub_puts_damage_aside_and_a_push_heals_it() {
    let dir = tempfile::tempdir().unwrap();
    let running = start(Settings::new(dir.path().to_owned())).await;
    let mut client = running.client().await;
    let (_, layer) = client.push_image("a", "1", b"layer").await;
    let Store::Files(files) = &*running.registry.depot.store else { panic!() };
    std::fs::write(files.path(&layer), b"lauer").unwrap();
    let scrubbed = running.registry.scrub().await.unwrap();
    assert_eq!(scrubbed.broken, [layer.as_str()]);
    assert_eq!((scrubbed.blobs, scrubbed.manifests), (1, 1));
    client.get(&format!("/v2/a/blobs/{layer}")).await.expect(404);
    assert_eq!(std::fs::read_dir(dir.path().join("quarantine")).unwrap().count(), 1);
    client.push_blob("a", b"layer").await;
    assert_eq!(client.get(&format!("/v2/a/blobs/{layer}")).await.expect(200).body, "layer");
    assert!(running.registry.scrub().await.unwrap().broken.is_empty());
    running.end().await;
}

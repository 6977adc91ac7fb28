//! The protocol's corners that the public suite does not look into.

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn bytes_come_back_as_they_went() {
    let dir = tempfile::tempdir().unwrap();
    let running = start(Settings::new(dir.path().to_owned())).await;
    let mut client = running.client().await;
    // Around the sizes of pieces, over one connection.
    for (seed, size) in [0, 1, 511, 65_536, (1 << 20) - 1, 1 << 20, (1 << 20) + 1, 5_000_000].into_iter().enumerate() {
        let bytes = noise(size, seed as u64);
        let digest = client.push_blob("a/b", &bytes).await;
        let path = format!("/v2/a/b/blobs/{digest}");
        assert_eq!(client.get(&path).await.expect(200).body, bytes, "{size}");
        assert_eq!(client.ask("HEAD", &path, &[], "").await.expect(200).header("content-length"), size.to_string());
        if size > 2 {
            let part = client.ask("GET", &path, &[("Range", "bytes=1-")], "").await.expect(206);
            assert_eq!(part.body, bytes[1..], "{size}");
            assert_eq!(part.header("content-range"), format!("bytes 1-{}/{size}", size - 1));
        }
        let beyond = format!("bytes={size}-");
        client.ask("GET", &path, &[("Range", &beyond)], "").await.expect(416);
    }
    running.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn many_read_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let running = start(Settings::new(dir.path().to_owned())).await;
    let bytes = Bytes::from(noise(3_000_001, 7));
    let digest = running.client().await.push_blob("a", &bytes).await;
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..16 {
        let (address, bytes, path) = (running.address, bytes.clone(), format!("/v2/a/blobs/{digest}"));
        tasks.spawn(async move {
            let mut client = Client::new(address).await;
            for _ in 0..4 {
                assert!(client.get(&path).await.expect(200).body == bytes);
            }
        });
    }
    while let Some(outcome) = tasks.join_next().await {
        outcome.unwrap();
    }
    running.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_goes_on_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let bytes = noise(300_000, 3);
    let running = start(Settings::new(dir.path().to_owned())).await;
    let mut client = running.client().await;
    let begun = client.ask("POST", "/v2/a/blobs/uploads/", &[], "").await.expect(202);
    let location = begun.header("location").to_owned();
    let first = client.ask("PATCH", &location, &[("Content-Range", "0-99999")], bytes[..100_000].to_vec()).await;
    assert_eq!(first.expect(202).header("range"), "0-99999");
    let early = client.ask("PATCH", &location, &[("Content-Range", "100001-100002")], "xx").await.expect(416);
    assert_eq!(early.header("range"), "0-99999");
    drop(client);
    running.end().await;

    let running = start(Settings::new(dir.path().to_owned())).await;
    let mut client = running.client().await;
    assert_eq!(client.get(&location).await.expect(204).header("range"), "0-99999");
    client.get(&location.replace("/v2/a/", "/v2/b/")).await.expect(404);
    client.ask("PATCH", &location, &[("Content-Range", "100000-299999")], bytes[100_000..].to_vec()).await.expect(202);
    let wrong = digest(b"other");
    let right = digest(&bytes);
    assert_eq!(client.ask("PUT", &format!("{location}?digest={right}"), &[], "").await.expect(201).body, "");
    client.ask("PUT", &format!("{location}?digest={wrong}"), &[], "").await.expect(404);
    assert_eq!(client.get(&format!("/v2/a/blobs/{right}")).await.expect(200).body, bytes);
    running.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_come_in_pages() {
    let dir = tempfile::tempdir().unwrap();
    let running = start(Settings::new(dir.path().to_owned())).await;
    let mut client = running.client().await;
    let (subject, _) = client.push_image("a", "t0", b"layer").await;
    for index in 1..5 {
        client.push_image("a", &format!("t{index}"), b"layer").await;
    }
    client.push_image("b/c", "x", b"layer").await;
    let page = client.get("/v2/a/tags/list?n=2").await.expect(200);
    assert_eq!(page.json()["tags"], serde_json::json!(["t0", "t1"]));
    let link = page.header("link").to_owned();
    let next = link.trim_start_matches('<').split('>').next().unwrap();
    assert_eq!(client.get(next).await.expect(200).json()["tags"], serde_json::json!(["t2", "t3"]));
    let none = client.get("/v2/a/tags/list?n=0").await.expect(200);
    assert_eq!((none.json()["tags"].as_array().unwrap().len(), none.header("link")), (0, ""));
    client.get("/v2/none/tags/list").await.expect(404);
    client.get("/v2/a/tags/list?n=x").await.expect(400);
    let catalog = client.get("/v2/_catalog?n=1").await.expect(200);
    assert_eq!(catalog.json()["repositories"], serde_json::json!(["a"]));
    assert!(catalog.header("link").contains("last=a"));
    let config = digest(b"{}");
    for kind in ["k/one", "k/two", "k/two"] {
        let mut text: serde_json::Value = serde_json::from_str(&image((&config, 2), &[])).unwrap();
        text["artifactType"] = kind.into();
        text["annotations"] =
            serde_json::json!({"n": noise(4, client.host.len() as u64 + kind.len() as u64).len().to_string() + kind});
        text["subject"] = serde_json::json!({"mediaType": "x", "digest": subject.as_str(), "size": 1});
        let text = text.to_string();
        let put =
            client.ask("PUT", &format!("/v2/a/manifests/{}", digest(text.as_bytes())), &[], text).await.expect(201);
        assert_eq!(put.header("oci-subject"), subject.as_str());
    }
    let filtered = client.get(&format!("/v2/a/referrers/{subject}?artifactType=k/two")).await.expect(200);
    assert_eq!(filtered.header("oci-filters-applied"), "artifactType");
    assert_eq!(filtered.json()["manifests"].as_array().unwrap().len(), 1);
    let page = client.get(&format!("/v2/a/referrers/{subject}?n=1")).await.expect(200);
    assert!(page.header("link").contains("rel=\"next\""));
    running.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn limits_are_kept() {
    let dir = tempfile::tempdir().unwrap();
    let mut settings = Settings::new(dir.path().to_owned());
    settings.limits.blob_bytes = 1000;
    settings.limits.tags = 1;
    settings.limits.repositories = 1;
    settings.limits.catalogs_per_second = 1;
    settings.is_delete_allowed = false;
    let running = start(settings).await;
    let mut client = running.client().await;
    let (image_digest, _) = client.push_image("a", "one", b"x").await;
    let mut other = running.client().await;
    let path = format!("/v2/a/blobs/uploads/?digest={}", digest(b"y"));
    other.ask("POST", &path, &[], noise(1001, 1)).await.expect(413);
    let text = client.get("/v2/a/manifests/one").await.expect(200).body;
    client.ask("PUT", "/v2/a/manifests/two", &[], text.clone()).await.expect(403);
    let mut client = running.client().await;
    let path = format!("/v2/b/blobs/uploads/?digest={}", digest(b"x"));
    client.ask("POST", &path, &[], "x").await.expect(403);
    let mut client = running.client().await;
    client.ask("DELETE", &format!("/v2/a/manifests/{image_digest}"), &[], "").await.expect(405);
    client.get("/v2/_catalog").await.expect(200);
    let limited = client.get("/v2/_catalog").await.expect(429);
    assert_eq!(limited.header("retry-after"), "1");
    let mut client = running.client().await;
    client.ask("PUT", "/v2/a/manifests/one", &[], vec![b' '; (4 << 20) + 1]).await.expect(413);
    running.end().await;
}

//! Tokens, indexes, limits and refusals.

use std::sync::atomic::{AtomicU32, Ordering};

use berth_kit::{Kind, Kinded};
use berth_spec::{
    Platform,
    image::{DOCKER_MANIFEST, OCI_CONFIG, OCI_INDEX, OCI_MANIFEST},
};
use serde_json::json;

use super::server::{Server, answer, descriptor, digest};
use crate::{Credentials, Error, Policy, Repository, manifest::MANIFEST_BYTES_MAX};

fn manifest(config: &str) -> Vec<u8> {
    let config = descriptor(OCI_CONFIG, config.as_bytes());
    serde_json::to_vec(&json!({"schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": config, "layers": []})).unwrap()
}

fn user() -> Option<Credentials> {
    Some(Credentials { username: "ann".into(), password: "secret".into(), ..Credentials::default() })
}

#[tokio::test]
async fn a_token_is_fetched_with_the_users_credentials_and_used() {
    let server = Server::start(|own, request| {
        let sent = request.headers().get("authorization").map(|value| value.to_str().unwrap().to_owned());
        if request.uri().path() == "/token" {
            assert_eq!(sent.as_deref(), Some("Basic YW5uOnNlY3JldA=="));
            return answer(200, &[], r#"{"token":"tok"}"#);
        }
        if sent.as_deref() == Some("Bearer tok") {
            return answer(200, &[("content-type", OCI_MANIFEST)], manifest("a"));
        }
        let challenge =
            format!(r#"Bearer realm="http://{own}/token",service="me",scope="repository:team/app:pull,push""#);
        answer(401, &[("www-authenticate", &challenge)], "")
    })
    .await;
    let resolved = server.repository_with(user()).resolve(&server.reference(), &Platform::host()).await.unwrap();
    assert_eq!(resolved.digest, digest(&manifest("a")));
    let token = server.asked().into_iter().find(|asked| asked.path.starts_with("/token")).unwrap();
    assert_eq!(token.path, "/token?service=me&scope=repository%3Ateam%2Fapp%3Apull");
}

#[tokio::test]
async fn a_strange_realm_gets_nothing() {
    let stranger = Server::start(|_, _| answer(200, &[], r#"{"token":"tok"}"#)).await;
    let realm = format!("http://localhost:{}/token", stranger.address.rsplit(':').next().unwrap());
    let server = Server::start(move |_, _| {
        answer(401, &[("www-authenticate", &format!(r#"Bearer realm="{realm}",service="x""#))], "")
    })
    .await;
    let error = server.repository_with(user()).resolve(&server.reference(), &Platform::host()).await.unwrap_err();
    assert!(matches!(&error, Error::HostileRealm { .. }), "{error}");
    assert!(error.to_string().contains("neither its own host"), "{error}");
    assert!(stranger.asked().is_empty());
}

#[tokio::test]
async fn an_index_leads_to_the_platforms_manifest() {
    let server = Server::start(|_, request| {
        let (amd, arm) = (manifest("amd64"), manifest("arm64"));
        let at = |bytes: &[u8], architecture: &str| {
            let mut found = descriptor(OCI_MANIFEST, bytes);
            found.platform = Some(Platform::parse(&format!("linux/{architecture}")).unwrap());
            found
        };
        let index = json!({"schemaVersion": 2, "manifests": [at(&amd, "amd64"), at(&arm, "arm64/v8")]});
        match request.uri().path().strip_prefix("/v2/team/app/manifests/").unwrap() {
            "1" => answer(200, &[("content-type", OCI_INDEX)], index.to_string()),
            other if other == digest(&amd).as_str() => answer(200, &[("content-type", OCI_MANIFEST)], amd),
            other if other == digest(&arm).as_str() => answer(200, &[("content-type", DOCKER_MANIFEST)], arm),
            other => panic!("{other}"),
        }
    })
    .await;
    let repository = server.repository();
    for (platform, config) in [("linux/amd64", "amd64"), ("linux/arm64", "arm64"), ("linux/arm64/v8", "arm64")] {
        let resolved = repository.resolve(&server.reference(), &Platform::parse(platform).unwrap()).await.unwrap();
        assert_eq!(resolved.manifest.config.digest, digest(config.as_bytes()), "{platform}");
        assert_ne!(resolved.digest, digest(&manifest(config)), "the index's digest is the image's name");
    }
    let none = repository.resolve(&server.reference(), &Platform::parse("linux/s390x").unwrap()).await.unwrap_err();
    assert_eq!(none.to_string(), "no matching manifest for linux/s390x in the manifest list entries");
}

#[tokio::test]
async fn a_manifest_has_a_limit_and_a_digest() {
    let server = Server::start(|_, request| match request.uri().path().ends_with("/1") {
        true => answer(200, &[("content-type", OCI_MANIFEST)], vec![b' '; MANIFEST_BYTES_MAX + 1]),
        false => answer(200, &[("content-type", OCI_MANIFEST)], manifest("other")),
    })
    .await;
    let error = server.repository().resolve(&server.reference(), &Platform::host()).await.unwrap_err();
    assert!(matches!(error, Error::ManifestTooLarge { .. }), "{error}");
    let pinned = format!("{}/team/app@{}", server.address, digest(b"pinned"));
    let pinned = berth_spec::Reference::parse(&pinned).unwrap();
    let error = server.repository().resolve(&pinned, &Platform::host()).await.unwrap_err();
    assert!(error.to_string().contains(digest(b"pinned").as_str()), "{error}");
}

#[tokio::test]
async fn a_busy_registry_is_asked_again_when_it_says() {
    let count = AtomicU32::new(0);
    let server = Server::start(move |_, _| match count.fetch_add(1, Ordering::Relaxed) {
        0 => answer(429, &[("retry-after", "1")], ""),
        _ => answer(200, &[("content-type", OCI_MANIFEST)], manifest("a")),
    })
    .await;
    let begin = std::time::Instant::now();
    server.repository().resolve(&server.reference(), &Platform::host()).await.unwrap();
    assert!(begin.elapsed().as_millis() >= 1000, "{:?}", begin.elapsed());
}

#[tokio::test]
async fn refusals_are_told_as_docker_tells_them() {
    let server = Server::start(|_, request| match request.uri().path().contains("/app/") {
        true => answer(404, &[], r#"{"errors":[{"code":"MANIFEST_UNKNOWN","message":"manifest unknown"}]}"#),
        false => answer(403, &[], r#"{"errors":[{"code":"DENIED","message":"no\u001b[31m"}]}"#),
    })
    .await;
    let error = server.repository().resolve(&server.reference(), &Platform::host()).await.unwrap_err();
    let expected = format!("manifest for {}/team/app:1 not found: manifest unknown: manifest unknown", server.address);
    assert_eq!((error.to_string(), error.kind()), (expected, Kind::NotFound));
    let other = berth_spec::Reference::parse(&format!("{}/secret:1", server.address)).unwrap();
    let repository = Repository::open(&other, &Policy::default(), None).unwrap();
    let error = repository.resolve(&other, &Platform::host()).await.unwrap_err();
    let text = format!("pull access denied for {}/secret, repository does not exist or may require", server.address);
    assert!(error.to_string().starts_with(&text) && !error.to_string().contains('\u{1b}'), "{error}");
    assert_eq!(error.kind(), Kind::NotFound);
}

#[tokio::test]
async fn a_mirror_is_asked_first_without_credentials() {
    let mirror = Server::start(|_, _| answer(200, &[("content-type", OCI_MANIFEST)], manifest("mirrored"))).await;
    let mirrors = vec!["http://127.0.0.1:1/".to_owned(), format!("http://{}/hub", mirror.address)];
    let policy = Policy { mirrors, ..Policy::default() };
    let reference = berth_spec::Reference::parse("debian:13").unwrap();
    let repository = Repository::open(&reference, &policy, user()).unwrap();
    repository.resolve(&reference, &Platform::host()).await.unwrap();
    let asked = mirror.asked();
    assert_eq!(asked[0].path, "/hub/v2/library/debian/manifests/13");
    assert_eq!(asked[0].authorization, None);
}

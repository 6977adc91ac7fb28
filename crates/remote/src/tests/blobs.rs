//! Cuts, lies and redirects.

use std::sync::Arc;

use berth_content::Store;

use super::server::{Server, answer, descriptor, digest, raw};
use crate::{Credentials, Error, Policy, Repository};

fn store() -> (tempfile::TempDir, Store) {
    let place = tempfile::tempdir().unwrap();
    let store = Store::open(place.path()).unwrap();
    (place, store)
}

#[tokio::test]
async fn wrong_bytes_are_refused_by_name_and_not_kept() {
    let server = Server::start(|_, _| answer(200, &[], "evil!")).await;
    let (_place, store) = store();
    let blob = descriptor("x", b"right");
    let error = server.repository().fetch(&blob, &store).await.unwrap_err();
    assert!(matches!(&error, Error::WrongBlob { .. }), "{error}");
    assert!(error.to_string().contains(blob.digest.as_str()), "{error}");
    assert!(store.list().unwrap().is_empty());
    let short = descriptor("x", b"evil");
    let error = server.repository().fetch(&short, &store).await.unwrap_err();
    assert!(matches!(&error, Error::WrongSize { .. }) && error.to_string().contains(short.digest.as_str()), "{error}");
}

#[tokio::test]
async fn a_cut_blob_is_resumed_where_it_broke() {
    let bytes: Vec<u8> = (0..200_000_u32).map(|at| (at % 251) as u8).collect();
    let head = |status: &str, extra: &str, length: usize| {
        format!("HTTP/1.1 {status}\r\n{extra}Content-Length: {length}\r\n\r\n").into_bytes()
    };
    let first = [head("200 OK", "", bytes.len()), bytes[..150_000].to_vec()].concat();
    let range = "Content-Range: bytes 150000-199999/200000\r\n";
    let second = [head("206 Partial Content", range, 50_000), bytes[150_000..160_000].to_vec()].concat();
    // No ranges any more: all again.
    let third = [head("200 OK", "", bytes.len()), bytes.clone()].concat();
    let (address, heads) = raw(vec![first, second, third]).await;
    let reference = berth_spec::Reference::parse(&format!("{address}/team/app:1")).unwrap();
    let repository = Arc::new(Repository::open(&reference, &Policy::default(), None).unwrap());
    let (_place, store) = store();
    let blob = descriptor("x", &bytes);
    repository.fetch(&blob, &store).await.unwrap();
    assert_eq!(store.read_small(&blob.digest, 1 << 20).unwrap(), bytes);
    let heads = heads.lock().unwrap();
    let ranges: Vec<Option<&str>> =
        heads.iter().map(|head| head.lines().find(|line| line.starts_with("range:"))).collect();
    assert_eq!(ranges, [None, Some("range: bytes=150000-199999"), Some("range: bytes=160000-199999")]);
}

#[tokio::test]
async fn a_connection_that_breaks_again_and_again_ends_it() {
    let piece = b"HTTP/1.1 200 OK\r\nContent-Length: 90000\r\n\r\nabc".to_vec();
    let (address, _) = raw(vec![piece; 9]).await;
    let reference = berth_spec::Reference::parse(&format!("{address}/team/app:1")).unwrap();
    let repository = Arc::new(Repository::open(&reference, &Policy::default(), None).unwrap());
    let (_place, store) = store();
    let error = repository.fetch(&descriptor("x", &[b'a'; 90_000]), &store).await.unwrap_err();
    assert!(error.to_string().contains("ends after 3 of 90000 bytes"), "{error}");
    assert!(store.list().unwrap().is_empty());
}

#[tokio::test]
async fn a_redirect_takes_no_credentials_along() {
    let depot = Server::start(|_, _| answer(200, &[], "blob")).await;
    let target = format!("http://{}/depot/1?signed=yes", depot.address);
    let server = Server::start(move |_, request| match request.headers().get("authorization") {
        Some(_) => answer(307, &[("location", &target)], ""),
        None => answer(401, &[("www-authenticate", "Basic realm=\"x\"")], ""),
    })
    .await;
    let (_place, store) = store();
    let user = Credentials { username: "ann".into(), password: "secret".into(), ..Credentials::default() };
    server.repository_with(Some(user)).fetch(&descriptor("x", b"blob"), &store).await.unwrap();
    assert!(store.contains(&digest(b"blob")));
    assert!(server.asked().iter().any(|asked| asked.authorization.is_some()));
    assert_eq!(depot.asked().iter().map(|asked| asked.authorization.clone()).collect::<Vec<_>>(), [None]);
}

#[tokio::test]
async fn redirects_come_to_an_end() {
    let server = Server::start(|own, _| answer(302, &[("location", &format!("http://{own}/again"))], "")).await;
    let (_place, store) = store();
    let error = server.repository().fetch(&descriptor("x", b"blob"), &store).await.unwrap_err();
    assert!(error.to_string().contains("more than 5 redirects"), "{error}");
}

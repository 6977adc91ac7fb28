//! Pushes: what is there, what is mounted, what broke; and users who are known or not.

use std::sync::{
    Arc,
    atomic::{AtomicU32, Ordering},
};

use bytes::Bytes;

use super::server::{Server, answer, descriptor, digest};
use crate::{Client, Contents, Credentials, Error, Policy, Uploaded};

fn writable(server: &Server, client: &Client) -> crate::Repository {
    client.writable(&server.reference(), &Policy::default(), None).unwrap()
}

fn contents(bytes: &'static [u8]) -> Contents {
    Contents::Bytes(Bytes::from_static(bytes))
}

#[tokio::test]
async fn what_the_registry_has_is_not_sent() {
    let server = Server::start(|_, request| match request.method().as_str() {
        "HEAD" | "GET" => answer(200, &[], ""),
        other => panic!("{other} is not needed"),
    })
    .await;
    let sent =
        writable(&server, &Client::default()).upload(&descriptor("x", b"blob"), &contents(b"blob"), &[], None).await;
    assert_eq!(sent.unwrap(), Uploaded::Existed);
}

#[tokio::test]
async fn a_neighbours_blob_is_mounted() {
    let server = Server::start(|_, request| match (request.method().as_str(), request.uri().query()) {
        ("HEAD", _) => answer(404, &[], ""),
        ("POST", Some(query)) if query.contains("from=team%2Fother") => answer(201, &[], ""),
        ("GET", _) => answer(200, &[], ""),
        other => panic!("{other:?} is not needed"),
    })
    .await;
    let neighbours = ["team/other".to_owned()];
    let blob = descriptor("x", b"blob");
    let sent =
        writable(&server, &Client::default()).upload(&blob, &contents(b"blob"), &neighbours, None).await.unwrap();
    assert_eq!(sent, Uploaded::Mounted("team/other".to_owned()));
}

#[tokio::test]
async fn an_upload_that_broke_goes_on_where_the_registry_has_it() {
    let puts = Arc::new(AtomicU32::new(0));
    let server = Server::start(move |_, request| {
        let range = request.headers().get("content-range").map(|range| range.to_str().unwrap().to_owned());
        match (request.method().as_str(), range) {
            ("HEAD", _) => answer(404, &[], ""),
            ("POST", _) => answer(202, &[("location", "/v2/team/app/blobs/uploads/1?state=a")], ""),
            ("PUT", _) if puts.fetch_add(1, Ordering::Relaxed) == 0 => answer(500, &[], "broken"),
            ("GET", _) if request.uri().path().ends_with("/uploads/1") => {
                answer(204, &[("location", "/v2/team/app/blobs/uploads/1?state=b"), ("range", "0-3")], "")
            }
            ("GET", _) => answer(200, &[], ""),
            ("PATCH", Some(range)) => {
                assert_eq!((range.as_str(), request.uri().query()), ("4-9", Some("state=b")));
                answer(202, &[("location", "/v2/team/app/blobs/uploads/1?state=c")], "")
            }
            ("PUT", _) => {
                let wanted = format!("state=c&digest={}", digest(b"0123456789").as_str().replace(':', "%3A"));
                assert_eq!(request.uri().query(), Some(wanted.as_str()));
                answer(201, &[], "")
            }
            other => panic!("{other:?} is not needed"),
        }
    })
    .await;
    let blob = descriptor("x", b"0123456789");
    let sent = writable(&server, &Client::default()).upload(&blob, &contents(b"0123456789"), &[], None).await.unwrap();
    assert_eq!(sent, Uploaded::Sent);
}

#[tokio::test]
async fn a_refusal_is_final_and_says_why() {
    let server = Server::start(|_, request| match request.method().as_str() {
        "HEAD" => answer(404, &[], ""),
        "POST" => {
            answer(403, &[], r#"{"errors":[{"code":"DENIED","message":"requested access to the resource is denied"}]}"#)
        }
        _ => answer(200, &[], ""),
    })
    .await;
    let blob = descriptor("x", b"blob");
    let error = writable(&server, &Client::default()).upload(&blob, &contents(b"blob"), &[], None).await.unwrap_err();
    assert!(matches!(error, Error::PushDenied { .. }), "{error}");
    assert_eq!(error.to_string(), "denied: requested access to the resource is denied");
}

/// The first request of a push is a HEAD, whose answer has no words.
#[tokio::test]
async fn a_refusal_without_words_has_docker_s() {
    for (status, words) in
        [(401, "unauthorized: authentication required"), (403, "denied: requested access to the resource is denied")]
    {
        let server = Server::start(move |own, request| {
            let challenge = format!(r#"Bearer realm="http://{own}/token",service="me""#);
            match (request.uri().path(), request.method().as_str()) {
                ("/v2/", _) => answer(200, &[], ""),
                ("/token", _) => answer(200, &[], r#"{"token":"tok"}"#),
                (_, "HEAD") => answer(status, &[("www-authenticate", &challenge)], ""),
                other => panic!("{other:?} is not needed"),
            }
        })
        .await;
        let repository = writable(&server, &Client::default());
        let error = repository.has_blob(&descriptor("x", b"blob").digest).await.unwrap_err();
        assert!(matches!(error, Error::PushDenied { .. }), "{error}");
        assert_eq!(error.to_string(), words);
    }
}

#[tokio::test]
async fn users_are_known_by_basic_or_by_a_token_server_or_not() {
    let basic =
        Server::start(|_, request| match request.headers().get("authorization").map(|value| value.to_str().unwrap()) {
            Some("Basic YW5uOnNlY3JldA==") => answer(200, &[], ""),
            _ => answer(401, &[("www-authenticate", "Basic realm=\"x\"")], ""),
        })
        .await;
    let user =
        |password: &str| Credentials { username: "ann".into(), password: password.into(), ..Credentials::default() };
    let client = Client::default();
    assert_eq!(client.login(&basic.address, &Policy::default(), user("secret")).await.unwrap(), "");
    let error = client.login(&basic.address, &Policy::default(), user("wrong")).await.unwrap_err();
    assert!(error.to_string().ends_with("unauthorized: incorrect username or password"), "{error}");

    let tokens = Server::start(|own, request| {
        let sent = request.headers().get("authorization").map(|value| value.to_str().unwrap());
        match (request.uri().path(), sent) {
            ("/token", Some("Basic YW5uOnNlY3JldA==")) => answer(200, &[], r#"{"token":"tok","refresh_token":"keep"}"#),
            ("/token", _) => answer(401, &[], ""),
            (_, Some("Bearer tok")) => answer(200, &[], ""),
            _ => {
                let challenge = format!(r#"Bearer realm="http://{own}/token",service="me""#);
                answer(401, &[("www-authenticate", &challenge)], "")
            }
        }
    })
    .await;
    assert_eq!(client.login(&tokens.address, &Policy::default(), user("secret")).await.unwrap(), "keep");
    assert!(client.login(&tokens.address, &Policy::default(), user("wrong")).await.is_err());
}

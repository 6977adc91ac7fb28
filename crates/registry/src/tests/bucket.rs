//! A registry whose blobs are in a bucket, against a small S3-compatible server that checks signatures.

use std::{
    collections::{BTreeMap, HashMap},
    convert::Infallible,
    sync::Mutex,
};

use hyper::{Response, body::Incoming, service::service_fn};
use tokio::net::TcpListener;

use super::*;
use crate::{
    collect::Terms,
    settings,
    store::bucket::sign::{Canonical, Signer},
};

#[derive(Default)]
struct Objects {
    whole: BTreeMap<String, Bytes>,
    parts: HashMap<String, BTreeMap<u32, Bytes>>,
    refused: usize,
}

fn signer() -> Signer {
    Signer { access_key: "key".to_owned(), secret_key: "secret".to_owned(), region: "r".to_owned() }
}

async fn server() -> (SocketAddr, Arc<Mutex<Objects>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let objects: Arc<Mutex<Objects>> = Arc::default();
    let shared = Arc::clone(&objects);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let objects = Arc::clone(&shared);
            let service = service_fn(move |request| {
                let objects = Arc::clone(&objects);
                async move { Ok::<_, Infallible>(answer(&objects, request).await) }
            });
            tokio::spawn(hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service));
        }
    });
    (address, objects)
}

async fn answer(objects: &Mutex<Objects>, request: Request<Incoming>) -> Response<Full<Bytes>> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    let mut objects = objects.lock().unwrap();
    let header = |name: &str| head.headers.get(name).map_or("", |value| value.to_str().unwrap());
    let reply = |status: u16, body: Bytes| Response::builder().status(status).body(Full::new(body)).unwrap();
    let signed = header("authorization").split("SignedHeaders=").nth(1).unwrap_or_default();
    let names: Vec<&str> = signed.split(',').next().unwrap_or_default().split(';').collect();
    let headers: Vec<(&str, &str)> = names.iter().map(|name| (*name, header(name))).collect();
    let query = head.uri.query().unwrap_or_default();
    let payload = header("x-amz-content-sha256");
    let expected = signer().sign(&Canonical {
        method: head.method.as_str(),
        path: head.uri.path(),
        query,
        headers: &headers,
        payload,
        time: header("x-amz-date"),
    });
    let is_body_right = payload == "UNSIGNED-PAYLOAD" || payload == digest(&body).hex();
    if expected != header("authorization") || !is_body_right || !names.contains(&"host") {
        objects.refused += 1;
        return reply(403, "<Error><Code>SignatureDoesNotMatch</Code></Error>".into());
    }
    let pairs: HashMap<String, String> = serde_urlencoded::from_str(query).unwrap();
    let key = head.uri.path().strip_prefix("/pail/").unwrap_or_default().to_owned();
    match (head.method.as_str(), pairs.get("uploadId"), pairs.contains_key("uploads")) {
        ("POST", None, true) => {
            let id = format!("id{}&<", objects.parts.len());
            objects.parts.insert(id.clone(), BTreeMap::new());
            let id = id.replace('&', "&amp;").replace('<', "&lt;");
            reply(200, format!("<R><UploadId>{id}</UploadId></R>").into())
        }
        ("PUT", Some(id), _) => {
            let number = pairs["partNumber"].parse().unwrap();
            objects.parts.get_mut(id).unwrap().insert(number, body);
            Response::builder().header("ETag", format!("\"{number}\"")).body(Full::default()).unwrap()
        }
        ("POST", Some(id), _) => {
            let parts = objects.parts.remove(id).unwrap();
            objects.whole.insert(key, parts.into_values().flatten().collect::<Vec<u8>>().into());
            reply(200, Bytes::new())
        }
        ("PUT", ..) if !header("x-amz-copy-source").is_empty() => {
            let source = header("x-amz-copy-source").strip_prefix("/pail/").unwrap().to_owned();
            let copied = objects.whole.get(&source).cloned().unwrap_or_default();
            objects.whole.insert(key, copied);
            reply(200, Bytes::new())
        }
        ("PUT", ..) => {
            objects.whole.insert(key, body);
            reply(200, Bytes::new())
        }
        ("DELETE", ..) => {
            objects.whole.remove(&key);
            reply(204, Bytes::new())
        }
        ("GET", ..) if pairs.contains_key("list-type") => {
            // One a page, so that the pages are walked.
            let after = pairs.get("continuation-token").cloned().unwrap_or_default();
            let mut keys = objects.whole.keys().filter(|key| key.starts_with(&pairs["prefix"]) && **key > after);
            let text = keys.next().map_or(String::new(), |key| {
                let time = "<LastModified>2020-01-01T00:00:00.000Z</LastModified>";
                let next = keys.next().map(|_| format!("<NextContinuationToken>{key}</NextContinuationToken>"));
                format!("<Contents><Key>{key}</Key>{time}</Contents>{}", next.unwrap_or_default())
            });
            reply(200, format!("<R>{text}</R>").into())
        }
        ("GET", ..) => match (objects.whole.get(&key), crate::range::wanted(Some(header("range")), u64::MAX)) {
            (None, _) => reply(404, "<Error><Code>NoSuchKey</Code></Error>".into()),
            (Some(bytes), crate::range::Wanted::Part(first, last)) => {
                let end = bytes.len().min(usize::try_from(last).unwrap() + 1);
                reply(206, bytes.slice(usize::try_from(first).unwrap()..end))
            }
            (Some(bytes), _) => reply(200, bytes.clone()),
        },
        _ => reply(400, Bytes::new()),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn blobs_live_in_the_bucket_and_a_new_machine_finds_them() {
    let (address, objects) = server().await;
    let bucket = settings::Bucket {
        endpoint: format!("http://{address}"),
        name: "pail".to_owned(),
        prefix: "reg/".to_owned(),
        region: "r".to_owned(),
        access_key: "key".to_owned(),
        secret_key: "secret".to_owned(),
    };
    let dir = tempfile::tempdir().unwrap();
    let mut settings = Settings::new(dir.path().join("one"));
    settings.bucket = Some(bucket.clone());
    let running = start(settings).await;
    let mut client = running.client().await;
    // In three parts.
    let large = noise((33 << 20) + 5, 9);
    let (_, layer) = client.push_image("a", "1", &large).await;
    let loose = client.push_blob("a", b"loose").await;
    let path = format!("/v2/a/blobs/{layer}");
    assert!(client.get(&path).await.expect(200).body == large);
    let part = client.ask("GET", &path, &[("Range", "bytes=20000000-20000009")], "").await.expect(206);
    assert_eq!(part.body, large[20_000_000..20_000_010]);
    let collected = running.registry.collect(Terms { grace_s: 0, upload_s: 0, untagged: false }).await.unwrap();
    assert_eq!((collected.blobs, collected.strays), (1, 0));
    client.get(&format!("/v2/a/blobs/{loose}")).await.expect(404);
    drop(client);
    running.end().await;
    assert!(!dir.path().join("one/blobs").exists(), "nothing is kept here");

    let mut settings = Settings::new(dir.path().join("two"));
    settings.bucket = Some(bucket);
    let running = start(settings).await;
    let mut client = running.client().await;
    client.get("/v2/a/manifests/1").await.expect(200);
    assert!(client.get(&path).await.expect(200).body == large);
    let hex = layer.hex();
    let key = format!("reg/blobs/sha256/{}/{hex}", &hex[..2]);
    objects.lock().unwrap().whole.insert(key.clone(), "spoiled".into());
    assert_eq!(running.registry.scrub().await.unwrap().broken, [layer.as_str()]);
    client.get(&path).await.expect(404);
    {
        let objects = objects.lock().unwrap();
        let aside = format!("reg/quarantine/sha256-{hex}");
        assert!(!objects.whole.contains_key(&key) && objects.whole.contains_key(&aside));
        assert_eq!((objects.refused, objects.parts.len()), (0, 0));
    }
    running.end().await;
}

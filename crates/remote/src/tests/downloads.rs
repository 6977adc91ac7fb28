//! Big blobs: parts, cuts, crashes, sharing, lies, busy registries, mirrors.

use std::{
    io::Read,
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

use berth_content::Store;
use berth_spec::Reference;

use super::{
    flaky::{Act, Flaky},
    server::{descriptor, digest},
};
use crate::{Client, Error, PART_BYTES, Policy};

const PART: u64 = PART_BYTES as u64;

fn blob(megabytes: usize) -> Arc<Vec<u8>> {
    let mut state = 1_u64;
    let next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        state.to_le_bytes()
    };
    Arc::new(std::iter::repeat_with(next).take(megabytes << 17).flatten().collect())
}

fn store() -> (tempfile::TempDir, Store) {
    let place = tempfile::tempdir().unwrap();
    let store = Store::open(place.path()).unwrap();
    (place, store)
}

fn count(place: &tempfile::TempDir) -> usize {
    std::fs::read_dir(place.path().join("partial")).unwrap().count()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_big_blob_comes_by_parts_and_a_cut_at_nine_tenths_costs_no_part() {
    let bytes = blob(40);
    let size = bytes.len() as u64;
    let server = Flaky::start(Arc::clone(&bytes), move |asked| match asked.from / PART {
        // The last part breaks in its midst, once.
        4 if asked.from == 4 * PART => Act::CutAfter(PART / 2),
        _ => Act::Serve,
    })
    .await;
    let (place, store) = store();
    server.repository(&Client::default()).fetch(&descriptor("x", &bytes), &store).await.unwrap();
    assert!(store.contains(&digest(&bytes)));
    assert_eq!(count(&place), 0);
    let asked = server.asked.lock().unwrap().clone();
    assert!(asked.iter().all(|asked| asked.to - asked.from <= PART), "{asked:?}");
    let again = server.sent.load(Ordering::Relaxed) - size;
    assert!(again <= PART, "{again} bytes were fetched again");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_arrived_before_a_crash_is_not_fetched_again() {
    let bytes = blob(20);
    let size = bytes.len() as u64;
    let server = Flaky::start(Arc::clone(&bytes), |asked| match asked.number {
        0 | 1 => Act::Serve,
        2 => Act::CutAfter(2 << 20),
        // From here on, nobody is at home until the second life.
        3..=8 => Act::Answer("HTTP/1.1 500 Broken\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"),
        _ => Act::Serve,
    })
    .await;
    let place = tempfile::tempdir().unwrap();
    let wanted = descriptor("x", &bytes);
    let first = Store::open(place.path()).unwrap();
    let error = server.repository(&Client::default()).fetch(&wanted, &first).await.unwrap_err();
    assert!(error.to_string().contains(wanted.digest.as_str()), "{error}");
    let before = server.sent.load(Ordering::Relaxed);
    assert!(before >= 18 << 20, "{before}");
    // Another process: the store is opened anew, with nothing in memory.
    let second = Store::open(place.path()).unwrap();
    while server.asked.lock().unwrap().len() < 9 {
        let _ = server.repository(&Client::default()).fetch(&wanted, &second).await;
    }
    server.repository(&Client::default()).fetch(&wanted, &second).await.unwrap();
    assert_eq!(server.sent.load(Ordering::Relaxed), size, "bytes were fetched again");
    assert!(second.contains(&wanted.digest));
}

#[tokio::test(flavor = "multi_thread")]
async fn two_who_want_one_blob_share_its_download() {
    let bytes = blob(20);
    let server = Flaky::start(Arc::clone(&bytes), |_| Act::Slow(1)).await;
    let (_place, store) = store();
    let client = Client::default();
    let (one, two) = (server.repository(&client), server.repository(&client));
    let wanted = descriptor("x", &bytes);
    let (first, second) = tokio::join!(one.fetch(&wanted, &store), two.fetch(&wanted, &store));
    first.unwrap();
    second.unwrap();
    assert_eq!(server.sent.load(Ordering::Relaxed), bytes.len() as u64);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_sees_bytes_while_the_rest_is_on_its_way_and_ends_when_cancelled() {
    let bytes = blob(20);
    let server =
        Flaky::start(Arc::clone(&bytes), |asked| if asked.from == 0 { Act::Serve } else { Act::Slow(200) }).await;
    let (_place, store) = store();
    let client = Client::default();
    let lease = Arc::new(client.download(&server.repository(&client), &descriptor("x", &bytes), &store).unwrap());
    let mut reader = lease.reader();
    let (mut reader, head) = tokio::task::spawn_blocking(move || {
        let mut head = vec![0; 1 << 20];
        reader.read_exact(&mut head).unwrap();
        (reader, head)
    })
    .await
    .unwrap();
    assert_eq!(head, bytes[..1 << 20]);
    assert!(!lease.is_complete());
    let waiting = tokio::task::spawn_blocking(move || std::io::copy(&mut reader, &mut std::io::sink()));
    tokio::time::sleep(Duration::from_millis(50)).await;
    lease.cancel();
    let error = waiting.await.unwrap().unwrap_err();
    assert!(error.to_string().contains("interrupted"), "{error}");
    drop(lease);
    let left = store.partial(&digest(&bytes), bytes.len() as u64, PART_BYTES).unwrap();
    assert!(left.was_there() && left.frontier() >= 1 << 20, "what has come stays for the next time");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_changes_midway_is_refused_by_name_and_not_kept() {
    let (bytes, other) = (blob(20), Arc::new(vec![7; 20 << 20]));
    let server = Flaky::start(Arc::clone(&bytes), move |asked| match asked.from {
        0 => Act::CutAfter(3 << 20),
        _ => Act::Serve2(Arc::clone(&other)),
    })
    .await;
    let (place, store) = store();
    let wanted = descriptor("x", &bytes);
    let error = server.repository(&Client::default()).fetch(&wanted, &store).await.unwrap_err();
    assert!(matches!(error, Error::WrongBlob { .. }), "{error}");
    assert!(error.to_string().contains(wanted.digest.as_str()) && error.to_string().contains(&server.address));
    assert!(store.list().unwrap().is_empty());
    assert_eq!(count(&place), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_without_ranges_gives_it_whole() {
    let bytes = blob(20);
    let server = Flaky::start(Arc::clone(&bytes), |asked| match asked.number {
        0 => Act::CutAfter(5 << 20),
        _ => Act::IgnoreRange,
    })
    .await;
    let (_place, store) = store();
    server.repository(&Client::default()).fetch(&descriptor("x", &bytes), &store).await.unwrap();
    assert!(store.contains(&digest(&bytes)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_busy_registry_is_asked_again_when_it_said() {
    let bytes = blob(1);
    let busy = "HTTP/1.1 429 Too Many Requests\r\nRetry-After: 1\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
    let server =
        Flaky::start(Arc::clone(&bytes), move |asked| if asked.number == 0 { Act::Answer(busy) } else { Act::Serve })
            .await;
    let (_place, store) = store();
    let begun = Instant::now();
    server.repository(&Client::default()).fetch(&descriptor("x", &bytes), &store).await.unwrap();
    let took = begun.elapsed();
    assert!(took >= Duration::from_secs(1) && took < Duration::from_secs(5), "{took:?}");
}

/// A policy with mirrors for one registry, by `hosts.toml`.
fn mirrored(registry: &str, mirrors: &[&str]) -> (tempfile::TempDir, Policy) {
    let place = tempfile::tempdir().unwrap();
    let own = place.path().join(registry);
    std::fs::create_dir(&own).unwrap();
    let tables: Vec<String> = mirrors.iter().map(|mirror| format!("[host.\"http://{mirror}\"]\n")).collect();
    std::fs::write(own.join("hosts.toml"), format!("server = \"http://{registry}\"\n{}", tables.concat())).unwrap();
    let policy = Policy { certificates: vec![place.path().into()], ..Policy::default() };
    (place, policy)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mirror_that_lies_or_is_busy_is_passed_over_and_asked_last_afterwards() {
    let (bytes, other) = (blob(9), Arc::new(vec![7; 9 << 20]));
    let busy = "HTTP/1.1 429 Too Many Requests\r\nRetry-After: 30\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
    let liar = Flaky::start(Arc::clone(&bytes), move |_| Act::Serve2(Arc::clone(&other))).await;
    let tired = Flaky::start(Arc::clone(&bytes), move |_| Act::Answer(busy)).await;
    let good = Flaky::start(Arc::clone(&bytes), |_| Act::Serve).await;
    let (_hosts, policy) = mirrored(&good.address, &[&tired.address, &liar.address]);
    let client = Client::default();
    let reference = Reference::parse(&format!("{}/team/app:1", good.address)).unwrap();
    let repository = || Arc::new(client.repository(&reference, &policy, None).unwrap());
    let (_place, store) = store();
    let begun = Instant::now();
    repository().fetch(&descriptor("x", &bytes), &store).await.unwrap();
    assert!(begun.elapsed() < Duration::from_secs(20), "behind a busy mirror stands the registry");
    assert!(store.contains(&digest(&bytes)));
    let asked = |server: &Flaky| server.asked.lock().unwrap().len();
    assert!(asked(&tired) > 0 && asked(&liar) > 0 && asked(&good) > 0);
    // Both are known to be sick now: the next repository begins with the registry itself.
    let (tired_before, liar_before) = (asked(&tired), asked(&liar));
    store.remove(&digest(&bytes)).unwrap();
    repository().fetch(&descriptor("x", &bytes), &store).await.unwrap();
    assert_eq!((asked(&tired), asked(&liar)), (tired_before, liar_before));
}

//! Stores that were spoiled by hand: `fsck` says what is wrong, and mends what it has the means for.

mod place;

use std::{fs, os::unix::fs::PermissionsExt, path::PathBuf};

use berth_image::{CommitRequest, Finding, FsckReport, FsckRequest, What};
use berth_snapshot::Snapshotter;
use berth_spec::Digest;
use place::{Place, place};

async fn fsck(place: &Place, repair: bool) -> FsckReport {
    place.images.fsck(&FsckRequest { repair, ..FsckRequest::default() }).await.unwrap()
}

fn found(report: &FsckReport) -> Vec<(What, &str)> {
    report.findings.iter().map(|finding| (finding.what, finding.id.as_str())).collect()
}

/// An image of two layers; gives the directory and the chain id of each.
async fn two_layers(place: &Place) -> [(PathBuf, String); 2] {
    let base = place.import("base", &[("etc/passwd", "root"), ("big", &"x".repeat(100_000))]).await;
    let upper = tempfile::tempdir().unwrap();
    fs::write(upper.path().join("added"), "added").unwrap();
    let request = CommitRequest {
        upper: upper.path().to_owned(),
        parent: Some(base),
        repository: "top".to_owned(),
        ..CommitRequest::default()
    };
    let top = place.images.commit(request).await.unwrap();
    let chain = place.images.chain_of(&top).unwrap();
    let directory = |at: usize| place.snapshots.layer_dir(chain[at].as_str()).unwrap();
    [(directory(0), chain[0].to_string()), (directory(1), chain[1].to_string())]
}

#[tokio::test]
async fn a_sound_store_is_said_to_be_sound() {
    let place = place();
    two_layers(&place).await;
    let report = fsck(&place, true).await;
    assert_eq!(report.findings, [], "nothing is wrong");
    assert_eq!((report.images, report.layers, report.blobs), (2, 2, 4));
    assert!(report.bytes_read > 0 && report.is_sound());
}

#[tokio::test]
async fn spoiled_files_of_layers_are_unpacked_again() {
    let place = place();
    let [(base, base_id), (top, top_id)] = two_layers(&place).await;
    for spoil in [
        (|base, _| fs::write(base.join("etc/passwd"), "toor").unwrap()) as fn(&PathBuf, &PathBuf),
        |base, _| fs::remove_file(base.join("big")).unwrap(),
        |base, _| fs::write(base.join("etc/stranger"), "x").unwrap(),
        |base, _| fs::set_permissions(base.join("big"), fs::Permissions::from_mode(0o4777)).unwrap(),
        |base, _| fs::remove_dir_all(base).unwrap(),
    ] {
        spoil(&base, &top);
        let report = fsck(&place, false).await;
        assert_eq!(found(&report), [(What::Layer, base_id.as_str())], "{report:?}");
        assert!(!report.is_sound());
        let report = fsck(&place, true).await;
        assert_eq!(report.findings[0].repaired.as_deref(), Some("unpacked again"), "{report:?}");
        assert_eq!(fs::read_to_string(base.join("etc/passwd")).unwrap(), "root");
        assert_eq!(fsck(&place, false).await.findings, []);
    }
    fs::write(top.parent().unwrap().join("layer.json"), "{").unwrap();
    let again = place.again();
    let report = fsck(&again, true).await;
    assert!(found(&report).contains(&(What::Layer, top_id.as_str())), "{report:?}");
    assert!(report.is_sound(), "{report:?}");
    assert_eq!(fsck(&again, false).await.findings, []);
    assert_eq!(again.snapshots.layers().unwrap().len(), 2);
}

#[tokio::test]
async fn what_a_running_container_stands_on_is_not_replaced() {
    let place = place();
    let [(base, _), _] = two_layers(&place).await;
    fs::write(base.join("etc/passwd"), "toor").unwrap();
    let id = place.images.resolve("top").await.unwrap().id;
    place.used.0.lock().unwrap().insert(id.to_string(), vec![("c".repeat(64), true)]);
    let report = fsck(&place, true).await;
    let Finding { problem, repaired, .. } = &report.findings[0];
    assert!(repaired.is_none() && problem.contains("used by running container cccccccccccc"), "{problem}");
    assert_eq!(fs::read_to_string(base.join("etc/passwd")).unwrap(), "toor");
}

#[tokio::test]
async fn spoiled_and_missing_blobs_are_told_and_stay_wrong_without_a_registry() {
    let place = place();
    two_layers(&place).await;
    let mut blobs = place.content.list().unwrap();
    blobs.sort();
    fs::write(place.content.path(&blobs[0]), "spoiled").unwrap();
    place.content.remove(&blobs[1]).unwrap();
    let report = fsck(&place, true).await;
    let mut ids: Vec<&str> = report.findings.iter().map(|finding| finding.id.as_str()).collect();
    ids.sort_unstable();
    assert_eq!(ids, [blobs[0].as_str(), blobs[1].as_str()], "{report:?}");
    assert!(report.findings.iter().all(|finding| matches!(finding.what, What::Blob | What::Config)), "{report:?}");
    assert!(report.findings.iter().all(|finding| finding.problem.contains("cannot be repaired")), "{report:?}");
}

#[tokio::test]
async fn orphans_go_and_nothing_else() {
    let place = place();
    two_layers(&place).await;
    let stray = format!("sha256:{}", "a".repeat(64));
    let draft = place.snapshots.draft_layer(&stray, None).unwrap();
    place.snapshots.commit_layer(draft, 7).unwrap();
    let blob = place.content.put(&b"stray"[..]).unwrap().0;
    let kept = format!("sha256:{}", "b".repeat(64));
    let draft = place.snapshots.draft_layer(&kept, None).unwrap();
    place.snapshots.commit_layer(draft, 0).unwrap();
    place.snapshots.create("container", Some(&kept)).unwrap();
    let report = fsck(&place, true).await;
    let mut ids = found(&report);
    ids.sort_by_key(|(_, id)| id.to_string());
    let mut expected = [(What::Orphan, stray.as_str()), (What::Orphan, blob.as_str())];
    expected.sort_by_key(|(_, id)| id.to_string());
    assert_eq!(ids, expected);
    assert_eq!((report.bytes_freed, report.is_sound()), (12, true));
    assert_eq!(fsck(&place, false).await.findings, []);
    assert_eq!(place.snapshots.layers().unwrap().len(), 3, "a container's layer stays");
}

#[tokio::test]
async fn what_is_about_to_be_swept_is_not_wrong() {
    let place = place();
    two_layers(&place).await;
    let (left, _) = place.content.put(&b"written before the power went"[..]).unwrap();
    let report = fsck(&place, false).await;
    assert_eq!(found(&report), [(What::Orphan, left.as_str())], "the sweep of the start is over: {report:?}");
    place.images.expect_sweep();
    assert_eq!(fsck(&place, false).await.findings, []);
    assert!(!place.content.contains(&left));
}

#[tokio::test]
async fn spoiled_records_are_made_again_or_go() {
    let place = place();
    two_layers(&place).await;
    let id = place.images.resolve("top").await.unwrap().id;
    let records = berth_record::Store::open(&place.dir.path().join("berth.db")).unwrap();
    let put = |kind: &str, id: &str| records.put(kind, id, &1, &"no record", berth_record::Durability::Power).unwrap();
    put("image", id.as_str());
    put("tag", "spoiled:latest");
    drop(records);
    let place = place.again();
    let report = fsck(&place, true).await;
    let record = format!("image/{id}");
    let image = report.findings.iter().find(|finding| finding.id == record).expect("found");
    assert_eq!(image.repaired.as_deref(), Some("made again of the image's configuration"), "{report:?}");
    let place = place.again();
    assert_eq!(place.images.resolve("top").await.unwrap().id, id, "its name leads to it again");
    assert!(fsck(&place, true).await.is_sound());
    assert_eq!(fsck(&place, false).await.findings, []);
}

#[tokio::test]
async fn squashed_layers_are_one_with_the_same_contents() {
    let place = place();
    let [_, _] = two_layers(&place).await;
    let upper = tempfile::tempdir().unwrap();
    let whiteout = upper.path().join("big");
    let (kind, mode) = (rustix::fs::FileType::CharacterDevice, rustix::fs::Mode::empty());
    rustix::fs::mknodat(rustix::fs::CWD, &whiteout, kind, mode, 0).unwrap();
    let parent = Some(place.images.resolve("top").await.unwrap().id);
    let changes = vec!["CMD [\"/added\"]".to_owned()];
    let request = CommitRequest {
        upper: upper.path().to_owned(),
        parent,
        repository: "third".to_owned(),
        changes,
        ..CommitRequest::default()
    };
    place.images.commit(request).await.unwrap();
    let id: Digest = place.images.squash("third", "flat", "1").await.unwrap();
    let image = place.images.resolve("flat:1").await.unwrap();
    assert_eq!((image.id, image.config.rootfs.diff_ids.len()), (id.clone(), 1));
    assert_eq!(image.config.config.cmd.unwrap(), ["/added"], "the configuration is the same");
    assert_eq!(image.config.history.iter().filter(|step| !step.empty_layer).count(), 1);
    let chain = place.images.chain_of(&id).unwrap();
    let layer = place.snapshots.layer_dir(chain[0].as_str()).unwrap();
    let mut names: Vec<_> = fs::read_dir(&layer).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, ["added", "etc"], "what was removed is gone, mount points are no part of it");
    assert_eq!(fs::read_to_string(layer.join("etc/passwd")).unwrap(), "root");
    assert!(place.snapshots.snapshots().unwrap().is_empty(), "nothing is left of the making");
    assert_eq!(fsck(&place, false).await.findings, []);
}

#[tokio::test]
async fn above_the_high_watermark_the_oldest_goes_until_the_low_one() {
    let place = place();
    for name in ["oldest", "used", "in-use", "newest"] {
        place.import(name, &[(name, &name.repeat(40_000))]).await;
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    let id = |name: &str| {
        let (images, name) = (place.images.clone(), name.to_owned());
        async move { images.resolve(&name).await.map(|image| image.id) }
    };
    place.images.mark_used(&id("used").await.unwrap());
    let in_use = id("in-use").await.unwrap();
    place.used.0.lock().unwrap().insert(in_use.to_string(), vec![("c".repeat(64), false)]);
    let marks = |high: &str, low: &str| {
        let section = serde_json::json!({"high": high, "low": low});
        place.images.set_watermarks(Some(berth_image::Watermarks::parse(&section).unwrap()));
    };
    // The layers have some 160 to 240 kB each, 840 kB together.
    marks("2m", "1m");
    assert_eq!(place.images.relieve(place.dir.path()).await.unwrap().removed, [], "below the mark nothing goes");
    marks("700k", "650k");
    let report = place.images.relieve(place.dir.path()).await.unwrap();
    assert!(report.space_bytes >= 240_000, "{report:?}");
    assert!(id("oldest").await.is_err(), "what was used longest ago is gone");
    for name in ["used", "in-use", "newest"] {
        assert!(id(name).await.is_ok(), "{name} stays: the low mark is reached");
    }
    marks("1k", "0");
    place.images.relieve(place.dir.path()).await.unwrap();
    assert!(id("in-use").await.is_ok(), "what has a container stays whatever the level");
    assert!(id("used").await.is_err() && id("newest").await.is_err());
    assert_eq!(place.leftovers(), (1, 2));
}

//! Images from end to end, on the overlay snapshotter in a directory of their own.

mod place;

use std::{collections::BTreeMap, io::Write, path::Path};

use berth_archive::tar::{Entry, Kind, Reader, Writer};
use berth_image::{CommitRequest, ListRequest, Removed};
use berth_kit::{Kind as ErrorKind, Kinded};
use berth_snapshot::Snapshotter;
use berth_spec::image::RunConfig;
use place::place;

fn members(archive: &[u8]) -> BTreeMap<String, Vec<u8>> {
    let mut reader = Reader::new(archive);
    let mut members = BTreeMap::new();
    while let Some(entry) = reader.next_entry().unwrap() {
        let mut contents = Vec::new();
        std::io::Read::read_to_end(&mut reader, &mut contents).unwrap();
        members.insert(String::from_utf8(entry.path).unwrap(), contents);
    }
    members
}

fn rebuilt(members: &BTreeMap<String, Vec<u8>>) -> Vec<u8> {
    let mut writer = Writer::new(Vec::new());
    for (path, contents) in members.iter().filter(|(path, _)| !path.ends_with('/')) {
        let mut entry = Entry::new(path.as_str(), Kind::File);
        entry.size = contents.len() as u64;
        writer.append(&entry, &mut &contents[..]).unwrap();
    }
    writer.finish().unwrap()
}

#[tokio::test]
async fn an_imported_image_can_be_found_inspected_and_survives_a_restart() {
    let place = place();
    let id = place.import("web", &[("bin/app", "binary"), ("etc/conf", "x=1")]).await;
    let place = place.again();
    for name in
        ["web", "web:latest", "docker.io/library/web", id.as_str(), id.hex(), &id.hex()[..12], &id.as_str()[..20]]
    {
        assert_eq!(place.images.resolve(name).await.unwrap().id, id, "{name}");
    }
    let image = place.images.resolve("web").await.unwrap();
    let chain = image.top.unwrap();
    assert_eq!(place.snapshots.layer_size(&chain).unwrap(), 9);
    let inspect = place.images.inspect("web").await.unwrap();
    assert_eq!(inspect.repo_tags.unwrap(), ["web:latest"]);
    assert_eq!(inspect.config.unwrap().cmd.unwrap(), ["/bin/true"]);
    assert_eq!((inspect.size, inspect.comment.as_deref()), (Some(9), Some("made by a test")));
    let history = place.images.history("web").await.unwrap();
    assert_eq!((history.len(), history[0].size, &history[0].id), (1, 9, &id.to_string()));
    assert_eq!(place.images.sweep().await.unwrap(), berth_image::Swept::default());
    for (name, text) in [("nothing", "No such image: nothing:latest"), ("a@b", "invalid reference format")] {
        assert_eq!(place.images.resolve(name).await.unwrap_err().to_string(), text);
    }
}

#[tokio::test]
async fn what_is_saved_loads_with_the_same_ids_and_bytes() {
    let (from, to) = (place(), place());
    let a = from.import("a", &[("f", "one")]).await;
    let b = from.import("example.org:5000/b", &[("g", "two")]).await;
    from.images.tag("a", "a", "v2").await.unwrap();
    let bytes = from.save(&["a", "example.org:5000/b:latest"]).await;
    let (ids, text) = to.load(&bytes).await.unwrap();
    assert_eq!(ids, [a.clone(), b]);
    assert_eq!(text, "Loaded image: a:latest\nLoaded image: a:v2\nLoaded image: example.org:5000/b:latest\n");
    assert_eq!(to.save(&["a", "example.org:5000/b:latest"]).await, bytes);
    // Again: nothing new, nothing left behind.
    let before = to.leftovers();
    to.load(&zstd(&bytes)).await.unwrap();
    assert_eq!(to.leftovers(), before);
    // By id there is no name.
    let third = place();
    let (_, text) = third.load(&from.save(&[a.as_str()]).await).await.unwrap();
    assert_eq!(text, format!("Loaded image ID: {a}\n"));
    // Without Docker's manifest it is still an OCI layout.
    let mut members = members(&bytes);
    members.remove("manifest.json");
    members.remove("repositories");
    let fourth = place();
    let (ids, text) = fourth.load(&rebuilt(&members)).await.unwrap();
    assert_eq!((ids[0].clone(), text.lines().count()), (a, 3));
}

type Members = BTreeMap<String, Vec<u8>>;

fn zstd(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = berth_archive::compression::zstd_encoder(Vec::new(), 1).unwrap();
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

#[tokio::test]
async fn a_spoiled_archive_leaves_nothing() {
    let from = place();
    from.import("a", &[("f", "one"), ("g", &"data".repeat(50_000))]).await;
    let good = members(&from.save(&["a"]).await);
    let layer =
        good.iter().filter(|(path, _)| path.starts_with("blobs/")).max_by_key(|(_, bytes)| bytes.len()).unwrap().0;
    let spoil = |act: &dyn Fn(&mut Members)| {
        let mut members = good.clone();
        act(&mut members);
        rebuilt(&members)
    };
    let whole = rebuilt(&good);
    let cases = [
        (
            "no manifest",
            spoil(&|m| m.retain(|path, _| path.starts_with("blobs/"))),
            "neither manifest.json nor index.json",
        ),
        ("layer missing", spoil(&|m| drop(m.remove(layer))), "is missing"),
        ("layer changed", spoil(&|m| m.get_mut(layer).unwrap()[600] ^= 1), "has the digest"),
        (
            "layer under a plain path",
            spoil(&|m| {
                let mut bytes = m.remove(layer).unwrap();
                bytes[600] ^= 1;
                m.insert("plain.tar".to_owned(), bytes);
                let manifest = String::from_utf8(m["manifest.json"].clone())
                    .unwrap()
                    .replace(&format!("[\"{layer}\"]"), "[\"plain.tar\"]");
                m.insert("manifest.json".to_owned(), manifest.into_bytes());
            }),
            "wrong content",
        ),
        ("manifest no JSON", spoil(&|m| drop(m.insert("manifest.json".to_owned(), b"[{".to_vec()))), "manifest.json"),
        ("truncated", whole[..whole.len() / 2].to_vec(), "read archive"),
        ("empty", Vec::new(), "neither"),
        ("garbage", vec![0x55; 5000], "invalid archive"),
        ("text", b"{\"not\": \"a tar\"}".repeat(100), "invalid archive"),
    ];
    for (what, bytes, text) in cases {
        let to = place();
        let error = to.load(&bytes).await.unwrap_err();
        assert!(error.to_string().contains(text), "{what}: {error}");
        assert_eq!(error.kind(), ErrorKind::Invalid, "{what}: {error}");
        assert_eq!((to.leftovers(), to.images.count()), ((0, 0), 0), "{what}");
    }
}

#[tokio::test]
async fn a_commit_adds_one_layer_to_its_parent() {
    let place = place();
    let parent = place.import("base", &[("etc/passwd", "root"), ("gone", "x")]).await;
    let upper = tempfile::tempdir().unwrap();
    std::fs::create_dir(upper.path().join("etc")).unwrap();
    std::fs::write(upper.path().join("etc/new"), "12345").unwrap();
    let kind = rustix::fs::FileType::CharacterDevice;
    rustix::fs::mknodat(rustix::fs::CWD, upper.path().join("gone"), kind, rustix::fs::Mode::empty(), 0).unwrap();
    let request = |upper: &Path, repository: &str| CommitRequest {
        upper: upper.to_owned(),
        parent: Some(parent.clone()),
        config: RunConfig { cmd: Some(vec!["old".to_owned()]), ..RunConfig::default() },
        changes: vec!["ENV A=b".to_owned(), "CMD new".to_owned()],
        author: "me".to_owned(),
        comment: "why".to_owned(),
        created_by: "sh".to_owned(),
        repository: repository.to_owned(),
        ..CommitRequest::default()
    };
    let id = place.images.commit(request(upper.path(), "child")).await.unwrap();
    let image = place.images.resolve("child").await.unwrap();
    assert_eq!((image.config.rootfs.diff_ids.len(), image.parent.as_ref()), (2, Some(&parent)));
    let history = place.images.history("child").await.unwrap();
    assert_eq!((history.len(), history[0].size, history[1].id.as_str()), (2, 5, parent.as_str()));
    // The layer holds the whiteout, and works in an overlay.
    place.snapshots.create("c", image.top.as_deref()).unwrap();
    let rootfs = place.snapshots.rootfs("c").unwrap();
    assert_eq!(
        std::fs::metadata(rootfs.lower[0].join("gone")).map(|it| std::os::unix::fs::MetadataExt::rdev(&it)).unwrap(),
        0
    );
    // Nothing written: the parent's layers, an empty step.
    let nothing = tempfile::tempdir().unwrap();
    let same = place.images.commit(request(nothing.path(), "same")).await.unwrap();
    assert_eq!(place.images.resolve("same").await.unwrap().config.rootfs.diff_ids.len(), 1);
    // A parent stays while its children are here.
    let error = place.images.remove(parent.as_str(), true, false).await.unwrap_err();
    assert!(error.to_string().contains("(cannot be forced) - image has dependent child images"), "{error}");
    let removed = place.images.remove("base", false, false).await.unwrap();
    assert_eq!(removed, [Removed::Untagged("base:latest".to_owned())]);
    place.images.remove(same.as_str(), false, false).await.unwrap();
    place.snapshots.remove("c").unwrap();
    let removed = place.images.remove(id.as_str(), false, false).await.unwrap();
    assert!(removed.contains(&Removed::Deleted(parent.to_string())), "the nameless parent goes too: {removed:?}");
    assert_eq!(place.leftovers(), (0, 0));
}

#[tokio::test]
async fn removal_follows_dockers_rules() {
    let place = place();
    let id = place.import("a", &[("f", "one")]).await;
    let short = &id.hex()[..12];
    place.images.tag("a", "b", "1").await.unwrap();
    let removed = place.images.remove("a", false, false).await.unwrap();
    assert_eq!(removed, [Removed::Untagged("a:latest".to_owned())]);
    place.images.tag("b:1", "a", "").await.unwrap();
    let error = place.images.remove(short, false, false).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        format!("conflict: unable to delete {short} (must be forced) - image is referenced in multiple repositories")
    );
    place.images.remove("a", false, false).await.unwrap();
    let container = "c".repeat(64);
    let hold = |runs| place.used.0.lock().unwrap().insert(id.to_string(), vec![(container.clone(), runs)]);
    hold(false);
    let error = place.images.remove("b:1", false, false).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        format!(
            "conflict: unable to remove repository reference \"b:1\" (must force) - container cccccccccccc is using its referenced image {short}"
        )
    );
    let error = place.images.remove(short, false, false).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        format!(
            "conflict: unable to delete {short} (must be forced) - image is being used by stopped container cccccccccccc"
        )
    );
    hold(true);
    let error = place.images.remove(id.as_str(), true, false).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        format!(
            "conflict: unable to delete {short} (cannot be forced) - image is being used by running container cccccccccccc"
        )
    );
    assert_eq!(error.kind(), ErrorKind::Conflict);
    // By name and by force, the name goes and the image stays for its container.
    let removed = place.images.remove("b:1", true, false).await.unwrap();
    assert_eq!(removed, [Removed::Untagged("b:1".to_owned())]);
    hold(false);
    let removed = place.images.remove(short, true, false).await.unwrap();
    assert_eq!(removed[0], Removed::Deleted(id.to_string()));
    assert_eq!(place.leftovers(), (0, 0));
    let error = place.images.remove(short, false, false).await.unwrap_err();
    assert_eq!((error.to_string(), error.kind()), (format!("No such image: {short}:latest"), ErrorKind::NotFound));
    let actions: Vec<String> = place.events().into_iter().map(|(action, _)| action).collect();
    assert_eq!(actions, ["tag", "import", "tag", "untag", "tag", "untag", "untag", "delete"]);
}

#[tokio::test]
async fn lists_and_prunes_keep_to_their_filters() {
    let place = place();
    let old = place.import("a", &[("f", "one")]).await;
    let new = place.import("b", &[("g", "three")]).await;
    place.images.tag("b", "a", "latest").await.unwrap();
    let list = |filters: &[(&str, &str)], all| {
        let mut request = ListRequest { all, ..ListRequest::default() };
        for (key, value) in filters {
            request.filters.entry((*key).to_owned()).or_default().push((*value).to_owned());
        }
        request
    };
    let ids = async |filters: &[(&str, &str)]| -> Vec<String> {
        place.images.list(&list(filters, false)).await.unwrap().into_iter().map(|image| image.id).collect()
    };
    let (o, n) = (old.to_string(), new.to_string());
    assert_eq!(ids(&[]).await, [n.clone(), o.clone()]);
    for (key, value, wanted) in [
        ("dangling", "true", &o),
        ("dangling", "false", &n),
        ("label", "made=for-a", &o),
        ("label!", "made=for-a", &n),
        ("before", "b", &o),
        ("since", &o, &n),
    ] {
        assert_eq!(&ids(&[(key, value)]).await.join(","), wanted, "{key}={value}");
    }
    assert!(ids(&[("until", "1h")]).await.is_empty());
    let one = place.images.list(&list(&[("reference", "b*")], false)).await.unwrap();
    assert_eq!((one.len(), &one[0].repo_tags[..]), (1, &["b:latest".to_owned()][..]));
    for (key, value, text) in
        [("color", "red", "invalid filter 'color'"), ("dangling", "x", "invalid filter 'dangling=x'")]
    {
        let error = place.images.list(&list(&[(key, value)], false)).await.unwrap_err();
        assert_eq!(error.to_string(), text);
    }
    let report = place.images.prune(&BTreeMap::new()).await.unwrap();
    assert_eq!(report.removed[0], Removed::Deleted(o));
    assert!(report.space_bytes > 3, "{report:?}");
    assert_eq!(ids(&[]).await, [n]);
    let all = BTreeMap::from([("dangling".to_owned(), vec!["false".to_owned()])]);
    place.images.prune(&all).await.unwrap();
    assert_eq!((place.images.count(), place.leftovers()), (0, (0, 0)));
}

#[tokio::test]
async fn a_crash_before_the_record_is_swept() {
    let place = place();
    let kept = place.import("a", &[("f", "one")]).await;
    let stray = format!("sha256:{}", "a".repeat(64));
    let draft = place.snapshots.draft_layer(&stray, None).unwrap();
    place.snapshots.commit_layer(draft, 7).unwrap();
    place.content.put(&b"stray"[..]).unwrap();
    let place = place.again();
    let swept = place.images.sweep().await.unwrap();
    assert_eq!((swept.layers.len(), swept.blobs, swept.bytes), (1, 1, 12));
    assert_eq!(place.images.resolve("a").await.unwrap().id, kept);
    assert_eq!(place.leftovers(), (1, 2));
}

#[tokio::test]
async fn hello_is_made_once_of_a_program() {
    let place = place();
    let exe = place.dir.path().join("program");
    std::fs::write(&exe, "program").unwrap();
    let first = place.images.ensure_hello(&exe).await.unwrap();
    assert_eq!(place.images.ensure_hello(&exe).await.unwrap(), first);
    let image = place.images.resolve("berth/hello").await.unwrap();
    assert_eq!(image.config.config.cmd.unwrap(), ["/berth", "hello"]);
    std::fs::write(&exe, "newer program").unwrap();
    assert_ne!(place.images.ensure_hello(&exe).await.unwrap(), first);
}

#[tokio::test]
async fn usage_counts_each_layer_once() {
    let place = place();
    let base = place.import("a", &[("f", "12345")]).await;
    let upper = tempfile::tempdir().unwrap();
    std::fs::write(upper.path().join("g"), "123").unwrap();
    let request =
        CommitRequest { upper: upper.path().to_owned(), parent: Some(base.clone()), ..CommitRequest::default() };
    place.images.commit(request).await.unwrap();
    place.used.0.lock().unwrap().insert(base.to_string(), vec![("c".repeat(64), true)]);
    let usage = place.images.usage();
    assert_eq!((usage.layers_bytes, usage.reclaimable_bytes, usage.active, usage.images.len()), (8, 3, 1, 2));
    let summary = usage.images.iter().find(|image| image.id == base.to_string()).unwrap();
    assert_eq!((summary.shared_size, summary.containers, summary.size), (5, 1, 5));
}

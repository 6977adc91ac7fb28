//! What we save is read by others, and what they write is loaded: skopeo and Debian's packages decide.

use std::{path::Path, process::Command, sync::Arc};

use berth_archive::tar::{Entry, Kind, Writer};
use berth_image::{ByteStream, Images, ImportRequest};
use berth_snapshot::overlay::Overlay;
use futures_util::StreamExt;

fn open(dir: &Path) -> Images {
    std::fs::create_dir(dir).unwrap();
    let records = berth_record::Store::open(&dir.join("berth.db")).unwrap();
    let snapshots = Arc::new(Overlay::open(&dir.join("snapshot")).unwrap());
    let content = berth_content::Store::open(&dir.join("content")).unwrap();
    Images::open(records, snapshots, content, berth_event::Bus::default()).unwrap()
}

fn body(bytes: Vec<u8>) -> ByteStream {
    futures_util::stream::iter([Ok(bytes::Bytes::from(bytes))]).boxed()
}

fn skopeo(arguments: &[&str]) -> Option<String> {
    let output = Command::new("skopeo").args(arguments).output().ok()?;
    assert!(output.status.success(), "skopeo {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    Some(String::from_utf8_lossy(&output.stdout).into_owned())
}

#[tokio::test]
async fn skopeo_reads_and_writes_the_same_images() {
    let dir = tempfile::tempdir().unwrap();
    if skopeo(&["--version"]).is_none() {
        println!("skipped: skopeo is not installed");
        return;
    }
    let images = open(&dir.path().join("one"));
    let mut tar = Writer::new(Vec::new());
    let mut entry = Entry::new("hello", Kind::File);
    entry.size = 5;
    tar.append(&entry, &mut &b"hello"[..]).unwrap();
    let request = ImportRequest {
        repository: "judged".to_owned(),
        changes: vec!["ENV A=b".to_owned(), "CMD [\"/hello\"]".to_owned()],
        ..ImportRequest::default()
    };
    let id = images.import(request, body(tar.finish().unwrap()), None).await.unwrap();
    let mut saved = Vec::new();
    let mut stream = images.save(&["judged".to_owned()]).await.unwrap();
    while let Some(piece) = stream.next().await {
        saved.extend_from_slice(&piece.unwrap());
    }
    let archive = dir.path().join("saved.tar");
    std::fs::write(&archive, &saved).unwrap();
    let archive = archive.display();
    let docker = skopeo(&["inspect", "--config", &format!("docker-archive:{archive}:judged:latest")]).unwrap();
    let oci = skopeo(&["inspect", "--raw", &format!("oci-archive:{archive}:latest")]).unwrap();
    assert!(docker.contains("\"A=b\"") && oci.contains(id.as_str()), "{docker}\n{oci}");
    for (kind, name) in [("docker-archive", ":again:1"), ("oci-archive", ":again:1")] {
        let copy = dir.path().join(kind);
        let target = format!("{kind}:{}{name}", copy.display());
        skopeo(&["copy", "--quiet", &format!("docker-archive:{archive}"), &target]).unwrap();
        let other = open(&dir.path().join(format!("of-{kind}")));
        let ids = other.load(body(std::fs::read(&copy).unwrap()), None).await.unwrap();
        let image = other.resolve("again:1").await.unwrap();
        assert_eq!(image.tags, ["again:1"], "{kind}");
        assert_eq!(ids.first(), Some(&image.id), "{kind}");
        assert_eq!(image.config.config.cmd.unwrap(), ["/hello"], "{kind}");
    }
}

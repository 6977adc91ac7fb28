//! Images in a directory of their own, and archives to feed them: what the tests of this crate share.
#![allow(dead_code, reason = "each test program uses a part")]

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use berth_archive::tar::{Entry, Kind, Writer};
use berth_event::Bus;
use berth_image::{ByteStream, Error, Images, ImportRequest, InUse};
use berth_snapshot::{Snapshotter, overlay::Overlay};
use berth_spec::Digest;
use futures_util::StreamExt;

pub struct Place {
    pub dir: tempfile::TempDir,
    pub images: Images,
    pub snapshots: Arc<Overlay>,
    pub content: berth_content::Store,
    pub bus: Bus,
    pub used: Arc<Used>,
}

#[derive(Default)]
pub struct Used(pub Mutex<BTreeMap<String, Vec<(String, bool)>>>);

impl InUse for Used {
    fn containers_of(&self, image_id: &str) -> Vec<(String, bool)> {
        self.0.lock().unwrap().get(image_id).cloned().unwrap_or_default()
    }
}

pub fn place() -> Place {
    open(tempfile::tempdir().unwrap())
}

pub fn open(dir: tempfile::TempDir) -> Place {
    let records = berth_record::Store::open(&dir.path().join("berth.db")).unwrap();
    let snapshots = Arc::new(Overlay::open(&dir.path().join("snapshot")).unwrap());
    let content = berth_content::Store::open(&dir.path().join("content")).unwrap();
    let bus = Bus::default();
    let images = Images::open(records, snapshots.clone(), content.clone(), bus.clone()).unwrap();
    let used = Arc::new(Used::default());
    images.set_in_use(used.clone());
    Place { dir, images, snapshots, content, bus, used }
}

impl Place {
    /// As after a restart.
    pub fn again(self) -> Place {
        let Place { dir, images, .. } = self;
        drop(images);
        open(dir)
    }

    pub async fn import(&self, name: &str, files: &[(&str, &str)]) -> Digest {
        let request = ImportRequest {
            repository: name.to_owned(),
            changes: vec!["CMD [\"/bin/true\"]".to_owned(), format!("LABEL made=for-{name}")],
            message: "made by a test".to_owned(),
            ..ImportRequest::default()
        };
        self.images.import(request, body(&tar(files)), None).await.unwrap()
    }

    pub async fn load(&self, bytes: &[u8]) -> Result<(Vec<Digest>, String), Error> {
        let (sender, mut receiver) = tokio::sync::mpsc::channel::<berth_spec::progress::Progress>(64);
        let lines = tokio::spawn(async move {
            let mut text = String::new();
            while let Some(line) = receiver.recv().await {
                text.push_str(line.stream.as_deref().unwrap_or_default());
            }
            text
        });
        let ids = self.images.load(body(bytes), Some(sender)).await;
        let text = lines.await.unwrap();
        ids.map(|ids| (ids, text))
    }

    pub async fn save(&self, names: &[&str]) -> Vec<u8> {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut stream = self.images.save(&names).await.unwrap();
        let mut bytes = Vec::new();
        while let Some(piece) = stream.next().await {
            bytes.extend_from_slice(&piece.unwrap());
        }
        bytes
    }

    pub fn leftovers(&self) -> (usize, usize) {
        (self.snapshots.layers().unwrap().len(), self.content.list().unwrap().len())
    }

    pub fn events(&self) -> Vec<(String, String)> {
        let past = self.bus.subscribe(Some(berth_kit::time::Timestamp::UNIX_EPOCH)).past;
        past.into_iter().map(|event| (event.action, event.actor.attributes["name"].clone())).collect()
    }
}

pub fn body(bytes: &[u8]) -> ByteStream {
    let pieces: Vec<_> = bytes.chunks(10_000).map(|piece| Ok(bytes::Bytes::copy_from_slice(piece))).collect();
    futures_util::stream::iter(pieces).boxed()
}

pub fn tar(files: &[(&str, &str)]) -> Vec<u8> {
    let mut writer = Writer::new(Vec::new());
    for (path, contents) in files {
        let mut entry = Entry::new(*path, Kind::File);
        entry.size = contents.len() as u64;
        writer.append(&entry, &mut contents.as_bytes()).unwrap();
    }
    writer.finish().unwrap()
}

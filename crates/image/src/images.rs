//! The noun itself: what all operations share.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, RwLock, atomic::AtomicBool},
};

use berth_event::Bus;
use berth_record::Durability;
use berth_snapshot::Snapshotter;
use berth_spec::Digest;

use crate::{
    Error, Result,
    index::Index,
    record::{IMAGE_TABLE, ImageRecord, LAYER_TABLE, LayerRecord, TAG_TABLE, TagRecord, VERSION},
};

/// Tells which containers were made from an image; given by whoever knows containers.
pub trait InUse: Send + Sync {
    /// Full ids of the containers made from `image_id`, and whether each runs.
    fn containers_of(&self, image_id: &str) -> Vec<(String, bool)>;
}

/// All images. Clones share everything.
#[derive(Clone)]
pub struct Images {
    pub(crate) shared: Arc<Shared>,
}

pub(crate) struct Shared {
    pub records: berth_record::Store,
    pub snapshots: Arc<dyn Snapshotter>,
    pub content: berth_content::Store,
    pub bus: Bus,
    index: RwLock<Index>,
    in_use: OnceLock<Arc<dyn InUse>>,
    /// Registries are spoken to by this.
    pub remote: berth_remote::Client,
    /// What is required of images that come from registries.
    verification: RwLock<Arc<crate::Verification>>,
    pub keeper: OnceLock<Arc<dyn crate::build::Keeper>>,
    /// When unused images go by themselves.
    pub watermarks: RwLock<Option<crate::Watermarks>>,
    pub marks_changed: tokio::sync::Notify,
    /// Operations that bring in bytes before the record that needs them; see [`crate::collect`].
    pub builders: Mutex<crate::collect::Builders>,
    /// What an earlier life left behind is still to be swept; see [`Images::sweep`].
    pub is_unswept: AtomicBool,
    /// Held while several records change together.
    change: Mutex<()>,
}

impl Images {
    /// Reads the records of all images.
    ///
    /// # Errors
    /// [`Error::Record`] when they cannot be read.
    pub fn open(
        records: berth_record::Store,
        snapshots: Arc<dyn Snapshotter>,
        content: berth_content::Store,
        bus: Bus,
    ) -> Result<Self> {
        let index = RwLock::new(Index::read(&records)?);
        let shared = Shared {
            records,
            snapshots,
            content,
            bus,
            index,
            in_use: OnceLock::new(),
            remote: berth_remote::Client::default(),
            verification: RwLock::default(),
            keeper: OnceLock::new(),
            watermarks: RwLock::default(),
            marks_changed: tokio::sync::Notify::new(),
            builders: Mutex::default(),
            is_unswept: AtomicBool::new(false),
            change: Mutex::default(),
        };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// Says who knows which images are in use; only the first call counts.
    pub fn set_in_use(&self, in_use: Arc<dyn InUse>) {
        let _ = self.shared.in_use.set(in_use);
    }

    /// Says what is required of images that come from registries from now on.
    pub fn set_verification(&self, verification: crate::Verification) {
        *self.shared.verification.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(verification);
    }

    /// Registries are spoken to by this: connections and downloads are shared.
    #[must_use]
    pub fn remote(&self) -> &berth_remote::Client {
        &self.shared.remote
    }

    /// Before the end of the process: gives back what the layers hold for speed alone.
    pub fn close(&self) {
        self.shared.snapshots.close();
    }

    /// Number of images, intermediate ones included.
    #[must_use]
    pub fn count(&self) -> usize {
        self.shared.view(|index| index.images.len())
    }

    /// Notes that a container was made from the image.
    pub fn mark_used(&self, id: &Digest) {
        let mut record = match self.shared.view(|index| index.images.get(id).cloned()) {
            Some(image) => ImageRecord::clone(&image),
            None => return,
        };
        record.last_used = Some(berth_kit::time::Timestamp::now());
        if let Err(error) = self.shared.put_image(record, Durability::Crash) {
            tracing::warn!(%error, image = %id, "cannot note the use of an image");
        }
    }

    /// Runs `act` where it may block.
    pub(crate) async fn blocking<T: Send + 'static>(
        &self,
        act: impl FnOnce(&Shared) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let shared = Arc::clone(&self.shared);
        match tokio::task::spawn_blocking(move || act(&shared)).await {
            Ok(outcome) => outcome,
            Err(panic) => std::panic::resume_unwind(panic.into_panic()),
        }
    }
}

impl Shared {
    /// What is required of images that come from registries.
    pub fn verification(&self) -> Arc<crate::Verification> {
        Arc::clone(&self.verification.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Looks at the records.
    pub fn view<T>(&self, look: impl FnOnce(&Index) -> T) -> T {
        look(&self.index.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn edit(&self, act: impl FnOnce(&mut Index)) {
        // Every edit is one insertion or removal: a panic cannot leave half of one.
        act(&mut self.index.write().unwrap_or_else(PoisonError::into_inner));
    }

    /// Keeps other changes out until the guard goes.
    pub fn lock_changes(&self) -> MutexGuard<'_, ()> {
        self.change.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A consistent copy of the records.
    pub fn snapshot(&self) -> Index {
        self.view(Index::clone)
    }

    pub fn containers_of(&self, id: &Digest) -> Vec<(String, bool)> {
        self.in_use.get().map(|in_use| in_use.containers_of(id.as_str())).unwrap_or_default()
    }

    pub fn put_image(&self, image: ImageRecord, durability: Durability) -> Result<()> {
        self.records.put(IMAGE_TABLE, image.id.as_str(), &image, &VERSION, durability)?;
        self.edit(|index| drop(index.images.insert(image.id.clone(), Arc::new(image))));
        Ok(())
    }

    pub fn delete_image(&self, id: &Digest) -> Result<()> {
        self.records.delete(IMAGE_TABLE, id.as_str(), Durability::Power)?;
        self.edit(|index| drop(index.images.remove(id)));
        Ok(())
    }

    pub fn put_layer(&self, chain: &Digest, layer: LayerRecord) -> Result<()> {
        self.records.put(LAYER_TABLE, chain.as_str(), &layer, &VERSION, Durability::Power)?;
        self.edit(|index| drop(index.layers.insert(chain.clone(), Arc::new(layer))));
        Ok(())
    }

    pub fn delete_layer(&self, chain: &Digest) -> Result<()> {
        self.records.delete(LAYER_TABLE, chain.as_str(), Durability::Crash)?;
        self.edit(|index| drop(index.layers.remove(chain)));
        Ok(())
    }

    /// Gives an image a name; gives the image that had it before.
    pub fn put_tag(&self, name: &str, image: &Digest) -> Result<Option<Digest>> {
        let tag = TagRecord { image: image.clone(), at: berth_kit::time::Timestamp::now() };
        self.records.put(TAG_TABLE, name, &tag, &VERSION, Durability::Power)?;
        let mut before = None;
        self.edit(|index| before = index.tags.insert(name.to_owned(), Arc::new(tag)));
        Ok(before.map(|tag| tag.image.clone()).filter(|before| before != image))
    }

    pub fn delete_tag(&self, name: &str) -> Result<()> {
        self.records.delete(TAG_TABLE, name, Durability::Power)?;
        self.edit(|index| drop(index.tags.remove(name)));
        Ok(())
    }

    /// Publishes that `action` happened to an image, with its labels and `name`.
    pub fn publish(&self, action: &str, image: &ImageRecord, name: &str) {
        let mut attributes: BTreeMap<String, String> = image.config.config.labels.clone().unwrap_or_default();
        attributes.insert("name".to_owned(), name.to_owned());
        self.bus.publish("image", action, image.id.as_str(), attributes);
    }

    /// The image with this id.
    pub fn image(&self, id: &Digest) -> Result<Arc<ImageRecord>> {
        self.view(|index| index.images.get(id).cloned()).ok_or_else(|| Error::Missing(id.to_string()))
    }
}

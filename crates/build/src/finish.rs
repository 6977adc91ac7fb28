//! What becomes of a build once its stages are there: an image, what is attested of it, and where it goes.

use std::sync::{Arc, PoisonError};

use berth_image::{Bundle, PushRequest};
use berth_kit::time::Timestamp;
use berth_spec::{Digest, Platform, Reference};

use crate::{
    Builder, Built, CacheTo, Error, Folder, Request, Result,
    attest::{self, Made},
    context::blocking,
    event::{Teller, Vertex},
    exchange::{Destination, Imports, Walked, inline},
    layer::Scratch,
    stage::Solve,
    state::State,
    tree::Tree,
};

/// Caches that wait for their clients.
const OUTGOING_MAX: usize = 8;

/// A step of the builder's own, told from its beginning to its end.
async fn told<T>(teller: &Teller, request: &Request, name: &str, work: impl Future<Output = Result<T>>) -> Result<T> {
    let identity = format!("{} {name}", request.reference);
    let vertex = Vertex {
        id: berth_archive::hash::digest(identity.as_bytes()).to_string(),
        name: name.to_owned(),
        started: Some(Timestamp::now()),
        ..Vertex::default()
    };
    teller.vertex(&vertex).await;
    let outcome = work.await;
    let error = outcome.as_ref().err().map(Error::chain);
    teller.vertex(&Vertex { completed: Some(Timestamp::now()), error, ..vertex }).await;
    outcome
}

impl Builder {
    /// What the caches know that the request names. One that cannot be read is said and left out.
    pub(crate) async fn imports(&self, request: &Request, teller: &Teller) -> Imports {
        let mut imports = Imports::default();
        for from in &request.cache_from {
            let shown = match from {
                crate::CacheFrom::Registry(name) => name.as_str(),
                crate::CacheFrom::Folder(_) => "a folder",
            };
            let name = format!("importing cache manifest from {shown}");
            let outcome = told(teller, request, &name, imports.add(&self.shared, request, from)).await;
            if let Err(error) = outcome {
                tracing::info!(error = &error as &dyn std::error::Error, cache = shown, "a build cache is left out");
            }
        }
        imports
    }

    /// Makes the image and gives it names.
    pub(crate) async fn finish(&self, solve: &Solve, mut state: State, names: Vec<String>) -> Result<Built> {
        let request = &solve.request;
        if !request.labels.is_empty() {
            state.set_labels(request.labels.clone());
        }
        let mut config = state.config;
        config.created = Some(solve.epoch.map_or_else(|| state.stamp.clone(), |_| solve.stamp(Timestamp::now())));
        config.author = state.author;
        config.comment = None;
        if request.cache_to.contains(&CacheTo::Inline) {
            let epoch = solve.epoch.and_then(|epoch| Timestamp::from_second(epoch).ok());
            let (field, value) = inline(&state.lineage, &config.rootfs.diff_ids, epoch);
            config.rest.insert(field, value);
        }
        let platform = Platform::of_config(&config);
        let bytes = serde_json::to_vec(&config).map_err(|error| Error::Invalid(error.to_string()))?;
        let images = self.shared.images.clone();
        let id = blocking(move || Ok(images.adopt_image(&bytes, &names)?)).await?;
        Ok(Built { id, platform })
    }

    /// Attests what was asked for.
    pub(crate) async fn attest(
        &self,
        solve: &Arc<Solve>,
        state: &State,
        image: &Built,
        started: Timestamp,
    ) -> Result<()> {
        let request = &solve.request;
        if request.attest.is_empty() {
            return Ok(());
        }
        let (solve, image, top) = (Arc::clone(solve), image.clone(), state.top.clone());
        let teller = solve.teller.clone();
        let work = blocking(move || {
            let scratch = Scratch::create(&solve.shared.snapshots, top.as_ref())?;
            let files = Tree::new(scratch.mount(true)?, None, None);
            let materials: Vec<_> =
                solve.materials.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect();
            let finished = Timestamp::now();
            let made = Made {
                request: &solve.request,
                id: &image.id,
                platform: &image.platform,
                materials: &materials,
                started,
                finished,
            };
            let predicates = attest::predicates(&made, &files)?;
            drop(files);
            Ok(solve.shared.images.attest(&image.id, &predicates)?)
        });
        told(&teller, request, "attesting", work).await
    }

    /// Pushes, and gives the cache out. Gives the digest that the last name has on its registry.
    pub(crate) async fn send_out(
        &self,
        solves: &[Arc<Solve>],
        states: &[State],
        images: &[Built],
    ) -> Result<Option<Digest>> {
        let Some(first) = solves.first() else { return Ok(None) };
        let mut pushed = None;
        let (request, teller) = (&first.request, &first.teller);
        if request.push {
            let always_index = request.always_index || images.len() > 1;
            let bundle = Bundle { images: images.iter().map(|image| image.id.clone()).collect(), always_index };
            if request.tags.is_empty() {
                return Err(Error::Invalid("tag is needed when pushing to registry".to_owned()));
            }
            for name in &request.tags {
                let digest =
                    told(teller, request, &format!("pushing {name}"), self.push(request, &bundle, name)).await?;
                pushed = Some(digest);
            }
        }
        for to in &request.cache_to {
            let steps = |max: bool| walked(solves, states, max);
            let (shown, steps) = match to {
                CacheTo::Inline => continue,
                CacheTo::Registry { reference, max } => (reference.clone(), steps(*max)),
                CacheTo::Folder { max } => ("a folder".to_owned(), steps(*max)),
            };
            let work = async {
                match to {
                    CacheTo::Registry { reference, .. } => {
                        Destination::Registry(reference).write(&self.shared, request, &steps).await
                    }
                    _ => {
                        let folder = self.shared.contexts.temporary()?;
                        Destination::Folder(&folder.path).write(&self.shared, request, &steps).await?;
                        self.keep_outgoing(&request.reference, folder);
                        Ok(())
                    }
                }
            };
            told(teller, request, &format!("exporting cache to {shown}"), work).await?;
        }
        Ok(pushed)
    }

    async fn push(&self, request: &Request, bundle: &Bundle, name: &str) -> Result<Digest> {
        let reference = Reference::parse(name).map_err(|error| Error::Invalid(error.to_string()))?.with_default_tag();
        let wanted = PushRequest {
            credentials: request.client.credentials(&reference).await,
            reference,
            platform: None,
            policy: request.policy.clone(),
            uploads: 0,
        };
        Ok(self.shared.images.push_bundle(bundle, &wanted, None).await?)
    }

    fn keep_outgoing(&self, reference: &str, folder: Folder) {
        let mut outgoing = self.shared.outgoing.lock().unwrap_or_else(PoisonError::into_inner);
        while outgoing.len() >= OUTGOING_MAX {
            outgoing.pop_first();
        }
        outgoing.insert(reference.to_owned(), folder);
    }

    /// The cache that a build wrote for its client, once.
    #[must_use]
    pub fn take_cache(&self, reference: &str) -> Option<Folder> {
        self.shared.outgoing.lock().unwrap_or_else(PoisonError::into_inner).remove(reference)
    }
}

/// The steps that led to the results, or those of all stages that were solved.
fn walked(solves: &[Arc<Solve>], states: &[State], max: bool) -> Vec<Walked> {
    let mut steps: Vec<Walked> = states.iter().flat_map(|state| state.lineage.iter().cloned()).collect();
    if max {
        for stage in solves.iter().flat_map(|solve| &solve.stages).filter_map(|cell| cell.get()) {
            steps.extend(stage.lineage.iter().cloned());
        }
    }
    steps
}

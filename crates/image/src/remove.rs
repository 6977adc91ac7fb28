//! `rmi`: a name goes, or the image with all its names, as Docker decides between the two.

use std::sync::Arc;

use berth_kit::id::short;
use berth_spec::{Digest, Reference};

use crate::{Error, Images, Result, images::Shared, record::ImageRecord, resolve::is_id_of};

/// What a removal did, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Removed {
    /// This name is gone.
    Untagged(String),
    /// This image or layer is gone.
    Deleted(String),
}

/// What may stand in the way of a removal.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Force {
    /// Only what cannot be forced.
    Forced,
    /// Everything but the names themselves.
    Named,
    /// Everything.
    Unforced,
}

impl Images {
    /// Removes a name, and with the last one the image; given an id, all names and the image. `force` also with several
    /// names or a stopped container; unless `no_prune`, nameless parents go too.
    ///
    /// # Errors
    /// [`Error::Missing`], [`Error::Conflict`], [`Error::ReferenceInUse`].
    pub async fn remove(&self, name: &str, force: bool, no_prune: bool) -> Result<Vec<Removed>> {
        let name = name.to_owned();
        self.blocking(move |shared| {
            let mut removed = Vec::new();
            {
                let _changes = shared.lock_changes();
                shared.remove(&name, force, !no_prune, &mut removed)?;
            }
            let swept = shared.collect()?;
            removed.extend(swept.layers.iter().map(|chain| Removed::Deleted(chain.to_string())));
            Ok(removed)
        })
        .await
    }
}

impl Shared {
    /// [`Images::remove`] without the collection; the changes are locked.
    pub fn remove(&self, name: &str, force: bool, prune: bool, removed: &mut Vec<Removed>) -> Result<()> {
        let image = self.find(name)?;
        let references = self.view(|index| index.references_of(&image));
        if is_id_of(name, &image.id) && !self.view(|index| index.tags.contains_key(&format!("{name}:latest"))) {
            if is_single(&references) {
                self.check(&image, if force { Force::Forced } else { Force::Named })?;
                self.untag_all(&image, removed)?;
            }
        } else {
            if !force
                && is_single(&references)
                && let Some((container, _)) = self.containers_of(&image.id).first()
            {
                return Err(Error::ReferenceInUse {
                    reference: name.to_owned(),
                    container: short(container).to_owned(),
                    id: short(image.id.hex()).to_owned(),
                });
            }
            self.untag(&image, &Reference::parse(name)?.with_default_tag().familiar(), removed)?;
            self.drop_lonely_digests(&image, name)?;
            if !self.view(|index| self.names_left(index, &image.id)).is_empty() {
                return Ok(());
            }
            // The name is gone, which was the wish; the image stays for whoever needs it.
            return match self.delete(&image.id, force, prune, removed) {
                Err(Error::Conflict { .. }) => Ok(()),
                other => other,
            };
        }
        self.delete(&image.id, force, prune, removed)
    }

    fn names_left(&self, index: &crate::index::Index, id: &Digest) -> Vec<String> {
        index.images.get(id).map(|image| index.references_of(image)).unwrap_or_default()
    }

    /// Deletes an image with the names it still has, and then its parent when nothing else keeps that.
    fn delete(&self, id: &Digest, force: bool, prune: bool, removed: &mut Vec<Removed>) -> Result<()> {
        let mut next = Some((self.image(id)?, force));
        while let Some((image, force)) = next.take() {
            self.check(&image, if force { Force::Forced } else { Force::Unforced })?;
            self.untag_all(&image, removed)?;
            self.delete_image(&image.id)?;
            self.publish("delete", &image, image.id.as_str());
            removed.push(Removed::Deleted(image.id.to_string()));
            if prune && let Some(parent) = &image.parent {
                let parent = self.view(|index| index.images.get(parent).cloned());
                next =
                    parent.filter(|parent| self.check(parent, Force::Unforced).is_ok()).map(|parent| (parent, false));
            }
        }
        Ok(())
    }

    fn untag_all(&self, image: &Arc<ImageRecord>, removed: &mut Vec<Removed>) -> Result<()> {
        for reference in self.view(|index| self.names_left(index, &image.id)) {
            self.untag(image, &reference, removed)?;
        }
        Ok(())
    }

    fn untag(&self, image: &Arc<ImageRecord>, reference: &str, removed: &mut Vec<Removed>) -> Result<()> {
        if self.view(|index| index.tags.contains_key(reference)) {
            self.delete_tag(reference)?;
        } else {
            let mut record = ImageRecord::clone(&*self.image(&image.id)?);
            record.digests.retain(|digest| digest != reference);
            self.put_image(record, berth_record::Durability::Power)?;
        }
        self.publish("untag", image, reference);
        removed.push(Removed::Untagged(reference.to_owned()));
        Ok(())
    }

    /// A repository whose last tag is gone needs its digests no longer.
    fn drop_lonely_digests(&self, image: &ImageRecord, name: &str) -> Result<()> {
        let reference = Reference::parse(name)?;
        if reference.digest().is_some() {
            return Ok(());
        }
        let repository = reference.familiar_name();
        let of_repository = |other: &String| Reference::parse(other).is_ok_and(|it| it.familiar_name() == repository);
        if self.view(|index| index.tags_of(&image.id).any(of_repository)) {
            return Ok(());
        }
        let mut record = ImageRecord::clone(&*self.image(&image.id)?);
        let before = record.digests.len();
        record.digests.retain(|digest| !of_repository(digest));
        if record.digests.len() < before { self.put_image(record, berth_record::Durability::Power) } else { Ok(()) }
    }

    /// Whether something stands in the way of deleting the image.
    fn check(&self, image: &ImageRecord, force: Force) -> Result<()> {
        let conflict = |how, why: String| Err(Error::Conflict { id: short(image.id.hex()).to_owned(), how, why });
        const HARD: &str = "cannot be forced";
        const SOFT: &str = "must be forced";
        if self.view(|index| index.has_children(&image.id)) {
            return conflict(HARD, "image has dependent child images".to_owned());
        }
        let containers = self.containers_of(&image.id);
        if let Some((container, _)) = containers.iter().find(|(_, runs)| *runs) {
            return conflict(HARD, format!("image is being used by running container {}", short(container)));
        }
        if force == Force::Forced {
            return Ok(());
        }
        if force == Force::Unforced && !self.view(|index| self.names_left(index, &image.id)).is_empty() {
            return conflict(SOFT, "image is referenced in multiple repositories".to_owned());
        }
        match containers.first() {
            Some((container, _)) => {
                conflict(SOFT, format!("image is being used by stopped container {}", short(container)))
            }
            None => Ok(()),
        }
    }
}

/// Whether all references are one tag, or digests of one repository, or a tag with digests of its repository.
fn is_single(references: &[String]) -> bool {
    if references.len() <= 1 {
        return true;
    }
    let parsed: Vec<Reference> = references.iter().filter_map(|reference| Reference::parse(reference).ok()).collect();
    let tags = parsed.iter().filter(|reference| reference.digest().is_none()).count();
    let same = parsed.windows(2).all(|pair| pair[0].familiar_name() == pair[1].familiar_name());
    tags <= 1 && same
}

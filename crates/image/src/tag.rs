//! `tag`: another name for an image.

use berth_spec::Reference;

use crate::{Error, Images, Result};

impl Images {
    /// Gives the image `source` the name `repository:tag`; `tag` may be empty. A name that another image had is taken
    /// from it.
    ///
    /// # Errors
    /// [`Error::Missing`], [`Error::Reference`], [`Error::TagWithDigest`].
    pub async fn tag(&self, source: &str, repository: &str, tag: &str) -> Result<()> {
        let name = target(repository, tag)?;
        let source = source.to_owned();
        self.blocking(move |shared| {
            let _changes = shared.lock_changes();
            let image = shared.find(&source)?;
            shared.put_tag(&name, &image.id)?;
            shared.publish("tag", &image, &name);
            Ok(())
        })
        .await
    }
}

/// The familiar reference of `repository` and `tag`.
pub fn target(repository: &str, tag: &str) -> Result<String> {
    let reference = Reference::parse(repository)?;
    if reference.digest().is_some() {
        return Err(Error::TagWithDigest);
    }
    let reference = if tag.is_empty() { reference.with_default_tag() } else { reference.with_tag(tag)? };
    Ok(reference.familiar())
}

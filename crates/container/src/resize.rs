//! Terminal sizes.

use crate::{Containers, Error, Result};

impl Containers {
    /// Sets the size of a container's terminal, in characters.
    ///
    /// # Errors
    /// [`Error::NotRunning`].
    pub async fn resize(&self, name: &str, height: u16, width: u16) -> Result<()> {
        let container = self.shared.find(name)?;
        if !container.status().is_alive() {
            return Err(Error::NotRunning(container.id.clone()));
        }
        self.supervisor(&container.id).await?.resize(None, height, width).await?;
        self.shared.publish(&container, "resize", &[("height", height.to_string()), ("width", width.to_string())]);
        Ok(())
    }
}

//! Typed calls of the volume group.

use serde_json::Value;

use crate::answer::{Pruned, Volume, Volumes};
use crate::request::segment;
use crate::{Client, Request, Result};

impl Client {
    /// GET /volumes.
    ///
    /// # Errors
    /// As [`Client::send`]; so for every call below.
    pub async fn volumes(&self, filters: &str) -> Result<Volumes> {
        self.json(Request::get("/volumes").text("filters", filters)).await
    }

    /// POST /volumes/create; `body` is the API's.
    #[allow(clippy::missing_errors_doc)]
    pub async fn create_volume(&self, body: &Value) -> Result<Volume> {
        self.json(Request::post("/volumes/create").json(body)?).await
    }

    /// PUT /volumes/{name}; `body` is the API's.
    #[allow(clippy::missing_errors_doc)]
    pub async fn update_volume(&self, name: &str, body: &Value) -> Result<()> {
        self.done(Request::put(format!("/volumes/{}", segment(name))).json(body)?).await
    }

    /// DELETE /volumes/{name}.
    #[allow(clippy::missing_errors_doc)]
    pub async fn remove_volume(&self, name: &str, force: bool) -> Result<()> {
        self.done(Request::delete(format!("/volumes/{}", segment(name))).on("force", force)).await
    }

    /// POST /volumes/prune.
    #[allow(clippy::missing_errors_doc)]
    pub async fn prune_volumes(&self, filters: &str) -> Result<Pruned> {
        self.json(Request::post("/volumes/prune").text("filters", filters)).await
    }
}

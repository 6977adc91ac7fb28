//! Typed calls of the volume group.

use serde_json::Value;

use crate::answer::{Pruned, Volume, Volumes};
use crate::request::segment;
use crate::stream::Bytes;
use crate::{Body, Client, Request, Result};

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

    /// POST /volumes/{name}/rename.
    #[allow(clippy::missing_errors_doc)]
    pub async fn rename_volume(&self, name: &str, new: &str) -> Result<()> {
        self.done(Request::post(format!("/volumes/{}/rename", segment(name))).text("name", new)).await
    }

    /// POST /volumes/{name}/clone, or /snapshot with `read_only`; an empty `copy` leaves the name to the daemon.
    #[allow(clippy::missing_errors_doc)]
    pub async fn copy_volume(&self, name: &str, copy: &str, read_only: bool, body: &Value) -> Result<Volume> {
        let verb = if read_only { "snapshot" } else { "clone" };
        self.json(Request::post(format!("/volumes/{}/{verb}", segment(name))).text("name", copy).json(body)?).await
    }

    /// GET /volumes/{name}/export: a tar stream.
    #[allow(clippy::missing_errors_doc)]
    pub async fn export_volume(&self, name: &str) -> Result<Bytes> {
        self.stream(Request::get(format!("/volumes/{}/export", segment(name)))).await
    }

    /// POST /volumes/{name}/import with a tar stream.
    #[allow(clippy::missing_errors_doc)]
    pub async fn import_volume(&self, name: &str, body: Body) -> Result<()> {
        self.done(Request::post(format!("/volumes/{}/import", segment(name))).body(body, "application/x-tar")).await
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

//! Typed calls of the network group.

use serde_json::{Value, json};

use crate::answer::{Created, Network, Pruned};
use crate::request::segment;
use crate::{Client, Request, Result};

impl Client {
    /// GET /networks.
    ///
    /// # Errors
    /// As [`Client::send`]; so for every call below.
    pub async fn networks(&self, filters: &str) -> Result<Vec<Network>> {
        self.json(Request::get("/networks").text("filters", filters)).await
    }

    /// POST /networks/create; `body` is the API's.
    #[allow(clippy::missing_errors_doc)]
    pub async fn create_network(&self, body: &Value) -> Result<Created> {
        self.json(Request::post("/networks/create").json(body)?).await
    }

    /// DELETE /networks/{name}.
    #[allow(clippy::missing_errors_doc)]
    pub async fn remove_network(&self, name: &str) -> Result<()> {
        self.done(Request::delete(format!("/networks/{}", segment(name)))).await
    }

    /// POST /networks/{name}/connect; `endpoint` is the API's `EndpointSettings`.
    #[allow(clippy::missing_errors_doc)]
    pub async fn connect_network(&self, name: &str, container: &str, endpoint: &Value) -> Result<()> {
        let body = json!({"Container": container, "EndpointConfig": endpoint});
        self.done(Request::post(format!("/networks/{}/connect", segment(name))).json(&body)?).await
    }

    /// POST /networks/{name}/disconnect.
    #[allow(clippy::missing_errors_doc)]
    pub async fn disconnect_network(&self, name: &str, container: &str, force: bool) -> Result<()> {
        let body = json!({"Container": container, "Force": force});
        self.done(Request::post(format!("/networks/{}/disconnect", segment(name))).json(&body)?).await
    }

    /// POST /networks/prune.
    #[allow(clippy::missing_errors_doc)]
    pub async fn prune_networks(&self, filters: &str) -> Result<Pruned> {
        self.json(Request::post("/networks/prune").text("filters", filters)).await
    }
}

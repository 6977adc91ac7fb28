//! Typed calls of the system group.

use crate::stream::Documents;
use crate::{Client, Request, Result};
use serde_json::Value;

impl Client {
    /// GET /version as the daemon wrote it.
    ///
    /// # Errors
    /// As [`Client::send`]; so for every call below.
    pub async fn version(&self) -> Result<Value> {
        self.json(Request::get("/version")).await
    }

    /// GET /info as the daemon wrote it.
    #[allow(clippy::missing_errors_doc)]
    pub async fn info(&self) -> Result<Value> {
        self.json(Request::get("/info")).await
    }

    /// GET /system/df as the daemon wrote it.
    #[allow(clippy::missing_errors_doc)]
    pub async fn disk_usage(&self) -> Result<Value> {
        self.json(Request::get("/system/df?verbose=1")).await
    }

    /// GET /events; points are Unix seconds with fraction, or empty.
    #[allow(clippy::missing_errors_doc)]
    pub async fn events(&self, since: &str, until: &str, filters: &str) -> Result<Documents> {
        let request = Request::get("/events").text("since", since).text("until", until);
        Ok(self.stream(request.text("filters", filters)).await?.documents())
    }
}

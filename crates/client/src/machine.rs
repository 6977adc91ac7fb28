//! Typed calls of berth's own group for virtual machines.

use crate::{Client, Request, Result};
use serde_json::Value;

impl Client {
    /// GET /vm/doctor: a list of findings.
    ///
    /// # Errors
    /// As [`Client::send`]; so for every call below.
    pub async fn examine_host(&self) -> Result<Value> {
        self.json(Request::get("/vm/doctor")).await
    }

    /// POST /vm/kernel; without a path the system's package manager is asked.
    #[allow(clippy::missing_errors_doc)]
    pub async fn install_guest_kernel(&self, path: &str, modules: &str) -> Result<Value> {
        self.json(Request::post("/vm/kernel").text("path", path).text("modules", modules)).await
    }
}

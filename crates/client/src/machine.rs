//! Typed calls of berth's own group for virtual machines.

use crate::request::segment;
use crate::stream::Bytes;
use crate::{Body, Client, Error, Hijacked, Request, Result};
use serde::Serialize;
use serde_json::Value;

fn path(name: &str, verb: &str) -> String {
    format!("/vm/machines/{}{verb}", segment(name))
}

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

    /// GET /vm/machines.
    #[allow(clippy::missing_errors_doc)]
    pub async fn machines(&self) -> Result<Vec<Value>> {
        self.json(Request::get("/vm/machines")).await
    }

    /// POST /vm/machines; the answer has its name.
    #[allow(clippy::missing_errors_doc)]
    pub async fn create_machine(&self, body: &impl Serialize) -> Result<Value> {
        self.json(Request::post("/vm/machines").json(body)?).await
    }

    /// GET /vm/machines/{name}.
    #[allow(clippy::missing_errors_doc)]
    pub async fn machine(&self, name: &str) -> Result<Value> {
        self.json(Request::get(path(name, ""))).await
    }

    /// DELETE /vm/machines/{name}.
    #[allow(clippy::missing_errors_doc)]
    pub async fn remove_machine(&self, name: &str, force: bool) -> Result<()> {
        self.done(Request::delete(path(name, "")).on("force", force)).await
    }

    /// PATCH /vm/machines/{name}; whether some of it is there only at the next start.
    #[allow(clippy::missing_errors_doc)]
    pub async fn set_machine(&self, name: &str, body: &impl Serialize) -> Result<bool> {
        let answer: Value = self.json(Request::patch(path(name, "")).json(body)?).await?;
        Ok(answer["NextStart"] == true)
    }

    /// POST /vm/machines/{name}/start.
    #[allow(clippy::missing_errors_doc)]
    pub async fn start_machine(&self, name: &str) -> Result<()> {
        already(self.done(Request::post(path(name, "/start"))).await)
    }

    /// POST /vm/machines/{name}/stop.
    #[allow(clippy::missing_errors_doc)]
    pub async fn stop_machine(&self, name: &str, timeout_s: &str, force: bool) -> Result<()> {
        already(self.done(Request::post(path(name, "/stop")).text("t", timeout_s).on("force", force)).await)
    }

    /// POST /vm/machines/{name}/reboot.
    #[allow(clippy::missing_errors_doc)]
    pub async fn reboot_machine(&self, name: &str, timeout_s: &str, hard: bool) -> Result<()> {
        self.done(Request::post(path(name, "/reboot")).text("t", timeout_s).on("hard", hard)).await
    }

    /// POST /vm/machines/{name}/suspend.
    #[allow(clippy::missing_errors_doc)]
    pub async fn suspend_machine(&self, name: &str, in_memory: bool) -> Result<()> {
        self.done(Request::post(path(name, "/suspend")).on("memory", in_memory)).await
    }

    /// POST /vm/machines/{name}/resume.
    #[allow(clippy::missing_errors_doc)]
    pub async fn resume_machine(&self, name: &str) -> Result<()> {
        already(self.done(Request::post(path(name, "/resume"))).await)
    }

    /// POST /vm/machines/{name}/console: raw bytes both ways.
    #[allow(clippy::missing_errors_doc)]
    pub async fn machine_console(&self, name: &str, replay: bool) -> Result<Hijacked> {
        let replay = if replay { "1" } else { "0" };
        self.hijack(Request::post(path(name, "/console")).text("replay", replay)).await
    }

    /// GET /vm/machines/{name}/definition.
    #[allow(clippy::missing_errors_doc)]
    pub async fn machine_definition(&self, name: &str) -> Result<String> {
        self.text(Request::get(path(name, "/definition"))).await
    }

    /// PUT /vm/machines/{name}/definition; whether it is there only at the next start.
    #[allow(clippy::missing_errors_doc)]
    pub async fn edit_machine(&self, name: &str, text: String) -> Result<bool> {
        let request = Request::put(path(name, "/definition")).body(Body::Bytes(text.into()), "application/toml");
        Ok(self.json::<Value>(request).await?["NextStart"] == true)
    }

    /// GET /vm/machines/{name}/snapshots.
    #[allow(clippy::missing_errors_doc)]
    pub async fn snapshots(&self, name: &str) -> Result<Vec<Value>> {
        self.json(Request::get(path(name, "/snapshots"))).await
    }

    /// PUT /vm/machines/{name}/snapshots/{snapshot}.
    #[allow(clippy::missing_errors_doc)]
    pub async fn snapshot(&self, name: &str, snapshot: &str) -> Result<()> {
        self.done(Request::put(path(name, &format!("/snapshots/{}", segment(snapshot))))).await
    }

    /// DELETE /vm/machines/{name}/snapshots/{snapshot}.
    #[allow(clippy::missing_errors_doc)]
    pub async fn remove_snapshot(&self, name: &str, snapshot: &str) -> Result<()> {
        self.done(Request::delete(path(name, &format!("/snapshots/{}", segment(snapshot))))).await
    }

    /// POST /vm/machines/{name}/snapshots/{snapshot}/restore.
    #[allow(clippy::missing_errors_doc)]
    pub async fn restore_snapshot(&self, name: &str, snapshot: &str, force: bool) -> Result<()> {
        let route = path(name, &format!("/snapshots/{}/restore", segment(snapshot)));
        self.done(Request::post(route).on("force", force)).await
    }

    /// POST /vm/machines/{name}/clone.
    #[allow(clippy::missing_errors_doc)]
    pub async fn clone_machine(&self, name: &str, to: &str, snapshot: &str) -> Result<Value> {
        self.json(Request::post(path(name, "/clone")).text("to", to).text("snapshot", snapshot)).await
    }

    /// GET /vm/machines/{name}/export: a tar stream.
    #[allow(clippy::missing_errors_doc)]
    pub async fn export_machine(&self, name: &str) -> Result<Bytes> {
        self.stream(Request::get(path(name, "/export"))).await
    }

    /// POST /vm/import.
    #[allow(clippy::missing_errors_doc)]
    pub async fn import_machine(&self, body: Body, name: &str) -> Result<Value> {
        self.json(Request::post("/vm/import").text("name", name).body(body, "application/x-tar")).await
    }

    /// GET /vm/machines/{name}/xml.
    #[allow(clippy::missing_errors_doc)]
    pub async fn machine_xml(&self, name: &str) -> Result<String> {
        self.text(Request::get(path(name, "/xml"))).await
    }

    /// POST /vm/import-xml.
    #[allow(clippy::missing_errors_doc)]
    pub async fn import_machine_xml(&self, text: Vec<u8>, name: &str, strict: bool) -> Result<Value> {
        let request = Request::post("/vm/import-xml").text("name", name).on("strict", strict);
        self.json(request.body(Body::Bytes(text.into()), "application/xml")).await
    }

    async fn text(&self, request: Request) -> Result<String> {
        let bytes = self.bytes(request).await?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }
}

/// 304 says that there was nothing to do.
fn already(result: Result<()>) -> Result<()> {
    match result {
        Err(Error::Status { code: 304, .. }) => Ok(()),
        other => other,
    }
}

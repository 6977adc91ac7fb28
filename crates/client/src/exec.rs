//! Typed calls of the exec group.

use crate::answer::{Created, ExecState};
use crate::request::segment;
use crate::{Client, Hijacked, Request, Result};
use serde::Serialize;
use serde_json::json;

impl Client {
    /// POST /containers/{name}/exec; the answer is the identifier of the new exec.
    ///
    /// # Errors
    /// As [`Client::send`]; so for every call below.
    pub async fn exec_create(&self, name: &str, body: &impl Serialize) -> Result<String> {
        let request = Request::post(format!("/containers/{}/exec", segment(name))).json(body)?;
        Ok(self.json::<Created>(request).await?.id)
    }

    /// POST /exec/{id}/start, detached.
    #[allow(clippy::missing_errors_doc)]
    pub async fn exec_start(&self, id: &str, tty: bool) -> Result<()> {
        let request = Request::post(format!("/exec/{id}/start"));
        self.done(request.json(&json!({"Detach": true, "Tty": tty}))?).await
    }

    /// POST /exec/{id}/start with its streams; `size` is rows and columns of the terminal.
    #[allow(clippy::missing_errors_doc)]
    pub async fn exec_attach(&self, id: &str, tty: bool, size: Option<(u16, u16)>) -> Result<Hijacked> {
        let mut body = json!({"Detach": false, "Tty": tty});
        if let Some((rows, columns)) = size {
            body["ConsoleSize"] = json!([rows, columns]);
        }
        self.hijack(Request::post(format!("/exec/{id}/start")).json(&body)?).await
    }

    /// POST /exec/{id}/resize, in characters.
    #[allow(clippy::missing_errors_doc)]
    pub async fn exec_resize(&self, id: &str, height: u16, width: u16) -> Result<()> {
        let request = Request::post(format!("/exec/{id}/resize"));
        self.done(request.text("h", &height.to_string()).text("w", &width.to_string())).await
    }

    /// GET /exec/{id}/json.
    #[allow(clippy::missing_errors_doc)]
    pub async fn exec_state(&self, id: &str) -> Result<ExecState> {
        self.json(Request::get(format!("/exec/{id}/json"))).await
    }
}

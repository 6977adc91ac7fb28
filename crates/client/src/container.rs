//! Typed calls of the container group.

use crate::answer::{Brief, Change, Container, Created, PathStat, Pruned, Top, Waited};
use crate::request::segment;
use crate::stream::{Bytes, Documents};
use crate::{Body, Client, Error, Hijacked, Request, Result};
use base64::Engine;
use serde::Serialize;
use serde_json::Value;

/// Options of [`Client::containers`].
#[derive(Debug, Clone, Default)]
pub struct List {
    /// Also those that do not run.
    pub all: bool,
    /// Only the newest so many; 0 is no limit.
    pub limit: i64,
    /// Count sizes.
    pub size: bool,
    /// JSON of the filters, or empty.
    pub filters: String,
}

/// What a [`Client::attach`] joins.
#[derive(Debug, Clone, Default)]
pub struct Attach {
    /// Keep a live stream.
    pub stream: bool,
    /// Input.
    pub stdin: bool,
    /// Output.
    pub stdout: bool,
    /// Error output.
    pub stderr: bool,
    /// Replay the log first.
    pub logs: bool,
    /// Key sequence to detach, or empty for the daemon's own.
    pub detach_keys: String,
}

/// Options of [`Client::logs`].
#[derive(Debug, Clone, Default)]
pub struct Logs {
    /// Go on with new lines.
    pub follow: bool,
    /// Since this point (Unix seconds with fraction), or empty.
    pub since: String,
    /// Until this point, or empty.
    pub until: String,
    /// Lead each line with its time.
    pub timestamps: bool,
    /// Lead each line with its attributes.
    pub details: bool,
    /// Last lines, `all` or empty for all.
    pub tail: String,
}

/// An answer that comes when a container's state is reached.
pub struct Waiting(Documents);

impl Waiting {
    /// Waits for the end.
    ///
    /// # Errors
    /// [`Error::Transport`] when the daemon goes away, [`Error::Remote`] when it says why waiting failed.
    pub async fn finish(mut self) -> Result<i64> {
        let broken = || Error::Transport {
            method: "POST".into(),
            path: "/wait".into(),
            reason: "the daemon closed the connection before the container ended".into(),
        };
        let waited: Waited = self.0.next().await?.ok_or_else(broken)?;
        match waited.error.filter(|e| !e.message.is_empty()) {
            Some(error) => Err(Error::Remote(error.message)),
            None => Ok(waited.code),
        }
    }
}

fn path(name: &str, verb: &str) -> String {
    format!("/containers/{}{verb}", segment(name))
}

impl Client {
    /// GET /containers/json.
    ///
    /// # Errors
    /// As [`Client::send`]; so for every call below.
    pub async fn containers(&self, list: &List) -> Result<Vec<Container>> {
        let limit = if list.limit > 0 { list.limit.to_string() } else { String::new() };
        let request = Request::get("/containers/json").on("all", list.all).text("limit", &limit);
        self.json(request.on("size", list.size).text("filters", &list.filters)).await
    }

    /// POST /containers/create.
    #[allow(clippy::missing_errors_doc)]
    pub async fn create(&self, name: &str, platform: &str, body: &impl Serialize) -> Result<Created> {
        let request = Request::post("/containers/create").text("name", name).text("platform", platform);
        self.json(request.json(body)?).await
    }

    /// POST /containers/{name}/start.
    #[allow(clippy::missing_errors_doc)]
    pub async fn start(&self, name: &str, detach_keys: &str) -> Result<()> {
        already(self.done(Request::post(path(name, "/start")).text("detachKeys", detach_keys)).await)
    }

    /// POST /containers/{name}/stop; `timeout_s` -1 waits for ever.
    #[allow(clippy::missing_errors_doc)]
    pub async fn stop(&self, name: &str, signal: &str, timeout_s: Option<i64>) -> Result<()> {
        already(self.done(stopping(name, "/stop", signal, timeout_s)).await)
    }

    /// POST /containers/{name}/restart.
    #[allow(clippy::missing_errors_doc)]
    pub async fn restart(&self, name: &str, signal: &str, timeout_s: Option<i64>) -> Result<()> {
        self.done(stopping(name, "/restart", signal, timeout_s)).await
    }

    /// POST /containers/{name}/kill.
    #[allow(clippy::missing_errors_doc)]
    pub async fn kill(&self, name: &str, signal: &str) -> Result<()> {
        self.done(Request::post(path(name, "/kill")).text("signal", signal)).await
    }

    /// POST /containers/{name}/pause.
    #[allow(clippy::missing_errors_doc)]
    pub async fn pause(&self, name: &str) -> Result<()> {
        self.done(Request::post(path(name, "/pause"))).await
    }

    /// POST /containers/{name}/unpause.
    #[allow(clippy::missing_errors_doc)]
    pub async fn unpause(&self, name: &str) -> Result<()> {
        self.done(Request::post(path(name, "/unpause"))).await
    }

    /// POST /containers/{name}/rename.
    #[allow(clippy::missing_errors_doc)]
    pub async fn rename(&self, name: &str, new: &str) -> Result<()> {
        self.done(Request::post(path(name, "/rename")).text("name", new)).await
    }

    /// DELETE /containers/{name}.
    #[allow(clippy::missing_errors_doc)]
    pub async fn remove(&self, name: &str, force: bool, volumes: bool, link: bool) -> Result<()> {
        let request = Request::delete(path(name, "")).on("force", force).on("v", volumes);
        self.done(request.on("link", link)).await
    }

    /// POST /containers/{name}/wait; returns once the daemon has registered the waiter.
    #[allow(clippy::missing_errors_doc)]
    pub async fn wait(&self, name: &str, condition: &str) -> Result<Waiting> {
        let request = Request::post(path(name, "/wait")).text("condition", condition);
        Ok(Waiting(self.stream(request).await?.documents()))
    }

    /// POST /containers/{name}/attach.
    #[allow(clippy::missing_errors_doc)]
    pub async fn attach(&self, name: &str, attach: &Attach) -> Result<Hijacked> {
        let request = Request::post(path(name, "/attach"))
            .text("detachKeys", &attach.detach_keys)
            .on("stream", attach.stream)
            .on("stdin", attach.stdin)
            .on("stdout", attach.stdout)
            .on("stderr", attach.stderr)
            .on("logs", attach.logs);
        self.hijack(request).await
    }

    /// POST /containers/{name}/resize, in characters.
    #[allow(clippy::missing_errors_doc)]
    pub async fn resize(&self, name: &str, height: u16, width: u16) -> Result<()> {
        let request = Request::post(path(name, "/resize"));
        self.done(request.text("h", &height.to_string()).text("w", &width.to_string())).await
    }

    /// GET /containers/{name}/json as the daemon wrote it.
    #[allow(clippy::missing_errors_doc)]
    pub async fn inspect_container(&self, name: &str, size: bool) -> Result<Value> {
        self.json(Request::get(path(name, "/json")).on("size", size)).await
    }

    /// The few fields of GET /containers/{name}/json that decide how to attach.
    #[allow(clippy::missing_errors_doc)]
    pub async fn brief(&self, name: &str) -> Result<Brief> {
        self.json(Request::get(path(name, "/json"))).await
    }

    /// GET /containers/{name}/logs.
    #[allow(clippy::missing_errors_doc)]
    pub async fn logs(&self, name: &str, logs: &Logs) -> Result<Bytes> {
        let request = Request::get(path(name, "/logs")).on("stdout", true).on("stderr", true);
        let request = request.on("follow", logs.follow).on("timestamps", logs.timestamps);
        let request = request.on("details", logs.details).text("since", &logs.since);
        self.stream(request.text("until", &logs.until).text("tail", &logs.tail)).await
    }

    /// GET /containers/{name}/top.
    #[allow(clippy::missing_errors_doc)]
    pub async fn top(&self, name: &str, ps_args: &str) -> Result<Top> {
        self.json(Request::get(path(name, "/top")).text("ps_args", ps_args)).await
    }

    /// GET /containers/{name}/changes.
    #[allow(clippy::missing_errors_doc)]
    pub async fn changes(&self, name: &str) -> Result<Vec<Change>> {
        Ok(self.json::<Option<Vec<Change>>>(Request::get(path(name, "/changes"))).await?.unwrap_or_default())
    }

    /// GET /containers/{name}/export.
    #[allow(clippy::missing_errors_doc)]
    pub async fn export(&self, name: &str) -> Result<Bytes> {
        self.stream(Request::get(path(name, "/export"))).await
    }

    /// GET /containers/{name}/stats: documents, one unless `stream`.
    #[allow(clippy::missing_errors_doc)]
    pub async fn stats(&self, name: &str, stream: bool) -> Result<Documents> {
        let request = Request::get(path(name, "/stats")).text("stream", if stream { "1" } else { "0" });
        Ok(self.stream(request).await?.documents())
    }

    /// POST /containers/{name}/update.
    #[allow(clippy::missing_errors_doc)]
    pub async fn update(&self, name: &str, body: &impl Serialize) -> Result<Created> {
        self.json(Request::post(path(name, "/update")).json(body)?).await
    }

    /// POST /containers/prune.
    #[allow(clippy::missing_errors_doc)]
    pub async fn prune_containers(&self, filters: &str) -> Result<Pruned> {
        self.json(Request::post("/containers/prune").text("filters", filters)).await
    }

    /// HEAD /containers/{name}/archive.
    #[allow(clippy::missing_errors_doc)]
    pub async fn path_stat(&self, name: &str, at: &str) -> Result<PathStat> {
        let route = path(name, "/archive");
        let response = self.send(Request::head(route.clone()).text("path", at)).await.map_err(|e| match e {
            // A HEAD answer has no body to read the text from.
            Error::Status { code: 404, .. } => {
                Error::Status { code: 404, message: format!("Could not find the file {at} in container {name}") }
            }
            other => other,
        })?;
        stat_header(&route, response.headers())
    }

    /// GET /containers/{name}/archive: a tar stream of the path and what it is.
    #[allow(clippy::missing_errors_doc)]
    pub async fn archive(&self, name: &str, at: &str) -> Result<(PathStat, Bytes)> {
        let route = path(name, "/archive");
        let response = self.send(Request::get(route.clone()).text("path", at)).await?;
        let stat = stat_header(&route, response.headers())?;
        Ok((stat, Bytes::new(route, response.into_body())))
    }

    /// PUT /containers/{name}/archive.
    #[allow(clippy::missing_errors_doc)]
    pub async fn put_archive(&self, name: &str, at: &str, copy_ids: bool, body: Body) -> Result<()> {
        let request = Request::put(path(name, "/archive")).text("path", at);
        let request = request.text("noOverwriteDirNonDir", "true").on("copyUIDGID", copy_ids);
        self.done(request.body(body, "application/x-tar")).await
    }
}

fn stat_header(route: &str, headers: &hyper::HeaderMap) -> Result<PathStat> {
    let refuse = |reason: String| Error::Decode { path: route.to_owned(), reason };
    let header = headers
        .get("x-docker-container-path-stat")
        .ok_or_else(|| refuse("the X-Docker-Container-Path-Stat header is missing".into()))?;
    let json =
        base64::engine::general_purpose::STANDARD.decode(header.as_bytes()).map_err(|e| refuse(e.to_string()))?;
    serde_json::from_slice(&json).map_err(|e| refuse(e.to_string()))
}

fn stopping(name: &str, verb: &str, signal: &str, timeout_s: Option<i64>) -> Request {
    let timeout = timeout_s.map(|t| t.to_string()).unwrap_or_default();
    Request::post(path(name, verb)).text("signal", signal).text("t", &timeout)
}

/// 304 says that there was nothing to do.
fn already(result: Result<()>) -> Result<()> {
    match result {
        Err(Error::Status { code: 304, .. }) => Ok(()),
        other => other,
    }
}

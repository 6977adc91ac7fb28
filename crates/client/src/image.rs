//! Typed calls of the image group.

use crate::answer::{Deleted, History, Image, Pruned};
use crate::request::segment;
use crate::stream::{Bytes, Documents};
use crate::{Body, Client, Request, Result};
use serde_json::Value;

/// Options of [`Client::commit`].
#[derive(Debug, Clone, Default)]
pub struct Commit {
    /// Container.
    pub container: String,
    /// New name, or empty.
    pub repo: String,
    /// New tag, or empty.
    pub tag: String,
    /// Comment.
    pub comment: String,
    /// Author.
    pub author: String,
    /// Stop the container's processes meanwhile.
    pub pause: bool,
    /// Dockerfile instructions to apply.
    pub changes: Vec<String>,
}

/// `linux/arm64/v8` as the JSON that the API takes for it; what is empty stays so.
#[must_use]
pub fn platform_json(text: &str) -> String {
    if text.is_empty() {
        return String::new();
    }
    let mut parts = text.split('/');
    let (first, architecture, variant) = (parts.next().unwrap_or_default(), parts.next(), parts.next());
    let mut platform = serde_json::json!({ "os": first, "architecture": architecture.unwrap_or_default() });
    if let Some(variant) = variant {
        platform["variant"] = variant.into();
    }
    platform.to_string()
}

impl Client {
    /// GET /images/json.
    ///
    /// # Errors
    /// As [`Client::send`]; so for every call below.
    pub async fn images(&self, all: bool, digests: bool, filters: &str) -> Result<Vec<Image>> {
        let request = Request::get("/images/json").on("all", all).on("digests", digests);
        self.json(request.text("filters", filters)).await
    }

    /// GET /images/{name}/json as the daemon wrote it.
    #[allow(clippy::missing_errors_doc)]
    pub async fn inspect_image(&self, name: &str, platform: &str) -> Result<Value> {
        self.json(Request::get(format!("/images/{}/json", segment(name))).text("platform", &platform_json(platform)))
            .await
    }

    /// GET /images/{name}/history.
    #[allow(clippy::missing_errors_doc)]
    pub async fn history(&self, name: &str, platform: &str) -> Result<Vec<History>> {
        let request = Request::get(format!("/images/{}/history", segment(name)));
        self.json(request.text("platform", &platform_json(platform))).await
    }

    /// POST /images/{name}/tag.
    #[allow(clippy::missing_errors_doc)]
    pub async fn tag(&self, name: &str, repo: &str, tag: &str) -> Result<()> {
        let request = Request::post(format!("/images/{}/tag", segment(name)));
        self.done(request.text("repo", repo).text("tag", tag)).await
    }

    /// DELETE /images/{name}.
    #[allow(clippy::missing_errors_doc)]
    pub async fn remove_image(
        &self,
        name: &str,
        force: bool,
        no_prune: bool,
        platforms: &[String],
    ) -> Result<Vec<Deleted>> {
        let platforms: Vec<String> = platforms.iter().map(|text| platform_json(text)).collect();
        let request = Request::delete(format!("/images/{}", segment(name)));
        let request = request.each("platforms", platforms.iter().map(String::as_str));
        self.json(request.on("force", force).on("noprune", no_prune)).await
    }

    /// POST /images/prune.
    #[allow(clippy::missing_errors_doc)]
    pub async fn prune_images(&self, filters: &str) -> Result<Pruned> {
        self.json(Request::post("/images/prune").text("filters", filters)).await
    }

    /// POST /images/load with a tar stream; the answer is a progress stream.
    #[allow(clippy::missing_errors_doc)]
    pub async fn load(&self, body: Body, quiet: bool, platforms: &[String]) -> Result<Documents> {
        let platforms: Vec<String> = platforms.iter().map(|text| platform_json(text)).collect();
        let request = Request::post("/images/load").text("quiet", if quiet { "1" } else { "0" });
        let request = request.each("platform", platforms.iter().map(String::as_str));
        Ok(self.stream(request.body(body, "application/x-tar")).await?.documents())
    }

    /// GET /images/get: one tar stream of all `names`.
    #[allow(clippy::missing_errors_doc)]
    pub async fn save(&self, names: &[String], platforms: &[String]) -> Result<Bytes> {
        let platforms: Vec<String> = platforms.iter().map(|text| platform_json(text)).collect();
        let request = Request::get("/images/get").each("names", names.iter().map(String::as_str));
        self.stream(request.each("platform", platforms.iter().map(String::as_str))).await
    }

    /// POST /images/create from a registry; the answer is a progress stream. `auth` is the base64url JSON of
    /// `X-Registry-Auth`, or empty.
    #[allow(clippy::missing_errors_doc)]
    pub async fn pull(&self, name: &str, tag: &str, platform: &str, auth: &str) -> Result<Documents> {
        let request = Request::post("/images/create").text("fromImage", name).text("tag", tag);
        let mut request = request.text("platform", platform);
        if !auth.is_empty() {
            request = request.header("x-registry-auth", auth);
        }
        Ok(self.stream(request).await?.documents())
    }

    /// POST /images/create from a tar stream (`source` is `-`) or from an address the daemon fetches.
    #[allow(clippy::missing_errors_doc)]
    pub async fn import(
        &self,
        source: &str,
        body: Body,
        name: (&str, &str),
        message: &str,
        changes: &[String],
        platform: &str,
    ) -> Result<Documents> {
        let request = Request::post("/images/create").text("fromSrc", source).text("repo", name.0);
        let request = request.text("tag", name.1).text("message", message).text("platform", platform);
        let request = request.each("changes", changes.iter().map(String::as_str));
        Ok(self.stream(request.body(body, "application/x-tar")).await?.documents())
    }

    /// POST /commit; the answer is the identifier of the new image.
    #[allow(clippy::missing_errors_doc)]
    pub async fn commit(&self, commit: &Commit) -> Result<String> {
        let request = Request::post("/commit").text("container", &commit.container).text("repo", &commit.repo);
        let request = request.text("tag", &commit.tag).text("comment", &commit.comment);
        let request = request.text("author", &commit.author).text("pause", if commit.pause { "1" } else { "0" });
        let request = request.each("changes", commit.changes.iter().map(String::as_str));
        let answer: Value = self.json(request.json(&serde_json::json!({}))?).await?;
        Ok(answer["Id"].as_str().unwrap_or_default().to_owned())
    }
}

//! The tags of a repository (OCI distribution specification, "Listing Tags").

use hyper::header;
use serde::Deserialize;

use crate::{Error, Repository, Result, answer, repository::Way, request::Wanted};

/// Tags asked for at a time, most pages, and the longest page in bytes.
const PAGE: usize = 1000;
const PAGES_MAX: usize = 1000;
const PAGE_BYTES_MAX: usize = 4 << 20;

#[derive(Deserialize)]
struct Page {
    #[serde(default)]
    tags: Option<Vec<String>>,
}

impl Repository {
    /// All tags, in the registry's order.
    ///
    /// # Errors
    /// [`Error::Denied`], [`Error::Status`], and those of the connection.
    pub async fn tags(&self) -> Result<Vec<String>> {
        let mut last = Err(self.no_way());
        for way in self.ways(|abilities| abilities.resolve) {
            last = self.tags_by(way).await;
            if !self.goes_on(way, &last) {
                break;
            }
        }
        last
    }

    async fn tags_by(&self, way: &Way) -> Result<Vec<String>> {
        let mut tags = Vec::new();
        let mut path = format!("tags/list?n={PAGE}");
        for _ in 0..PAGES_MAX {
            let response = self.call(way, &Wanted::get(path, "application/json", &self.familiar)).await?;
            let next = next_page(&response, way);
            let unusable = |reason: String| Error::Manifest { reference: self.familiar.clone(), reason };
            let body = answer::text(response, PAGE_BYTES_MAX).await.map_err(unusable)?;
            let page: Page = serde_json::from_slice(&body).map_err(|error| unusable(error.to_string()))?;
            tags.extend(page.tags.unwrap_or_default());
            match next {
                Some(next) => path = next,
                None => return Ok(tags),
            }
        }
        Err(Error::Manifest { reference: self.familiar.clone(), reason: "it has too many tags".to_owned() })
    }
}

/// `Link: </v2/a/tags/list?n=1&last=b>; rel="next"`, on the registry itself.
pub fn next_page(response: &hyper::Response<hyper::body::Incoming>, way: &Way) -> Option<String> {
    let link = response.headers().get(header::LINK)?.to_str().ok()?;
    let (target, rest) = link.trim().strip_prefix('<')?.split_once('>')?;
    if !rest.contains("rel=\"next\"") && !rest.contains("rel=next") {
        return None;
    }
    let origin = &way.endpoint.origin;
    if target.starts_with('/') && !target.starts_with("//") {
        return Some(format!("{origin}{target}"));
    }
    Some(target.to_owned()).filter(|target| target.starts_with(&format!("{origin}/")))
}

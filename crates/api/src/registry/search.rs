//! `GET /images/search`

use std::sync::Arc;

use axum::{extract::State, http::HeaderMap};
use berth_remote::Found;

use super::{credentials, policy};
use crate::{Engine, Error, failure::Answer, filter, query::Query, stream};

/// Docker's numbers.
const LIMIT_DEFAULT: usize = 25;
const LIMIT_MAX: usize = 100;

pub async fn search(State(engine): State<Arc<Engine>>, headers: HeaderMap, query: Query) -> Answer {
    let term = query.get("term").ok_or_else(|| Error::Invalid("Search term cannot be empty".to_owned()))?;
    let limit = match query.get("limit").map(str::parse) {
        None | Some(Ok(0)) => LIMIT_DEFAULT,
        Some(Ok(limit)) if limit <= LIMIT_MAX => limit,
        Some(_) => {
            let limit = query.get("limit").unwrap_or_default();
            return Err(Error::Invalid(format!("limit {limit} is outside the range of [1, {LIMIT_MAX}]")).into());
        }
    };
    let wanted = Wanted::parse(&query)?;
    let (domain, rest) = split(term);
    let found = engine.images.remote().search(domain, rest, limit, &policy(&engine), credentials(&headers)?).await?;
    stream::json(&found.into_iter().filter(|found| wanted.admits(found)).collect::<Vec<_>>())
}

/// The registry in front of a term, as in a reference.
fn split(term: &str) -> (&str, &str) {
    match term.split_once('/') {
        Some((domain, rest)) if domain.contains(['.', ':']) || domain == "localhost" => (domain, rest),
        _ => ("docker.io", term),
    }
}

struct Wanted {
    is_official: Option<bool>,
    is_automated: Option<bool>,
    stars_min: i64,
}

impl Wanted {
    fn parse(query: &Query) -> Result<Self, Error> {
        let text = query.get("filters").unwrap_or("{}");
        let filters = filter::parse(text).ok_or_else(|| Error::Invalid(format!("invalid filters: {text}")))?;
        let mut wanted = Self { is_official: None, is_automated: None, stars_min: 0 };
        for (key, values) in &filters.0 {
            for value in values {
                let invalid = || Error::Invalid(format!("invalid filter '{key}={value}'"));
                match key.as_str() {
                    "is-official" => wanted.is_official = Some(boolean(value).ok_or_else(invalid)?),
                    "is-automated" => wanted.is_automated = Some(boolean(value).ok_or_else(invalid)?),
                    "stars" => wanted.stars_min = wanted.stars_min.max(value.parse().map_err(|_| invalid())?),
                    _ => return Err(Error::Invalid(format!("invalid filter '{key}'"))),
                }
            }
        }
        Ok(wanted)
    }

    fn admits(&self, found: &Found) -> bool {
        self.is_official.is_none_or(|wanted| wanted == found.is_official)
            && self.is_automated.is_none_or(|wanted| wanted == found.is_automated)
            && found.star_count >= self.stars_min
    }
}

fn boolean(text: &str) -> Option<bool> {
    match text {
        "true" | "1" => Some(true),
        "false" | "0" => Some(false),
        _ => None,
    }
}

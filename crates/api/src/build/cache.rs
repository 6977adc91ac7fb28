//! `cachefrom` and `cacheto` of a build: names of images as Docker's clients give them, or objects with a type.

use berth_build::{CacheFrom, CacheTo};
use serde::Deserialize;

use crate::{Engine, Error, body, failure::Failure, query::Query};

#[derive(Deserialize)]
#[serde(untagged)]
enum Given {
    /// An image.
    Name(String),
    Place(Place),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Place {
    #[serde(rename = "type")]
    kind: String,
    #[serde(default, rename = "ref")]
    reference: String,
    /// The id of a folder that was sent.
    #[serde(default)]
    context: String,
    #[serde(default)]
    mode: String,
}

fn given(query: &Query, name: &'static str) -> Result<Vec<Given>, Failure> {
    match query.get(name).filter(|text| !text.is_empty()) {
        Some(text) => Ok(body::decode::<Option<Vec<Given>>>(text.as_bytes())?.unwrap_or_default()),
        None => Ok(Vec::new()),
    }
}

fn absent(kind: &str) -> Failure {
    Error::Invalid(format!("cache type {kind:?} is not there: use registry, local or inline")).into()
}

fn reference(place: &Place) -> Result<String, Failure> {
    match place.reference.is_empty() {
        true => Err(Error::Invalid("a cache on a registry needs ref=NAME".to_owned()).into()),
        false => Ok(place.reference.clone()),
    }
}

pub fn from(engine: &Engine, query: &Query) -> Result<Vec<CacheFrom>, Failure> {
    let read = |given| match given {
        Given::Name(name) => Ok(CacheFrom::Registry(name)),
        Given::Place(place) => match place.kind.as_str() {
            "registry" => reference(&place).map(CacheFrom::Registry),
            "local" => Ok(CacheFrom::Folder(engine.builder.contexts().take(&place.context)?)),
            other => Err(absent(other)),
        },
    };
    given(query, "cachefrom")?.into_iter().map(read).collect()
}

pub fn to(query: &Query) -> Result<Vec<CacheTo>, Failure> {
    let max = |place: &Place| match place.mode.as_str() {
        "" | "min" => Ok(false),
        "max" => Ok(true),
        other => Err(Failure::from(Error::Invalid(format!("cache mode {other:?} is not there: use min or max")))),
    };
    let read = |given| match given {
        Given::Name(reference) => Ok(CacheTo::Registry { reference, max: false }),
        Given::Place(place) => match place.kind.as_str() {
            "inline" => Ok(CacheTo::Inline),
            "registry" => Ok(CacheTo::Registry { reference: reference(&place)?, max: max(&place)? }),
            "local" => Ok(CacheTo::Folder { max: max(&place)? }),
            other => Err(absent(other)),
        },
    };
    given(query, "cacheto")?.into_iter().map(read).collect()
}

//! The platforms that a request names. Docker's clients send them as JSON, others write `os/architecture`.

use berth_spec::Platform;

use crate::{Engine, Error, failure::Failure, query::Query};

/// One platform.
pub fn parse(text: &str) -> Result<Platform, Error> {
    if text.starts_with('{') {
        return serde_json::from_str(text).map_err(|error| Error::Json(error.to_string()));
    }
    Platform::parse(text).map_err(|error| Error::Invalid(error.to_string()))
}

/// All platforms in the parameter `name`.
pub fn all(query: &Query, name: &str) -> Result<Vec<Platform>, Error> {
    query.all(name).iter().map(|text| parse(text)).collect()
}

/// Refuses when the image is for none of the platforms in the parameter.
pub async fn check(engine: &Engine, image: &str, query: &Query, name: &str) -> Result<(), Failure> {
    let wanted = all(query, name)?;
    Ok(engine.images.expect_platform(image, &wanted).await?)
}

//! The `platform` parameter of operations on an image that is here: berth keeps one platform of each, so another one is
//! told to be missing rather than answered with the wrong image.

use berth_spec::Platform;

use crate::{Engine, Error, query::Query};

/// Docker's clients send the platform as JSON here, others write `os/architecture`.
pub fn parse(text: &str) -> Result<Platform, Error> {
    if text.starts_with('{') {
        let reason = |error| Error::Invalid(format!("invalid query parameter platform: {error}"));
        return serde_json::from_str(text).map_err(reason);
    }
    Platform::parse(text).map_err(|error| Error::Invalid(error.to_string()))
}

/// Refuses when `parameter` names platforms of which none is the image's.
///
/// # Errors
/// [`Error::Invalid`] for a platform that is none, [`berth_image::Error::OtherPlatform`], and as for resolving `name`.
pub async fn check(engine: &Engine, name: &str, query: &Query, parameter: &str) -> Result<(), crate::failure::Failure> {
    let wanted = query.all(parameter).iter().map(|text| parse(text)).collect::<Result<Vec<_>, _>>()?;
    if wanted.is_empty() {
        return Ok(());
    }
    let found = Platform::of_config(&engine.images.resolve(name).await?.config);
    if wanted.iter().any(|wanted| wanted.covers(&found)) {
        return Ok(());
    }
    let wanted: Vec<String> = wanted.iter().map(ToString::to_string).collect();
    let refused = berth_image::Error::OtherPlatform {
        reference: name.to_owned(),
        found: found.to_string(),
        wanted: wanted.join(", "),
    };
    Err(refused.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms() {
        let json = parse(r#"{"os":"linux","architecture":"arm64"}"#).unwrap();
        assert_eq!(json, parse("linux/arm64").unwrap());
        for text in ["{", r#"{"os":5}"#, "a/b/c/d", "moon"] {
            assert!(parse(text).is_err(), "{text}");
        }
        assert!(parse("{").unwrap_err().to_string().contains("platform"));
    }
}

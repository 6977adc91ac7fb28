//! Image names on the command line.

use berth_spec::Reference;

/// Repository and tag of `REPOSITORY[:TAG]`; the tag is empty when not written.
///
/// # Errors
/// Docker's text.
pub fn split(text: &str) -> Result<(String, String), String> {
    let reference = parse(text)?;
    if reference.digest().is_some() {
        return Err("refusing to create a tag with a digest reference".into());
    }
    let tag = reference.tag().unwrap_or("").to_owned();
    Ok((reference.familiar_name(), tag))
}

/// Reads a name.
///
/// # Errors
/// Docker's text.
pub fn parse(text: &str) -> Result<Reference, String> {
    Reference::parse(text).map_err(|e| format!("Error parsing reference: {text:?} is not a valid repository/tag: {e}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn splits() {
        assert_eq!(split("a:b").unwrap(), ("a".into(), "b".into()));
        assert_eq!(split("host:5000/a").unwrap(), ("host:5000/a".into(), String::new()));
        assert!(split("BAD NAME").unwrap_err().starts_with("Error parsing reference: \"BAD NAME\" is not a valid"));
    }
}

//! `--platform` of the verbs on images that are here: the API wants it as JSON.

use berth_spec::Platform;

use crate::call::{Call, Failure};

/// One platform for the API; an empty text stays empty.
pub fn json(text: &str) -> Result<String, Failure> {
    if text.is_empty() {
        return Ok(String::new());
    }
    let platform = Platform::parse(text).map_err(|error| Failure::new(error.to_string()))?;
    serde_json::to_string(&platform).map_err(|error| Failure::new(error.to_string()))
}

/// All platforms that the call names, also several in one word.
pub fn all(call: &Call) -> Result<Vec<String>, Failure> {
    call.flags.list("platform").flat_map(|list| list.split(',')).map(json).collect()
}

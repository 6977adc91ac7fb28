//! Where layers and images lie, and when they go by themselves: `storage-opts` and the section `gc`.

use anyhow::{Result, anyhow, bail};

use super::value::Values;

/// Whether images of layers are sealed (`--storage-opt erofs.verity=true`).
///
/// # Errors
/// Names an option that there is not.
pub fn erofs_verity(values: &Values) -> Result<bool> {
    let mut verity = false;
    for option in values.list("storage-opts") {
        match option.split_once('=') {
            Some(("erofs.verity", "true")) => verity = true,
            Some(("erofs.verity", "false")) => verity = false,
            _ => bail!("invalid value {option:?} for storage-opt: there is erofs.verity=true or false"),
        }
    }
    Ok(verity)
}

/// The section `gc`.
///
/// # Errors
/// Says what is wrong with it.
pub fn pressure(values: &Values) -> Result<Option<berth_image::Watermarks>> {
    let Some(section) = values.0.get("gc") else { return Ok(None) };
    berth_image::Watermarks::parse(section).map(Some).map_err(|reason| anyhow!("invalid gc: {reason}"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn options_are_read_or_refused() {
        let values = |name: &'static str, value| Values([(name, value)].into());
        assert!(erofs_verity(&values("storage-opts", json!(["erofs.verity=true"]))).unwrap());
        assert!(!erofs_verity(&Values::default()).unwrap());
        let refused = erofs_verity(&values("storage-opts", json!(["dm.basesize=10G"]))).unwrap_err();
        assert!(refused.to_string().contains("dm.basesize=10G"), "{refused}");
        assert!(pressure(&values("gc", json!({"high": "90%", "low": "80%"}))).unwrap().is_some());
        assert!(pressure(&values("gc", json!({"high": "90%"}))).unwrap_err().to_string().contains("invalid gc"));
    }
}

//! `berth fsck`, also `system fsck`.

use berth_client::Request;
use berth_kit::size;
use serde_json::Value;

use crate::call::{Call, Outcome};
use crate::credential;
use crate::grammar::{Arity, Command, Flag};

static FLAGS: &[Flag] = &[
    Flag::switch("json", "Print the report as JSON"),
    Flag::switch("repair", "Mend what can be mended: fetch again, unpack again, remove what nothing needs"),
];

/// `berth fsck`.
pub static COMMAND: Command =
    Command::verb("[OPTIONS]", "Check that every image, layer and record is whole", Arity::None, |call| {
        Box::pin(fsck(call))
    })
    .with(&[FLAGS])
    .at(&["fsck", "system fsck"]);

/// What the exit code says when something is wrong and stays so.
const UNSOUND: u8 = 1;

async fn fsck(call: Call) -> Outcome {
    let request = Request::post("/berth/fsck").on("repair", call.flags.on("repair"));
    let request = request.header("x-registry-config", credential::headers(&call, &[]));
    let report: Value = call.client()?.json(request).await?;
    if call.flags.on("json") {
        crate::say!("{report:#}")?;
    } else {
        crate::put!("{}", text(&report))?;
    }
    let is_open = |finding: &Value| finding["Repaired"].is_null();
    Ok(if report["Findings"].as_array().is_some_and(|all| all.iter().any(is_open)) { UNSOUND } else { 0 })
}

fn text(report: &Value) -> String {
    let word = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let mut text = String::new();
    for finding in report["Findings"].as_array().into_iter().flatten() {
        let (what, id, problem) = (word(&finding["What"]), word(&finding["Id"]), word(&finding["Problem"]));
        text.push_str(&format!("{what} {id}: {problem}\n"));
        if let Some(done) = finding["Repaired"].as_str() {
            text.push_str(&format!("  repaired: {done}\n"));
        }
    }
    let number = |key: &str| report[key].as_u64().unwrap_or(0);
    text.push_str(&format!(
        "{} images, {} layers, {} blobs ({}) checked; {} found",
        number("Images"),
        number("Layers"),
        number("Blobs"),
        size::format_decimal(number("BytesRead")),
        report["Findings"].as_array().map_or(0, Vec::len),
    ));
    if number("BytesFreed") > 0 {
        text.push_str(&format!("; {} freed", size::format_decimal(number("BytesFreed"))));
    }
    text.push('\n');
    text
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_report_is_a_line_for_each_finding() {
        let report = json!({
            "Images": 1, "Layers": 2, "Blobs": 3, "BytesRead": 4_200_000, "BytesFreed": 10,
            "Findings": [
                {"What": "blob", "Id": "sha256:aa", "Problem": "has another digest", "Repaired": "fetched again from a"},
                {"What": "tag", "Id": "b:1", "Problem": "leads nowhere"},
            ],
        });
        let lines = "blob sha256:aa: has another digest\n  repaired: fetched again from a\ntag b:1: leads nowhere\n\
                     1 images, 2 layers, 3 blobs (4.2MB) checked; 2 found; 10B freed\n";
        assert_eq!(text(&report), lines);
    }
}

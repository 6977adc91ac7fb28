//! `berth images --tree`: each image with its names and its platform below.

use berth_client::{Client, Request};
use berth_kit::{id, size};
use serde_json::Value;

use crate::call::Failure;

/// One image of the tree.
#[derive(Debug, Default)]
struct Leaf {
    names: Vec<String>,
    id: String,
    platform: String,
    bytes: u64,
    shared_bytes: u64,
    is_used: bool,
}

/// The tree of the images that pass `filters`.
pub async fn text(client: &Client, all: bool, filters: &str) -> Result<String, Failure> {
    let request = Request::get("/images/json").on("all", all).on("shared-size", true).text("filters", filters);
    let mut images: Vec<Value> = client.json(request).await?;
    images.sort_by_key(|image| std::cmp::Reverse(image["Created"].as_i64()));
    let mut leaves = Vec::with_capacity(images.len());
    for image in &images {
        let id = image["Id"].as_str().unwrap_or_default();
        let inspected = client.inspect_image(id, "").await?;
        leaves.push(leaf(image, &inspected));
    }
    Ok(drawn(&leaves))
}

fn leaf(image: &Value, inspected: &Value) -> Leaf {
    let word = |key: &str| inspected[key].as_str().unwrap_or_default();
    let variant = word("Variant");
    let slash = if variant.is_empty() { "" } else { "/" };
    let names = image["RepoTags"].as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned);
    let bytes = |key: &str| image[key].as_u64().unwrap_or(0);
    Leaf {
        names: names.collect(),
        id: id::short(image["Id"].as_str().unwrap_or_default()).to_owned(),
        platform: format!("{}/{}{slash}{variant}", word("Os"), word("Architecture")),
        bytes: bytes("Size"),
        shared_bytes: bytes("SharedSize"),
        is_used: bytes("Containers") > 0,
    }
}

fn drawn(leaves: &[Leaf]) -> String {
    let header = ["IMAGE", "ID", "DISK USAGE", "SHARED", "EXTRA"].map(str::to_owned);
    let mut rows = vec![header];
    for leaf in leaves {
        let mark = if leaf.is_used { "U" } else { "" };
        let row = |name: String| {
            [
                name,
                leaf.id.clone(),
                size::format_decimal(leaf.bytes),
                size::format_decimal(leaf.shared_bytes),
                mark.to_owned(),
            ]
        };
        let none = ["<untagged>".to_owned()];
        let names = if leaf.names.is_empty() { &none[..] } else { &leaf.names };
        rows.extend(names.iter().cloned().map(row));
        rows.push(row(format!("└─ {}", leaf.platform)));
    }
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..5).map(width).collect();
    let mut text = String::new();
    for row in &rows {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}"));
        text.push_str(cells.collect::<Vec<_>>().join("   ").trim_end());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn names_share_a_branch() {
        let image = json!({"Id": "sha256:0123456789abcdef", "RepoTags": ["a:1", "longer/b:2"], "Size": 4_200_000,
            "SharedSize": 0, "Containers": 2});
        let inspected = json!({"Os": "linux", "Architecture": "arm64", "Variant": "v8"});
        let none =
            json!({"Id": "sha256:fedcba9876543210", "RepoTags": [], "Size": 10, "SharedSize": 10, "Containers": 0});
        let text = drawn(&[leaf(&image, &inspected), leaf(&none, &json!({"Os": "linux", "Architecture": "amd64"}))]);
        let expected = "\
IMAGE               ID             DISK USAGE   SHARED   EXTRA
a:1                 0123456789ab   4.2MB        0B       U
longer/b:2          0123456789ab   4.2MB        0B       U
└─ linux/arm64/v8   0123456789ab   4.2MB        0B       U
<untagged>          fedcba987654   10B          10B
└─ linux/amd64      fedcba987654   10B          10B
";
        assert_eq!(text, expected);
    }
}

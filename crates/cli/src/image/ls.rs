//! `berth images`, also `image ls`.

use crate::call::{Call, Failure, Outcome};
use crate::format::{Column, List, Row, filter, row};
use crate::grammar::{Arity, Command, Flag};
use crate::{format_flag, text};
use berth_client::answer::Image;
use berth_kit::{id, size};

static FLAGS: &[Flag] = &[
    Flag::switch("all", "Show all images (default hides intermediate images)").short('a'),
    Flag::switch("digests", "Show digests"),
    Flag::filter("Filter output based on conditions provided").short('f'),
    format_flag::TABLE,
    Flag::switch("no-trunc", "Don't truncate output"),
    Flag::switch("quiet", "Only show image IDs").short('q'),
    Flag::switch("tree", "List images with their platforms below them"),
];

/// `berth images`.
pub static COMMAND: Command =
    Command::verb("[OPTIONS] [REPOSITORY[:TAG]]", "List images", Arity::AtMost(1), |call| Box::pin(ls(call)))
        .with(&[FLAGS])
        .at(&["image ls", "image list", "images"]);

/// Fields of an image's row.
pub const COLUMNS: &[Column] = &[
    ("ID", "IMAGE ID"),
    ("Repository", "REPOSITORY"),
    ("Tag", "TAG"),
    ("Digest", "DIGEST"),
    ("CreatedSince", "CREATED"),
    ("CreatedAt", "CREATED AT"),
    ("Size", "SIZE"),
    ("Containers", "CONTAINERS"),
    ("VirtualSize", "SIZE"),
    ("SharedSize", "SHARED SIZE"),
    ("UniqueSize", "UNIQUE SIZE"),
];
const TABLE: &[&str] = &["Repository", "Tag", "ID", "CreatedSince", "Size"];
const TABLE_DIGESTS: &[&str] = &["Repository", "Tag", "Digest", "ID", "CreatedSince", "Size"];

async fn ls(call: Call) -> Outcome {
    let flags = &call.flags;
    let mut format = flags.text("format").to_owned();
    if format.is_empty() {
        format.clone_from(&call.config.file().images_format);
    }
    let named = call.args.first().map(|name| ("reference", name.as_str()));
    let filters = filter::json(flags.list("filter"), named.as_slice());
    if flags.on("tree") {
        if let Some(other) = ["digests", "format", "no-trunc", "quiet"].iter().find(|name| flags.given(name)) {
            return Err(Failure::new(format!("--{other} is not supported with --tree")));
        }
        crate::put!("{}", super::tree::text(call.client()?, flags.on("all"), &filters).await?)?;
        return Ok(0);
    }
    let digests = flags.on("digests") || format.contains(".Digest");
    let mut images = call.client()?.images(flags.on("all"), digests, &filters).await?;
    images.sort_by_key(|image| std::cmp::Reverse(image.created));
    let whole = flags.on("no-trunc");
    if flags.on("quiet") && !flags.given("format") {
        for image in &images {
            crate::say!("{}", if whole { image.id.as_str() } else { id::short(&image.id) })?;
        }
        return Ok(0);
    }
    let table = if digests { TABLE_DIGESTS } else { TABLE };
    let rows: Vec<_> = images.iter().flat_map(|image| rows(image, digests, whole)).collect();
    List { columns: COLUMNS, table, kind: "ImageContext" }.print(&format, &rows)?;
    Ok(0)
}

/// One row a name; an image without names has one of `<none>`.
#[must_use]
pub fn rows(image: &Image, digests: bool, whole: bool) -> Vec<Row> {
    let split = |name: &str, by: char| name.rsplit_once(by).map(|(a, b)| (a.to_owned(), b.to_owned()));
    let tags: Vec<_> =
        image.tags.iter().filter(|t| *t != "<none>:<none>").filter_map(|name| split(name, ':')).collect();
    let hashes: Vec<_> =
        image.digests.iter().filter(|d| *d != "<none>@<none>").filter_map(|name| split(name, '@')).collect();
    let digest_of = |repository: &str| hashes.iter().find(|(r, _)| r == repository).map(|(_, d)| d.as_str());
    let mut names: Vec<(String, &str, &str)> = Vec::new();
    for (repository, tag) in &tags {
        names.push((repository.clone(), tag, digest_of(repository).unwrap_or("<none>")));
    }
    // A digest without a tag of its repository stands alone.
    for (repository, digest) in hashes.iter().filter(|(r, _)| digests && !tags.iter().any(|(t, _)| t == r)) {
        names.push((repository.clone(), "<none>", digest));
    }
    if names.is_empty() {
        let repository = hashes.first().map_or("<none>", |(repository, _)| repository.as_str());
        names.push((repository.to_owned(), "<none>", "<none>"));
    }
    names.iter().map(|(repository, tag, digest)| fields(image, (repository, tag, digest), whole)).collect()
}

fn fields(image: &Image, (repository, tag, digest): (&str, &str, &str), whole: bool) -> Row {
    let bytes = |n: i64| match n {
        -1 => "N/A".to_owned(),
        n => size::format_decimal(u64::try_from(n).unwrap_or(0)),
    };
    let space = |n: i64| match n {
        -1 => "N/A".to_owned(),
        n => text::space(u64::try_from(n).unwrap_or(0)),
    };
    let counted = |n: i64| if n == -1 { "N/A".to_owned() } else { n.to_string() };
    let unique = if image.shared_size == -1 { -1 } else { image.size - image.shared_size };
    row([
        ("Containers", counted(image.containers).into()),
        ("CreatedAt", text::created_at(image.created).into()),
        ("CreatedSince", text::ago(image.created).into()),
        ("Digest", digest.into()),
        ("ID", if whole { image.id.as_str() } else { id::short(&image.id) }.into()),
        ("Repository", repository.into()),
        ("SharedSize", space(image.shared_size).into()),
        ("Size", bytes(image.size).into()),
        ("Tag", tag.into()),
        ("UniqueSize", space(unique).into()),
        ("VirtualSize", space(image.size).into()),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn table() {
        let image = Image {
            id: "sha256:0123456789abcdef".into(),
            tags: vec!["a:1".into(), "host:5000/b:2".into()],
            digests: vec!["a@sha256:ff".into()],
            size: 77_800_000,
            shared_size: -1,
            containers: -1,
            ..Image::default()
        };
        let none = Image { tags: Vec::new(), digests: Vec::new(), ..image.clone() };
        let all: Vec<_> = [image, none].iter().flat_map(|i| rows(i, true, false)).collect();
        let list = List { columns: COLUMNS, table: TABLE_DIGESTS, kind: "ImageContext" };
        insta::assert_snapshot!(list.text("", &all).unwrap());
        insta::assert_snapshot!(list.text("json", &all).unwrap());
    }
}

//! `berth history`.

use crate::call::{Call, Outcome};
use crate::format::{Column, List, Row, row};
use crate::grammar::{Arity, Command, Flag};
use crate::{format_flag, text};
use berth_client::answer::History;
use berth_kit::{id, size};

static FLAGS: &[Flag] = &[
    format_flag::TABLE,
    Flag::switch("human", "Print sizes and dates in human readable format").short('H').default("true"),
    Flag::switch("no-trunc", "Don't truncate output"),
    Flag::text(
        "platform",
        "Show history for the given platform. Formatted as \"os[/arch[/variant]]\" (e.g., \"linux/amd64\")",
    ),
    Flag::switch("quiet", "Only show image IDs").short('q'),
];

/// `berth history`.
pub static COMMAND: Command =
    Command::verb("[OPTIONS] IMAGE", "Show the history of an image", Arity::Exactly(1), |call| Box::pin(history(call)))
        .with(&[FLAGS])
        .at(&["image history", "history"]);

const COLUMNS: &[Column] = &[
    ("ID", "IMAGE"),
    ("CreatedAt", "CREATED AT"),
    ("CreatedSince", "CREATED"),
    ("CreatedBy", "CREATED BY"),
    ("Size", "SIZE"),
    ("Comment", "COMMENT"),
];
const TABLE: &[&str] = &["ID", "CreatedSince", "CreatedBy", "Size", "Comment"];
const TABLE_EXACT: &[&str] = &["ID", "CreatedAt", "CreatedBy", "Size", "Comment"];

async fn history(call: Call) -> Outcome {
    let flags = &call.flags;
    let (human, whole) = (flags.on("human"), flags.on("no-trunc"));
    let layers = call.client()?.history(&call.args[0], flags.text("platform")).await?;
    if flags.on("quiet") && !flags.given("format") {
        for layer in &layers {
            crate::say!("{}", if whole { layer.id.as_str() } else { id::short(&layer.id) })?;
        }
        return Ok(0);
    }
    let rows: Vec<_> = layers.iter().map(|layer| fields(layer, human, whole)).collect();
    let table = if human { TABLE } else { TABLE_EXACT };
    List { columns: COLUMNS, table, kind: "historyContext" }.print(flags.text("format"), &rows)?;
    Ok(0)
}

fn fields(layer: &History, human: bool, whole: bool) -> Row {
    let by = layer.created_by.replace('\t', " ");
    let bytes = u64::try_from(layer.size).unwrap_or(0);
    row([
        ("Comment", layer.comment.as_str().into()),
        ("CreatedAt", text::rfc3339(layer.created).into()),
        ("CreatedBy", if whole { by } else { text::ellipsis(&by, 45) }.into()),
        ("CreatedSince", if human { text::ago(layer.created) } else { text::rfc3339(layer.created) }.into()),
        ("ID", if whole { layer.id.as_str() } else { id::short(&layer.id) }.into()),
        ("Size", if human { size::format_decimal(bytes) } else { bytes.to_string() }.into()),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn table() {
        let layer = History {
            id: "<missing>".into(),
            created_by: "/bin/sh -c apt-get update &&\tapt-get install -y something long".into(),
            size: 1234,
            comment: "c".into(),
            ..History::default()
        };
        let list = List { columns: COLUMNS, table: TABLE_EXACT, kind: "historyContext" };
        insta::assert_snapshot!(list.text("", &[fields(&layer, false, false)]).unwrap());
    }
}

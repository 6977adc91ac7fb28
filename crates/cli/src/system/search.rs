//! `berth search`.

use crate::call::{Call, Failure, Outcome};
use crate::credential;
use crate::format::{Column, List, Row, filter, row};
use crate::grammar::{Arity, Command, Flag};
use crate::text;
use berth_client::Request;
use serde::Deserialize;

/// Where a description is cut.
const DESCRIPTION_WIDTH: usize = 45;

static FLAGS: &[Flag] = &[
    Flag::filter("Filter output based on conditions provided").short('f'),
    Flag::text("format", "Pretty-print search using a Go template"),
    Flag::int("limit", "Max number of search results"),
    Flag::switch("no-trunc", "Don't truncate output"),
];

/// `berth search`.
pub static COMMAND: Command =
    Command::verb("[OPTIONS] TERM", "Search a registry for images", Arity::Exactly(1), |call| Box::pin(search(call)))
        .with(&[FLAGS])
        .at(&["search"]);

const COLUMNS: &[Column] = &[
    ("Name", "NAME"),
    ("Description", "DESCRIPTION"),
    ("StarCount", "STARS"),
    ("IsOfficial", "OFFICIAL"),
    ("IsAutomated", "AUTOMATED"),
];
const TABLE: &[&str] = &["Name", "Description", "StarCount", "IsOfficial"];

#[derive(Deserialize)]
struct Found {
    name: String,
    #[serde(default)]
    description: String,
    #[serde(default)]
    star_count: i64,
    #[serde(default)]
    is_official: bool,
    #[serde(default)]
    is_automated: bool,
}

async fn search(call: Call) -> Outcome {
    let (term, flags) = (call.args[0].as_str(), &call.flags);
    let limit = flags.int("limit");
    if !(0..=100).contains(&limit) {
        return Err(Failure::new(format!("limit {limit} is outside the range of [1, 100]")));
    }
    let domain = term.split_once('/').map_or("", |(first, _)| if first.contains(['.', ':']) { first } else { "" });
    let auth = credential::header(&call, domain);
    let mut request = Request::get("/images/search").text("term", term);
    request = request.text("filters", &filter::json(flags.list("filter"), &[]));
    if limit > 0 {
        request = request.text("limit", &limit.to_string());
    }
    if !auth.is_empty() {
        request = request.header("x-registry-auth", auth);
    }
    let found: Vec<Found> = call.client()?.json(request).await?;
    let whole = flags.on("no-trunc");
    let rows: Vec<Row> = found.iter().map(|found| fields(found, whole)).collect();
    List { columns: COLUMNS, table: TABLE, kind: "SearchContext" }.print(flags.text("format"), &rows)?;
    Ok(0)
}

fn fields(found: &Found, whole: bool) -> Row {
    let description = found.description.replace(['\n', '\r'], " ");
    let description = if whole { description } else { text::ellipsis(&description, DESCRIPTION_WIDTH) };
    let mark = |is: bool| if is { "[OK]" } else { "" };
    row([
        ("Name", found.name.clone().into()),
        ("Description", description.into()),
        ("StarCount", found.star_count.to_string().into()),
        ("IsOfficial", mark(found.is_official).into()),
        ("IsAutomated", mark(found.is_automated).into()),
    ])
}

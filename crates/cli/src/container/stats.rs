//! `berth stats`: one stream a container, a table drawn over itself twice a second.

use crate::call::{Call, Failure, Outcome};
use crate::format::{Column, List, Row, row};
use crate::grammar::{Arity, Command, Flag};
use crate::{format_flag, text};
use berth_client::Client;
use berth_client::container::List as Query;
use berth_kit::{id, size};
use futures_util::stream::{FuturesUnordered, StreamExt};
use serde_json::Value;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io::{IsTerminal, Write};
use std::time::Duration;

static FLAGS: &[Flag] = &[
    Flag::switch("all", "Show all containers (default shows just running)").short('a'),
    format_flag::TABLE,
    Flag::switch("no-stream", "Disable streaming stats and only pull the first result"),
    Flag::switch("no-trunc", "Do not truncate output"),
];

/// `berth stats`.
pub static COMMAND: Command = Command::verb(
    "[OPTIONS] [CONTAINER...]",
    "Display a live stream of container(s) resource usage statistics",
    Arity::AtLeast(0),
    |call| Box::pin(stats(call)),
)
.with(&[FLAGS])
.at(&["container stats", "stats"]);

const COLUMNS: &[Column] = &[
    ("Container", "CONTAINER"),
    ("Name", "NAME"),
    ("ID", "CONTAINER ID"),
    ("CPUPerc", "CPU %"),
    ("MemUsage", "MEM USAGE / LIMIT"),
    ("MemPerc", "MEM %"),
    ("NetIO", "NET I/O"),
    ("BlockIO", "BLOCK I/O"),
    ("PIDs", "PIDS"),
];
const TABLE: &[&str] = &["ID", "Name", "CPUPerc", "MemUsage", "MemPerc", "NetIO", "BlockIO", "PIDs"];
const LIST: List = List { columns: COLUMNS, table: TABLE, kind: "statsContext" };
const REFRESH: Duration = Duration::from_millis(500);
const RELIST: Duration = Duration::from_secs(2);

async fn stats(call: Call) -> Outcome {
    let client = call.client()?;
    let mut format = call.flags.text("format").to_owned();
    if format.is_empty() {
        format.clone_from(&call.config.file().stats_format);
    }
    let whole = call.flags.on("no-trunc");
    if call.flags.on("no-stream") {
        let names = names(&call, client).await?;
        let once = names.iter().map(|name| first(client, name));
        let mut rows = Vec::new();
        for (name, answer) in names.iter().zip(futures_util::future::join_all(once).await) {
            rows.push(fields(name, answer?.as_ref(), whole));
        }
        LIST.print(&format, &rows)?;
        return Ok(0);
    }
    // A name that is not there is an error at once, not an empty row for ever.
    for name in &call.args {
        client.brief(name).await?;
    }
    live(&call, client, &format, whole).await
}

async fn names(call: &Call, client: &Client) -> Result<Vec<String>, Failure> {
    if !call.args.is_empty() {
        return Ok(call.args.clone());
    }
    let query = Query { all: call.flags.on("all"), ..Query::default() };
    Ok(client.containers(&query).await?.into_iter().map(|c| id::short(&c.id).to_owned()).collect())
}

async fn first(client: &Client, name: &str) -> Result<Option<Value>, Failure> {
    Ok(client.stats(name, false).await?.next().await?)
}

async fn live(call: &Call, client: &Client, format: &str, whole: bool) -> Outcome {
    let latest: RefCell<BTreeMap<String, Option<Value>>> = RefCell::new(BTreeMap::new());
    let mut order = names(call, client).await?;
    let follow = |name: String| async {
        let mut stream = match client.stats(&name, true).await {
            Ok(stream) => stream,
            Err(_) => return name,
        };
        while let Ok(Some(sample)) = stream.next::<Value>().await {
            latest.borrow_mut().insert(name.clone(), Some(sample));
        }
        name
    };
    let mut followed: FuturesUnordered<_> = order.iter().cloned().map(&follow).collect();
    let mut refresh = tokio::time::interval(REFRESH);
    let mut relist = tokio::time::interval(RELIST);
    let terminal = std::io::stdout().is_terminal();
    loop {
        tokio::select! {
            Some(ended) = followed.next(), if !followed.is_empty() => {
                latest.borrow_mut().remove(&ended);
                if call.args.is_empty() && !call.flags.on("all") {
                    order.retain(|name| *name != ended);
                }
                if !call.args.is_empty() && followed.is_empty() {
                    return Ok(0);
                }
            }
            _ = relist.tick(), if call.args.is_empty() => {
                for name in names(call, client).await? {
                    if !order.contains(&name) {
                        order.push(name.clone());
                        followed.push(follow(name));
                    }
                }
            }
            _ = refresh.tick() => {
                let rows: Vec<_> = {
                    let latest = latest.borrow();
                    order.iter().map(|name| fields(name, latest.get(name).and_then(Option::as_ref), whole)).collect()
                };
                draw(&LIST.text(format, &rows)?, terminal)?;
            }
        }
    }
}

/// Draws over what was drawn before; what is left below is cleared.
fn draw(table: &str, terminal: bool) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    match terminal {
        true => write!(out, "\x1b[H{}\x1b[J", table.replace('\n', "\x1b[K\n"))?,
        false => write!(out, "\x1b[H{table}\x1b[J")?,
    }
    out.flush()
}

/// The row of a sample; dashes where there is none.
fn fields(name: &str, sample: Option<&Value>, whole: bool) -> Row {
    let none = Value::Null;
    let json = sample.unwrap_or(&none);
    let running = json["pids_stats"]["current"].as_u64().is_some() || json["cpu_stats"]["system_cpu_usage"].is_u64();
    let id = json["id"].as_str().unwrap_or("");
    let shown = if whole { id } else { id::short(id) };
    let own = json["name"].as_str().map(|n| n.trim_start_matches('/')).filter(|n| !n.is_empty()).unwrap_or("--");
    let or_dashes = |text: String| if sample.is_some() && running { text } else { "--".to_owned() };
    let pair = |text: String| if sample.is_some() && running { text } else { "-- / --".to_owned() };
    let (usage, limit) = memory(&json["memory_stats"]);
    let (received, sent) = network(&json["networks"]);
    let (read, written) = blocks(&json["blkio_stats"]["io_service_bytes_recursive"]);
    let share = if limit > 0 { usage as f64 / limit as f64 * 100.0 } else { 0.0 };
    row([
        ("BlockIO", pair(format!("{} / {}", bytes(read), bytes(written))).into()),
        ("CPUPerc", or_dashes(format!("{:.2}%", cpu(json))).into()),
        ("Container", name.into()),
        ("ID", if shown.is_empty() { name } else { shown }.into()),
        ("MemPerc", or_dashes(format!("{share:.2}%")).into()),
        ("MemUsage", pair(format!("{} / {}", size::format_binary(usage), size::format_binary(limit))).into()),
        ("Name", own.into()),
        ("NetIO", pair(format!("{} / {}", bytes(received), bytes(sent))).into()),
        ("PIDs", or_dashes(number(&json["pids_stats"]["current"]).to_string()).into()),
    ])
}

fn number(value: &Value) -> u64 {
    value.as_u64().unwrap_or(0)
}

fn bytes(count: u64) -> String {
    let text = size::format_decimal(count);
    if text.is_empty() { text::space(count) } else { text }
}

/// Share of one processor, in percent, between this sample and the one before.
fn cpu(json: &Value) -> f64 {
    let (now, before) = (&json["cpu_stats"], &json["precpu_stats"]);
    let used = number(&now["cpu_usage"]["total_usage"]) as f64 - number(&before["cpu_usage"]["total_usage"]) as f64;
    let passed = number(&now["system_cpu_usage"]) as f64 - number(&before["system_cpu_usage"]) as f64;
    let listed = now["cpu_usage"]["percpu_usage"].as_array().map_or(0, Vec::len);
    let processors = match number(&now["online_cpus"]) {
        0 => listed as f64,
        online => online as f64,
    };
    if used > 0.0 && passed > 0.0 { used / passed * processors * 100.0 } else { 0.0 }
}

/// Bytes in use without the page cache that can be dropped, and the limit.
fn memory(json: &Value) -> (u64, u64) {
    let usage = number(&json["usage"]);
    let stats = &json["stats"];
    let cache = match &stats["total_inactive_file"] {
        Value::Null => number(&stats["inactive_file"]),
        v1 => number(v1),
    };
    (if cache < usage { usage - cache } else { usage }, number(&json["limit"]))
}

fn network(json: &Value) -> (u64, u64) {
    let all = json.as_object().into_iter().flatten();
    all.fold((0, 0), |(rx, tx), (_, one)| (rx + number(&one["rx_bytes"]), tx + number(&one["tx_bytes"])))
}

fn blocks(json: &Value) -> (u64, u64) {
    let mut sums = (0, 0);
    for entry in json.as_array().into_iter().flatten() {
        match entry["op"].as_str().and_then(|op| op.chars().next()).map(|c| c.to_ascii_lowercase()) {
            Some('r') => sums.0 += number(&entry["value"]),
            Some('w') => sums.1 += number(&entry["value"]),
            _ => {}
        }
    }
    sums
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn table() {
        let sample = serde_json::json!({
            "id": "0123456789abcdef", "name": "/web", "pids_stats": {"current": 3},
            "cpu_stats": {"cpu_usage": {"total_usage": 300}, "system_cpu_usage": 2000, "online_cpus": 2},
            "precpu_stats": {"cpu_usage": {"total_usage": 100}, "system_cpu_usage": 1000},
            "memory_stats": {"usage": 3_000_000, "limit": 10_485_760, "stats": {"total_inactive_file": 902_848}},
            "networks": {"eth0": {"rx_bytes": 1500, "tx_bytes": 20}},
            "blkio_stats": {"io_service_bytes_recursive": [{"op": "Read", "value": 1}, {"op": "write", "value": 2}]},
        });
        let rows = [fields("web", Some(&sample), false), fields("gone", None, false)];
        insta::assert_snapshot!(LIST.text("", &rows).unwrap());
    }
}

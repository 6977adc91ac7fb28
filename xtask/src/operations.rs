//! The table of Engine API operations, docs/api-operations.md: parsed and checked for form.
//!
//! A black-box test reads the same table and holds the running daemon to it; this check needs no daemon.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, Result};

/// Operations in the Engine API 1.56 description.
const OPERATIONS: usize = 108;
const STATUSES: &[&str] = &["answered", "503 in no swarm", "501 not built yet"];
const TABLE: &str = "docs/api-operations.md";

#[derive(Debug, PartialEq, Eq)]
struct Operation<'a> {
    method: &'a str,
    path: &'a str,
    group: &'a str,
    status: &'a str,
}

/// Checks the table and prints how many operations each status has.
pub fn run(root: &Path) -> Result<ExitCode> {
    let text = std::fs::read_to_string(root.join(TABLE)).with_context(|| format!("reading {TABLE}"))?;
    let faults = check(&text);
    for fault in &faults {
        eprintln!("{TABLE}: {fault}");
    }
    let mut counts = BTreeMap::new();
    for operation in parse(&text) {
        *counts.entry(operation.status).or_insert(0) += 1;
    }
    for (status, count) in counts {
        println!("{count:>4}  {status}");
    }
    Ok(if faults.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Rows are those whose first cell is an HTTP method.
fn parse(text: &str) -> Vec<Operation<'_>> {
    text.lines()
        .filter_map(|line| {
            let cells: Vec<&str> =
                line.trim().strip_prefix('|')?.trim_end_matches('|').split('|').map(|c| c.trim()).collect();
            let &[method, path, _, group, status] = cells.as_slice() else { return None };
            matches!(method, "GET" | "HEAD" | "POST" | "PUT" | "DELETE").then_some(Operation {
                method,
                path: path.trim_matches('`'),
                group,
                status,
            })
        })
        .collect()
}

/// Every fault of the table, as sentences.
pub fn check(text: &str) -> Vec<String> {
    let rows = parse(text);
    let mut faults = Vec::new();
    if rows.len() != OPERATIONS {
        faults.push(format!("{} operations, the API has {OPERATIONS}", rows.len()));
    }
    let mut seen = BTreeSet::new();
    for row in &rows {
        if !seen.insert((row.method, row.path)) {
            faults.push(format!("{} {} stands twice", row.method, row.path));
        }
        if !STATUSES.contains(&row.status) {
            faults.push(format!("{} {} has the unknown status {:?}", row.method, row.path, row.status));
        }
        if !row.path.starts_with('/') || row.group.is_empty() {
            faults.push(format!("{} {} needs an absolute path and a group", row.method, row.path));
        }
    }
    faults
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bites_on_a_wrong_count_a_double_and_an_unknown_status() {
        let text = "| GET | `/a` | A | g | answered |\n| GET | `/a` | A | g | perhaps |\n";
        let faults = check(text).join("\n");
        assert!(faults.contains("2 operations"), "{faults}");
        assert!(faults.contains("stands twice"), "{faults}");
        assert!(faults.contains("unknown status"), "{faults}");
    }

    #[test]
    fn the_repository_table_is_well_formed() {
        let table = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join(TABLE);
        assert_eq!(check(&std::fs::read_to_string(table).unwrap()), Vec::<String>::new());
    }
}

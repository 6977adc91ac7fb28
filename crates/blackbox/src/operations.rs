//! The table of docs/api-operations.md, as the tests that hold the daemon to it read it.

use std::path::Path;

/// One row.
#[derive(Debug, Clone)]
pub struct Operation {
    pub method: String,
    /// With `{id}` and `{name}` still in it.
    pub path: String,
    pub name: String,
    /// `answered`, `503 in no swarm` or `501 not built yet`.
    pub status: String,
}

/// Every row of the table.
pub fn table() -> Vec<Operation> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/api-operations.md");
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    text.lines()
        .filter_map(|line| {
            let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
            let &[method, path, name, _, status] = cells.as_slice() else { return None };
            path.starts_with('`').then(|| Operation {
                method: method.to_owned(),
                path: path.trim_matches('`').to_owned(),
                name: name.to_owned(),
                status: status.to_owned(),
            })
        })
        .collect()
}

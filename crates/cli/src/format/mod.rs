//! Output of lists: Docker's tables, JSON lines and Go templates over rows of named fields.

pub mod filter;
pub mod indent;
pub mod table;
pub mod template;
pub mod value;

use crate::call::Failure;
use serde_json::{Map, Value};
use std::io::Write;
use template::Template;

/// A field of a row: its name in templates and its head in tables.
pub type Column = (&'static str, &'static str);
/// One row: every field that a template may name.
pub type Row = Map<String, Value>;

/// A list to print.
pub struct List<'a> {
    /// All fields.
    pub columns: &'a [Column],
    /// Fields of the default table, in order.
    pub table: &'a [&'static str],
    /// Go's name of the row type, for Docker's error text.
    pub kind: &'a str,
}

/// Why a template could not be used.
fn refuse(text: impl std::fmt::Display) -> Failure {
    Failure::new(text.to_string())
}

impl List<'_> {
    /// Prints `rows` in `format`: empty or `table`, `table TEMPLATE`, `json`, or a template.
    ///
    /// # Errors
    /// The template is wrong, or stdout cannot be written.
    pub fn print(&self, format: &str, rows: &[Row]) -> Result<(), Failure> {
        let text = self.text(format, rows)?;
        let mut out = std::io::stdout().lock();
        out.write_all(text.as_bytes())?;
        out.flush()?;
        Ok(())
    }

    /// The text that [`List::print`] writes.
    ///
    /// # Errors
    /// The template is wrong.
    pub fn text(&self, format: &str, rows: &[Row]) -> Result<String, Failure> {
        let format = format.trim();
        match format.strip_prefix("table").filter(|rest| rest.is_empty() || rest.starts_with([' ', '\t', '\\'])) {
            _ if format.is_empty() => Ok(self.default_table(rows)),
            Some(rest) if rest.trim().is_empty() => Ok(self.default_table(rows)),
            Some(template) => self.template_table(format, template.trim_start(), rows),
            None if format == "json" => self.lines("{{json .}}", rows),
            None => self.lines(format, rows),
        }
    }

    fn default_table(&self, rows: &[Row]) -> String {
        let mut lines = String::new();
        let heads: Vec<_> = self.table.iter().map(|name| self.head(name)).collect();
        lines.push_str(&heads.join("\t"));
        lines.push('\n');
        for row in rows {
            let cells: Vec<_> = self.table.iter().map(|name| cell(row, name)).collect();
            lines.push_str(&cells.join("\t"));
            lines.push('\n');
        }
        table::align(&lines)
    }

    fn template_table(&self, format: &str, source: &str, rows: &[Row]) -> Result<String, Failure> {
        let heads: Row = self.columns.iter().map(|(name, head)| ((*name).to_owned(), (*head).into())).collect();
        let mut lines =
            Template::heads(source).map_err(refuse)?.run(&heads.into()).map_err(|e| self.execution(format, e))?;
        lines.push('\n');
        lines.push_str(&self.lines(source, rows)?);
        Ok(table::align(&lines))
    }

    fn lines(&self, source: &str, rows: &[Row]) -> Result<String, Failure> {
        let template = Template::rows(source).map_err(refuse)?;
        let mut lines = String::new();
        for row in rows {
            lines.push_str(&template.run(&Value::Object(row.clone())).map_err(|e| self.execution(source, e))?);
            lines.push('\n');
        }
        Ok(lines)
    }

    fn execution(&self, source: &str, error: template::Error) -> Failure {
        match error {
            template::Error::Missing(key) => refuse(format!(
                "failed to execute template: template: {}: can't evaluate field {key} in type *formatter.{}",
                template::place(source, &key),
                self.kind
            )),
            template::Error::Parse(_) => refuse(error),
            other => refuse(format!("failed to execute template: {other}")),
        }
    }

    fn head(&self, name: &str) -> &'static str {
        self.columns.iter().find(|(column, _)| *column == name).map_or("", |(_, head)| head)
    }
}

/// The text of a field.
#[must_use]
pub fn cell(row: &Row, name: &str) -> String {
    match row.get(name) {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Null) | None => String::new(),
        Some(other) => other.to_string(),
    }
}

/// A row of `fields`.
pub fn row<const N: usize>(fields: [(&str, Value); N]) -> Row {
    fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIST: List = List {
        columns: &[("ID", "CONTAINER ID"), ("Names", "NAMES"), ("Labels", "LABELS")],
        table: &["ID", "Names"],
        kind: "ContainerContext",
    };

    fn rows() -> Vec<Row> {
        vec![
            row([("ID", "0123456789ab".into()), ("Names", "one".into()), ("Labels", "a=1".into())]),
            row([("ID", "f".into()), ("Names", "two<&".into()), ("Labels", "".into())]),
        ]
    }

    #[test]
    fn every_form() {
        insta::assert_snapshot!(LIST.text("", &rows()).unwrap());
        insta::assert_snapshot!(LIST.text("table {{.Names}}\\t{{.ID | upper}}", &rows()).unwrap());
        insta::assert_snapshot!(LIST.text("json", &rows()).unwrap());
        insta::assert_snapshot!(LIST.text("{{.Names}}:{{json .Labels}}:{{truncate .ID 4}}", &rows()).unwrap());
    }

    #[test]
    fn missing_fields_have_dockers_text() {
        assert_eq!(
            LIST.text("{{.Foo}}", &rows()).unwrap_err().text,
            "failed to execute template: template: :1:2: executing \"\" at <.Foo>: can't evaluate field Foo in type \
             *formatter.ContainerContext"
        );
        assert!(LIST.text("{{", &rows()).unwrap_err().text.starts_with("failed to parse template: "));
    }
}

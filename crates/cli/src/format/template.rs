//! Go templates with Docker's functions: json, join, split, title, lower, upper, pad, truncate.

use super::value::Orders;
use gotmpl::{MissingKey, TemplateError, Value as Data};
use serde_json::Value;

/// What went wrong with a template.
#[derive(Debug)]
pub enum Error {
    /// It cannot be read.
    Parse(String),
    /// It names a field that is not there.
    Missing(String),
    /// It failed on the way.
    Execute(String),
}

impl std::fmt::Display for Error {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Parse(text) => write!(f, "failed to parse template: {text}"),
            Self::Missing(key) => write!(f, "map has no entry for key {key:?}"),
            Self::Execute(text) => write!(f, "{text}"),
        }
    }
}

/// A template that was read.
pub struct Template {
    template: gotmpl::Template,
    orders: Orders,
}

type Answer = gotmpl::Result<Data>;

impl Template {
    /// Reads `source`; `\t` and `\n` in it are a tab and a line end.
    ///
    /// # Errors
    /// [`Error::Parse`].
    pub fn new(source: &str) -> Result<Self, Error> {
        Self::with_json(source, |value| value.to_string())
    }

    /// [`Template::new`] for the rows of a list, whose JSON Go writes with `<`, `>` and `&` escaped.
    ///
    /// # Errors
    /// [`Error::Parse`].
    pub fn rows(source: &str) -> Result<Self, Error> {
        Self::with_json(source, |value| match value {
            Value::Object(_) => {
                value.to_string().replace('<', "\\u003c").replace('>', "\\u003e").replace('&', "\\u0026")
            }
            other => other.to_string(),
        })
    }

    fn with_json(source: &str, json_text: fn(&Value) -> String) -> Result<Self, Error> {
        let orders = Orders::default();
        let json = orders.clone();
        let template = gotmpl::Template::new("")
            .missing_key(MissingKey::Error)
            .func("json", move |args| Ok(text(json_text(&json.json(args.first().unwrap_or(&Data::Nil))))))
            .func("join", |args| Ok(text(strings(args.first()).join(&word(args.get(1))))))
            .func("split", |args| {
                let (whole, by) = (word(args.first()), word(args.get(1)));
                Ok(Data::List(whole.split(by.as_str()).map(|part| text(part.to_owned())).collect()))
            })
            .func("title", |args| Ok(text(title(&word(args.first())))))
            .func("lower", |args| Ok(text(word(args.first()).to_lowercase())))
            .func("upper", |args| Ok(text(word(args.first()).to_uppercase())))
            .func("pad", |args| {
                let spaces = |n: Option<&Data>| " ".repeat(count(n));
                Ok(text(format!("{}{}{}", spaces(args.get(1)), word(args.first()), spaces(args.get(2)))))
            })
            .func("truncate", |args| {
                let whole = word(args.first());
                Ok(text(whole.chars().take(count(args.get(1))).collect()))
            })
            .func("index", index)
            .func("len", len);
        Self::finish(template, source, orders)
    }

    /// Reads `source` for the heads of a table: the functions that change a cell leave a head as it is.
    ///
    /// # Errors
    /// [`Error::Parse`].
    pub fn heads(source: &str) -> Result<Self, Error> {
        let mut template = gotmpl::Template::new("").missing_key(MissingKey::Error);
        for name in ["json", "join", "split", "title", "lower", "upper", "truncate", "pad"] {
            let keep = |args: &[Data]| -> Answer { Ok(args.first().cloned().unwrap_or(Data::Nil)) };
            template = template.func(name, keep);
        }
        Self::finish(template, source, Orders::default())
    }

    fn finish(template: gotmpl::Template, source: &str, orders: Orders) -> Result<Self, Error> {
        // A method with an argument, the only one Docker's rows have, is a function of a field here.
        let source = source.replace("\\t", "\t").replace("\\n", "\n").replace(".Label \"", "label .LabelMap \"");
        let template = template.func("label", |args| match (args.first(), args.get(1)) {
            (Some(Data::Map(labels)), Some(Data::String(key))) => {
                Ok(labels.get(key).cloned().unwrap_or_else(|| text(String::new())))
            }
            // The head of a column: the last part of the label's name, in words.
            (Some(_), Some(Data::String(key))) => {
                Ok(text(key.rsplit('.').next().unwrap_or(key).replace(['-', '_'], " ")))
            }
            _ => Ok(text(String::new())),
        });
        match template.parse(&source) {
            Ok(template) => Ok(Self { template, orders }),
            Err(e) => Err(Error::Parse(parse_text(&e))),
        }
    }

    /// Runs it over `json`.
    ///
    /// # Errors
    /// [`Error::Missing`] or [`Error::Execute`].
    pub fn run(&self, json: &Value) -> Result<String, Error> {
        let data = match json {
            Value::Object(fields) if fields.contains_key("LabelMap") => {
                let mut shown = fields.clone();
                shown.shift_remove("LabelMap");
                return self.run_with_labels(&Value::Object(shown), &fields["LabelMap"]);
            }
            other => self.orders.data(other),
        };
        self.execute(&data)
    }

    fn run_with_labels(&self, json: &Value, labels: &Value) -> Result<String, Error> {
        let labels = self.orders.data(labels);
        match self.orders.data(json) {
            // The address changes with the map, so its order falls back to sorted: Docker's rows are sorted.
            Data::Map(fields) => {
                let mut fields = (*fields).clone();
                fields.insert("LabelMap".into(), labels);
                let whole = Data::Map(std::sync::Arc::new(fields));
                self.orders.hide(&whole, "LabelMap");
                self.execute(&whole)
            }
            other => self.execute(&other),
        }
    }

    fn execute(&self, data: &Data) -> Result<String, Error> {
        self.template.execute_to_string(data).map_err(|e| match e {
            TemplateError::MissingKey { key } => Error::Missing(key),
            // Go finds this while reading.
            TemplateError::UndefinedFunction(name) => {
                Error::Parse(format!("template: :1: function {name:?} not defined"))
            }
            other => Error::Execute(format!("template: {other}")),
        })
    }
}

fn parse_text(error: &TemplateError) -> String {
    match error {
        TemplateError::Parse { line, message, .. } | TemplateError::Lex { line, message, .. } => {
            format!("template: :{line}: {message}")
        }
        other => format!("template: :1: {other}"),
    }
}

/// Where in `source` the field `key` is asked for, as Go's errors say it: `:1:8: executing "" at <.State.Foo>`.
#[must_use]
pub fn place(source: &str, key: &str) -> String {
    let part = |c: char| c.is_alphanumeric() || c == '_';
    let wanted = format!(".{key}");
    let mut from = 0;
    while let Some(at) = source[from..].find(&wanted).map(|at| at + from) {
        let end = at + wanted.len();
        if !source[end..].starts_with(part) {
            let start = source[..at].rfind(|c| !part(c) && c != '.').map_or(0, |i| i + 1);
            let line = source[..at].matches('\n').count() + 1;
            let column = at - source[..at].rfind('\n').map_or(0, |i| i + 1);
            return format!(":{line}:{column}: executing \"\" at <{}>", &source[start..end]);
        }
        from = end;
    }
    format!(":1:2: executing \"\" at <{wanted}>")
}

fn text(text: String) -> Data {
    Data::String(text.into())
}

fn word(data: Option<&Data>) -> String {
    match data {
        None | Some(Data::Nil) => String::new(),
        Some(other) => other.to_string(),
    }
}

fn strings(data: Option<&Data>) -> Vec<String> {
    match data {
        Some(Data::List(items)) => items.iter().map(|item| word(Some(item))).collect(),
        Some(Data::Nil) | None => Vec::new(),
        Some(other) => vec![other.to_string()],
    }
}

fn count(data: Option<&Data>) -> usize {
    data.and_then(Data::as_int).and_then(|n| usize::try_from(n).ok()).unwrap_or(0)
}

fn title(text: &str) -> String {
    let mut start = true;
    let upper = |c: char| {
        let shown = if start { c.to_uppercase().collect::<String>() } else { c.to_string() };
        start = !c.is_alphanumeric();
        shown
    };
    text.chars().map(upper).collect()
}

/// Go's `len`, where nothing has the length 0: a list or map that the API sends as null.
fn len(args: &[Data]) -> Answer {
    let length = match args.first() {
        None | Some(Data::Nil) => 0,
        Some(other) => other
            .len()
            .ok_or(TemplateError::TypeMismatch { expected: "list, map or string", got: other.type_name() })?,
    };
    Ok(Data::Int(i64::try_from(length).unwrap_or(i64::MAX)))
}

/// Go's `index`, where a key that a map does not have gives an empty text.
fn index(args: &[Data]) -> Answer {
    let mut at = args.first().cloned().unwrap_or(Data::Nil);
    for key in &args[1.min(args.len())..] {
        at = match (&at, key) {
            (Data::Map(fields), Data::String(key)) => fields.get(key).cloned().unwrap_or_else(|| text(String::new())),
            (Data::Nil, Data::String(_)) => text(String::new()),
            _ => at.index(key)?,
        };
    }
    Ok(at)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn run(source: &str, json: &Value) -> String {
        Template::new(source).and_then(|t| t.run(json)).unwrap_or_else(|e| format!("!{e}"))
    }

    #[test]
    fn functions() {
        let data = json!({"A": ["x", "y"], "S": "heLLo wOrld", "M": {"b": 1, "a": 2}, "N": 12, "L": "<&>"});
        for (source, out) in [
            ("{{json .M}}", "{\"b\":1,\"a\":2}"),
            ("{{json .L}}", "\"<&>\""),
            ("{{join .A \",\"}}", "x,y"),
            ("{{index (split .S \" \") 1}}", "wOrld"),
            ("{{upper .S}} {{lower .S}} {{title .S}}", "HELLO WORLD hello world HeLLo WOrld"),
            ("[{{pad .N 1 2}}]", "[ 12  ]"),
            ("{{truncate .S 3}}", "heL"),
            ("{{range .A}}{{.}};{{end}}", "x;y;"),
            ("{{index .M \"a\"}}{{index .M \"zz\"}}", "2"),
            ("{{println .N}}", "12\n"),
            ("{{.Nope}}", "!map has no entry for key \"Nope\""),
            ("a\\tb", "a\tb"),
        ] {
            assert_eq!(run(source, &data), out, "{source}");
        }
    }

    #[test]
    fn places() {
        assert_eq!(place("{{.State.Foo}}", "Foo"), ":1:8: executing \"\" at <.State.Foo>");
        assert_eq!(place("{{.Id}} {{.ID}}", "ID"), ":1:10: executing \"\" at <.ID>");
    }

    #[test]
    fn labels_by_name() {
        let data = json!({"Names": "n", "LabelMap": {"a.b": "1"}});
        assert_eq!(run("{{.Label \"a.b\"}}/{{.Label \"c\"}}", &data), "1/");
        assert_eq!(run("{{json .}}", &data), "{\"Names\":\"n\"}");
    }
}

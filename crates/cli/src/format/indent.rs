//! Laying out JSON text without reading it: escapes and numbers stay as the daemon wrote them.

/// `json` with 4 spaces a level, one field a line, as Go's `json.Indent` does.
#[must_use]
pub fn pretty(json: &str) -> String {
    let mut out = String::with_capacity(json.len() * 2);
    let mut depth = 0usize;
    let mut letters = json.trim().chars().peekable();
    let line = |out: &mut String, depth: usize| {
        out.push('\n');
        out.extend(std::iter::repeat_n("    ", depth));
    };
    while let Some(letter) = letters.next() {
        match letter {
            '"' => {
                out.push('"');
                string(&mut letters, &mut out);
            }
            '{' | '[' => {
                out.push(letter);
                while letters.next_if(|c| c.is_ascii_whitespace()).is_some() {}
                if let Some(close) = letters.next_if(|c| matches!(c, '}' | ']')) {
                    out.push(close);
                } else {
                    depth += 1;
                    line(&mut out, depth);
                }
            }
            '}' | ']' => {
                depth = depth.saturating_sub(1);
                line(&mut out, depth);
                out.push(letter);
            }
            ',' => {
                out.push(',');
                line(&mut out, depth);
            }
            ':' => out.push_str(": "),
            space if space.is_ascii_whitespace() => {}
            other => out.push(other),
        }
    }
    out
}

/// Copies a string's rest, its closing quote included.
fn string(letters: &mut impl Iterator<Item = char>, out: &mut String) {
    while let Some(letter) = letters.next() {
        out.push(letter);
        match letter {
            '\\' => out.extend(letters.next()),
            '"' => return,
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn like_go() {
        let text = pretty(r#"[{"a":1.50,"b":[],"c":{ },"d":"x\":{","e":[1,2]}]"#);
        let expected = "[\n    {\n        \"a\": 1.50,\n        \"b\": [],\n        \"c\": {},\n        \"d\": \
                        \"x\\\":{\",\n        \"e\": [\n            1,\n            2\n        ]\n    }\n]";
        assert_eq!(text, expected);
    }
}

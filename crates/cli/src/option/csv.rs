//! One record of comma-separated fields (RFC 4180), as `--mount`, `--network` and `--gpus` use it.

/// The fields of `line`; double quotes keep commas, two of them are one.
///
/// # Errors
/// A quote in a bare field, or one that is not closed.
pub fn fields(line: &str) -> Result<Vec<String>, String> {
    let mut fields = Vec::new();
    let mut rest = line;
    loop {
        let (field, after) = match rest.strip_prefix('"') {
            Some(quoted) => quoted_field(quoted)?,
            None => {
                let end = rest.find(',').unwrap_or(rest.len());
                if rest[..end].contains('"') {
                    return Err("parse error on line 1, column 1: bare \" in non-quoted-field".into());
                }
                (rest[..end].to_owned(), &rest[end..])
            }
        };
        fields.push(field);
        match after.strip_prefix(',') {
            Some(more) => rest = more,
            None => return Ok(fields),
        }
    }
}

fn quoted_field(text: &str) -> Result<(String, &str), String> {
    let mut field = String::new();
    let mut rest = text;
    loop {
        let Some(end) = rest.find('"') else {
            return Err("parse error on line 1, column 1: extraneous or missing \" in quoted-field".into());
        };
        field.push_str(&rest[..end]);
        rest = &rest[end + 1..];
        match rest.bytes().next() {
            Some(b'"') => {
                field.push('"');
                rest = &rest[1..];
            }
            Some(b',') | None => return Ok((field, rest)),
            Some(_) => return Err("parse error on line 1, column 1: extraneous or missing \" in quoted-field".into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_keep_commas() {
        assert_eq!(fields("a=1,b=2").unwrap(), ["a=1", "b=2"]);
        assert_eq!(fields("\"device=0,1\",x").unwrap(), ["device=0,1", "x"]);
        assert_eq!(fields("\"a\"\"b\"").unwrap(), ["a\"b"]);
        assert_eq!(fields("").unwrap(), [""]);
        for bad in ["a\"b", "\"a", "\"a\"b"] {
            assert!(fields(bad).is_err(), "{bad}");
        }
    }
}

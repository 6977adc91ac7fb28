//! The little of XML that answers of S3-compatible servers need: the texts of elements by name.

/// The text of the first element called `name`, not decoded.
#[must_use]
pub fn first<'x>(text: &'x str, name: &str) -> Option<&'x str> {
    all(text, name).next()
}

/// The contents of all elements called `name`, in order, not decoded. Attributes are not expected.
pub fn all<'x>(text: &'x str, name: &str) -> impl Iterator<Item = &'x str> {
    let (open, close) = (format!("<{name}>"), format!("</{name}>"));
    let mut rest = text;
    std::iter::from_fn(move || {
        let begin = rest.find(&open)? + open.len();
        let end = begin + rest[begin..].find(&close)?;
        let content = &rest[begin..end];
        rest = &rest[end + close.len()..];
        Some(content)
    })
}

/// Replaces the five entities of XML.
#[must_use]
pub fn decode(text: &str) -> String {
    text.replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", "\"").replace("&apos;", "'").replace("&amp;", "&")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_are_found_and_hostile_texts_do_no_harm() {
        let text = "<a><Key>x&amp;y</Key><Key>z</Key><Key>";
        assert_eq!(all(text, "Key").collect::<Vec<_>>(), ["x&amp;y", "z"]);
        assert_eq!(decode("x&amp;lt;y"), "x&lt;y");
        for text in ["", "<Key>", "</Key><Key>", "<Key></Ke"] {
            assert_eq!(first(text, "Key"), None, "{text}");
        }
    }
}

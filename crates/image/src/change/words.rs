//! How instructions split into words: quotes, backslashes, JSON lists, `name=value` pairs.

/// The strings of a JSON list; `None` when `text` is not one.
pub fn json_list(text: &str) -> Option<Vec<String>> {
    if text.starts_with('[') { serde_json::from_str(text).ok() } else { None }
}

/// Words between blanks, with quotes and backslashes taken away.
pub fn split(text: &str) -> Vec<String> {
    words(text).into_iter().map(|word| unquote(&word)).collect()
}

/// `a=b c="d e"`, or the old form `a the rest of the line`.
pub fn pairs(text: &str) -> Result<Vec<(String, String)>, String> {
    let words = words(text);
    let blank = || "names can not be blank".to_owned();
    if !words.first().is_some_and(|first| first.contains('=')) {
        let (name, value) = text.split_once(char::is_whitespace).ok_or("ENV must have two arguments")?;
        return Ok(vec![(unquote(name), value.trim().to_owned())]);
    }
    let pair = |word: &String| {
        let at = word
            .find('=')
            .ok_or_else(|| format!("Syntax error - can't find = in {word:?}. Must be of the form: name=value"))?;
        let (name, value) = (unquote(&word[..at]), unquote(&word[at + 1..]));
        if name.is_empty() { Err(blank()) } else { Ok((name, value)) }
    };
    words.iter().map(pair).collect()
}

/// Words as they are written; blanks inside quotes and after a backslash belong to a word.
fn words(text: &str) -> Vec<String> {
    let (mut words, mut word, mut quote) = (Vec::new(), String::new(), None);
    let mut rest = text.chars();
    while let Some(c) = rest.next() {
        match (quote, c) {
            (None, c) if c.is_whitespace() => {
                if !word.is_empty() {
                    words.push(std::mem::take(&mut word));
                }
                continue;
            }
            (None, '"' | '\'') => quote = Some(c),
            (Some(open), c) if c == open => quote = None,
            (None | Some('"'), '\\') => {
                word.push(c);
                word.extend(rest.next());
                continue;
            }
            _ => {}
        }
        word.push(c);
    }
    if !word.is_empty() {
        words.push(word);
    }
    words
}

fn unquote(word: &str) -> String {
    let (mut out, mut quote) = (String::new(), None);
    let mut rest = word.chars();
    while let Some(c) = rest.next() {
        match (quote, c) {
            (None, '"' | '\'') => quote = Some(c),
            (Some(open), c) if c == open => quote = None,
            (None | Some('"'), '\\') => out.extend(rest.next()),
            _ => out.push(c),
        }
    }
    out
}

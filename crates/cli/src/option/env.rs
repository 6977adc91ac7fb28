//! `-e NAME[=VALUE]`, `--env-file`, `--label`, `--label-file`.

use std::path::Path;

/// Judges one `-e`.
pub fn check(text: &str) -> Result<(), String> {
    match text.is_empty() || text.starts_with('=') {
        true => Err(format!("invalid environment variable: {text}")),
        false => Ok(()),
    }
}

/// Variables of `files`, then `given`; a name without value takes the client's, or is left out.
///
/// # Errors
/// A file that cannot be read or has a bad line.
pub fn collect<'a>(
    files: impl Iterator<Item = &'a str>,
    given: impl Iterator<Item = &'a str>,
) -> Result<Vec<String>, String> {
    let mut variables = Vec::new();
    for file in files {
        lines(Path::new(file), |name| std::env::var(name).ok(), &mut variables)?;
    }
    for text in given {
        if text.contains('=') {
            variables.push(text.to_owned());
        } else if let Ok(value) = std::env::var(text) {
            variables.push(format!("{text}={value}"));
        } else {
            // Docker sends the bare name: it unsets the image's variable.
            variables.push(text.to_owned());
        }
    }
    Ok(variables)
}

/// Labels of `files`, then `given`, as `key=value` with an empty value where none was given.
///
/// # Errors
/// As [`collect`].
pub fn labels<'a>(
    files: impl Iterator<Item = &'a str>,
    given: impl Iterator<Item = &'a str>,
) -> Result<Vec<String>, String> {
    let mut labels = Vec::new();
    for file in files {
        lines(Path::new(file), |_| Some(String::new()), &mut labels)?;
    }
    labels.extend(given.map(str::to_owned));
    Ok(labels)
}

fn lines(path: &Path, bare: impl Fn(&str) -> Option<String>, into: &mut Vec<String>) -> Result<(), String> {
    let bytes = std::fs::read(path).map_err(|e| format!("open {}: {}", path.display(), crate::text::os(&e)))?;
    for (at, line) in bytes.split(|b| *b == b'\n').enumerate() {
        let Ok(line) = std::str::from_utf8(line) else {
            return Err(format!(
                "env file {} contains invalid utf8 bytes at line {}: {line:?}",
                path.display(),
                at + 1
            ));
        };
        let line = if at == 0 { line.trim_start_matches('\u{feff}') } else { line };
        let line = line.trim_end_matches('\r').trim_start();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let (name, value) = match line.split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (line, None),
        };
        if name.is_empty() {
            return Err(format!("no variable name on line '{line}'"));
        }
        if name.contains(char::is_whitespace) {
            return Err(format!("variable '{name}' contains whitespaces"));
        }
        match value {
            Some(value) => into.push(format!("{name}={value}")),
            None => into.extend(bare(name).map(|value| format!("{name}={value}"))),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(text: &str) -> Result<Vec<String>, String> {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("env");
        std::fs::write(&path, text).unwrap();
        collect([path.to_str().unwrap()].into_iter(), ["Z=1"].into_iter())
    }

    #[test]
    fn files_come_first() {
        assert_eq!(file("# c\n\nA=1\r\n  B=x y\nNOT_SET_HERE\n").unwrap(), ["A=1", "B=x y", "Z=1"]);
    }

    #[test]
    fn bad_lines() {
        assert_eq!(file("=x").unwrap_err(), "no variable name on line '=x'");
        assert_eq!(file("a b=x").unwrap_err(), "variable 'a b' contains whitespaces");
        let missing = collect(["/nope"].into_iter(), [].into_iter());
        assert_eq!(missing.unwrap_err(), "open /nope: no such file or directory");
    }
}

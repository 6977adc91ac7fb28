//! Rule: a file, folder or module says what lives inside; these names never do.

use super::Fault;
use super::source::Source;

const FORBIDDEN: &[&str] = &["util", "utils", "common", "helper", "helpers", "misc", "manager", "inner"];

/// The path itself, of any kind of file.
pub fn check_path(path: &str) -> Vec<Fault> {
    path.split('/')
        .map(|part| part.split('.').next().unwrap_or(part))
        .filter(|stem| FORBIDDEN.contains(stem))
        .map(|stem| Fault::error(path, 0, format!("{stem:?} does not say what lives inside")))
        .collect()
}

/// Modules written inside a file.
pub fn check_modules(source: &Source) -> Vec<Fault> {
    let mut faults = Vec::new();
    for (index, line) in source.code.iter().enumerate() {
        let mut words =
            line.split(|c: char| !c.is_alphanumeric() && c != '_').skip_while(|word| *word != "mod").skip(1);
        if let Some(name) = words.next().filter(|name| FORBIDDEN.contains(name)) {
            faults.push(Fault::error(&source.path, index + 1, format!("mod {name} does not say what lives inside")));
        }
    }
    faults
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bites_on_names_that_say_nothing() {
        assert_eq!(check_path("crates/api/src/utils.rs").len(), 1);
        assert_eq!(check_path("crates/common/src/lib.rs").len(), 1);
        assert!(check_path("crates/api/src/inspect.rs").is_empty());
        assert_eq!(check_modules(&Source::new("a.rs", "pub(crate) mod helpers;\nmod inner {}\n")).len(), 2);
        assert!(check_modules(&Source::new("a.rs", "mod start; // mod utils\n")).is_empty());
    }
}

//! Rule: each file opens with a module doc (`//!`) that says what lives inside.

use super::Fault;
use super::source::Source;

pub fn check(source: &Source) -> Vec<Fault> {
    let opens = source.lines.iter().find(|line| !line.trim().is_empty());
    match opens {
        Some(line) if line.starts_with("//!") => Vec::new(),
        _ => vec![Fault::error(&source.path, 1, "the file does not open with a module doc (`//!`)")],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bites_on_a_file_without_a_module_doc() {
        assert_eq!(check(&Source::new("a.rs", "use std::fs;\n")).len(), 1);
        assert_eq!(check(&Source::new("a.rs", "")).len(), 1);
        assert!(check(&Source::new("a.rs", "//! What lives here.\nuse std::fs;\n")).is_empty());
    }
}

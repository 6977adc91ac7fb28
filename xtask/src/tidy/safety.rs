//! Rule: `unsafe` lives where the kernel or the hardware is spoken to, and each one says why it is sound.

use super::Fault;
use super::source::{Source, has_word};

/// Path prefixes in which `unsafe` may stand at all.
const ALLOWED: &[&str] = &[
    "crates/sys/",
    "crates/runtime/",
    "crates/vmm/",
    "crates/vm/",
    "crates/bench/src/floor.rs",
    "crates/snapshot/tests/",
];

pub fn check(source: &Source) -> Vec<Fault> {
    let mut faults = Vec::new();
    for (index, line) in source.code.iter().enumerate() {
        if !has_word(line, "unsafe") {
            continue;
        }
        if !ALLOWED.iter().any(|prefix| source.path.starts_with(prefix)) {
            faults.push(Fault::error(&source.path, index + 1, format!("unsafe outside of {}", ALLOWED.join(", "))));
        } else if !is_explained(source, index) {
            faults.push(Fault::error(&source.path, index + 1, "unsafe without a SAFETY comment on the line above"));
        }
    }
    faults
}

/// A comment directly above the statement (attributes may stand between) with `SAFETY:`, or a `# Safety` section in
/// the docs. rustfmt may break the statement before the word, so the lines that only begin it are passed over.
fn is_explained(source: &Source, index: usize) -> bool {
    let above = |index: &usize| index.checked_sub(1);
    let begins_here = |index: &usize| {
        let line = source.code[*index].trim_end();
        line.is_empty() || line.ends_with([';', '{', '}', ']'])
    };
    let mut first = index;
    while let Some(line) = above(&first).filter(|line| !begins_here(line)) {
        first = line;
    }
    source.lines[..first]
        .iter()
        .rev()
        .map(|line| line.trim())
        .take_while(|line| line.starts_with("//") || line.starts_with("#["))
        .any(|line| line.contains("SAFETY:") || line.contains("# Safety"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bites_on_unsafe_in_a_crate_that_needs_none() {
        let text = "// SAFETY: sound.\nunsafe { f() }\n";
        assert_eq!(check(&Source::new("crates/api/src/lib.rs", text)).len(), 1);
        assert!(check(&Source::new("crates/sys/src/lib.rs", text)).is_empty());
    }

    #[test]
    fn bites_on_unsafe_that_says_nothing() {
        assert_eq!(check(&Source::new("crates/sys/src/a.rs", "let x = unsafe { f() };\n")).len(), 1);
        assert_eq!(check(&Source::new("crates/sys/src/a.rs", "// SAFETY: no.\n\nunsafe { f() };\n")).len(), 1);
        let broken = "// SAFETY: ints.\nlet x =\n    check(unsafe { f() });\n";
        assert!(check(&Source::new("crates/sys/src/a.rs", broken)).is_empty());
        assert!(
            check(&Source::new("crates/sys/src/a.rs", "/// # Safety\n/// Own fd.\n#[inline]\nunsafe fn f() {}\n"))
                .is_empty()
        );
        assert!(check(&Source::new("crates/sys/src/a.rs", "let a = \"unsafe\"; // unsafe\n")).is_empty());
    }
}

//! Rule: a function has at most 100 lines; above 60 it is called long.
//!
//! A function that is one pure table says `// tidy: table` on the line above it (or above its docs) and is exempt.

use super::Fault;
use super::source::{Source, has_word};

const LONG: usize = 60;
const END: usize = 100;
const MARK: &str = "// tidy: table";

pub fn check(source: &Source) -> Vec<Fault> {
    let mut faults = Vec::new();
    for (start, line) in source.code.iter().enumerate() {
        if !has_word(line, "fn") || is_table(source, start) {
            continue;
        }
        let Some(end) = body_end(&source.code[start..]) else { continue };
        let (lines, name) = (end + 1, name(line));
        if lines > END {
            faults.push(Fault::error(&source.path, start + 1, format!("fn {name}: {lines} lines; {END} is the end")));
        } else if lines > LONG {
            faults.push(Fault::warning(&source.path, start + 1, format!("fn {name}: {lines} lines; {LONG} is long")));
        }
    }
    faults
}

/// Whether the mark stands among the comments and attributes directly above line `start`.
fn is_table(source: &Source, start: usize) -> bool {
    let above = source.lines[..start].iter().rev();
    above
        .map(|line| line.trim())
        .take_while(|line| line.starts_with("//") || line.starts_with("#["))
        .any(|line| line == MARK)
}

/// Offset of the line on which the body closes; `None` for a declaration or a function type.
fn body_end(code: &[String]) -> Option<usize> {
    let from = code[0].find("fn ")?;
    let (mut depth, mut parens) = (0usize, 0usize);
    for (offset, line) in code.iter().enumerate() {
        for c in line.chars().skip(if offset == 0 { line[..from].chars().count() } else { 0 }) {
            match c {
                '(' | '[' => parens += 1,
                ')' | ']' => parens = parens.checked_sub(1)?,
                '{' => depth += 1,
                '}' if depth == 1 => return Some(offset),
                '}' => depth = depth.checked_sub(1)?,
                ';' | ',' if depth == 0 && parens == 0 => return None,
                _ => {}
            }
        }
    }
    None
}

fn name(line: &str) -> &str {
    let after = line.split("fn ").nth(1).unwrap_or_default();
    after.split(|c: char| !c.is_alphanumeric() && c != '_').next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn function(lines: usize, above: &str) -> Vec<Fault> {
        check(&Source::new(
            "a.rs",
            &format!("{above}pub fn long(\n) -> u8 {{\n{}}}\n", "    x(\"{\");\n".repeat(lines - 3)),
        ))
    }

    #[test]
    fn bites_above_one_hundred_lines_and_warns_above_sixty() {
        assert!(function(60, "").is_empty());
        assert!(function(61, "")[0].warning);
        assert!(function(100, "")[0].warning);
        let faults = function(101, "");
        assert!(!faults[0].warning && faults[0].text.contains("fn long: 101 lines"), "{faults:?}");
        assert!(function(101, "// tidy: table\n/// Doc.\n#[inline]\n").is_empty());
    }

    #[test]
    fn declarations_and_function_types_have_no_body() {
        let text = format!("trait A {{\n    fn a(&self) -> [u8; 4];\n    x: fn(u8) -> u8,\n}}\n{}", "x\n".repeat(200));
        assert!(check(&Source::new("a.rs", &text)).is_empty());
    }
}

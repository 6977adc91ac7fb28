//! Rule: a file has at most 700 lines before its tests; from 400 on it is called long.
//!
//! A file that is one pure table says `// tidy: table` on a line of its own and is exempt.

use super::Fault;
use super::source::Source;

const LONG: usize = 400;
const END: usize = 700;

pub fn check(source: &Source) -> Vec<Fault> {
    let lines = source.lines_before_tests();
    let is_table = source.lines.iter().take(40).any(|line| line == "// tidy: table");
    match lines {
        _ if is_table => Vec::new(),
        n if n > END => vec![Fault::error(&source.path, 0, format!("{n} lines before its tests; {END} is the end"))],
        n if n > LONG => vec![Fault::warning(&source.path, 0, format!("{n} lines before its tests; {LONG} is long"))],
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bites_above_seven_hundred_lines_and_warns_above_four_hundred() {
        let file = |lines: usize| check(&Source::new("a.rs", &"x\n".repeat(lines)));
        assert!(file(400).is_empty());
        assert!(file(401)[0].warning);
        assert!(!file(701)[0].warning);
        let tested = format!("{}#[cfg(test)]\n{}", "x\n".repeat(100), "x\n".repeat(900));
        assert!(check(&Source::new("a.rs", &tested)).is_empty(), "tests do not count");
        let table = format!("//! Doc\n// tidy: table\n{}", "x\n".repeat(900));
        assert!(check(&Source::new("a.rs", &table)).is_empty(), "tables do not count");
    }
}

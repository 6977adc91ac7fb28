//! Rule: nothing unfinished or left over from a hunt stands in the sources.

use super::Fault;
use super::source::Source;

const MACROS: &[&str] = &["todo!", "unimplemented!", "dbg!"];

pub fn check(source: &Source) -> Vec<Fault> {
    let mut faults = Vec::new();
    for (index, line) in source.code.iter().enumerate() {
        for name in MACROS.iter().filter(|name| line.contains(**name)) {
            faults.push(Fault::error(&source.path, index + 1, format!("{name} is not for committed code")));
        }
    }
    faults
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bites_on_macros_of_unfinished_code() {
        assert_eq!(check(&Source::new("a.rs", "fn a() { todo!() }\nfn b() { dbg!(unimplemented!()) }\n")).len(), 3);
        assert!(check(&Source::new("a.rs", "// todo!\n")).is_empty());
    }
}

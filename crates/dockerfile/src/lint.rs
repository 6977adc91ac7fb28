//! The documented build checks: what can be built but should be written otherwise.
//!
//! Names, descriptions and sentences are those of Docker's "Build checks" reference, since `# check=skip=` and tools
//! that read the output know them by name.

mod file;
mod name;
mod rule;
mod stage;
mod variable;

use std::collections::BTreeMap;

use crate::diagnostic::Diagnostic;
use crate::directive::Check;
use crate::ignore::Ignore;
use crate::instruction::Dockerfile;
use crate::scope::Platforms;

pub use rule::{RULES, Rule, rule};

/// What a check may ask about the build around the file.
pub struct Surroundings<'a> {
    /// The build's `--build-arg`s.
    pub build_args: &'a BTreeMap<String, String>,
    /// Where it runs and what it makes.
    pub platforms: &'a Platforms,
    /// The target stage's name.
    pub target: &'a str,
    /// The context's ignore file.
    pub ignore: Option<&'a Ignore>,
    /// The environment of a base image, none where that cannot be known: its stage's variables are then not judged.
    pub base_env: &'a dyn Fn(&str) -> Option<Vec<String>>,
    /// What skips and fails, in place of the file's own `# check=`.
    pub check: Option<&'a Check>,
}

/// Runs all checks that the file does not skip; findings in the order of the file.
#[must_use]
pub fn check(file: &Dockerfile, around: &Surroundings<'_>) -> Vec<Diagnostic> {
    let mut found = file.warnings.clone();
    name::check(file, &mut found);
    file::check(file, &mut found);
    stage::check(file, around, &mut found);
    variable::check(file, around, &mut found);
    let check = around.check.unwrap_or(&file.directives.check);
    found.retain(|finding| finding.rule.is_none_or(|name| runs(check, name)));
    found.sort_by_key(|finding| finding.span.start);
    found
}

/// Whether a check of this name runs.
fn runs(check: &Check, name: &str) -> bool {
    let listed = |names: &[String]| names.iter().any(|listed| listed.eq_ignore_ascii_case(name));
    match rule(name).is_some_and(|rule| rule.experimental) {
        true => check.experimental_all || listed(&check.experimental),
        false => !check.skip_all && !listed(&check.skip),
    }
}

/// A base image that was pulled for another platform than the build makes; the builder asks once it knows.
#[must_use]
pub fn base_platform(from: &crate::instruction::From, actual: &str, expected: &str) -> Option<Diagnostic> {
    let message = format!(
        "Base image {} was pulled with platform {actual:?}, expected {expected:?} for current build",
        from.image.value
    );
    (actual != expected).then(|| Diagnostic::warning("InvalidBaseImagePlatform", from.span, message))
}

#[cfg(test)]
mod tests;

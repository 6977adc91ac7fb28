//! Which variables hold where: global, platform and build arguments, `ARG` and `ENV` of a stage.
//!
//! ```text
//! build arguments, platforms ──► Globals ──► FROM and --platform
//!                                   │
//!            image's ENV ──► Scope::stage ──declare(ARG), set_env(ENV)──► words of the stage
//!                                   │
//!        FROM earlier-stage ──► Scope::child: its ARGs and ENVs go on
//! ```
//!
//! `ENV` always wins over an `ARG` of its name. An `ARG` takes the build's value, else its own default, else the
//! global one. Platform arguments hold in `FROM` by themselves, in a stage once declared. (Dockerfile reference, "ARG".)

use std::collections::BTreeMap;

use berth_spec::platform::Platform;

use crate::diagnostic::Diagnostic;
use crate::expand::{self, Expanded, Variables};
use crate::heredoc::Heredoc;
use crate::instruction::{Arg, Command, Dockerfile, Pair};
use crate::span::{Span, Spanned};

/// Arguments that a `RUN` sees without an `ARG` and that count for no cache: addresses of proxies.
pub const PROXIES: &[&str] = &[
    "HTTP_PROXY",
    "http_proxy",
    "HTTPS_PROXY",
    "https_proxy",
    "FTP_PROXY",
    "ftp_proxy",
    "NO_PROXY",
    "no_proxy",
    "ALL_PROXY",
    "all_proxy",
];

/// The build's machine and the image's, for the platform arguments.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Platforms {
    /// Where the build runs.
    pub build: Platform,
    /// What it makes.
    pub target: Platform,
}

/// What holds in front of the first stage.
#[derive(Debug, Clone)]
pub struct Globals {
    values: BTreeMap<String, String>,
    build: BTreeMap<String, String>,
    escape: char,
}

/// What holds at a point of a stage.
#[derive(Debug, Clone)]
pub struct Scope {
    globals: Globals,
    args: Vec<(String, Option<String>)>,
    env: Vec<(String, String)>,
}

impl Variables for Globals {
    fn value(&self, name: &str) -> Option<String> {
        self.values.get(name).cloned()
    }
}

impl Globals {
    /// Platform arguments and the `ARG`s in front of the first `FROM` of `file`.
    ///
    /// `build_args` are the build's values; `stage` is the target's name, for `TARGETSTAGE` (`default` when empty).
    ///
    /// # Errors
    /// A default that cannot be expanded.
    pub fn new(
        file: &Dockerfile,
        build_args: &BTreeMap<String, String>,
        platforms: &Platforms,
        stage: &str,
    ) -> Result<Self, Diagnostic> {
        let mut values = platform_arguments(platforms);
        values.insert("TARGETSTAGE".to_owned(), if stage.is_empty() { "default" } else { stage }.to_owned());
        for (name, value) in &mut values {
            if let Some(given) = build_args.get(name) {
                value.clone_from(given);
            }
        }
        let mut globals = Self { values, build: build_args.clone(), escape: file.directives.escape };
        for instruction in &file.globals {
            let Command::Arg(args) = &instruction.command else { continue };
            for arg in args {
                globals.declare(arg)?;
            }
        }
        Ok(globals)
    }

    fn declare(&mut self, arg: &Arg) -> Result<(), Diagnostic> {
        let name = self.expand(&arg.name)?.value;
        let value = match (self.build.get(&name), &arg.default) {
            (Some(value), _) => Some(value.clone()),
            (None, Some(default)) => Some(self.expand(default)?.value),
            (None, None) => None,
        };
        if let Some(value) = value {
            self.values.insert(name, value);
        }
        Ok(())
    }

    /// Expands a word of `FROM`.
    ///
    /// # Errors
    /// What is wrong with it, at its place.
    pub fn expand(&self, word: &Spanned<String>) -> Result<Expanded, Diagnostic> {
        expand::word(word, self.escape, self).map_err(|fault| failed(word.span, word, &fault))
    }

    /// The names that hold here.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.values.keys().map(String::as_str)
    }
}

impl Variables for Scope {
    fn value(&self, name: &str) -> Option<String> {
        let env = self.env.iter().find(|(known, _)| known == name).map(|(_, value)| value.clone());
        env.or_else(|| self.args.iter().find(|(known, _)| known == name).and_then(|(_, value)| value.clone()))
    }
}

impl Scope {
    /// A stage that starts from an image with this environment (`NAME=value`).
    #[must_use]
    pub fn stage(globals: &Globals, image_env: &[String]) -> Self {
        let pair = |entry: &String| match entry.split_once('=') {
            Some((name, value)) => (name.to_owned(), value.to_owned()),
            None => (entry.clone(), String::new()),
        };
        Self { globals: globals.clone(), args: Vec::new(), env: image_env.iter().map(pair).collect() }
    }

    /// A stage that starts from an earlier one: what was declared there holds here.
    #[must_use]
    pub fn child(&self) -> Self {
        self.clone()
    }

    /// `ARG`: gives the name and the value that now holds.
    ///
    /// # Errors
    /// A name or default that cannot be expanded.
    pub fn declare(&mut self, arg: &Arg) -> Result<(String, Option<String>), Diagnostic> {
        let name = self.expand(&arg.name)?;
        let value = match (self.globals.build.get(&name), &arg.default) {
            (Some(value), _) => Some(value.clone()),
            (None, Some(default)) => Some(self.expand(default)?),
            (None, None) => self.globals.values.get(&name).cloned(),
        };
        self.args.retain(|(known, _)| *known != name);
        self.args.push((name.clone(), value.clone()));
        Ok((name, value))
    }

    /// Gives a declared argument the empty value, for checks that only ask whether it was declared.
    pub(crate) fn declare_empty(&mut self, name: &str) {
        self.args.retain(|(known, _)| known != name);
        self.args.push((name.to_owned(), Some(String::new())));
    }

    /// `ENV`: all pairs are expanded with what held before, then set. Gives them as they now stand.
    ///
    /// # Errors
    /// A key or value that cannot be expanded, or an empty key.
    pub fn set_env(&mut self, pairs: &[Pair]) -> Result<Vec<(String, String)>, Diagnostic> {
        let expanded = self.pairs(pairs, "ENV")?;
        for (key, value) in &expanded {
            match self.env.iter_mut().find(|(known, _)| known == key) {
                Some((_, old)) => old.clone_from(value),
                None => self.env.push((key.clone(), value.clone())),
            }
        }
        Ok(expanded)
    }

    /// `LABEL` and others: the pairs expanded, nothing set.
    ///
    /// # Errors
    /// As [`Scope::set_env`].
    pub fn pairs(&self, pairs: &[Pair], instruction: &str) -> Result<Vec<(String, String)>, Diagnostic> {
        let mut expanded = Vec::with_capacity(pairs.len());
        for pair in pairs {
            let key = self.expand(&pair.key)?;
            if key.is_empty() {
                return Err(Diagnostic::error(pair.key.span, format!("{instruction} names can not be blank")));
            }
            expanded.push((key, self.expand(&pair.value)?));
        }
        Ok(expanded)
    }

    /// Expands one word.
    ///
    /// # Errors
    /// What is wrong with it, at its place.
    pub fn expand(&self, word: &Spanned<String>) -> Result<String, Diagnostic> {
        self.expand_noting(word).map(|expanded| expanded.value)
    }

    /// Expands one word and says which variables it missed.
    ///
    /// # Errors
    /// As [`Scope::expand`].
    pub fn expand_noting(&self, word: &Spanned<String>) -> Result<Expanded, Diagnostic> {
        expand::word(word, self.globals.escape, self).map_err(|fault| failed(word.span, word, &fault))
    }

    /// Expands a word that may become several, as those of `EXPOSE`.
    ///
    /// # Errors
    /// As [`Scope::expand`].
    pub fn expand_words(&self, word: &Spanned<String>) -> Result<Vec<String>, Diagnostic> {
        expand::words(word, self.globals.escape, self).map_err(|fault| failed(word.span, word, &fault))
    }

    /// Expands a value of a `--mount`, for [`crate::MountFlag::resolve`].
    ///
    /// # Errors
    /// A sentence.
    pub fn expand_text(&self, text: &str) -> Result<String, String> {
        expand::word(text, self.globals.escape, self).map(|expanded| expanded.value).map_err(|fault| fault.to_string())
    }

    /// The file that a heredoc of `COPY` or `ADD` makes.
    ///
    /// # Errors
    /// What is wrong with its variables.
    pub fn content(&self, heredoc: &Heredoc) -> Result<String, Diagnostic> {
        let content = heredoc.chomped();
        match heredoc.expand {
            false => Ok(content),
            true => match expand::raw(&content, self) {
                Ok(expanded) => Ok(expanded.value),
                Err(fault) => Err(failed(heredoc.span, &heredoc.name, &fault)),
            },
        }
    }

    /// The environment of the image so far, in order.
    #[must_use]
    pub fn env(&self) -> &[(String, String)] {
        &self.env
    }

    /// The declared arguments that have a value and that no `ENV` hides, in order: a `RUN` sees them as variables, and
    /// they are part of what it reads.
    #[must_use]
    pub fn arguments(&self) -> Vec<(String, String)> {
        let hidden = |name: &str| self.env.iter().any(|(known, _)| known == name);
        let visible = self.args.iter().filter(|(name, _)| !hidden(name));
        visible.filter_map(|(name, value)| Some((name.clone(), value.clone()?))).collect()
    }

    /// Proxies given to the build that were not declared: a `RUN` sees them, no cache and no history does.
    #[must_use]
    pub fn proxies(&self) -> Vec<(String, String)> {
        let declared = |name: &str| self.args.iter().any(|(known, _)| known == name);
        let given = self.globals.build.iter().filter(|(name, _)| PROXIES.contains(&name.as_str()) && !declared(name));
        given.map(|(name, value)| (name.clone(), value.clone())).collect()
    }
}

fn failed(span: Span, word: &str, fault: &crate::error::Error) -> Diagnostic {
    Diagnostic::error(span, format!("failed to process {word:?}: {fault}"))
}

fn platform_arguments(platforms: &Platforms) -> BTreeMap<String, String> {
    let mut values = BTreeMap::new();
    for (prefix, platform) in [("BUILD", &platforms.build), ("TARGET", &platforms.target)] {
        values.insert(format!("{prefix}PLATFORM"), platform.to_string());
        values.insert(format!("{prefix}OS"), platform.os.clone());
        values.insert(format!("{prefix}ARCH"), platform.architecture.clone());
        values.insert(format!("{prefix}VARIANT"), platform.variant.clone().unwrap_or_default());
    }
    values
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parse::parse;

    fn platforms() -> Platforms {
        let platform = |text| Platform::parse(text).expect("a platform");
        Platforms { build: platform("linux/amd64"), target: platform("linux/arm/v7") }
    }

    fn globals(text: &str, given: &[(&str, &str)]) -> (Dockerfile, Globals) {
        let file = parse(text).expect("the file is valid");
        let given = given.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let globals = Globals::new(&file, &given, &platforms(), "").expect("the globals expand");
        (file, globals)
    }

    fn walk(text: &str, given: &[(&str, &str)], image: &[&str]) -> Scope {
        let (file, globals) = globals(text, given);
        let image: Vec<String> = image.iter().map(|entry| (*entry).to_owned()).collect();
        let mut scope = Scope::stage(&globals, &image);
        for instruction in &file.stages[0].instructions {
            match &instruction.command {
                Command::Arg(args) => args.iter().for_each(|arg| drop(scope.declare(arg).expect("it expands"))),
                Command::Env(pairs) => drop(scope.set_env(pairs).expect("it expands")),
                _ => {}
            }
        }
        scope
    }

    #[test]
    fn from_sees_globals_and_platforms() {
        let text = "ARG V=1\nARG TAG=$V-x\nARG NONE\nFROM --platform=$BUILDPLATFORM a:${TAG}$NONE\n";
        let (file, globals) = globals(text, &[("V", "2")]);
        let from = &file.stages[0].from;
        assert_eq!(globals.expand(&from.image).expect("it expands").value, "a:2-x");
        assert_eq!(globals.expand(&from.image).expect("it expands").unmatched, ["NONE"]);
        assert_eq!(globals.expand(from.platform.as_ref().expect("given")).expect("it expands").value, "linux/amd64");
    }

    #[test]
    fn arguments_hold_once_declared() {
        let text =
            "ARG G=global\nARG H=h\nFROM x\nARG G\nARG H=own\nARG TARGETARCH TARGETVARIANT\nARG GIVEN=d\nARG FREE\n";
        let scope = walk(text, &[("GIVEN", "cli"), ("http_proxy", "p"), ("OTHER", "o")], &[]);
        let seen: Vec<String> = scope.arguments().iter().map(|(name, value)| format!("{name}={value}")).collect();
        assert_eq!(seen, ["G=global", "H=own", "TARGETARCH=arm", "TARGETVARIANT=v7", "GIVEN=cli"]);
        assert_eq!(scope.proxies(), [("http_proxy".to_owned(), "p".to_owned())]);
        assert_eq!(scope.value("OTHER"), None);
    }

    #[test]
    fn env_wins_and_reads_what_held_before() {
        let scope = walk("FROM x\nENV abc=hello\nENV abc=bye def=$abc\nENV ghi=$abc\nARG ghi=arg\n", &[], &["P=/bin"]);
        let seen: Vec<String> = scope.env().iter().map(|(name, value)| format!("{name}={value}")).collect();
        assert_eq!(seen, ["P=/bin", "abc=bye", "def=hello", "ghi=bye"]);
        assert_eq!(scope.value("ghi").as_deref(), Some("bye"));
        assert!(scope.arguments().is_empty());
        assert_eq!(scope.child().value("def").as_deref(), Some("hello"));
    }

    #[test]
    fn faults_stand_at_the_word() {
        let (file, globals) = globals("FROM x\nENV ok=1 \\\n  bad=${v?give} ok=2\n", &[]);
        let Command::Env(pairs) = &file.stages[0].instructions[0].command else { panic!("not ENV") };
        let fault = Scope::stage(&globals, &[]).set_env(pairs).expect_err("v has no value");
        assert_eq!((fault.span.start.line, fault.span.start.column), (3, 7));
        assert_eq!(fault.message, "failed to process \"${v?give}\": v: give");
    }
}

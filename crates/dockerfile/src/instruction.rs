//! What a Dockerfile is made of once it is read: stages and instructions, with their places.
//!
//! Words stand as they were written, quotes and variables included: what they become depends on the values at that
//! point of the build ([`crate::scope::Scope`], [`crate::expand`]). Each field says whether it is expanded.

use crate::diagnostic::Diagnostic;
use crate::directive::Directives;
use crate::heredoc::Heredoc;
use crate::mount::MountFlag;
use crate::span::{Span, Spanned};

/// A whole file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dockerfile {
    /// The directives in front.
    pub directives: Directives,
    /// `ARG`s in front of the first `FROM`: the only values that `FROM` sees.
    pub globals: Vec<Instruction>,
    /// The stages, in order; never empty.
    pub stages: Vec<Stage>,
    /// Findings of the parser that stop no build; [`crate::lint`] has the rest.
    pub warnings: Vec<Diagnostic>,
}

/// A `FROM` and what follows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stage {
    /// Its number, from zero.
    pub index: usize,
    /// The `FROM` line.
    pub from: From,
    /// What it does.
    pub instructions: Vec<Instruction>,
}

/// `FROM [--platform=P] IMAGE [AS NAME]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct From {
    /// The image or the earlier stage; expanded with the global arguments.
    pub image: Spanned<String>,
    /// `--platform`; expanded with the global arguments.
    pub platform: Option<Spanned<String>>,
    /// The stage's name as written; compared without regard to case.
    pub name: Option<Spanned<String>>,
    /// The line as written, joined, for progress and history.
    pub text: String,
    /// `FROM` as it was written, for checks of casing.
    pub keyword: String,
    /// `AS` as it was written.
    pub as_keyword: Option<Spanned<String>>,
    /// Comment lines right above.
    pub comments: Vec<String>,
    /// The whole line.
    pub span: Span,
}

/// One instruction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Instruction {
    /// What it says.
    pub command: Command,
    /// The instruction as written with its lines joined, heredocs not included; for progress and history.
    pub text: String,
    /// Its keyword as written.
    pub keyword: String,
    /// Comment lines right above.
    pub comments: Vec<String>,
    /// The joined line, from its first to its last character.
    pub span: Span,
}

/// The instructions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// `ADD`.
    Add(Add),
    /// `ARG`, one or more.
    Arg(Vec<Arg>),
    /// `CMD`.
    Cmd(Form),
    /// `COPY`.
    Copy(Copy),
    /// `ENTRYPOINT`.
    Entrypoint(Form),
    /// `ENV`: pairs; all of them are expanded with the values before the instruction.
    Env(Vec<Pair>),
    /// `EXPOSE`: words; expanded, and one may become several.
    Expose(Vec<Spanned<String>>),
    /// `HEALTHCHECK`.
    Healthcheck(Healthcheck),
    /// `LABEL`: pairs, expanded.
    Label(Vec<Pair>),
    /// `MAINTAINER`, the author.
    Maintainer(Spanned<String>),
    /// `ONBUILD`: what a stage that starts from this image does first.
    Onbuild(Onbuild),
    /// `RUN`.
    Run(Run),
    /// `SHELL`: the words in front of shell forms.
    Shell(Vec<String>),
    /// `STOPSIGNAL`, expanded.
    Stopsignal(Spanned<String>),
    /// `USER`, expanded.
    User(Spanned<String>),
    /// `VOLUME`: paths, expanded.
    Volume(Vec<Spanned<String>>),
    /// `WORKDIR`, expanded.
    Workdir(Spanned<String>),
}

/// A command line, as words or as a line for the shell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Form {
    /// `["a", "b"]`: executed as it is.
    Exec(Vec<String>),
    /// Anything else: one argument for the shell.
    Shell(String),
}

impl Form {
    /// The command line, the shell's words in front of a shell form.
    #[must_use]
    pub fn argv(&self, shell: &[String]) -> Vec<String> {
        match self {
            Self::Exec(words) => words.clone(),
            Self::Shell(line) => shell.iter().cloned().chain([line.clone()]).collect(),
        }
    }
}

/// One `ARG`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Arg {
    /// Its name; expanded.
    pub name: Spanned<String>,
    /// Its value unless the build gives one; expanded.
    pub default: Option<Spanned<String>>,
}

/// `key=value` of `ENV` and `LABEL`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pair {
    /// The key; expanded.
    pub key: Spanned<String>,
    /// The value; expanded.
    pub value: Spanned<String>,
    /// Written `KEY value` instead of `KEY=value`.
    pub legacy: bool,
}

/// A file or folder to copy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// A path, a pattern, or what `ADD` fetches; expanded.
    Path(Spanned<String>),
    /// A file written in place. Its content is expanded by [`crate::expand::raw`] where the heredoc says so.
    Heredoc(Heredoc),
}

/// `COPY`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Copy {
    /// What to copy; at least one.
    pub sources: Vec<Source>,
    /// Where to; expanded.
    pub destination: Spanned<String>,
    /// `--from`: a stage, its number, a named context or an image. Never expanded.
    pub from: Option<Spanned<String>>,
    /// `--chown`; expanded.
    pub chown: Option<Spanned<String>>,
    /// `--chmod`, octal or symbolic; expanded.
    pub chmod: Option<Spanned<String>>,
    /// `--link`: a layer of its own that knows nothing of those below.
    pub link: bool,
    /// `--parents`: sources keep their folders.
    pub parents: bool,
    /// `--exclude`, each one; expanded.
    pub exclude: Vec<Spanned<String>>,
}

/// `ADD`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Add {
    /// What to add; at least one.
    pub sources: Vec<Source>,
    /// Where to; expanded.
    pub destination: Spanned<String>,
    /// `--chown`; expanded.
    pub chown: Option<Spanned<String>>,
    /// `--chmod`, octal or symbolic; expanded.
    pub chmod: Option<Spanned<String>>,
    /// `--link`.
    pub link: bool,
    /// `--keep-git-dir`; none leaves it to the source's own query.
    pub keep_git_dir: Option<bool>,
    /// `--checksum`: a digest of a download, or a commit; expanded.
    pub checksum: Option<Spanned<String>>,
    /// `--unpack`; none unpacks local archives only.
    pub unpack: Option<bool>,
    /// `--exclude`, each one; expanded.
    pub exclude: Vec<Spanned<String>>,
}

/// `RUN`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Run {
    /// The command line; the shell expands its variables. [`Run::script`] has it with its heredocs.
    pub form: Form,
    /// `--mount`, each one.
    pub mounts: Vec<MountFlag>,
    /// `--network`.
    pub network: Option<Spanned<Network>>,
    /// `--security`.
    pub security: Option<Spanned<Security>>,
    /// `--device`, each one: `name[,required]`.
    pub devices: Vec<Spanned<Device>>,
    /// Heredocs, in order.
    pub heredocs: Vec<Heredoc>,
}

/// What a `RUN` executes once its heredocs are put in their places.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Script {
    /// These words.
    Exec(Vec<String>),
    /// This text, as the last argument of the shell.
    Shell(String),
    /// This file with its own `#!` line.
    File(String),
}

impl Run {
    /// What is executed: a lone heredoc is a script, others go to the shell as the shell's own.
    #[must_use]
    pub fn script(&self) -> Script {
        let line = match &self.form {
            Form::Exec(words) => return Script::Exec(words.clone()),
            Form::Shell(line) => line,
        };
        match &self.heredocs[..] {
            [] => Script::Shell(line.clone()),
            [only] if crate::heredoc::opening(line.trim()).is_some() => {
                let content = only.chomped();
                match content.starts_with("#!") {
                    true => Script::File(content),
                    false => Script::Shell(content),
                }
            }
            many => {
                let mut text = line.clone();
                for heredoc in many {
                    text.push('\n');
                    text.push_str(&heredoc.content);
                    text.push_str(&heredoc.name);
                }
                Script::Shell(text)
            }
        }
    }
}

/// `RUN --network`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Network {
    /// The build's network.
    Default,
    /// Loopback alone.
    None,
    /// The host's own.
    Host,
}

/// `RUN --security`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Security {
    /// As every step.
    Sandbox,
    /// With the rights of `--privileged`.
    Insecure,
}

/// `RUN --device=NAME[,required]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Device {
    /// A CDI name: `vendor.com/class[=device]`, or a class.
    pub name: String,
    /// The build fails without it.
    pub required: bool,
}

/// `HEALTHCHECK`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Healthcheck {
    /// `HEALTHCHECK NONE`: no check, not the base image's either.
    None,
    /// `HEALTHCHECK CMD`.
    Probe(Probe),
}

/// A health check. Times are in nanoseconds, none where nothing was said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Probe {
    /// The command line.
    pub test: Form,
    /// `--interval`.
    pub interval_ns: Option<i64>,
    /// `--timeout`.
    pub timeout_ns: Option<i64>,
    /// `--start-period`.
    pub start_period_ns: Option<i64>,
    /// `--start-interval`.
    pub start_interval_ns: Option<i64>,
    /// `--retries`.
    pub retries: Option<i64>,
}

/// `ONBUILD`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Onbuild {
    /// The instruction as text: what the image's configuration keeps, and [`crate::parse_trigger`] reads.
    pub trigger: String,
    /// The same, read.
    pub instruction: Box<Instruction>,
}

impl Dockerfile {
    /// The stage called `name` (case does not matter), or numbered so, among those before `before`.
    #[must_use]
    pub fn stage(&self, name: &str, before: usize) -> Option<&Stage> {
        let stages = &self.stages[..before.min(self.stages.len())];
        let named = |stage: &&Stage| stage.from.name.as_ref().is_some_and(|own| own.eq_ignore_ascii_case(name));
        stages.iter().rev().find(named).or_else(|| {
            let index: usize = name.parse().ok().filter(|_| name.bytes().all(|b| b.is_ascii_digit()))?;
            stages.get(index)
        })
    }

    /// The stage that a build makes: the one called or numbered `name`, the last without a name.
    #[must_use]
    pub fn target(&self, name: Option<&str>) -> Option<&Stage> {
        match name.filter(|name| !name.is_empty()) {
            Some(name) => self.stage(name, self.stages.len()),
            None => self.stages.last(),
        }
    }
}

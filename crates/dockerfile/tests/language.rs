//! The language of the reference: each file in `fixture/` against the outline beside it, hostile files against limits.
//!
//! `*.Dockerfile` are read and outlined; `*.bad` are refused, and the outline is what a person sees. After a wanted
//! change `BERTH_WRITE_OUTLINES=1` writes the outlines anew.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use berth_dockerfile::{Command, Dockerfile, Instruction, Script, Source, Span, limit, parse, parse_trigger};

fn fixtures(extension: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixture");
    let entries = std::fs::read_dir(folder).expect("the fixtures are beside the test");
    let mut found: Vec<PathBuf> = entries.map(|entry| entry.expect("an entry").path()).collect();
    found.retain(|path| path.extension().is_some_and(|own| own == extension));
    found.sort();
    found
}

fn compare(path: &Path, outline: &str) {
    let mut name = path.as_os_str().to_owned();
    name.push(".outline");
    if std::env::var_os("BERTH_WRITE_OUTLINES").is_some() {
        std::fs::write(&name, outline).expect("the outline is written");
    }
    let wanted = std::fs::read_to_string(&name).expect("each fixture has an outline");
    assert_eq!(outline, wanted, "{}", path.display());
}

#[test]
fn fixtures_read_as_outlined() {
    let found = fixtures("Dockerfile");
    assert!(found.len() >= 33, "{}", found.len());
    for path in found {
        let text = std::fs::read_to_string(&path).expect("a fixture is UTF-8");
        let file = parse(&text).unwrap_or_else(|faults| panic!("{}", faults[0].render(&path.to_string_lossy(), &text)));
        compare(&path, &outline(&file));
    }
}

#[test]
fn mistakes_are_shown_where_they_stand() {
    let found = fixtures("bad");
    assert!(found.len() >= 13, "{}", found.len());
    for path in found {
        let text = std::fs::read_to_string(&path).expect("a fixture is UTF-8");
        let faults = parse(&text).expect_err("the file is wrong");
        let shown: Vec<String> = faults.iter().map(|fault| fault.render("Dockerfile", &text)).collect();
        compare(&path, &format!("{}\n", shown.join("\n")));
    }
}

fn place(span: Span) -> String {
    format!("{}:{}-{}:{}", span.start.line, span.start.column, span.end.line, span.end.column)
}

fn outline(file: &Dockerfile) -> String {
    let mut out = String::new();
    let directives = &file.directives;
    if directives.escape != '\\' || directives.syntax.is_some() || directives.check != Default::default() {
        let syntax = directives.syntax.as_ref().map(|syntax| syntax.value.as_str());
        let _ = writeln!(out, "escape {:?} syntax {syntax:?} {:?}", directives.escape, directives.check);
    }
    file.globals.iter().for_each(|instruction| line(&mut out, instruction));
    for stage in &file.stages {
        let from = &stage.from;
        let _ = write!(out, "stage {} [{}] {:?}", stage.index, place(from.span), from.image.value);
        let _ = write!(out, " platform {:?}", from.platform.as_ref().map(|platform| &platform.value));
        let _ = writeln!(out, " name {:?}", from.name.as_ref().map(|name| (&name.value, place(name.span))));
        stage.instructions.iter().for_each(|instruction| line(&mut out, instruction));
    }
    for warning in &file.warnings {
        let _ = writeln!(out, "warning {} {}", place(warning.span), warning.message);
    }
    out
}

fn line(out: &mut String, instruction: &Instruction) {
    let _ = writeln!(out, "  [{}] {}", place(instruction.span), describe(&instruction.command));
}

fn describe(command: &Command) -> String {
    let pairs = |name: &str, pairs: &[berth_dockerfile::Pair]| {
        let shown =
            pairs.iter().map(|pair| format!(" {:?}={:?}@{}", pair.key.value, pair.value.value, place(pair.value.span)));
        format!("{name}{}", shown.collect::<String>())
    };
    let words = |words: &[berth_dockerfile::Spanned<String>]| -> Vec<String> {
        words.iter().map(|word| format!("{:?}@{}", word.value, place(word.span))).collect()
    };
    match command {
        Command::Arg(args) => {
            let shown =
                args.iter().map(|arg| format!(" {:?}={:?}", arg.name.value, arg.default.as_ref().map(|d| &d.value)));
            format!("ARG{}", shown.collect::<String>())
        }
        Command::Env(list) => pairs("ENV", list),
        Command::Label(list) => pairs("LABEL", list),
        Command::Cmd(form) => format!("CMD {form:?}"),
        Command::Entrypoint(form) => format!("ENTRYPOINT {form:?}"),
        Command::Expose(list) => format!("EXPOSE {}", words(list).join(" ")),
        Command::Volume(list) => format!("VOLUME {}", words(list).join(" ")),
        Command::Healthcheck(check) => format!("HEALTHCHECK {check:?}"),
        Command::Maintainer(word) => format!("MAINTAINER {:?}", word.value),
        Command::Stopsignal(word) => format!("STOPSIGNAL {:?}", word.value),
        Command::User(word) => format!("USER {:?}", word.value),
        Command::Workdir(word) => format!("WORKDIR {:?}", word.value),
        Command::Shell(list) => format!("SHELL {list:?}"),
        Command::Onbuild(onbuild) => {
            format!("ONBUILD {:?} = {}", onbuild.trigger, describe(&onbuild.instruction.command))
        }
        Command::Copy(copy) => {
            let value = |word: &Option<berth_dockerfile::Spanned<String>>| word.as_ref().map(|word| word.value.clone());
            format!(
                "COPY {} -> {:?} from {:?} chown {:?} chmod {:?} link {} parents {} exclude {:?}",
                sources(&copy.sources),
                copy.destination.value,
                value(&copy.from),
                value(&copy.chown),
                value(&copy.chmod),
                copy.link,
                copy.parents,
                words(&copy.exclude)
            )
        }
        Command::Add(add) => {
            let value = |word: &Option<berth_dockerfile::Spanned<String>>| word.as_ref().map(|word| word.value.clone());
            format!(
                "ADD {} -> {:?} chown {:?} chmod {:?} checksum {:?} link {} git {:?} unpack {:?} exclude {:?}",
                sources(&add.sources),
                add.destination.value,
                value(&add.chown),
                value(&add.chmod),
                value(&add.checksum),
                add.link,
                add.keep_git_dir,
                add.unpack,
                words(&add.exclude)
            )
        }
        Command::Run(run) => {
            let script = match run.script() {
                Script::Exec(words) => format!("exec {words:?}"),
                Script::Shell(text) => format!("shell {text:?}"),
                Script::File(text) => format!("file {text:?}"),
            };
            let mut out = format!("RUN {script}");
            for mount in &run.mounts {
                let resolved = mount.resolve(|value| Ok(value.replace("$T", "/t").replace("${U}", "9")));
                let _ = write!(out, " mount@{} {resolved:?}", place(mount.span));
            }
            for (name, shown) in [
                ("network", run.network.as_ref().map(|network| format!("{:?}", network.value))),
                ("security", run.security.as_ref().map(|security| format!("{:?}", security.value))),
            ] {
                let _ = shown.iter().try_for_each(|shown| write!(out, " {name} {shown}"));
            }
            let _ = run.devices.iter().try_for_each(|device| write!(out, " {:?}", device.value));
            out
        }
    }
}

fn sources(sources: &[Source]) -> String {
    let shown = sources.iter().map(|source| match source {
        Source::Path(path) => format!("{:?}@{}", path.value, place(path.span)),
        Source::Heredoc(heredoc) => format!(
            "<<{:?} expand {} chomp {} @{} {:?}",
            heredoc.name,
            heredoc.expand,
            heredoc.chomp,
            place(heredoc.span),
            heredoc.content
        ),
    });
    shown.collect::<Vec<_>>().join(" + ")
}

#[test]
fn stages_are_found_by_name_and_number() {
    let file = parse("FROM a AS One\nFROM b AS two\nFROM c\n").expect("valid");
    let index = |name: Option<&str>| file.target(name).map(|stage| stage.index);
    assert_eq!(
        (index(None), index(Some("ONE")), index(Some("1")), index(Some("2"))),
        (Some(2), Some(0), Some(1), Some(2))
    );
    assert_eq!((index(Some("3")), index(Some("three")), index(Some("+1"))), (None, None, None));
    assert!(file.stage("two", 1).is_none());
}

#[test]
fn triggers_stand_alone() {
    let instruction = parse_trigger("COPY <<A <<B /x\n1\nA\n2\nB").expect("a trigger carries its heredocs");
    assert!(describe(&instruction.command).contains("\"2\\n\""));
    assert_eq!(parse_trigger("FROM x").expect_err("no trigger").message, "FROM isn't allowed here");
    assert!(parse_trigger("").is_err());
    assert!(parse_trigger("ONBUILD RUN x").is_err());
}

#[test]
fn bytes_that_are_no_text_are_refused_outside_of_comments() {
    assert!(berth_dockerfile::parse_bytes(b"# caf\xe9\nFROM a\n").is_ok());
    let faults = berth_dockerfile::parse_bytes(b"FROM a\nRUN x\xff\n").expect_err("no UTF-8");
    assert_eq!((faults[0].span.start.line, faults[0].span.start.column), (2, 6));
}

/// What strangers could send, and what it is answered with. Each ends soon.
#[test]
fn hostile_files_meet_limits() {
    let from = "FROM a\n";
    let cases: Vec<(&str, String, &str)> = vec![
        ("a huge file", "#".repeat(limit::FILE_BYTES + 1), "the Dockerfile is larger than"),
        ("a long line", format!("{from}RUN {}", "x".repeat(limit::INSTRUCTION_BYTES)), "instruction is longer than"),
        (
            "many joined lines",
            format!("{from}RUN {}", "xxxxxxxxxxxxxxx\\\n".repeat(90_000)),
            "instruction is longer than",
        ),
        ("many stages", from.repeat(limit::STAGES + 1), "more than 1000 stages"),
        (
            "many instructions",
            format!("{from}{}", "RUN x\n".repeat(limit::INSTRUCTIONS)),
            "more than 10000 instructions",
        ),
        ("many heredocs", format!("{from}RUN {}", "<<E ".repeat(limit::HEREDOCS + 1)), "more than 64 heredocs"),
        (
            "many mounts",
            format!("{from}RUN {}x", "--mount=target=/a ".repeat(limit::MOUNTS + 1)),
            "more than 256 mounts",
        ),
        ("deep json", format!("{from}CMD {}\nNOPE", "[".repeat(200_000)), "unknown instruction"),
        ("a wide flag", format!("{from}RUN --{} x", "y".repeat(500_000)), "unknown flag"),
        ("a wide name", format!("{from}{} x", "y".repeat(500_000)), "unknown instruction"),
        ("quotes that never close", format!("{from}ENV a='{}\nNOPE", "x ".repeat(100_000)), "unknown instruction"),
        ("an endless heredoc", format!("{from}RUN <<E\n{}", "line\n".repeat(100_000)), "unterminated heredoc"),
        ("many errors", format!("{from}{}", "NOPE\n".repeat(100_000)), "unknown instruction"),
        ("nul bytes", format!("{from}\0\0\0 x"), "unknown instruction"),
    ];
    for (name, text, message) in cases {
        let began = Instant::now();
        let faults = parse(&text).expect_err(name);
        assert!(
            faults[0].message.starts_with(message),
            "{name}: {}",
            &faults[0].message[..80.min(faults[0].message.len())]
        );
        assert!(faults.len() <= limit::ERRORS, "{name}: {}", faults.len());
        let shown = faults[0].render("Dockerfile", &text);
        assert!(shown.len() < 2_000 + faults[0].message.len(), "{name}: {}", shown.len());
        assert!(began.elapsed() < Duration::from_secs(5), "{name}: {:?}", began.elapsed());
    }
}

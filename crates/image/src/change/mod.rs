//! `--change`: Dockerfile instructions applied to an image's run configuration (Dockerfile reference; `import`, `commit`).

mod health;
mod words;

use berth_spec::image::RunConfig;
use serde_json::Value;

use crate::{Error, Result};
use words::{json_list, pairs, split};

/// Applies instructions to `config`, in their order.
///
/// # Errors
/// [`Error::Change`] names the instruction and what is wrong with it.
pub fn apply(config: &mut RunConfig, instructions: &[String]) -> Result<()> {
    let mut has_command = false;
    // Some clients send all of them as lines of one text.
    let lines = instructions.iter().flat_map(|text| text.lines()).filter(|line| !line.trim().is_empty());
    let lines: Vec<&str> = lines.collect();
    if lines.is_empty() && !instructions.is_empty() {
        let reason = "it is not a valid change command: it has no instruction".to_owned();
        return Err(Error::Change { instruction: String::new(), reason });
    }
    for instruction in lines {
        let text = instruction.trim();
        let (word, rest) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
        let word = word.to_ascii_uppercase();
        let outcome = apply_word(config, &word, rest.trim());
        outcome.map_err(|reason| Error::Change { instruction: instruction.to_owned(), reason })?;
        has_command |= word == "CMD";
        if word == "ENTRYPOINT" && !has_command {
            // The command of the image below was meant for its entrypoint.
            config.cmd = None;
        }
    }
    Ok(())
}

/// The instructions that change a configuration.
const KNOWN: &[&str] = &[
    "CMD",
    "ENTRYPOINT",
    "ENV",
    "EXPOSE",
    "HEALTHCHECK",
    "LABEL",
    "ONBUILD",
    "SHELL",
    "STOPSIGNAL",
    "USER",
    "VOLUME",
    "WORKDIR",
];

type Outcome = std::result::Result<(), String>;

fn apply_word(config: &mut RunConfig, word: &str, rest: &str) -> Outcome {
    let takes_nothing = matches!(word, "CMD" | "ENTRYPOINT");
    let known = KNOWN.contains(&word);
    if rest.is_empty() && known && !takes_nothing {
        return Err(format!("{word} requires at least one argument"));
    }
    match word {
        "CMD" => config.cmd = command(config, rest)?,
        "ENTRYPOINT" => config.entrypoint = command(config, rest)?,
        "ENV" => environment(config, rest)?,
        "EXPOSE" => expose(config, rest)?,
        "LABEL" => {
            config.labels.get_or_insert_default().extend(pairs(rest)?);
        }
        "ONBUILD" => on_build(config, rest)?,
        "STOPSIGNAL" => config.stop_signal = Some(one(word, rest)?),
        "USER" => config.user = one(word, rest)?,
        "VOLUME" => {
            let paths = json_list(rest).unwrap_or_else(|| split(rest));
            if paths.iter().any(|path| path.trim().is_empty()) {
                return Err("VOLUME specified can not be an empty string".to_owned());
            }
            let volumes = config.volumes.get_or_insert_default();
            volumes.extend(paths.into_iter().map(|path| (path, empty())));
        }
        "WORKDIR" => config.working_dir = working_dir(&config.working_dir, rest),
        "HEALTHCHECK" => config.healthcheck = Some(health::parse(rest)?),
        "SHELL" => {
            let shell = json_list(rest).filter(|shell| !shell.is_empty());
            config.shell = Some(shell.ok_or("SHELL requires the arguments to be in JSON form")?);
        }
        _ => return Err(format!("{word} is not a valid change command")),
    }
    Ok(())
}

fn empty() -> Value {
    Value::Object(serde_json::Map::new())
}

fn one(word: &str, rest: &str) -> std::result::Result<String, String> {
    match &split(rest)[..] {
        [only] => Ok(only.clone()),
        _ => Err(format!("{word} requires exactly one argument")),
    }
}

/// Exec form, or shell form with the configured shell; nothing means none.
fn command(config: &RunConfig, rest: &str) -> std::result::Result<Option<Vec<String>>, String> {
    if rest.is_empty() {
        return Ok(None);
    }
    Ok(Some(json_list(rest).unwrap_or_else(|| shell_form(config, rest))))
}

fn shell_form(config: &RunConfig, text: &str) -> Vec<String> {
    let default = || vec!["/bin/sh".to_owned(), "-c".to_owned()];
    let mut command = config.shell.clone().filter(|shell| !shell.is_empty()).unwrap_or_else(default);
    command.push(text.to_owned());
    command
}

fn environment(config: &mut RunConfig, rest: &str) -> Outcome {
    let variables = config.env.get_or_insert_default();
    for (name, value) in pairs(rest)? {
        let entry = format!("{name}={value}");
        let is_same = |known: &&mut String| known.split('=').next() == Some(name.as_str());
        match variables.iter_mut().find(is_same) {
            Some(known) => *known = entry,
            None => variables.push(entry),
        }
    }
    Ok(())
}

/// `80`, `80/udp`, `8000-8010/tcp`.
fn expose(config: &mut RunConfig, rest: &str) -> Outcome {
    let ports = config.exposed_ports.get_or_insert_default();
    for word in split(rest) {
        let refuse = || format!("invalid containerPort: {word}");
        let (range, protocol) = word.split_once('/').unwrap_or((&word, "tcp"));
        let protocol = protocol.to_ascii_lowercase();
        if !["tcp", "udp", "sctp"].contains(&protocol.as_str()) {
            return Err(format!("invalid proto: {protocol}"));
        }
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        let first: u16 = first.parse().map_err(|_| refuse())?;
        let last: u16 = last.parse().map_err(|_| refuse())?;
        if first == 0 || last < first {
            return Err(refuse());
        }
        ports.extend((first..=last).map(|port| (format!("{port}/{protocol}"), empty())));
    }
    Ok(())
}

fn on_build(config: &mut RunConfig, rest: &str) -> Outcome {
    let trigger = rest.split_whitespace().next().unwrap_or_default().to_ascii_uppercase();
    match trigger.as_str() {
        "ONBUILD" => return Err("Chaining ONBUILD via `ONBUILD ONBUILD` isn't allowed".to_owned()),
        "MAINTAINER" | "FROM" => return Err(format!("{trigger} isn't allowed as an ONBUILD trigger")),
        _ => {}
    }
    config.on_build.get_or_insert_default().push(rest.to_owned());
    Ok(())
}

/// A relative directory continues the one before.
fn working_dir(before: &str, rest: &str) -> String {
    let joined = if rest.starts_with('/') { rest.to_owned() } else { format!("/{before}/{rest}") };
    let mut parts: Vec<&str> = Vec::new();
    for part in joined.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            _ => parts.push(part),
        }
    }
    format!("/{}", parts.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn applied(changes: &[&str]) -> RunConfig {
        let mut config = RunConfig::default();
        let changes: Vec<String> = changes.iter().map(|change| (*change).to_owned()).collect();
        apply(&mut config, &changes).unwrap();
        config
    }

    #[test]
    fn each_instruction_does_what_dockers_does() {
        let config = applied(&[
            "ENV A=1 B=\"two words\" C='x y' D=a\\ b",
            "env A 1 2",
            "LABEL a.b=c \"d e\"=f",
            "EXPOSE 80 53/udp 8000-8002",
            "VOLUME [\"/a\", \"/b\"]",
            "VOLUME /c /d",
            "WORKDIR /srv",
            "WORKDIR app/../web",
            "USER 1000:1000",
            "STOPSIGNAL SIGINT",
            "CMD [\"a\", \"b\"]",
            "ENTRYPOINT [\"/entry\"]",
            "CMD serve --all",
            "ONBUILD RUN make",
            "SHELL [\"/bin/bash\", \"-c\"]",
            "HEALTHCHECK --interval=5s --timeout=1m --retries=4 --start-period=1s --start-interval=2s CMD curl localhost",
        ]);
        assert_eq!(config.env.unwrap(), ["A=1 2", "B=two words", "C=x y", "D=a b"]);
        assert_eq!(config.labels.unwrap().into_iter().collect::<Vec<_>>().len(), 2);
        let ports: Vec<_> = config.exposed_ports.unwrap().into_keys().collect();
        assert_eq!(ports, ["53/udp", "80/tcp", "8000/tcp", "8001/tcp", "8002/tcp"]);
        assert_eq!(config.volumes.unwrap().into_keys().collect::<Vec<_>>(), ["/a", "/b", "/c", "/d"]);
        assert_eq!(config.working_dir, "/srv/web");
        assert_eq!(config.user, "1000:1000");
        assert_eq!(config.entrypoint.unwrap(), ["/entry"]);
        assert_eq!(config.cmd.unwrap(), ["/bin/sh", "-c", "serve --all"]);
        let health = config.healthcheck.unwrap();
        assert_eq!(health.test.unwrap(), ["CMD-SHELL", "curl localhost"]);
        assert_eq!((health.interval, health.retries), (Some(5_000_000_000), Some(4)));
    }

    #[test]
    fn wrong_instructions_are_named() {
        for (change, reason) in [
            ("RUN make", "RUN is not a valid change command"),
            ("FROM x", "FROM is not a valid change command"),
            ("", "is not a valid change command"),
            ("ENV", "ENV requires at least one argument"),
            ("ENV A", "ENV must have two arguments"),
            ("ENV =x", "names can not be blank"),
            ("EXPOSE 99999", "invalid containerPort: 99999"),
            ("EXPOSE 80/icmp", "invalid proto: icmp"),
            ("USER a b", "USER requires exactly one argument"),
            ("SHELL bash", "JSON form"),
            ("ONBUILD ONBUILD RUN x", "Chaining ONBUILD"),
            ("HEALTHCHECK curl", "Unknown type"),
            ("HEALTHCHECK --interval=x CMD y", "interval"),
        ] {
            let error = apply(&mut RunConfig::default(), &[change.to_owned()]).unwrap_err().to_string();
            assert!(error.contains(reason), "{change}: {error}");
        }
    }
}

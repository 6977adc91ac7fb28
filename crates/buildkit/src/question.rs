//! Questions about a Dockerfile that build nothing: `docker build --check`, `--call=outline`, `--call=targets`.

use std::collections::BTreeMap;

use base64::{Engine as _, prelude::BASE64_STANDARD};
use berth_dockerfile::lint::{self, Surroundings};
use berth_dockerfile::{Check, Command, Diagnostic, Dockerfile, Ignore, Span, scope::Platforms};
use berth_spec::platform::Platform;
use serde_json::{Value, json};

use crate::builder::Builder;
use crate::dockerfile::{self, Found};
use crate::grpc::{Code, Status};
use crate::request::Options;
use crate::session::{Contexts, Session};

const VERSION: &[u8] = b"1.0.0";

/// The answer, as the metadata that clients of BuildKit print.
pub(crate) async fn answer(
    contexts: &Contexts,
    session: &Session,
    builder: &dyn Builder,
    options: &Options,
) -> Result<BTreeMap<String, Vec<u8>>, Status> {
    let question = options.question.as_deref().unwrap_or_default();
    if question == "frontend.subrequests.describe" {
        return Ok(metadata(&describe(), describe_text(), None));
    }
    if !["frontend.lint", "frontend.outline", "frontend.targets"].contains(&question) {
        return Err(Status::new(Code::Unimplemented, format!("unsupported request {question:?}")));
    }
    let Found { bytes, ignore } = dockerfile::find(contexts, session, options).await?;
    let ignore = ignore.map(|bytes| Ignore::parse(&bytes)).transpose().map_err(|e| Status::invalid(e.to_string()))?;
    let text = berth_dockerfile::decode(&bytes).map(std::borrow::Cow::into_owned);
    let parsed = text.clone().map_err(|fault| vec![fault]).and_then(|text| berth_dockerfile::parse(&text));
    let text = text.unwrap_or_default();
    if question == "frontend.lint" {
        let (found, fault) = match &parsed {
            Ok(file) => (checked(file, ignore.as_ref(), builder, options).await?, None),
            Err(faults) => (Vec::new(), faults.first()),
        };
        return Ok(lint_answer(&found, fault, &options.filename, &text));
    }
    let file = parsed.map_err(|faults| {
        let shown: Vec<String> = faults.iter().map(|fault| fault.render(&options.filename, &text)).collect();
        Status::invalid(shown.join("\n"))
    })?;
    match question {
        "frontend.targets" => {
            let (json, text) = targets(&file);
            Ok(metadata(&json, text, None))
        }
        _ => {
            let (json, text) = outline(&file, options)?;
            Ok(metadata(&json, text, None))
        }
    }
}

fn platforms(options: &Options) -> Platforms {
    let build = Platform::host();
    Platforms { target: options.platforms.first().cloned().unwrap_or_else(|| build.clone()), build }
}

async fn checked(
    file: &Dockerfile,
    ignore: Option<&Ignore>,
    builder: &dyn Builder,
    options: &Options,
) -> Result<Vec<Diagnostic>, Status> {
    let platforms = platforms(options);
    let target = options.target.as_deref().unwrap_or_default();
    let mut known = BTreeMap::new();
    if let Ok(globals) = berth_dockerfile::scope::Globals::new(file, &options.build_args, &platforms, target) {
        for stage in &file.stages {
            if let Ok(image) = globals.expand(&stage.from.image) {
                let env = builder.image_env(&image.value).await;
                known.insert(image.value, env);
            }
        }
    }
    let own = options.build_args.get("BUILDKIT_DOCKERFILE_CHECK").map(|text| Check::parse(text)).transpose();
    let own = own.map_err(Status::invalid)?;
    let base_env = |image: &str| known.get(image).cloned().flatten();
    let around = Surroundings {
        build_args: &options.build_args,
        platforms: &platforms,
        target,
        ignore,
        base_env: &base_env,
        check: own.as_ref(),
    };
    Ok(lint::check(file, &around))
}

fn location(span: Span) -> Value {
    let position = |line: u32| json!({ "line": line });
    json!({ "ranges": [{ "start": position(span.start.line), "end": position(span.end.line) }] })
}

fn lint_answer(
    found: &[Diagnostic],
    fault: Option<&Diagnostic>,
    filename: &str,
    text: &str,
) -> BTreeMap<String, Vec<u8>> {
    let warning = |finding: &Diagnostic| {
        let rule = finding.rule.and_then(lint::rule);
        json!({
            "ruleName": finding.rule.unwrap_or_default(),
            "description": rule.map(|rule| rule.description).unwrap_or_default(),
            "url": rule.map(lint::Rule::address).unwrap_or_default(),
            "detail": finding.message,
            "location": location(finding.span),
        })
    };
    let mut result = json!({
        "warnings": found.iter().map(warning).collect::<Vec<_>>(),
        "sources": [{ "filename": filename, "language": "Dockerfile", "data": BASE64_STANDARD.encode(text) }],
    });
    if let Some(fault) = fault {
        let message = format!("dockerfile parse error on line {}: {}", fault.span.start.line, fault.message);
        result["buildError"] = json!({ "message": message, "location": location(fault.span) });
    }
    let all = fault.into_iter().chain(found);
    let shown = all.map(|finding| format!("{}\n", finding.render(filename, text))).collect::<String>();
    metadata(&result, shown, Some(u8::from(fault.is_some() || !found.is_empty())))
}

fn metadata(json: &Value, text: String, code: Option<u8>) -> BTreeMap<String, Vec<u8>> {
    let pretty = serde_json::to_vec_pretty(json).unwrap_or_default();
    let mut metadata = BTreeMap::from([
        ("result.json".to_owned(), pretty),
        ("result.txt".to_owned(), text.into_bytes()),
        ("version".to_owned(), VERSION.to_vec()),
    ]);
    if let Some(code) = code {
        metadata.insert("result.statuscode".to_owned(), code.to_string().into_bytes());
    }
    metadata
}

fn describe() -> Value {
    let request = |name: &str, description: &str| {
        json!({
            "name": name, "version": "1.0.0", "type": "rpc", "description": description, "opts": [],
            "metadata": [{ "name": "result.json" }, { "name": "result.txt" }],
        })
    };
    json!([
        request("frontend.lint", "Lint a Dockerfile"),
        request("frontend.outline", "List all parameters current build target supports"),
        request("frontend.targets", "List all targets current build supports"),
        request("frontend.subrequests.describe", "List available subrequest types"),
    ])
}

fn describe_text() -> String {
    let Value::Array(all) = describe() else { return String::new() };
    let line = |one: &Value| {
        format!("{:<30}{}\n", one["name"].as_str().unwrap_or_default(), one["description"].as_str().unwrap_or_default())
    };
    all.iter().map(line).collect()
}

/// What comments say behind the name that they begin with.
fn description(comments: &[String], name: &str) -> String {
    let described = comments.iter().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    described.unwrap_or_default().trim().to_owned()
}

fn targets(file: &Dockerfile) -> (Value, String) {
    let mut text = format!("{:<20}{:<12}DESCRIPTION\n", "TARGET", "BASE");
    let mut all = Vec::new();
    for stage in &file.stages {
        let name = stage.from.name.as_ref().map(|name| name.value.clone()).unwrap_or_default();
        let is_default = stage.index + 1 == file.stages.len();
        let described = description(&stage.from.comments, &name);
        let mark = if is_default { " (default)" } else { "" };
        text.push_str(&format!("{:<20}{:<12}{described}\n", format!("{name}{mark}"), stage.from.image.value));
        all.push(json!({
            "name": name, "default": is_default, "description": described, "base": stage.from.image.value,
            "location": location(stage.from.span),
        }));
    }
    (json!({ "targets": all, "sources": [] }), text)
}

fn outline(file: &Dockerfile, options: &Options) -> Result<(Value, String), Status> {
    let missing = || {
        Status::invalid(format!("target stage {:?} could not be found", options.target.as_deref().unwrap_or_default()))
    };
    let stage = file.target(options.target.as_deref()).ok_or_else(missing)?;
    let name = stage.from.name.as_ref().map(|name| name.value.clone()).unwrap_or_default();
    let mut text = format!("TARGET: {name}\n\n{:<24}{:<24}DESCRIPTION\n", "BUILD ARG", "VALUE");
    let mut args = Vec::new();
    let mut secrets = Vec::new();
    for instruction in file.globals.iter().chain(&stage.instructions) {
        match &instruction.command {
            Command::Arg(list) => {
                for arg in list {
                    let default = arg.default.as_ref().map(|default| default.value.clone());
                    let value = options.build_args.get(&arg.name.value).cloned().or(default).unwrap_or_default();
                    let described = description(&instruction.comments, &arg.name.value);
                    text.push_str(&format!("{:<24}{value:<24}{described}\n", arg.name.value));
                    args.push(json!({
                        "name": arg.name.value, "value": value, "description": described,
                        "location": location(instruction.span),
                    }));
                }
            }
            Command::Run(run) => {
                for mount in &run.mounts {
                    let Ok(mount) = mount.resolve(|value| Ok(value.to_owned())) else { continue };
                    if let berth_dockerfile::MountKind::Secret { id: Some(id), required, .. } = mount.kind {
                        secrets
                            .push(json!({ "name": id, "required": required, "location": location(instruction.span) }));
                    }
                }
            }
            _ => {}
        }
    }
    let described = description(&stage.from.comments, &name);
    let json = json!({
        "name": name, "description": described, "args": args, "secrets": secrets, "sources": [],
    });
    Ok((json, text))
}

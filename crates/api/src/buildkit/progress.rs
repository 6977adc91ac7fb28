//! Events of the builder as BuildKit's clients hear them.

use berth_build::{Event, Outcome};
use berth_buildkit::proto::{
    Timestamp,
    control::{
        SourceInfo, SourcePosition, SourceRange, StatusResponse, Vertex, VertexLog, VertexStatus, VertexWarning,
    },
};

/// What clients need to show a finding at its line.
pub struct Shown<'d> {
    /// The Dockerfile's name.
    pub name: &'d str,
    /// Its text.
    pub text: &'d [u8],
}

/// The message that an event becomes; none for the end, which is the answer of the solve.
pub fn message(event: Event, shown: &Shown<'_>, began: Timestamp) -> Result<StatusResponse, Outcome> {
    let mut message = StatusResponse::default();
    match event {
        Event::Vertex(vertex) => message.vertexes.push(Vertex {
            digest: vertex.id,
            inputs: vertex.inputs,
            name: vertex.name,
            cached: vertex.cached,
            // A step from the cache never ran; clients show it when both times stand.
            started: vertex.started.map(time),
            completed: vertex.completed.map(time),
            error: vertex.error.unwrap_or_default(),
        }),
        Event::Log(log) => message.logs.push(VertexLog {
            vertex: log.vertex,
            timestamp: Some(time(log.at)),
            stream: i64::from(log.stream),
            msg: log.data.into_bytes(),
        }),
        Event::Status(status) => message.statuses.push(VertexStatus {
            name: status.id.clone(),
            id: status.id,
            vertex: status.vertex,
            current: i64::try_from(status.current).unwrap_or(i64::MAX),
            total: i64::try_from(status.total).unwrap_or(i64::MAX),
            timestamp: Some(Timestamp::now()),
            started: Some(began),
            completed: status.done.then(Timestamp::now),
        }),
        Event::Warning(warning) => message.warnings.push(self::warning(&warning, shown)),
        Event::Outcome(outcome) => return Err(outcome),
    }
    Ok(message)
}

fn warning(warning: &berth_build::Warning, shown: &Shown<'_>) -> VertexWarning {
    let rule = berth_dockerfile::lint::rule(&warning.rule);
    let line = i32::try_from(warning.line).unwrap_or_default();
    let position = SourcePosition { line, character: 0 };
    VertexWarning {
        vertex: String::new(),
        level: 1,
        short: format!("{}: {} (line {line})", warning.rule, warning.message).into_bytes(),
        detail: rule.map(|rule| rule.description.as_bytes().to_vec()).into_iter().collect(),
        url: rule.map(|rule| rule.address()).unwrap_or_default(),
        info: Some(SourceInfo {
            filename: shown.name.to_owned(),
            data: shown.text.to_vec(),
            definition: None,
            language: "Dockerfile".to_owned(),
        }),
        ranges: vec![SourceRange { start: Some(position), end: Some(position) }],
    }
}

fn time(at: berth_kit::time::Timestamp) -> Timestamp {
    Timestamp::from_nanoseconds(i64::try_from(at.as_nanosecond()).unwrap_or(i64::MAX))
}

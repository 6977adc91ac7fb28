//! `GET /containers/{id}/logs`

use std::sync::Arc;

use axum::extract::State;
use berth_container::LogsRequest;

use crate::{Engine, Error, failure::Answer, name::Name, query::Query, stream, version::Version};

pub async fn logs(State(engine): State<Arc<Engine>>, Name(id): Name, query: Query, version: Version) -> Answer {
    let (stdout, stderr) = (query.flag("stdout")?, query.flag("stderr")?);
    if !stdout && !stderr {
        let text = "Bad parameters: you must choose at least one stream";
        return Err(Error::Invalid(text.to_owned()).into());
    }
    let request = LogsRequest {
        follow: query.flag("follow")?,
        stdout,
        stderr,
        since: query.time("since")?,
        until: query.time("until")?,
        timestamps: query.flag("timestamps")?,
        details: query.flag("details")?,
        tail: if query.get("tail") == Some("all") { None } else { tail(&query)? },
    };
    let logs = engine.containers.logs(&id, request).await?;
    Ok(stream::bytes(stream::output_type(logs.tty, version), logs.stream))
}

/// Docker takes a negative number as all.
fn tail(query: &Query) -> Result<Option<usize>, Error> {
    Ok(query.number::<i64>("tail")?.and_then(|lines| usize::try_from(lines).ok()))
}

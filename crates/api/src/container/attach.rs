//! `POST /containers/{id}/attach`

use std::sync::Arc;

use axum::extract::{Request, State};
use berth_container::AttachRequest;

use crate::{Engine, Result, failure::Answer, hijack::Hijack, name::Name, query::Query, stream, version::Version};

pub async fn attach(
    State(engine): State<Arc<Engine>>,
    Name(id): Name,
    query: Query,
    version: Version,
    request: Request,
) -> Answer {
    let wanted = wanted(&query)?;
    let hijack = Hijack::with_body(request);
    let attached = engine.containers.attach(&id, wanted).await?;
    Ok(hijack.join(stream::output_type(attached.tty, version), attached.replay, attached.stream))
}

/// What the query of either attach operation asks for.
pub(super) fn wanted(query: &Query) -> Result<AttachRequest> {
    Ok(AttachRequest {
        stdin: query.flag("stdin")?,
        stdout: query.flag("stdout")?,
        stderr: query.flag("stderr")?,
        stream: query.flag("stream")?,
        logs: query.flag("logs")?,
        detach_keys: query.text("detachKeys"),
    })
}

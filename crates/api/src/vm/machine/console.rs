//! `POST /vm/machines/{name}/console`: the connection becomes the guest's serial port.

use std::sync::Arc;

use axum::extract::{Request, State};

use crate::{Engine, failure::Answer, hijack::Hijack, name::Name, query::Query, stream, version::Version};

pub async fn console(
    State(engine): State<Arc<Engine>>,
    Name(name): Name,
    query: Query,
    version: Version,
    request: Request,
) -> Answer {
    let replay = query.flag_or("replay", true)?;
    let hijack = Hijack::with_body(request);
    let console = engine.machines.console(&name, replay).await?;
    // Raw, as of a terminal.
    Ok(hijack.join(stream::output_type(true, version), None, Some(Box::new(console))))
}

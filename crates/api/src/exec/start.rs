//! `POST /exec/{id}/start`

use std::sync::Arc;

use axum::{
    extract::{Request, State},
    http::StatusCode,
    response::IntoResponse,
};
use berth_container::{ExecStartRequest, ExecStarted};
use berth_spec::model::ExecStartConfig;

use crate::{Engine, Error, Result, body, failure::Answer, hijack::Hijack, name::Name, stream, version::Version};

pub async fn start(
    State(engine): State<Arc<Engine>>,
    Name(id): Name,
    version: Version,
    mut request: Request,
) -> Answer {
    let hijack = Hijack::of(&mut request);
    let bytes = body::read(request).await?;
    let config: ExecStartConfig = if bytes.is_empty() { ExecStartConfig::default() } else { body::decode(&bytes)? };
    let wanted = ExecStartRequest {
        detach: config.detach.unwrap_or(false),
        tty: config.tty.unwrap_or(false),
        size: size(config.console_size)?,
    };
    match engine.containers.exec_start(&id, wanted).await? {
        ExecStarted::Detached => Ok(StatusCode::OK.into_response()),
        ExecStarted::Attached { stream, tty } => Ok(hijack.join(stream::output_type(tty, version), None, Some(stream))),
    }
}

/// `[height, width]`; zeros say nothing.
fn size(size: Option<Vec<usize>>) -> Result<Option<(u16, u16)>> {
    let refuse = || Error::Invalid("ConsoleSize must be [height, width], each below 65536".to_owned());
    match size.as_deref() {
        None | Some([] | [0, 0]) => Ok(None),
        Some([height, width]) => {
            let side = |value: &usize| u16::try_from(*value).map_err(|_| refuse());
            Ok(Some((side(height)?, side(width)?)))
        }
        Some(_) => Err(refuse()),
    }
}

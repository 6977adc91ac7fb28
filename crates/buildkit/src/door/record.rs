//! The history of builds, as clients ask for it.

use super::Door;
use crate::grpc::{Call, Code, Status};
use crate::proto::Empty;
use crate::proto::control::{
    BuildHistoryEvent, BuildHistoryEventType, BuildHistoryRecord, BuildHistoryRequest, UpdateBuildHistoryRequest,
};

pub(super) async fn listen(door: &Door, call: &mut Call) -> Result<(), Status> {
    let request: BuildHistoryRequest = call.request().await?;
    let mut events = door.history.events();
    let wanted = |record: &BuildHistoryRecord| {
        (request.reference.is_empty() || record.reference == request.reference)
            && request.filter.iter().all(|filter| means(record, filter))
    };
    let mut sent = 0;
    for (record, running) in door.history.records() {
        if !wanted(&record) || (request.active_only && !running) || (request.limit > 0 && sent >= request.limit) {
            continue;
        }
        sent += 1;
        let kind = if running { BuildHistoryEventType::Started } else { BuildHistoryEventType::Complete };
        call.send(&BuildHistoryEvent { kind: kind as i32, record: Some(record) }).await?;
    }
    if request.early_exit {
        return Ok(());
    }
    while let Ok(event) = events.recv().await {
        if event.record.as_ref().is_some_and(wanted) {
            call.send(&event).await?;
        }
    }
    Ok(())
}

/// `status==completed`, `ref==…`: all parts of a filter must hold.
fn means(record: &BuildHistoryRecord, filter: &str) -> bool {
    let status = match (&record.completed_at, &record.error) {
        (None, _) => "running",
        (Some(_), None) => "completed",
        (Some(_), Some(error)) if error.code == Code::Cancelled as i32 => "canceled",
        (Some(_), Some(_)) => "error",
    };
    let field = |name: &str| match name {
        "ref" => record.reference.clone(),
        "status" => status.to_owned(),
        name => record.frontend_attrs.get(name).cloned().unwrap_or_default(),
    };
    filter.split(',').all(|part| match (part.split_once("=="), part.split_once("!=")) {
        (Some((name, value)), _) => field(name) == value,
        (None, Some((name, value))) => field(name) != value,
        (None, None) => true,
    })
}

pub(super) async fn update(door: &Door, call: &mut Call) -> Result<Empty, Status> {
    let request: UpdateBuildHistoryRequest = call.request().await?;
    let outcome = match request {
        UpdateBuildHistoryRequest { delete: true, ref reference, .. } => door.history.remove(reference),
        // All that a build told is on disk once it ended.
        UpdateBuildHistoryRequest { finalize: true, .. } => Ok(()),
        UpdateBuildHistoryRequest { ref reference, pinned, .. } => door.history.pin(reference, pinned),
    };
    outcome.map(|()| Empty {}).map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => {
            Status::new(Code::NotFound, format!("failed to find build {:?}", request.reference))
        }
        std::io::ErrorKind::ResourceBusy => {
            Status::new(Code::FailedPrecondition, format!("build {:?} is running", request.reference))
        }
        _ => Status::gone(error),
    })
}

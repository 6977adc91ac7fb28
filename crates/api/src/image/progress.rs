//! Long operations: lines of progress while they run, and how they ended.
//!
//! A failure before the first line is a plain error answer with its status; afterwards it is the last line, as with
//! Docker.

use std::{convert::Infallible, future::Future};

use axum::response::Response;
use berth_image::{Error, ProgressSender};
use berth_spec::progress::{ErrorDetail, Progress};
use futures_util::{StreamExt, stream};
use tokio::sync::mpsc;

use crate::{
    failure::{Answer, chain},
    stream as answer,
};

/// Lines that may wait for a slow client.
const QUEUE: usize = 64;

/// Runs `work`, which tells its progress, and streams that.
pub async fn run<F, T>(work: impl FnOnce(ProgressSender) -> F) -> Answer<Response>
where
    F: Future<Output = Result<T, Error>> + Send + 'static,
    T: Send + 'static,
{
    let (sender, mut lines) = mpsc::channel(QUEUE);
    let task = tokio::spawn(work(sender));
    let Some(first) = lines.recv().await else {
        // The work ended without a word.
        return match task.await {
            Ok(Err(error)) => Err(error.into()),
            Ok(Ok(_)) => Ok(answer::documents(stream::empty::<Result<Progress, Infallible>>())),
            Err(panic) => std::panic::resume_unwind(panic.into_panic()),
        };
    };
    let rest = stream::unfold(lines, |mut lines| async move { lines.recv().await.map(|line| (line, lines)) });
    let end = stream::once(task).filter_map(|outcome| async move {
        match outcome {
            Ok(Err(error)) => Some(failed(chain(&error))),
            Ok(Ok(_)) => None,
            Err(panic) => Some(failed(panic.to_string())),
        }
    });
    let all = stream::once(async { first }).chain(rest).chain(end);
    Ok(answer::documents(all.map(Ok::<_, Infallible>)))
}

fn failed(message: String) -> Progress {
    let error_detail = Some(ErrorDetail { message: message.clone(), ..ErrorDetail::default() });
    Progress { error: Some(message), error_detail, ..Progress::default() }
}

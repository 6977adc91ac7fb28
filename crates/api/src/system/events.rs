//! `GET /events`: what happened since, and what happens until.

use std::{convert::Infallible, sync::Arc, time::Duration};

use axum::{extract::State, http::HeaderMap};
use berth_event::{Event, Filter, matches};
use berth_kit::time::Timestamp;
use futures_util::{Stream, StreamExt, stream};
use tokio::sync::broadcast::{Receiver, error::RecvError};

use crate::{Engine, failure::Answer, query::Query, stream as answer, version::Version};

pub async fn events(State(engine): State<Arc<Engine>>, query: Query, version: Version, headers: HeaderMap) -> Answer {
    let (since, until) = (query.time("since")?, query.time("until")?);
    let filter = Filter { terms: query.filters()?.0 };
    let subscription = engine.events.subscribe(since);
    let until_ns = until.map_or(i128::MAX, Timestamp::as_nanosecond);
    let past = stream::iter(subscription.past);
    let all = past.chain(live(subscription.live, until));
    let wanted =
        all.filter(move |event| std::future::ready(i128::from(event.time_ns) <= until_ns && matches(&filter, event)));
    // The three fields from before there were types went with API 1.52.
    let is_plain = version >= Version::new(1, 52);
    let events = wanted.map(move |mut event| {
        if is_plain {
            (event.status, event.id, event.from) = (None, None, None);
        }
        Ok::<Event, Infallible>(event)
    });
    Ok(answer::documents_as(answer::accepted(&headers), events))
}

/// Events to come, up to `until`; a client that is too slow loses some and goes on.
fn live(receiver: Receiver<Event>, until: Option<Timestamp>) -> impl Stream<Item = Event> + Send {
    let left = until.map(|until| Duration::try_from(until.duration_since(Timestamp::now())).unwrap_or_default());
    let deadline = left.map(|left| tokio::time::Instant::now() + left);
    stream::unfold(receiver, move |mut receiver| async move {
        loop {
            let next = match deadline {
                Some(deadline) => tokio::time::timeout_at(deadline, receiver.recv()).await.ok()?,
                None => receiver.recv().await,
            };
            match next {
                Ok(event) => return Some((event, receiver)),
                Err(RecvError::Lagged(_)) => {}
                Err(RecvError::Closed) => return None,
            }
        }
    })
}

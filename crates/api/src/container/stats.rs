//! `GET /containers/{id}/stats`

use std::sync::Arc;

use axum::extract::State;

use crate::{Engine, failure::Answer, name::Name, query::Query, stream};

pub async fn stats(State(engine): State<Arc<Engine>>, Name(id): Name, query: Query) -> Answer {
    let (follow, one_shot) = (query.flag_or("stream", true)?, query.flag("one-shot")?);
    if follow && one_shot {
        let text = "cannot have stream=true and one-shot=true";
        return Err(crate::Error::Invalid(text.to_owned()).into());
    }
    Ok(stream::documents(engine.containers.stats(&id, follow, one_shot).await?))
}

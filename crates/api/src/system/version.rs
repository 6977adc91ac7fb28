//! `GET /version`

use std::{collections::HashMap, sync::Arc};

use axum::extract::State;
use berth_spec::{
    API_VERSION, API_VERSION_MIN,
    model::{SystemVersion, SystemVersionComponents, SystemVersionPlatform},
};

use crate::{Engine, failure::Answer, stream};

pub async fn version(State(engine): State<Arc<Engine>>) -> Answer {
    let facts = &engine.facts;
    let experimental = engine.settings().experimental;
    let details = [
        ("ApiVersion", API_VERSION.to_owned()),
        ("Arch", facts.go_architecture.clone()),
        ("BuildTime", facts.built_at.clone()),
        ("Compiler", facts.compiler.clone()),
        ("Experimental", experimental.to_string()),
        ("GitCommit", facts.commit.clone()),
        ("KernelVersion", facts.kernel.clone()),
        ("MinAPIVersion", API_VERSION_MIN.to_owned()),
        ("Os", "linux".to_owned()),
        // Docker's client prints this line whether it is there or not.
        ("GoVersion", facts.compiler.clone()),
    ];
    let engine_part = SystemVersionComponents {
        name: "Engine".to_owned(),
        version: facts.version.clone(),
        details: Some(details.map(|(key, value)| (key.to_owned(), value)).into_iter().collect::<HashMap<_, _>>()),
    };
    stream::json(&SystemVersion {
        platform: Some(SystemVersionPlatform { name: format!("berth {}", facts.version) }),
        components: Some(vec![engine_part]),
        version: Some(facts.version.clone()),
        api_version: Some(API_VERSION.to_owned()),
        min_api_version: Some(API_VERSION_MIN.to_owned()),
        git_commit: Some(facts.commit.clone()),
        go_version: Some(facts.compiler.clone()),
        os: Some("linux".to_owned()),
        arch: Some(facts.go_architecture.clone()),
        kernel_version: Some(facts.kernel.clone()),
        experimental: Some(experimental),
        build_time: Some(facts.built_at.clone()),
    })
}

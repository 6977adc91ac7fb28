//! `POST /networks/create`

use std::sync::Arc;

use axum::{extract::State, http::StatusCode};
use berth_network::{CreateRequest, SubnetRequest};
use berth_spec::model::{IpamConfig, NetworkCreateRequest};
use serde::Serialize;

use crate::{Engine, Error, body::Json, failure::Answer, stream};

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Created {
    id: String,
    warning: &'static str,
}

pub async fn create(State(engine): State<Arc<Engine>>, Json(wanted): Json<NetworkCreateRequest>) -> Answer {
    if wanted.ingress == Some(true) || wanted.scope.as_deref() == Some("swarm") {
        return Err(Error::NoCluster("networks of a cluster need one, and this engine is in none").into());
    }
    let ipam = wanted.ipam.unwrap_or_default();
    let network = engine
        .networks
        .create(CreateRequest {
            name: wanted.name,
            driver: wanted.driver.filter(|driver| !driver.is_empty()),
            internal: wanted.internal.unwrap_or(false),
            attachable: wanted.attachable.unwrap_or(false),
            enable_ipv6: wanted.enable_ipv6.unwrap_or(false),
            disable_ipv4: wanted.enable_ipv4 == Some(false),
            subnets: ipam.config.unwrap_or_default().into_iter().map(subnet).collect(),
            options: wanted.options.unwrap_or_default().into_iter().collect(),
            ipam_options: ipam.options.unwrap_or_default().into_iter().collect(),
            labels: wanted.labels.unwrap_or_default().into_iter().collect(),
            config_only: wanted.config_only.unwrap_or(false),
            config_from: wanted.config_from.and_then(|from| from.network).filter(|name| !name.is_empty()),
        })
        .await?;
    stream::json_with(StatusCode::CREATED, &Created { id: network.id, warning: "" })
}

fn subnet(config: IpamConfig) -> SubnetRequest {
    let given = |text: Option<String>| text.filter(|text| !text.is_empty());
    SubnetRequest {
        subnet: given(config.subnet),
        gateway: given(config.gateway),
        ip_range: given(config.ip_range),
        aux_addresses: config.auxiliary_addresses.unwrap_or_default().into_iter().collect(),
    }
}

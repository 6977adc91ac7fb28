//! A network as clients see it.

use std::collections::{BTreeMap, HashMap};

use berth_kit::time::format_nano;
use berth_network::{EndpointRecord, NetworkRecord, Subnet, record::mac_text};
use berth_spec::model::{ConfigReference, EndpointResource, Ipam, IpamConfig, NetworkInspect};

/// With the containers on it.
pub fn network(record: &NetworkRecord, endpoints: &[EndpointRecord]) -> NetworkInspect {
    let prefix = record.subnet.as_ref().map_or(0, |subnet| subnet.subnet.prefix());
    let containers = endpoints.iter().map(|endpoint| (endpoint.container_id.clone(), resource(endpoint, prefix)));
    NetworkInspect {
        name: Some(record.name.clone()),
        id: Some(record.id.clone()),
        created: Some(format_nano(record.created)),
        scope: Some("local".to_owned()),
        driver: Some(record.driver.clone()),
        enable_ipv4: Some(true),
        enable_ipv6: Some(false),
        ipam: Some(ipam(record)),
        internal: Some(record.internal),
        attachable: Some(record.attachable),
        ingress: Some(false),
        config_from: Some(ConfigReference { network: Some(String::new()) }),
        config_only: Some(false),
        options: Some(unordered(&record.options)),
        labels: Some(unordered(&record.labels)),
        containers: Some(containers.collect()),
        ..NetworkInspect::default()
    }
}

fn ipam(record: &NetworkRecord) -> Ipam {
    let config = |subnet: &Subnet| IpamConfig {
        subnet: Some(subnet.subnet.to_string()),
        gateway: Some(subnet.gateway.to_string()),
        ip_range: subnet.ip_range.as_ref().map(ToString::to_string),
        auxiliary_addresses: (!subnet.aux_addresses.is_empty())
            .then(|| subnet.aux_addresses.iter().map(|(name, address)| (name.clone(), address.to_string())).collect()),
    };
    Ipam {
        driver: Some("default".to_owned()),
        config: Some(record.subnet.iter().map(config).collect()),
        options: Some(unordered(&record.ipam_options)),
    }
}

fn resource(endpoint: &EndpointRecord, prefix: u8) -> EndpointResource {
    EndpointResource {
        name: Some(endpoint.container_name.clone()),
        endpoint_id: Some(endpoint.id.clone()),
        mac_address: Some(if endpoint.ipv4.is_some() { mac_text(endpoint.mac) } else { String::new() }),
        ipv4_address: Some(endpoint.ipv4.map(|address| format!("{address}/{prefix}")).unwrap_or_default()),
        ipv6_address: Some(String::new()),
    }
}

fn unordered(map: &BTreeMap<String, String>) -> HashMap<String, String> {
    map.iter().map(|(key, value)| (key.clone(), value.clone())).collect()
}

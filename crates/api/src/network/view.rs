//! A network as clients see it.

use std::{
    collections::{BTreeMap, HashMap},
    net::IpAddr,
};

use berth_kit::time::format_nano;
use berth_network::{EndpointRecord, NetworkRecord, Subnet, cidr::Address, record::mac_text};
use berth_spec::model::{
    ConfigReference, EndpointResource, Ipam, IpamConfig, IpamStatus, NetworkInspect, NetworkStatus, SubnetStatus,
};

/// With the containers on it.
pub fn network(record: &NetworkRecord, endpoints: &[EndpointRecord]) -> NetworkInspect {
    let containers = endpoints.iter().map(|endpoint| (endpoint.container_id.clone(), resource(endpoint, record)));
    NetworkInspect {
        name: Some(record.name.clone()),
        id: Some(record.id.clone()),
        created: Some(format_nano(record.created)),
        scope: Some("local".to_owned()),
        driver: Some(record.driver.clone()),
        enable_ipv4: Some(record.subnet.is_some() || record.subnet6.is_none()),
        enable_ipv6: Some(
            record.subnet6.is_some() || record.template.as_ref().is_some_and(|template| template.enable_ipv6),
        ),
        ipam: Some(ipam(record)),
        internal: Some(record.internal),
        attachable: Some(record.attachable),
        ingress: Some(false),
        config_from: Some(ConfigReference { network: Some(record.config_from.clone()) }),
        config_only: Some(record.template.is_some()),
        options: Some(unordered(&record.options)),
        labels: Some(unordered(&record.labels)),
        containers: Some(containers.collect()),
        ..NetworkInspect::default()
    }
}

/// How many addresses of each subnet are in use, and how many are left; more than a client can count are its most.
pub fn status(addresses: &[(String, u128, u128)]) -> NetworkStatus {
    let most = |count: u128| Some(u64::try_from(count).unwrap_or(u64::MAX));
    let subnets = addresses.iter().map(|(subnet, used, free)| {
        let status = SubnetStatus { ips_in_use: most(*used), dynamic_ips_available: most(*free) };
        (subnet.clone(), status)
    });
    NetworkStatus { ipam: Some(IpamStatus { subnets: Some(subnets.collect()) }) }
}

fn ipam(record: &NetworkRecord) -> Ipam {
    if let Some(template) = &record.template {
        let configs = template.subnets.iter().map(|wanted| IpamConfig {
            subnet: wanted.subnet.clone(),
            gateway: wanted.gateway.clone(),
            ip_range: wanted.ip_range.clone(),
            auxiliary_addresses: (!wanted.aux_addresses.is_empty()).then(|| unordered(&wanted.aux_addresses)),
        });
        return Ipam {
            driver: Some("default".to_owned()),
            config: Some(configs.collect()),
            options: (!record.ipam_options.is_empty()).then(|| unordered(&record.ipam_options)),
        };
    }
    Ipam {
        driver: Some("default".to_owned()),
        config: Some(record.subnet.iter().map(config).chain(record.subnet6.iter().map(config)).collect()),
        options: (!record.ipam_options.is_empty()).then(|| unordered(&record.ipam_options)),
    }
}

fn config<A: Address>(subnet: &Subnet<A>) -> IpamConfig {
    IpamConfig {
        subnet: Some(subnet.subnet.to_string()),
        gateway: Some(subnet.gateway.to_string()),
        ip_range: subnet.ip_range.as_ref().map(ToString::to_string),
        auxiliary_addresses: (!subnet.aux_addresses.is_empty())
            .then(|| subnet.aux_addresses.iter().map(|(name, address)| (name.clone(), address.to_string())).collect()),
    }
}

fn resource(endpoint: &EndpointRecord, network: &NetworkRecord) -> EndpointResource {
    let given = endpoint.given.clone().unwrap_or_default();
    let prefix = given.ipv4.map(|(_, prefix)| prefix).or(network.subnet.as_ref().map(|s| s.subnet.prefix()));
    let prefix6 = given.ipv6.map(|(_, prefix)| prefix).or(network.subnet6.as_ref().map(|s| s.subnet.prefix()));
    let text = |address: Option<IpAddr>, prefix: Option<u8>| {
        Some(address.map(|address| format!("{address}/{}", prefix.unwrap_or(0))).unwrap_or_default())
    };
    EndpointResource {
        name: Some(endpoint.container_name.clone()),
        endpoint_id: Some(endpoint.id.clone()),
        mac_address: Some(if endpoint.is_wired() { mac_text(endpoint.mac) } else { String::new() }),
        ipv4_address: text(endpoint.ipv4.map(IpAddr::from), prefix),
        ipv6_address: text(endpoint.ipv6.map(IpAddr::from), prefix6),
    }
}

fn unordered(map: &BTreeMap<String, String>) -> HashMap<String, String> {
    map.iter().map(|(key, value)| (key.clone(), value.clone())).collect()
}

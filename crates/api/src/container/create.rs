//! `POST /containers/create`

use std::sync::Arc;

use axum::{
    extract::{Request, State},
    http::StatusCode,
};
use berth_container::CreateRequest;
use berth_spec::model::{ContainerConfig, ContainerCreateBody, NetworkingConfig};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{Engine, Error, body, failure::Answer, query::Query, stream};

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Created {
    id: String,
    warnings: Vec<String>,
}

pub async fn create(State(engine): State<Arc<Engine>>, query: Query, request: Request) -> Answer {
    let bytes = body::read(request).await?;
    if bytes.is_empty() {
        return Err(Error::Json("got EOF while reading request body".to_owned()).into());
    }
    let mut body = decode(&bytes)?;
    let (host, mut networking) = (body.host_config.take(), body.networking_config.take());
    if let Some(mac) = mac_address(&bytes)? {
        let mode = host.as_ref().and_then(|host| host.network_mode.as_deref());
        give_mac(networking.get_or_insert_default(), mode.unwrap_or_default(), mac)?;
    }
    let created = engine
        .containers
        .create(CreateRequest {
            name: query.get("name").map(|name| name.strip_prefix('/').unwrap_or(name).to_owned()),
            platform: query.text("platform"),
            config: config(body),
            host: host.unwrap_or_default(),
            networking,
        })
        .await?;
    stream::json_with(StatusCode::CREATED, &Created { id: created.id, warnings: created.warnings })
}

/// The container's own `MacAddress`, which the API has left to endpoints since 1.44, and which many clients still send.
fn mac_address(bytes: &[u8]) -> Result<Option<String>, Error> {
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Older {
        mac_address: Option<String>,
    }
    if !bytes.windows(10).any(|part| part.eq_ignore_ascii_case(b"MacAddress")) {
        return Ok(None);
    }
    let older: Older = body::decode(bytes)?;
    Ok(older.mac_address.filter(|text| !text.is_empty()))
}

/// Gives the endpoint on the container's main network its address.
fn give_mac(networking: &mut NetworkingConfig, mode: &str, mac: String) -> Result<(), Error> {
    if matches!(mode, "host" | "none") || mode.starts_with("container:") {
        let text = "conflicting options: mac-address and the network mode";
        return Err(Error::Invalid(text.to_owned()));
    }
    let endpoints = networking.endpoints_config.get_or_insert_default();
    let name = if mode.is_empty() { "default" } else { mode };
    let address = &mut endpoints.entry(name.to_owned()).or_default().mac_address;
    match address.as_ref().filter(|text| !text.is_empty() && !text.eq_ignore_ascii_case(&mac)) {
        Some(_) => Err(Error::Invalid(
            "the container-wide MAC address must match the endpoint-specific MAC address for the main network, or be left empty".to_owned(),
        )),
        None => {
            *address = Some(mac);
            Ok(())
        }
    }
}

/// Some clients write a command as one string where the API has a list (Docker takes both).
fn decode(bytes: &[u8]) -> Result<ContainerCreateBody, Error> {
    let machine = as_machine(bytes);
    let bytes = machine.as_deref().unwrap_or(bytes);
    let strict = body::decode(bytes);
    if strict.is_ok() {
        return strict;
    }
    let Ok(Value::Object(mut object)) = serde_json::from_slice::<Value>(bytes) else { return strict };
    let mut eased = false;
    for key in ["Cmd", "Entrypoint", "Shell"] {
        if let Some(text @ Value::String(_)) = object.get_mut(key) {
            *text = Value::Array(vec![text.take()]);
            eased = true;
        }
    }
    if !eased {
        return strict;
    }
    let bytes = serde_json::to_vec(&object)?;
    body::decode(&bytes)
}

/// `"Isolation": "vm"`, which Docker's model does not know, is another word for the runtime of machines.
fn as_machine(bytes: &[u8]) -> Option<Vec<u8>> {
    if !bytes.windows(9).any(|part| part == b"Isolation") {
        return None;
    }
    let mut body: Value = serde_json::from_slice(bytes).ok()?;
    let host = body.get_mut("HostConfig")?.as_object_mut()?;
    if host.get("Isolation")?.as_str()? != "vm" {
        return None;
    }
    host.remove("Isolation");
    host.insert("Runtime".to_owned(), Value::from(berth_container::machine::RUNTIME));
    serde_json::to_vec(&body).ok()
}

/// The portable part of a create body.
fn config(body: ContainerCreateBody) -> ContainerConfig {
    ContainerConfig {
        hostname: body.hostname,
        domainname: body.domainname,
        user: body.user,
        attach_stdin: body.attach_stdin,
        attach_stdout: body.attach_stdout,
        attach_stderr: body.attach_stderr,
        exposed_ports: body.exposed_ports,
        tty: body.tty,
        open_stdin: body.open_stdin,
        stdin_once: body.stdin_once,
        env: body.env,
        cmd: body.cmd,
        healthcheck: body.healthcheck,
        args_escaped: body.args_escaped,
        image: body.image,
        volumes: body.volumes,
        working_dir: body.working_dir,
        entrypoint: body.entrypoint,
        network_disabled: body.network_disabled,
        on_build: body.on_build,
        labels: body.labels,
        stop_signal: body.stop_signal,
        stop_timeout: body.stop_timeout,
        shell: body.shell,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn isolation_vm_is_a_runtime() {
        let body = decode(br#"{"Image":"x","Cmd":"true","HostConfig":{"Isolation":"vm","Memory":5}}"#).unwrap();
        let host = body.host_config.unwrap();
        assert_eq!((host.runtime.as_deref(), host.memory), (Some("io.berth.vm"), Some(5)));
        assert!(decode(br#"{"HostConfig":{"Isolation":"process"}}"#).unwrap().host_config.unwrap().runtime.is_none());
    }

    #[test]
    fn the_containers_mac_address_goes_to_its_main_network() {
        let mac = mac_address(br#"{"Image":"x","MacAddress":"02:42:ac:11:00:0a"}"#).unwrap().unwrap();
        let mut networking = NetworkingConfig::default();
        give_mac(&mut networking, "", mac.clone()).unwrap();
        give_mac(&mut networking, "mine", mac.clone()).unwrap();
        let endpoints = networking.endpoints_config.as_ref().unwrap();
        assert_eq!(endpoints["default"].mac_address.as_deref(), Some(&*mac));
        assert_eq!(endpoints["mine"].mac_address.as_deref(), Some(&*mac));
        assert!(give_mac(&mut networking, "mine", "02:42:ac:11:00:0b".to_owned()).is_err());
        assert!(give_mac(&mut networking, "host", mac).is_err());
    }

    #[test]
    fn a_command_may_be_one_string() {
        let body = decode(br#"{"Image":"x","Cmd":"true","Entrypoint":["/bin/sh"]}"#).unwrap();
        assert_eq!(body.cmd.unwrap(), ["true"]);
        let error = decode(br#"{"Image":"x","Cmd":"true","Env":7}"#).unwrap_err().to_string();
        assert!(error.contains("Env"), "{error}");
        let error = decode(br#"{"HostConfig":{"Memory":"much"}}"#).unwrap_err().to_string();
        assert!(error.contains("HostConfig.Memory"), "{error}");
    }
}

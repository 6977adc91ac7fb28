//! `ps`.

use berth_kit::time::{Timestamp, human_duration};
use berth_spec::model::{ContainerSummary, ContainerSummaryHostConfig, ContainerSummaryNetworkSettings, PortSummary};
use serde_json::json;

use crate::{
    Containers, ListRequest, Result,
    containers::Container,
    filter::Matcher,
    inspect,
    record::{Record, Status},
};

impl Containers {
    /// Containers, newest first. Looks at memory only, unless sizes are asked for.
    ///
    /// # Errors
    /// [`crate::Error::Invalid`] for an unknown filter.
    pub async fn list(&self, request: ListRequest) -> Result<Vec<ContainerSummary>> {
        let matcher = Matcher::new(self, &request.filters).await?;
        let all = request.all || request.limit.is_some_and(|limit| limit > 0) || matcher.wants_stopped();
        let mut found: Vec<(Timestamp, ContainerSummary)> = Vec::new();
        for container in self.shared.all() {
            let health = container.health().status_text();
            let record = container.read();
            let shown = all || record.state.status.is_alive() || record.state.status == Status::Restarting;
            if shown && record.state.status != Status::Removing && matcher.matches(&record, health) {
                found.push((record.created, summarise(&record, &container, health)));
            }
        }
        found.sort_by_key(|(created, _)| std::cmp::Reverse(*created));
        found.truncate(request.limit.filter(|limit| *limit > 0).unwrap_or(usize::MAX));
        let mut summaries: Vec<ContainerSummary> = found.into_iter().map(|(_, summary)| summary).collect();
        if request.size {
            for summary in &mut summaries {
                let id = summary.id.clone().unwrap_or_default();
                let (own, all) = self.sizes(&id).await;
                summary.size_rw = Some(own);
                summary.size_root_fs = Some(all);
            }
        }
        Ok(summaries)
    }
}

fn summarise(record: &Record, container: &Container, health: &str) -> ContainerSummary {
    let networks = inspect::networks(record);
    let mut summary = ContainerSummary {
        id: Some(container.id.clone()),
        names: Some(vec![format!("/{}", record.name)]),
        image: Some(record.image_ref.clone()),
        image_id: Some(record.image_id.clone()),
        command: Some(command_text(&record.command())),
        created: Some(record.created.as_second()),
        ports: Some(ports(record)),
        labels: Some(record.config.labels.clone().unwrap_or_default()),
        status: Some(status_text(record, health)),
        host_config: Some(ContainerSummaryHostConfig {
            network_mode: Some(record.network_mode().to_owned()),
            ..ContainerSummaryHostConfig::default()
        }),
        network_settings: Some(ContainerSummaryNetworkSettings { networks: Some(networks) }),
        mounts: Some(inspect::mounts(record)),
        ..ContainerSummary::default()
    };
    summary.state = serde_json::from_value(json!(record.state.status.as_str())).ok();
    summary
}

/// Arguments in one line; those with spaces in single quotes, as Docker shows them.
fn command_text(command: &[String]) -> String {
    let quoted = |word: &String| if word.contains(' ') { format!("'{word}'") } else { word.clone() };
    command.iter().map(quoted).collect::<Vec<_>>().join(" ")
}

fn ports(record: &Record) -> Vec<PortSummary> {
    let mut ports = Vec::new();
    for (text, bindings) in &record.network.ports {
        let Ok(port) = crate::port::parse(text) else { continue };
        let typ = serde_json::from_value(json!(port.protocol)).ok();
        let inside = *port.range.start();
        if bindings.is_empty() {
            ports.push(PortSummary { private_port: inside, typ, ..PortSummary::default() });
        }
        for binding in bindings {
            ports.push(PortSummary {
                ip: Some(binding.host_ip.clone()),
                private_port: inside,
                public_port: Some(binding.host_port),
                typ,
            });
        }
    }
    ports
}

/// `Up 5 seconds (healthy)`, `Exited (0) 2 minutes ago`.
pub(crate) fn status_text(record: &Record, health: &str) -> String {
    let now = Timestamp::now();
    let ago = |at: Option<Timestamp>| human_duration(at.map_or(0, |at| now.duration_since(at).as_secs()));
    let state = &record.state;
    match state.status {
        Status::Created => "Created".to_owned(),
        Status::Removing => "Removal In Progress".to_owned(),
        Status::Dead => "Dead".to_owned(),
        Status::Paused => format!("Up {} (Paused)", ago(state.started_at)),
        Status::Restarting => format!("Restarting ({}) {} ago", state.exit_code, ago(state.finished_at)),
        Status::Exited => format!("Exited ({}) {} ago", state.exit_code, ago(state.finished_at)),
        Status::Running => {
            let up = format!("Up {}", ago(state.started_at));
            match health {
                "" => up,
                "starting" => format!("{up} (health: starting)"),
                health => format!("{up} ({health})"),
            }
        }
    }
}

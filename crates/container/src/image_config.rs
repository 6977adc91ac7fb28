//! What a container takes from its image when the user does not say otherwise.

use berth_spec::{image::RunConfig, model::ContainerConfig, model::HealthConfig};

/// Fills the gaps of `config` from `image`, as Docker merges them.
pub fn merge(config: &mut ContainerConfig, image: &RunConfig) {
    fill_text(&mut config.user, &image.user);
    fill_text(&mut config.working_dir, &image.working_dir);
    if config.stop_signal.as_deref().unwrap_or("").is_empty() {
        config.stop_signal.clone_from(&image.stop_signal);
    }
    merge_command(config, image);
    merge_environment(config, image.env.as_deref().unwrap_or(&[]));
    merge_labels(config, image);
    for port in image.exposed_ports.iter().flatten().map(|(port, _)| port) {
        let ports = config.exposed_ports.get_or_insert_default();
        if !ports.contains(port) {
            ports.push(port.clone());
        }
    }
    for path in image.volumes.iter().flatten().map(|(path, _)| path) {
        let volumes = config.volumes.get_or_insert_default();
        if !volumes.contains(path) {
            volumes.push(path.clone());
        }
    }
    if let Some(check) = &image.healthcheck {
        merge_health(config.healthcheck.get_or_insert_default(), check);
    }
    if config.shell.is_none() {
        config.shell.clone_from(&image.shell);
    }
}

fn fill_text(field: &mut Option<String>, from: &str) {
    if field.as_deref().unwrap_or("").is_empty() && !from.is_empty() {
        *field = Some(from.to_owned());
    }
}

/// An own entrypoint drops the image's command; an empty string as entrypoint drops the image's entrypoint.
fn merge_command(config: &mut ContainerConfig, image: &RunConfig) {
    let empty = |list: &Option<Vec<String>>| list.as_ref().is_none_or(Vec::is_empty);
    if empty(&config.entrypoint) {
        if empty(&config.cmd) {
            config.cmd.clone_from(&image.cmd);
        }
        if config.entrypoint.is_none() {
            config.entrypoint.clone_from(&image.entrypoint);
        }
    }
    if config.entrypoint.as_deref() == Some(&[String::new()]) {
        config.entrypoint = None;
    }
}

fn merge_environment(config: &mut ContainerConfig, image: &[String]) {
    let name = |entry: &str| entry.split('=').next().unwrap_or(entry).to_owned();
    let own = config.env.take().unwrap_or_default();
    let taken: std::collections::HashSet<String> = own.iter().map(|entry| name(entry)).collect();
    let mut merged: Vec<String> = image.iter().filter(|entry| !taken.contains(&name(entry))).cloned().collect();
    // The user's entries come first, as Docker's inspect shows them.
    merged.splice(0..0, own);
    config.env = Some(merged);
}

fn merge_labels(config: &mut ContainerConfig, image: &RunConfig) {
    let labels = config.labels.get_or_insert_default();
    for (key, value) in image.labels.iter().flatten() {
        labels.entry(key.clone()).or_insert_with(|| value.clone());
    }
}

fn merge_health(own: &mut HealthConfig, image: &HealthConfig) {
    if own.test.as_ref().is_none_or(Vec::is_empty) {
        own.test.clone_from(&image.test);
    }
    let fill = |field: &mut Option<i64>, from: Option<i64>| {
        if field.unwrap_or(0) == 0 {
            *field = from;
        }
    };
    fill(&mut own.interval, image.interval);
    fill(&mut own.timeout, image.timeout);
    fill(&mut own.start_period, image.start_period);
    fill(&mut own.start_interval, image.start_interval);
    fill(&mut own.retries, image.retries);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(list: &[&str]) -> Option<Vec<String>> {
        Some(list.iter().map(|word| (*word).to_owned()).collect())
    }

    fn image() -> RunConfig {
        RunConfig {
            entrypoint: words(&["/entry"]),
            cmd: words(&["serve"]),
            env: words(&["A=1", "B=2"]),
            ..RunConfig::default()
        }
    }

    #[test]
    fn own_command_keeps_the_images_entrypoint() {
        let mut config = ContainerConfig { cmd: words(&["ls"]), ..ContainerConfig::default() };
        merge(&mut config, &image());
        assert_eq!((config.entrypoint, config.cmd), (words(&["/entry"]), words(&["ls"])));
    }

    #[test]
    fn own_entrypoint_drops_the_images_command() {
        let mut config = ContainerConfig { entrypoint: words(&["sh"]), ..ContainerConfig::default() };
        merge(&mut config, &image());
        assert_eq!((config.entrypoint, config.cmd), (words(&["sh"]), None));
    }

    #[test]
    fn empty_entrypoint_resets_it() {
        let mut config =
            ContainerConfig { entrypoint: words(&[""]), cmd: words(&["ls"]), ..ContainerConfig::default() };
        merge(&mut config, &image());
        assert_eq!((config.entrypoint, config.cmd), (None, words(&["ls"])));
    }

    #[test]
    fn own_environment_wins() {
        let mut config = ContainerConfig { env: words(&["B=3"]), ..ContainerConfig::default() };
        merge(&mut config, &image());
        assert_eq!(config.env, words(&["B=3", "A=1"]));
    }
}

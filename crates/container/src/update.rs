//! `update`: limits and restart policy of a living container.

use berth_spec::model::{HostConfig, ThrottleDevice};

use crate::{Containers, Error, Result, oci_spec::resource, record::Status, validate};

impl Containers {
    /// Changes the limits that `wanted` names; the rest stays. Returns warnings.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a wrong limit, and what the kernel refuses: then nothing is changed.
    pub async fn update(&self, name: &str, wanted: HostConfig) -> Result<Vec<String>> {
        let container = self.shared.find(name)?;
        let _turn = container.turn.lock().await;
        if matches!(container.status(), Status::Removing | Status::Dead) {
            return Err(Error::Conflict(format!(
                "Cannot update container {}: Container is marked for removal and cannot be \"update\".",
                container.id
            )));
        }
        let mut warnings = Vec::new();
        let before = container.read().clone();
        let new_limit = wanted.memory.unwrap_or(0);
        let swap = before.host.memory_swap.unwrap_or(0);
        if swap > 0 && new_limit > swap && wanted.memory_swap.unwrap_or(0) == 0 {
            return Err(Error::Conflict(
                "Memory limit should be smaller than already set memoryswap limit, update the memoryswap at the same time"
                    .to_owned(),
            ));
        }
        let mut after = before.clone();
        merge(&mut after.host, wanted);
        self.shared.discard_missing_controllers(&mut after.host, &mut warnings);
        validate::host(&after.host)?;
        if before.auto_remove() && before.host.restart_policy != after.host.restart_policy {
            validate::restart_policy(&after.host)?;
        }
        if before.state.status.is_alive() {
            let limits = serde_json::from_value(resource::limits(&lift(&before.host, &after.host)))
                .map_err(|error| Error::Invalid(format!("these limits make no valid specification: {error}")))?;
            if crate::machine::is_wanted(&before) {
                self.machine_limits(&before, &after, limits).await?;
            } else {
                let cgroup = self.shared.cgroup(&before)?;
                cgroup.update(&limits).map_err(|error| Error::step("update the limits", &before.id, error))?;
            }
        }
        self.shared.change(&container, |record| record.host = after.host.clone())?;
        self.shared.publish(&container, "update", &[]);
        Ok(warnings)
    }
}

/// Takes over each limit that is given and not zero, as Docker does; `NanoCpus` and the quota replace each other.
fn merge(into: &mut HostConfig, from: HostConfig) {
    macro_rules! take {
        ($($field:ident),* $(,)?) => {
            $(if from.$field.is_some_and(|value| value != 0) { into.$field = from.$field; })*
        };
    }
    if from.nano_cpus.unwrap_or(0) != 0 {
        into.cpu_period = None;
        into.cpu_quota = None;
    }
    if from.cpu_quota.unwrap_or(0) != 0 || from.cpu_period.unwrap_or(0) != 0 {
        into.nano_cpus = None;
    }
    take!(
        cpu_shares,
        nano_cpus,
        cpu_period,
        cpu_quota,
        cpu_realtime_period,
        cpu_realtime_runtime,
        memory,
        memory_swap,
        memory_reservation,
        pids_limit,
        blkio_weight,
    );
    // An empty list takes the devices' limits away, an absent one leaves them (Engine API 1.55).
    macro_rules! take_lists {
        ($($field:ident),* $(,)?) => { $(if from.$field.is_some() { into.$field = from.$field; })* };
    }
    take_lists!(
        blkio_weight_device,
        blkio_device_read_bps,
        blkio_device_write_bps,
        blkio_device_read_iops,
        blkio_device_write_iops,
    );
    for (to, from) in [(&mut into.cpuset_cpus, from.cpuset_cpus), (&mut into.cpuset_mems, from.cpuset_mems)] {
        if from.as_deref().is_some_and(|list| !list.is_empty()) {
            *to = from;
        }
    }
    let names_policy =
        from.restart_policy.as_ref().and_then(|policy| policy.name).is_some_and(|name| !name.to_string().is_empty());
    if names_policy {
        into.restart_policy = from.restart_policy;
    }
}

/// `after`, with a rate of 0, which the kernel reads as none, for each device that `before` limits and `after` does not.
fn lift(before: &HostConfig, after: &HostConfig) -> HostConfig {
    let mut host = after.clone();
    macro_rules! lift {
        ($($field:ident),* $(,)?) => {$(
            let kept = host.$field.get_or_insert_default();
            for device in before.$field.iter().flatten() {
                if !kept.iter().any(|other| other.path == device.path) {
                    kept.push(ThrottleDevice { path: device.path.clone(), rate: Some(0) });
                }
            }
        )*};
    }
    lift!(blkio_device_read_bps, blkio_device_write_bps, blkio_device_read_iops, blkio_device_write_iops);
    host
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zero_leaves_a_limit_alone() {
        let mut host = HostConfig { memory: Some(64 << 20), cpu_quota: Some(50_000), ..HostConfig::default() };
        merge(&mut host, HostConfig { memory: Some(0), nano_cpus: Some(500_000_000), ..HostConfig::default() });
        assert_eq!((host.memory, host.nano_cpus, host.cpu_quota), (Some(64 << 20), Some(500_000_000), None));
    }

    #[test]
    fn devices_keep_their_limits_until_a_list_says_otherwise() {
        let device = |path: &str, rate| ThrottleDevice { path: Some(path.to_owned()), rate: Some(rate) };
        let before = HostConfig { blkio_device_read_bps: Some(vec![device("/dev/a", 7)]), ..HostConfig::default() };
        let mut after = before.clone();
        merge(&mut after, HostConfig::default());
        assert_eq!(after.blkio_device_read_bps, before.blkio_device_read_bps);
        merge(
            &mut after,
            HostConfig { blkio_device_read_bps: Some(vec![device("/dev/b", 9)]), ..HostConfig::default() },
        );
        let told = lift(&before, &after).blkio_device_read_bps;
        assert_eq!(told, Some(vec![device("/dev/b", 9), device("/dev/a", 0)]));
        merge(&mut after, HostConfig { blkio_device_read_bps: Some(Vec::new()), ..HostConfig::default() });
        assert_eq!(after.blkio_device_read_bps, Some(Vec::new()));
    }
}

//! Id maps of a user namespace (`user_namespaces(7)`): written by the maker, used by it to find host ids.

use oci_spec::runtime::LinuxIdMapping;

use crate::bundle::IdRange;
use crate::error::{Error, Result};

/// User and group maps: runs of (inside, outside, length).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct IdMaps {
    users: Vec<(u32, u32, u32)>,
    groups: Vec<(u32, u32, u32)>,
}

impl IdMaps {
    /// The specification's maps, or else one run for the container's range.
    pub(crate) fn of(
        users: Option<&Vec<LinuxIdMapping>>,
        groups: Option<&Vec<LinuxIdMapping>>,
        range: Option<IdRange>,
    ) -> Result<Self> {
        let runs = |list: Option<&Vec<LinuxIdMapping>>| -> Vec<(u32, u32, u32)> {
            match (list, range) {
                (Some(list), _) if !list.is_empty() => {
                    list.iter().map(|run| (run.container_id(), run.host_id(), run.size())).collect()
                }
                (_, Some(range)) => vec![(0, range.host_base, range.len)],
                _ => Vec::new(),
            }
        };
        let maps = Self { users: runs(users), groups: runs(groups) };
        if maps.users.is_empty() || maps.groups.is_empty() {
            let reason = String::from("a new user namespace needs id maps");
            return Err(Error::InvalidSpec { field: "linux.uidMappings", reason });
        }
        Ok(maps)
    }

    /// Writes both maps of a process that is alone in a new user namespace.
    pub(crate) fn write(&self, pid: i32) -> Result<()> {
        for (file, runs) in [("uid_map", &self.users), ("gid_map", &self.groups)] {
            let text: String =
                runs.iter().map(|(inside, outside, length)| format!("{inside} {outside} {length}\n")).collect();
            std::fs::write(format!("/proc/{pid}/{file}"), text)
                .map_err(|source| Error::Process { act: "write the id maps of the container", source })?;
        }
        Ok(())
    }

    /// The host's ids for a user and group inside; the same ids without maps, and 0 for what is not mapped.
    pub(crate) fn to_host(&self, uid: u32, gid: u32) -> (u32, u32) {
        (outside(&self.users, uid), outside(&self.groups, gid))
    }

    /// Reads the maps of a process that is in a user namespace already.
    pub(crate) fn read(pid: i32) -> Result<Self> {
        let runs = |file: &str| -> Result<Vec<(u32, u32, u32)>> {
            let text = std::fs::read_to_string(format!("/proc/{pid}/{file}"))
                .map_err(|source| Error::Process { act: "read the id maps of the container", source })?;
            let run = |line: &str| {
                let mut numbers = line.split_whitespace().map(str::parse::<u32>);
                Some((numbers.next()?.ok()?, numbers.next()?.ok()?, numbers.next()?.ok()?))
            };
            Ok(text.lines().filter_map(run).collect())
        };
        Ok(Self { users: runs("uid_map")?, groups: runs("gid_map")? })
    }
}

fn outside(runs: &[(u32, u32, u32)], id: u32) -> u32 {
    if runs.is_empty() {
        return id;
    }
    let found = runs.iter().find(|(inside, _, length)| (*inside..inside.saturating_add(*length)).contains(&id));
    found.map_or(0, |(inside, outside, _)| outside + (id - inside))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_inside_are_ids_outside_by_the_maps() {
        let maps = IdMaps::of(None, None, Some(IdRange { host_base: 100_000, len: 65_536 })).expect("maps");
        assert_eq!(maps.to_host(33, 0), (100_033, 100_000));
        assert_eq!(maps.to_host(70_000, 0), (0, 100_000));
        assert_eq!(IdMaps::default().to_host(5, 6), (5, 6));
        assert!(IdMaps::of(None, None, None).is_err());
    }
}

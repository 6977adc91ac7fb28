//! Id maps of a user namespace (`user_namespaces(7)`): written by the maker, used by it to find host ids.

use berth_sys::user_namespace;
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
            let runs = if user_namespace::is_nested() { split(runs, &Self::own(file)?) } else { runs.clone() };
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

    /// The runs of the caller's own map.
    fn own(file: &str) -> Result<Vec<(u32, u32, u32)>> {
        let own = Self::read(std::process::id() as i32)?;
        Ok(if file == "uid_map" { own.users } else { own.groups })
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

/// The runs, cut where the caller's own map goes on elsewhere: the kernel takes none that spans two of its parent's.
fn split(runs: &[(u32, u32, u32)], own: &[(u32, u32, u32)]) -> Vec<(u32, u32, u32)> {
    let mut pieces = Vec::new();
    for (inside, outside, length) in runs {
        let (mut done, end) = (0, *length);
        while done < end {
            let at = outside.saturating_add(done);
            let holder = own.iter().find(|(first, _, count)| (*first..first.saturating_add(*count)).contains(&at));
            // What the parent does not have is left for the kernel to refuse.
            let room = holder.map_or(end - done, |(first, _, count)| first.saturating_add(*count) - at);
            let piece = room.min(end - done);
            pieces.push((inside + done, at, piece));
            done += piece;
        }
    }
    pieces
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
    fn runs_are_cut_where_the_parents_are() {
        let own = [(0, 1000, 1), (1, 100_000, 65_536)];
        assert_eq!(split(&[(0, 0, 65_536)], &own), [(0, 0, 1), (1, 1, 65_535)]);
        assert_eq!(split(&[(0, 5, 10)], &own), [(0, 5, 10)]);
        assert_eq!(split(&[(0, 65_530, 100)], &own), [(0, 65_530, 7), (7, 65_537, 93)]);
    }

    #[test]
    fn ids_inside_are_ids_outside_by_the_maps() {
        let maps = IdMaps::of(None, None, Some(IdRange { host_base: 100_000, len: 65_536 })).expect("maps");
        assert_eq!(maps.to_host(33, 0), (100_033, 100_000));
        assert_eq!(maps.to_host(70_000, 0), (0, 100_000));
        assert_eq!(IdMaps::default().to_host(5, 6), (5, 6));
        assert!(IdMaps::of(None, None, None).is_err());
    }
}

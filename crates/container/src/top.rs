//! `top`: the processes of a container, from /proc.
//!
//! The columns of Docker's default (`ps -ef`) are read here. Other `ps` arguments are a host's program, whose output
//! is filtered to the container's processes, as Docker does.

use std::{collections::HashSet, fs};

use crate::{Containers, Error, Result, Top};

impl Containers {
    /// The processes of a container.
    ///
    /// # Errors
    /// [`Error::NotRunning`]; [`Error::Invalid`] when `ps` refuses its arguments or gives no PID column.
    pub async fn top(&self, name: &str, ps_args: &str) -> Result<Top> {
        let container = self.shared.find(name)?;
        let record = container.read().clone();
        if !record.state.status.is_alive() {
            return Err(Error::NotRunning(container.id.clone()));
        }
        if crate::machine::is_wanted(&record) {
            if !matches!(ps_args.trim(), "" | "-ef") {
                return Err(Error::Invalid(format!(
                    "ps {ps_args} would show the host's processes: those of a virtual machine have the columns of ps -ef only"
                )));
            }
            let processes = self.machine_processes(&record.id).await?;
            self.shared.publish(&container, "top", &[]);
            return Ok(guests_table(processes));
        }
        let pids = if berth_runtime::cgroup::are_usable() {
            let cgroup = self.shared.cgroup(&record)?;
            cgroup.pids().map_err(|error| Error::step("list the processes", &record.id, error))?
        } else {
            neighbours(record.state.pid)
        };
        self.shared.publish(&container, "top", &[]);
        if matches!(ps_args.trim(), "" | "-ef") {
            Ok(default_table(&pids, record.state.id_range.map_or(0, |range| range.host_base)))
        } else {
            foreign_table(ps_args, &pids).await
        }
    }
}

/// The processes in the pid namespace of `pid`, for containers without control groups.
fn neighbours(pid: u32) -> Vec<i32> {
    let namespace = |pid: &str| fs::read_link(format!("/proc/{pid}/ns/pid")).ok();
    let Some(wanted) = namespace(&pid.to_string()) else { return Vec::new() };
    let Ok(all) = fs::read_dir("/proc") else { return Vec::new() };
    let names = all.flatten().filter_map(|entry| entry.file_name().into_string().ok());
    let mut pids: Vec<i32> = names
        .filter(|name| name.bytes().all(|byte| byte.is_ascii_digit()) && namespace(name).as_ref() == Some(&wanted))
        .filter_map(|name| name.parse().ok())
        .collect();
    pids.sort_unstable();
    pids
}

/// The processes of a virtual machine, by their numbers there.
fn guests_table(processes: Vec<berth_vm::message::ProcessLine>) -> Top {
    let users = fs::read_to_string("/etc/passwd").unwrap_or_default();
    let now_s = berth_kit::time::Timestamp::now().as_second();
    let row = |line: berth_vm::message::ProcessLine| {
        // What the guest says is text for a client, and its numbers may be anything.
        let age_s = i64::try_from(line.age_s).unwrap_or(0).clamp(0, now_s);
        let seconds = line.ticks / 100;
        let started = berth_kit::time::Timestamp::from_second(now_s - age_s).unwrap_or_default();
        vec![
            user_name(line.uid, &users),
            line.pid.to_string(),
            line.parent.to_string(),
            (line.ticks / line.age_s.max(1)).min(99).to_string(),
            started.strftime("%H:%M").to_string(),
            terminal(line.terminal),
            format!("{:02}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60),
            line.command,
        ]
    };
    Top { titles: titles(), processes: processes.into_iter().map(row).collect() }
}

fn titles() -> Vec<String> {
    ["UID", "PID", "PPID", "C", "STIME", "TTY", "TIME", "CMD"].map(str::to_owned).to_vec()
}

fn default_table(pids: &[i32], shift: u32) -> Top {
    let users = fs::read_to_string("/etc/passwd").unwrap_or_default();
    let boot_s = boot_time();
    Top { titles: titles(), processes: pids.iter().filter_map(|pid| row(*pid, shift, &users, boot_s)).collect() }
}

/// One row as `ps -ef` gives it, with the user as the container knows it; `None` when the process has ended meanwhile (proc_pid_stat(5)).
fn row(pid: i32, shift: u32, users: &str, boot_s: i64) -> Option<Vec<String>> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (name, rest) = stat.split_once('(')?.1.rsplit_once(')')?;
    let fields: Vec<i64> = rest.split_whitespace().skip(1).map(|field| field.parse().unwrap_or(0)).collect();
    let ticks = fields.get(10)? + fields.get(11)?;
    let started_s = boot_s + fields.get(18)? / 100;
    let command = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let command = String::from_utf8_lossy(&command).trim_end_matches('\0').replace('\0', " ");
    let now_s = berth_kit::time::Timestamp::now().as_second();
    let share = ticks / (now_s - started_s).max(1);
    let seconds = ticks / 100;
    let started = berth_kit::time::Timestamp::from_second(started_s).ok()?;
    Some(vec![
        user_name(owner(pid)?.wrapping_sub(shift), users),
        pid.to_string(),
        fields.first()?.to_string(),
        share.min(99).to_string(),
        started.strftime("%H:%M").to_string(),
        terminal(*fields.get(3)?),
        format!("{:02}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60),
        if command.is_empty() { format!("[{name}]") } else { command },
    ])
}

fn owner(pid: i32) -> Option<u32> {
    use std::os::unix::fs::MetadataExt as _;
    fs::metadata(format!("/proc/{pid}")).ok().map(|metadata| metadata.uid())
}

fn user_name(uid: u32, users: &str) -> String {
    let text = uid.to_string();
    let known = users.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)? == text).then(|| name.to_owned())
    });
    known.unwrap_or(text)
}

fn terminal(device: i64) -> String {
    match (device >> 8, device & 0xff) {
        (136, minor) => format!("pts/{minor}"),
        _ => "?".to_owned(),
    }
}

fn boot_time() -> i64 {
    let stat = fs::read_to_string("/proc/stat").unwrap_or_default();
    stat.lines().find_map(|line| line.strip_prefix("btime ")).and_then(|text| text.trim().parse().ok()).unwrap_or(0)
}

async fn foreign_table(ps_args: &str, pids: &[i32]) -> Result<Top> {
    let list: Vec<String> = pids.iter().map(i32::to_string).collect();
    let mut output = run_ps(ps_args, Some(format!("-q{}", list.join(",")))).await?;
    if !output.status.success() {
        // Some arguments do not go together with -q.
        output = run_ps(ps_args, None).await?;
    }
    if !output.status.success() {
        return Err(Error::Invalid(format!("ps: {}", String::from_utf8_lossy(&output.stderr).trim())));
    }
    select(&String::from_utf8_lossy(&output.stdout), pids)
}

async fn run_ps(ps_args: &str, chosen: Option<String>) -> Result<std::process::Output> {
    let mut command = tokio::process::Command::new("ps");
    command.args(ps_args.split_whitespace()).args(chosen).kill_on_drop(true);
    command.output().await.map_err(|error| Error::Invalid(format!("cannot run ps {ps_args}: {error}")))
}

fn select(output: &str, pids: &[i32]) -> Result<Top> {
    let mut lines = output.lines();
    let titles: Vec<String> = lines.next().unwrap_or("").split_whitespace().map(str::to_owned).collect();
    let column = titles
        .iter()
        .position(|title| title == "PID")
        .ok_or_else(|| Error::Invalid("Couldn't find PID field in ps output".to_owned()))?;
    let wanted: HashSet<String> = pids.iter().map(i32::to_string).collect();
    let split = |line: &str| -> Vec<String> {
        let mut words = line.split_whitespace();
        let mut cells: Vec<String> = words.by_ref().take(titles.len() - 1).map(str::to_owned).collect();
        cells.push(words.collect::<Vec<_>>().join(" "));
        cells
    };
    let processes =
        lines.map(split).filter(|cells| cells.get(column).is_some_and(|pid| wanted.contains(pid))).collect();
    Ok(Top { titles, processes })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn foreign_tables_are_filtered() {
        let top = select("USER PID CMD\nroot 1 init\nroot 7 sleep 10 s\n", &[7]).unwrap();
        assert_eq!(top.processes, [["root", "7", "sleep 10 s"]]);
        assert!(select("A B\n", &[1]).is_err());
    }

    #[test]
    fn own_process_has_a_row() {
        let row = row(std::process::id() as i32, 0, "root:x:0:0::/root:/bin/sh\n", boot_time()).unwrap();
        assert_eq!(row.len(), 8);
        assert_eq!(row[1], std::process::id().to_string());
    }
}

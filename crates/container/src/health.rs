//! Health checks: a command in the container, again and again.
//!
//! ```text
//!  starting ──success──► healthy ◄──success── unhealthy
//!     │                     │                     ▲
//!     └──── retries failures in a row, ───────────┘
//!           those within start-period not counted
//! ```

use std::{collections::VecDeque, sync::Arc, time::Duration};

use berth_kit::time::{Timestamp, format_nano};
use berth_spec::{
    model::{ExecConfig, Health, HealthConfig, HealthcheckResult},
    stream,
};
use serde_json::json;
use tokio::{io::AsyncReadExt as _, task::JoinHandle};

use crate::{Containers, ExecStartRequest, ExecStarted, containers::Container};

const INTERVAL_DEFAULT_NS: i64 = 30_000_000_000;
const TIMEOUT_DEFAULT_NS: i64 = 30_000_000_000;
const START_INTERVAL_DEFAULT_NS: i64 = 5_000_000_000;
const RETRIES_DEFAULT: i64 = 3;
/// Results shown by inspect.
const LOG_MAX: usize = 5;
/// Output kept of one check, in bytes.
const OUTPUT_MAX: usize = 4096;

/// The health of one container.
#[derive(Default)]
pub(crate) struct Monitor {
    task: Option<JoinHandle<()>>,
    status: &'static str,
    failing_streak: i64,
    log: VecDeque<HealthcheckResult>,
}

impl Monitor {
    /// `starting`, `healthy`, `unhealthy`, or empty without a check.
    pub fn status_text(&self) -> &'static str {
        self.status
    }

    /// What inspect shows; `None` without a check.
    pub fn report(&self) -> Option<Health> {
        (!self.status.is_empty()).then(|| Health {
            status: serde_json::from_value(json!(self.status)).ok(),
            failing_streak: Some(self.failing_streak),
            log: Some(self.log.iter().cloned().collect()),
        })
    }

    /// Books one result; the new status when it changed.
    fn book(&mut self, result: HealthcheckResult, retries: i64, in_start_period: bool) -> Option<&'static str> {
        let passed = result.exit_code == Some(0);
        if self.log.len() == LOG_MAX {
            self.log.pop_front();
        }
        self.log.push_back(result);
        let before = self.status;
        if passed {
            self.failing_streak = 0;
            self.status = "healthy";
        } else if !(in_start_period && self.status == "starting") {
            self.failing_streak += 1;
            if self.failing_streak >= retries {
                self.status = "unhealthy";
            }
        }
        (before != self.status).then_some(self.status)
    }
}

/// A health check with its defaults filled in.
struct Check {
    command: Vec<String>,
    interval: Duration,
    timeout: Duration,
    start_period: Duration,
    start_interval: Duration,
    retries: i64,
}

impl Check {
    /// `None` when there is no check or it is disabled.
    fn of(config: &HealthConfig, shell: Option<&[String]>) -> Option<Self> {
        let test = config.test.as_deref().unwrap_or(&[]);
        let command = match test.split_first() {
            Some((kind, rest)) if kind == "CMD" && !rest.is_empty() => rest.to_vec(),
            Some((kind, [line, ..])) if kind == "CMD-SHELL" => {
                let default = ["/bin/sh".to_owned(), "-c".to_owned()];
                let mut command = shell.filter(|shell| !shell.is_empty()).unwrap_or(&default).to_vec();
                command.push(line.clone());
                command
            }
            _ => return None,
        };
        let length = |value: Option<i64>, default: i64| {
            let ns = value.filter(|ns| *ns > 0).unwrap_or(default);
            Duration::from_nanos(ns.unsigned_abs())
        };
        Some(Self {
            command,
            interval: length(config.interval, INTERVAL_DEFAULT_NS),
            timeout: length(config.timeout, TIMEOUT_DEFAULT_NS),
            start_period: length(config.start_period, 0),
            start_interval: length(config.start_interval, START_INTERVAL_DEFAULT_NS),
            retries: config.retries.filter(|retries| *retries > 0).unwrap_or(RETRIES_DEFAULT),
        })
    }
}

impl Containers {
    /// Begins the checks of a container that has just started, where it has any.
    pub(crate) fn begin_health(&self, container: &Arc<Container>) {
        let check = {
            let record = container.read();
            record.config.healthcheck.as_ref().and_then(|config| Check::of(config, record.config.shell.as_deref()))
        };
        let Some(check) = check else { return };
        let (containers, of) = (self.clone(), container.clone());
        let mut monitor = container.health();
        monitor.status = "starting";
        monitor.failing_streak = 0;
        monitor.log.clear();
        monitor.task = Some(tokio::spawn(async move { containers.check_forever(&of, check).await }));
    }

    /// Ends the checks of a container; the last results stay visible.
    pub(crate) fn end_health(&self, container: &Container) {
        let mut monitor = container.health();
        if let Some(task) = monitor.task.take() {
            task.abort();
            monitor.status = if monitor.status.is_empty() { "" } else { "unhealthy" };
        }
    }

    async fn check_forever(&self, container: &Arc<Container>, check: Check) {
        let began = tokio::time::Instant::now();
        loop {
            let starting = container.health().status == "starting" && began.elapsed() < check.start_period;
            tokio::time::sleep(if starting { check.start_interval.min(check.interval) } else { check.interval }).await;
            if container.status() != crate::record::Status::Running {
                continue;
            }
            let result = self.check_once(container, &check).await;
            let in_start_period = began.elapsed() < check.start_period;
            let changed = container.health().book(result, check.retries, in_start_period);
            if let Some(status) = changed {
                self.shared.publish(container, &format!("health_status: {status}"), &[]);
            }
        }
    }

    async fn check_once(&self, container: &Arc<Container>, check: &Check) -> HealthcheckResult {
        let start = Timestamp::now();
        let run = self.run_check(container, check);
        let (exit_code, output) = match tokio::time::timeout(check.timeout, run).await {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(error)) => (-1, error.to_string()),
            Err(_) => (-1, format!("Health check exceeded timeout ({:?})", check.timeout)),
        };
        HealthcheckResult {
            start: Some(format_nano(start)),
            end: Some(format_nano(Timestamp::now())),
            exit_code: Some(exit_code),
            output: Some(output),
        }
    }

    async fn run_check(&self, container: &Arc<Container>, check: &Check) -> crate::Result<(i64, String)> {
        let config = ExecConfig {
            attach_stdout: Some(true),
            attach_stderr: Some(true),
            cmd: Some(check.command.clone()),
            ..ExecConfig::default()
        };
        let id = self.exec_create(&container.id, config).await?;
        let ExecStarted::Attached { mut stream, .. } = self.exec_start(&id, ExecStartRequest::default()).await? else {
            return Ok((-1, String::new()));
        };
        let mut decoder = stream::Decoder::default();
        let mut output = Vec::new();
        let mut buffer = vec![0u8; 4096];
        while let Ok(read @ 1..) = stream.read(&mut buffer).await {
            decoder.push(&buffer[..read]);
            while let Ok(Some((_, bytes))) = decoder.next_frame() {
                let room = OUTPUT_MAX.saturating_sub(output.len());
                output.extend_from_slice(&bytes[..bytes.len().min(room)]);
            }
        }
        let code = self.exec_inspect(&id).await?.exit_code.unwrap_or(-1);
        Ok((code, String::from_utf8_lossy(&output).into_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn result(code: i64) -> HealthcheckResult {
        HealthcheckResult { exit_code: Some(code), ..HealthcheckResult::default() }
    }

    #[test]
    fn failures_in_the_start_period_do_not_count() {
        let mut monitor = Monitor { status: "starting", ..Monitor::default() };
        assert_eq!(monitor.book(result(1), 1, true), None);
        assert_eq!(monitor.book(result(0), 1, true), Some("healthy"));
        assert_eq!(monitor.book(result(1), 2, true), None);
        assert_eq!(monitor.book(result(1), 2, false), Some("unhealthy"));
        assert_eq!(monitor.book(result(0), 2, false), Some("healthy"));
        assert_eq!(monitor.report().unwrap().log.unwrap().len(), LOG_MAX);
    }

    #[test]
    fn forms_of_a_check() {
        let config = |test: &[&str]| HealthConfig {
            test: Some(test.iter().map(|w| (*w).to_owned()).collect()),
            ..HealthConfig::default()
        };
        assert_eq!(Check::of(&config(&["CMD-SHELL", "exit 0"]), None).unwrap().command, ["/bin/sh", "-c", "exit 0"]);
        assert_eq!(Check::of(&config(&["CMD", "true"]), None).unwrap().command, ["true"]);
        for none in [&["NONE"][..], &[], &["CMD"]] {
            assert!(Check::of(&config(none), None).is_none());
        }
    }
}

//! `HEALTHCHECK [flags] CMD command` and `HEALTHCHECK NONE`.

use super::form;
use super::statement::Statement;
use crate::diagnostic::Diagnostic;
use crate::instruction::{Command, Form, Healthcheck, Probe};

/// The shortest time that a check may be given, in nanoseconds.
const SHORTEST_NS: i64 = 1_000_000;

pub(super) fn healthcheck(statement: &Statement<'_>) -> Result<Command, Diagnostic> {
    let mut probe = Probe {
        test: Form::Exec(Vec::new()),
        interval_ns: None,
        timeout_ns: None,
        start_period_ns: None,
        start_interval_ns: None,
        retries: None,
    };
    let known = ["interval", "timeout", "start-period", "start-interval", "retries"];
    let mut flags = false;
    statement.each_flag(&known, &[], |name, value| {
        flags = true;
        match name {
            "interval" => probe.interval_ns = duration(name, &value)?,
            "timeout" => probe.timeout_ns = duration(name, &value)?,
            "start-period" => probe.start_period_ns = duration(name, &value)?,
            "start-interval" => probe.start_interval_ns = duration(name, &value)?,
            _ => probe.retries = retries(&value)?,
        }
        Ok(())
    })?;
    let inner = statement.below();
    match inner.name.as_str() {
        "" => Err(statement.fault("HEALTHCHECK requires at least one argument")),
        "NONE" if !inner.rest().is_empty() => Err(statement.fault("HEALTHCHECK NONE takes no arguments")),
        "NONE" if flags => Err(statement.fault("HEALTHCHECK NONE takes no flags")),
        "NONE" => Ok(Command::Healthcheck(Healthcheck::None)),
        "CMD" => {
            probe.test = form::form(&inner)?;
            let empty = match &probe.test {
                Form::Exec(words) => words.is_empty(),
                Form::Shell(line) => line.is_empty(),
            };
            match empty {
                true => Err(statement.fault("Missing command after HEALTHCHECK CMD")),
                false => Ok(Command::Healthcheck(Healthcheck::Probe(probe))),
            }
        }
        _ => Err(statement.fault(format!("Unknown type {:?} in HEALTHCHECK (try CMD)", inner.keyword))),
    }
}

/// A time; zero is Docker's "as the base image has it".
fn duration(name: &str, value: &str) -> Result<Option<i64>, String> {
    let ns = berth_kit::time::parse_duration(value).map_err(|_| format!("invalid duration {value:?} for {name}"))?;
    match ns {
        0 => Ok(None),
        ns if ns < SHORTEST_NS => Err(format!("Interval {name:?} cannot be less than 1ms")),
        ns => Ok(Some(ns)),
    }
}

fn retries(value: &str) -> Result<Option<i64>, String> {
    match value.parse::<i32>() {
        Ok(retries) if retries >= 0 => Ok((retries > 0).then_some(i64::from(retries))),
        Ok(retries) => Err(format!("--retries cannot be negative ({retries})")),
        Err(_) => Err(format!("invalid number {value:?} for retries")),
    }
}

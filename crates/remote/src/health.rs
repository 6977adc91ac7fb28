//! How endpoints have behaved lately: those that failed are asked last for a while.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

/// How long an endpoint stands back after its first failure; each further one doubles it.
const PENALTY_FIRST: Duration = Duration::from_secs(10);
const PENALTY_MAX: Duration = Duration::from_secs(600);

/// Failures by endpoint.
#[derive(Debug, Default)]
pub struct Health {
    sick: Mutex<HashMap<String, Sick>>,
}

#[derive(Debug, Clone, Copy)]
struct Sick {
    failures: u32,
    until: Instant,
}

impl Health {
    /// Failures of an endpoint that still count; 0 for a healthy one.
    pub fn failures(&self, endpoint: &str) -> u32 {
        let now = Instant::now();
        self.lock().get(endpoint).filter(|sick| sick.until > now).map_or(0, |sick| sick.failures)
    }

    /// Notes a failure; `wait` is what the endpoint itself asked for.
    pub fn failed(&self, endpoint: &str, wait: Option<Duration>) {
        let mut sick = self.lock();
        let entry = sick.entry(endpoint.to_owned()).or_insert(Sick { failures: 0, until: Instant::now() });
        entry.failures = (entry.failures + 1).min(16);
        let penalty = PENALTY_FIRST * 2_u32.pow(entry.failures - 1);
        entry.until = Instant::now() + wait.unwrap_or(penalty).min(PENALTY_MAX);
    }

    /// Notes an answer.
    pub fn answered(&self, endpoint: &str) {
        self.lock().remove(endpoint);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Sick>> {
        self.sick.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_count_until_an_answer_or_the_end_of_the_penalty() {
        let health = Health::default();
        assert_eq!(health.failures("a"), 0);
        health.failed("a", None);
        health.failed("a", None);
        assert_eq!((health.failures("a"), health.failures("b")), (2, 0));
        health.answered("a");
        assert_eq!(health.failures("a"), 0);
        health.failed("a", Some(Duration::ZERO));
        assert_eq!(health.failures("a"), 0);
    }
}

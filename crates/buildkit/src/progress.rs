//! What a build tells while it runs: kept from its beginning, so that whoever asks late hears all of it.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::watch;

use crate::proto::control::{StatusResponse, Vertex, VertexLog, VertexStatus, VertexWarning};

/// How much of one build's logs is kept for those who ask late, in bytes.
const KEPT_LOG_BYTES: usize = 8 << 20;

/// The teller and the listeners of one build; clones share it.
#[derive(Debug, Clone, Default)]
pub struct Progress {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    told: Mutex<Told>,
    changed: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct Told {
    messages: Vec<Arc<StatusResponse>>,
    log_bytes: usize,
    /// Messages before this one have no logs any more.
    stripped: usize,
    ended: bool,
}

impl Told {
    /// Who listens hears all logs; who comes late to a long build, the newest.
    fn forget_logs(&mut self) {
        while self.log_bytes > KEPT_LOG_BYTES && self.stripped + 1 < self.messages.len() {
            let message = &mut self.messages[self.stripped];
            let bytes = log_bytes(message);
            if bytes > 0 {
                Arc::make_mut(message).logs.clear();
                self.log_bytes -= bytes;
            }
            self.stripped += 1;
        }
    }
}

fn log_bytes(message: &StatusResponse) -> usize {
    message.logs.iter().map(|log| log.msg.len()).sum()
}

/// Steps of a build, counted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Count {
    /// Steps known.
    pub total: i32,
    /// Steps that ended.
    pub completed: i32,
    /// Steps that came from the cache.
    pub cached: i32,
    /// Findings.
    pub warnings: i32,
}

impl Progress {
    /// Tells several things at once.
    pub fn tell(&self, message: StatusResponse) {
        let mut told = self.lock();
        if told.ended {
            return;
        }
        told.log_bytes += log_bytes(&message);
        told.messages.push(Arc::new(message));
        told.forget_logs();
        drop(told);
        self.shared.changed.send_modify(|count| *count += 1);
    }

    /// A step began, ended, failed or was found in the cache.
    pub fn vertex(&self, vertex: Vertex) {
        self.tell(StatusResponse { vertexes: vec![vertex], ..StatusResponse::default() });
    }

    /// A part of a step goes on.
    pub fn status(&self, status: VertexStatus) {
        self.tell(StatusResponse { statuses: vec![status], ..StatusResponse::default() });
    }

    /// A step said something.
    pub fn log(&self, log: VertexLog) {
        self.tell(StatusResponse { logs: vec![log], ..StatusResponse::default() });
    }

    /// A check found something.
    pub fn warning(&self, warning: VertexWarning) {
        self.tell(StatusResponse { warnings: vec![warning], ..StatusResponse::default() });
    }

    /// Nothing more is told.
    pub fn end(&self) {
        self.lock().ended = true;
        self.shared.changed.send_modify(|count| *count += 1);
    }

    /// All that was told so far.
    #[must_use]
    pub fn told(&self) -> Vec<Arc<StatusResponse>> {
        self.lock().messages.clone()
    }

    /// The steps, counted.
    #[must_use]
    pub fn count(&self) -> Count {
        let mut last = std::collections::BTreeMap::new();
        let mut count = Count::default();
        for message in &self.lock().messages {
            count.warnings += i32::try_from(message.warnings.len()).unwrap_or(i32::MAX);
            for vertex in &message.vertexes {
                last.insert(vertex.digest.clone(), (vertex.completed.is_some(), vertex.cached));
            }
        }
        let number = |count: usize| i32::try_from(count).unwrap_or(i32::MAX);
        count.total = number(last.len());
        count.completed = number(last.values().filter(|(completed, _)| *completed).count());
        count.cached = number(last.values().filter(|(_, cached)| *cached).count());
        count
    }

    /// Listens from the beginning.
    #[must_use]
    pub fn listen(&self) -> Listener {
        Listener { progress: self.clone(), heard: 0, changed: self.shared.changed.subscribe() }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Told> {
        self.shared.told.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One who listens.
#[derive(Debug)]
pub struct Listener {
    progress: Progress,
    heard: usize,
    changed: watch::Receiver<u64>,
}

impl Listener {
    /// What was told next; none once all was heard and nothing more comes.
    pub async fn next(&mut self) -> Option<Arc<StatusResponse>> {
        loop {
            {
                let told = self.progress.lock();
                if let Some(message) = told.messages.get(self.heard) {
                    self.heard += 1;
                    return Some(Arc::clone(message));
                }
                if told.ended {
                    return None;
                }
            }
            self.changed.changed().await.ok()?;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log(bytes: usize) -> VertexLog {
        VertexLog { msg: vec![b'x'; bytes], ..VertexLog::default() }
    }

    #[tokio::test]
    async fn who_asks_late_hears_all() {
        let progress = Progress::default();
        progress.log(log(1));
        let mut late = progress.listen();
        progress.vertex(Vertex {
            digest: "a".into(),
            cached: true,
            completed: Some(Default::default()),
            ..Default::default()
        });
        progress.end();
        progress.log(log(1));
        assert_eq!(late.next().await.map(|message| message.logs.len()), Some(1));
        assert_eq!(late.next().await.map(|message| message.vertexes.len()), Some(1));
        assert!(late.next().await.is_none());
        assert_eq!(progress.count(), Count { total: 1, completed: 1, cached: 1, warnings: 0 });
    }

    #[tokio::test]
    async fn endless_logs_end() {
        let progress = Progress::default();
        for _ in 0..20 {
            progress.log(log(1 << 20));
        }
        let kept: usize = progress.told().iter().flat_map(|message| &message.logs).map(|log| log.msg.len()).sum();
        assert!(kept <= KEPT_LOG_BYTES, "{kept}");
    }
}

//! A device's interrupt: why it was raised, and the line that raises it.

use std::sync::{
    Arc,
    atomic::{AtomicU32, Ordering},
};

use vmm_sys_util::eventfd::EventFd;

use super::bits::cause;

/// See the module.
#[derive(Debug, Clone)]
pub struct Interrupt {
    causes: Arc<AtomicU32>,
    line: Arc<EventFd>,
}

impl Interrupt {
    /// An interrupt of the line that `line` pulls.
    #[must_use]
    pub fn new(line: EventFd) -> Self {
        Self { causes: Arc::default(), line: Arc::new(line) }
    }

    /// The driver finds used buffers.
    pub fn queue(&self) {
        self.raise(cause::QUEUE);
    }

    /// The driver finds another configuration.
    pub fn config(&self) {
        self.raise(cause::CONFIG);
    }

    /// Pulls the line once more: after a restore an interrupt may have been lost.
    pub fn repeat(&self) {
        if self.causes() != 0 {
            self.raise(0);
        }
    }

    fn raise(&self, cause: u32) {
        self.causes.fetch_or(cause, Ordering::SeqCst);
        // It can only fail when the counter is full, and then the line is pulled anyway.
        let _ = self.line.write(1);
    }

    pub(super) fn causes(&self) -> u32 {
        self.causes.load(Ordering::SeqCst)
    }

    pub(super) fn acknowledge(&self, causes: u32) {
        self.causes.fetch_and(!causes, Ordering::SeqCst);
    }

    pub(super) fn set_causes(&self, causes: u32) {
        self.causes.store(causes, Ordering::SeqCst);
    }

    /// The line, to be given to KVM.
    #[must_use]
    pub fn line(&self) -> &EventFd {
        &self.line
    }
}

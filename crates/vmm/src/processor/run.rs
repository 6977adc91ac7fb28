//! The threads in which processors run, and what makes them stop.

use std::{
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicPtr, AtomicU8, Ordering},
    },
    thread::JoinHandle,
};

use kvm_ioctls::VcpuExit;
use vmm_sys_util::signal::{Killable as _, SIGRTMIN, register_signal_handler};

use super::{Processor, State};
use crate::{
    Error, Result,
    legacy::{End, Outcome},
};

/// Stacks of processors' threads: an exit goes through a few functions only.
const STACK_BYTES: usize = 128 << 10;

/// Where the accesses of a guest go that KVM does not answer itself.
pub trait Bus: Send + Sync {
    /// A read of an I/O port.
    fn port_read(&self, port: u16, data: &mut [u8]);
    /// A write to an I/O port.
    fn port_write(&self, port: u16, data: &[u8]);
    /// A read of what is no memory.
    fn read(&self, address: u64, data: &mut [u8]);
    /// A write to what is no memory.
    fn write(&self, address: u64, data: &[u8]);
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Parked,
    Running,
    Ended,
}

/// What all threads and their owner share.
struct Gate {
    /// The phase, and how many threads wait.
    state: Mutex<(Phase, usize)>,
    changed: Condvar,
}

impl Gate {
    fn lock(&self) -> MutexGuard<'_, (Phase, usize)> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set(&self, phase: Phase) {
        self.lock().0 = phase;
        self.changed.notify_all();
    }

    /// Waits as long as processors are parked. `false` when there is nothing more to run.
    fn pass(&self, kicked: &Kick) -> bool {
        let mut state = self.lock();
        state.1 += 1;
        self.changed.notify_all();
        while state.0 == Phase::Parked {
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        state.1 -= 1;
        // Under the lock: whoever parks the processors from here on kicks afterwards.
        kicked.clear();
        state.0 == Phase::Running
    }
}

/// `immediate_exit` of a processor's run structure.
struct Kick(AtomicPtr<u8>);

impl Kick {
    fn of(processor: &mut Processor) -> Self {
        Self(AtomicPtr::new(&raw mut processor.fd.get_kvm_run().immediate_exit))
    }

    fn store(&self, value: u8) {
        // SAFETY: the byte is in the structure that the kernel maps for the processor, which lives as long as the
        // processor; that lives in the `Arc` beside this value. Both sides access it atomically.
        unsafe { AtomicU8::from_ptr(self.0.load(Ordering::Relaxed)) }.store(value, Ordering::Release);
    }

    fn set(&self) {
        self.store(1);
    }

    fn clear(&self) {
        self.store(0);
    }
}

struct Thread {
    processor: Arc<Mutex<Processor>>,
    kick: Arc<Kick>,
    handle: Option<JoinHandle<()>>,
}

/// All processors of a machine. Dropped, they end.
pub struct Processors {
    gate: Arc<Gate>,
    threads: Vec<Thread>,
}

impl Processors {
    /// Starts a thread for each; none runs before [`resume`](Self::resume).
    ///
    /// # Errors
    /// [`Error::System`].
    pub fn start(processors: Vec<Processor>, bus: &Arc<dyn Bus>, end: &End) -> Result<Self> {
        extern "C" fn nothing(_: libc::c_int, _: *mut libc::siginfo_t, _: *mut libc::c_void) {}
        register_signal_handler(SIGRTMIN(), nothing)
            .map_err(|error| Error::System { act: "handle the signal for processors", source: error.into() })?;
        let gate = Arc::new(Gate { state: Mutex::new((Phase::Parked, 0)), changed: Condvar::new() });
        let mut all = Self { gate, threads: Vec::with_capacity(processors.len()) };
        for mut processor in processors {
            let kick = Arc::new(Kick::of(&mut processor));
            let name = format!("vcpu{}", processor.index);
            let processor = Arc::new(Mutex::new(processor));
            let runner = Runner {
                processor: Arc::clone(&processor),
                kick: Arc::clone(&kick),
                gate: Arc::clone(&all.gate),
                bus: Arc::clone(bus),
                end: end.clone(),
            };
            let spawned = std::thread::Builder::new().name(name).stack_size(STACK_BYTES).spawn(move || runner.run());
            let handle = spawned.map_err(Error::io("start a processor's thread"))?;
            all.threads.push(Thread { processor, kick, handle: Some(handle) });
        }
        all.wait_parked();
        Ok(all)
    }

    /// Lets them run.
    pub fn resume(&self) {
        self.gate.set(Phase::Running);
    }

    /// Stops them; returns when none runs.
    pub fn pause(&self) {
        self.gate.set(Phase::Parked);
        self.kick();
        self.wait_parked();
    }

    /// The state of each; they are parked.
    ///
    /// # Errors
    /// [`Error::Kvm`].
    pub fn save(&self, msrs: &[u32]) -> Result<Vec<State>> {
        self.threads.iter().map(|thread| State::save(&locked(&thread.processor).fd, msrs)).collect()
    }

    fn kick(&self) {
        for thread in &self.threads {
            thread.kick.set();
            if let Some(handle) = &thread.handle {
                // A thread that has ended needs no kick.
                let _ = handle.kill(SIGRTMIN());
            }
        }
    }

    fn wait_parked(&self) {
        let mut state = self.gate.lock();
        while state.1 < self.threads.len() {
            state = self.gate.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

impl Drop for Processors {
    fn drop(&mut self) {
        self.gate.set(Phase::Ended);
        self.kick();
        for thread in &mut self.threads {
            let _ = thread.handle.take().map(JoinHandle::join);
        }
    }
}

fn locked(processor: &Mutex<Processor>) -> MutexGuard<'_, Processor> {
    processor.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What one thread has.
struct Runner {
    processor: Arc<Mutex<Processor>>,
    kick: Arc<Kick>,
    gate: Arc<Gate>,
    bus: Arc<dyn Bus>,
    end: End,
}

enum Next {
    Again,
    Park,
    End(Outcome),
}

impl Runner {
    fn run(self) {
        while self.gate.pass(&self.kick) {
            let mut processor = locked(&self.processor);
            loop {
                match self.turn(&mut processor) {
                    Next::Again => {}
                    Next::Park => break,
                    Next::End(outcome) => {
                        self.end.tell(outcome);
                        drop(processor);
                        return self.rest();
                    }
                }
            }
        }
    }

    /// A processor that has ended counts as parked until the machine has.
    fn rest(&self) {
        let mut state = self.gate.lock();
        state.1 += 1;
        self.gate.changed.notify_all();
        while state.0 != Phase::Ended {
            state = self.gate.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Runs the guest until something has to be done for it, and does it.
    fn turn(&self, processor: &mut Processor) -> Next {
        let index = processor.index;
        let failed = |why: String| Next::End(Outcome::Failed(Error::Processor { index, why }.to_string()));
        match processor.fd.run() {
            Ok(VcpuExit::IoIn(port, data)) => self.bus.port_read(port, data),
            Ok(VcpuExit::IoOut(port, data)) => self.bus.port_write(port, data),
            Ok(VcpuExit::MmioRead(address, data)) => self.bus.read(address, data),
            Ok(VcpuExit::MmioWrite(address, data)) => self.bus.write(address, data),
            Ok(VcpuExit::Intr) => return Next::Park,
            // A triple fault, or a halt that nothing can end.
            Ok(VcpuExit::Shutdown | VcpuExit::Hlt) => return Next::End(Outcome::Reset),
            Ok(VcpuExit::SystemEvent(..)) => return Next::End(Outcome::PowerOff),
            Ok(VcpuExit::FailEntry(reason, _)) => return failed(format!("the hardware refuses it ({reason:#x})")),
            Ok(other) => return failed(format!("{other:?}")),
            Err(error) if error.errno() == libc::EINTR => return Next::Park,
            Err(error) if error.errno() == libc::EAGAIN => {}
            Err(error) => return failed(error.to_string()),
        }
        Next::Again
    }
}

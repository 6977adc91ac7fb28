//! Where an attack takes place: a build, with or without one of its walls, and a canary beside it.

use std::path::PathBuf;

use berth_blackbox::bundle::{Bundle, Program};
use berth_blackbox::{Engine, Kind, busybox, engine};

use crate::canary::Canary;

/// How an attack ended.
pub enum Verdict {
    /// Nothing was reached.
    Held,
    /// What was reached.
    Breached(String),
}

/// `Breached` with a sentence where the condition holds.
pub fn breached_if(condition: bool, how: impl Into<String>) -> Verdict {
    if condition { Verdict::Breached(how.into()) } else { Verdict::Held }
}

/// Goes on where the wall held, and gives the breach to the caller otherwise.
#[macro_export]
macro_rules! held {
    ($verdict:expr) => {
        if let breach @ $crate::arena::Verdict::Breached(_) = $verdict {
            return breach;
        }
    };
}

/// A build that is attacked.
pub struct Arena {
    binary: PathBuf,
    weakness: Option<&'static str>,
    /// The host's files that nothing may change.
    pub canary: Canary,
}

/// Makes the attack on the build under test, which must hold, and, where `BERTH_TEST_WEAKENED` names a weakened build,
/// on that build without each of the guards, which must not.
pub fn attack(guards: &[&'static str], attempt: impl Fn(&Arena) -> Verdict) {
    let arena = Arena { binary: engine::binary(), weakness: None, canary: Canary::shared() };
    if let Verdict::Breached(how) = attempt(&arena) {
        panic!("the attack succeeded: {how}");
    }
    assert_eq!(arena.canary.changes(), "", "the host's files were changed");
    let Some(weakened) = std::env::var_os("BERTH_TEST_WEAKENED") else { return };
    for guard in guards {
        let arena = Arena { binary: weakened.clone().into(), weakness: Some(guard), canary: Canary::own() };
        match attempt(&arena) {
            Verdict::Breached(how) => println!("bites: without {guard}: {how}"),
            Verdict::Held => panic!("the test does not notice that {guard} is gone"),
        }
    }
}

/// The counts of the long run rather than those of the usual one (`BERTH_TEST_ATTACK=full`).
pub fn is_full() -> bool {
    std::env::var("BERTH_TEST_ATTACK").is_ok_and(|wanted| wanted == "full")
}

impl Arena {
    /// The build under test, for what is no attack.
    pub fn plain() -> Self {
        Self { binary: engine::binary(), weakness: None, canary: Canary::own() }
    }

    /// The program of this build.
    pub fn binary(&self) -> &std::path::Path {
        &self.binary
    }

    fn environment(&self) -> Vec<(&'static str, &'static str)> {
        self.weakness.map(|guard| ("BERTH_WEAKEN", guard)).into_iter().collect()
    }

    /// An engine of this build, with the image `busybox`, which has the probe as well.
    pub fn engine(&self) -> Engine {
        self.engine_with(&[])
    }

    /// As [`Arena::engine`], with flags for the daemon.
    pub fn engine_with(&self, flags: &[&str]) -> Engine {
        self.engine_of(self.binary.clone(), flags)
    }

    /// As [`Arena::engine_with`], of another file with the same build.
    pub fn engine_of(&self, binary: PathBuf, flags: &[&str]) -> Engine {
        let mut engine = Engine::launch_in(Kind::Berth, binary, flags, &self.environment());
        engine.import("busybox:latest", &rootfs(|_| {}), &["CMD [\"sh\"]", "ENV PATH=/bin"]);
        engine.forget_traces();
        engine
    }

    /// A bundle for this build's runtime; the container has the probe.
    pub fn bundle(&self, script: &str) -> Bundle {
        let environment = self.environment().into_iter().map(|(name, value)| (name.into(), value.into())).collect();
        let bundle = Bundle::of(Program { line: vec![self.binary.clone(), "runtime".into()], environment }, script);
        std::fs::copy(probe(), bundle.inside("bin/probe")).expect("the probe");
        bundle
    }

    /// A copy of the build, for attacks that destroy it.
    pub fn copy_of_binary(&self, place: &std::path::Path) -> PathBuf {
        let copy = place.join("berth");
        std::fs::copy(&self.binary, &copy).expect("a copy of the program");
        copy
    }
}

/// The probe's file.
pub fn probe() -> &'static str {
    env!("CARGO_BIN_EXE_probe")
}

/// BusyBox with the probe and more.
pub fn rootfs(add: impl FnOnce(&mut tar::Builder<Vec<u8>>)) -> Vec<u8> {
    let program = std::fs::read(probe()).expect("the probe");
    let whole = busybox::rootfs_with(|archive| {
        busybox::file(archive, "bin/probe", &program, 0o755);
        add(archive);
    });
    whole.unwrap_or_else(|why| panic!("the tests need busybox-static: {why}"))
}

/// A process of the host that plays a container's part, ended with its owner.
pub struct Accomplice(std::process::Child);

impl Accomplice {
    /// Starts the probe.
    pub fn start(arguments: &[&str]) -> Self {
        let mut command = std::process::Command::new(probe());
        command.args(arguments).stdout(std::process::Stdio::null());
        Self(command.spawn().expect("the probe starts"))
    }

    /// Whether it has done all it was asked for.
    pub fn is_done(&mut self) -> bool {
        self.0.try_wait().expect("waiting").is_some()
    }
}

impl Drop for Accomplice {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

//! Builds whose client goes away: at any moment of a step, also while it starts.

use std::process::Stdio;
use std::time::{Duration, Instant};

use berth_blackbox::engine::binary;
use berth_blackbox::{Engine, Kind, skip};

use super::build_basic::folder;

/// Moments at which a client is killed, and milliseconds between them.
const MOMENTS: u32 = 14;
const APART: Duration = Duration::from_millis(23);

#[test]
fn a_client_that_goes_away_while_a_step_starts_leaves_nothing() {
    let engine = Engine::start();
    if engine.kind() != Kind::Berth {
        skip!("Docker promises nothing here");
    }
    let text = "FROM busybox AS a\nRUN sleep 600\nFROM busybox AS b\nRUN sleep 600\n\
        FROM busybox\nCOPY --from=a /a /a\nCOPY --from=b /b /b\n";
    let path = folder(&engine, "ctx", &[("Dockerfile", text)]);
    let before = engine.look();
    for moment in 1..=MOMENTS {
        let mut command = engine.client(&binary(), &["build", "--no-cache", "--progress=plain", &path]);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let mut client = command.spawn().expect("the client starts");
        std::thread::sleep(APART * moment);
        client.kill().expect("SIGKILL");
        client.wait().expect("its end");
    }
    let left = || {
        let work = std::fs::read_dir(engine.place().join("data/build/work")).map_or(0, Iterator::count);
        (work, engine.look().beyond(&before))
    };
    let end = Instant::now() + Duration::from_secs(30);
    while left() != (0, Vec::new()) && Instant::now() < end {
        std::thread::sleep(Duration::from_millis(100));
    }
    assert_eq!(left(), (0, Vec::new()), "something of the builds is left: {}", engine.log());
    // The engine builds on, and each build stands in the history as what it was.
    let path = folder(&engine, "after", &[("Dockerfile", "FROM busybox\nRUN echo after\n")]);
    engine.berth(&["build", "-q", &path]).ok();
    let past = engine.berth(&["builder", "history", "ls"]).ok();
    assert!(!past.contains("Running"), "{past}");
}

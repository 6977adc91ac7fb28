//! Tests that cannot run on this machine say why, and are counted as skipped, never as passed.

use std::io::Write;

/// Prints `skipped: why` and notes the running test in the file that `BERTH_TEST_REPORT` names.
pub fn note(why: &str) {
    println!("skipped: {why}");
    let Some(report) = std::env::var_os("BERTH_TEST_REPORT") else { return };
    let thread = std::thread::current();
    let line = format!("{}: {why}\n", thread.name().unwrap_or("a test"));
    let file = std::fs::OpenOptions::new().create(true).append(true).open(report);
    file.and_then(|mut file| file.write_all(line.as_bytes())).expect("the report of skipped tests is writable");
}

/// `skip!("why")` ends the test here.
#[macro_export]
macro_rules! skip {
    ($($why:tt)*) => {{
        $crate::skip::note(&format!($($why)*));
        return;
    }};
}

//! Tests that cannot run on this machine say why; tools/test.sh counts them as skipped, never as passed.

/// `skip!("why")` prints `skipped: why` and ends the test here.
#[macro_export]
macro_rules! skip {
    ($($why:tt)*) => {{
        println!("skipped: {}", format_args!($($why)*));
        return;
    }};
}

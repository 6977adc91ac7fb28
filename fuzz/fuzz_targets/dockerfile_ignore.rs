//! Any bytes as an ignore file and any path against it: no panic, no endless loop, and a pruned folder keeps nothing.
#![no_main]

use berth_dockerfile::Ignore;

libfuzzer_sys::fuzz_target!(|input: (&[u8], &str)| {
    let (patterns, path) = input;
    let Ok(ignore) = Ignore::parse(patterns) else { return };
    let _ = ignore.matches(path);
    let ends = path.match_indices('/').map(|(at, _)| at).filter(|at| *at > 0);
    for end in ends {
        if ignore.prunes(&path[..end]) {
            assert!(ignore.matches(path), "{path:?} below a pruned folder is kept");
        }
    }
});

//! Names of resource limits, as Docker writes them (`--ulimit`, `Ulimits`): those of `getrlimit(2)` in small letters.

/// All of them, in the order of the alphabet.
pub const NAMES: [&str; 16] = [
    "as",
    "core",
    "cpu",
    "data",
    "fsize",
    "locks",
    "memlock",
    "msgqueue",
    "nice",
    "nofile",
    "nproc",
    "rss",
    "rtprio",
    "rttime",
    "sigpending",
    "stack",
];

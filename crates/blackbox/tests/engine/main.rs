//! The black-box suite, one file per area. How it is pointed at dockerd stands in this package's lib.rs.

mod run;

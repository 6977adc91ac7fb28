//! Writing to the user. Unlike std's macros these do not panic when the reader has gone: that ends the command in order.

/// A line on stdout; fails when stdout cannot be written.
#[macro_export]
macro_rules! say {
    ($($text:tt)*) => {{
        use std::io::Write as _;
        writeln!(std::io::stdout(), $($text)*)
    }};
}

/// Text on stdout; fails when stdout cannot be written.
#[macro_export]
macro_rules! put {
    ($($text:tt)*) => {{
        use std::io::Write as _;
        let mut out = std::io::stdout();
        write!(out, $($text)*).and_then(|()| out.flush())
    }};
}

/// A line on stderr; where that cannot be written, nobody is left to tell.
#[macro_export]
macro_rules! complain {
    ($($text:tt)*) => {{
        use std::io::Write as _;
        let _ = writeln!(std::io::stderr(), $($text)*);
    }};
}

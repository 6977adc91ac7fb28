//! The client alone.
fn main() -> std::process::ExitCode {
    berth_cli::main(std::env::args_os().skip(1).collect())
}

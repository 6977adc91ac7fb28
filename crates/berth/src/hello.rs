//! `berth hello`: the program in the embedded image `berth/hello`. It shows that a container ran.

use std::process::ExitCode;

/// Says hello, and what it sees of its surroundings.
pub fn main() -> ExitCode {
    let uname = rustix::system::uname();
    println!("Hello from a berth container.");
    println!();
    println!("  kernel      {}", uname.release().to_string_lossy());
    println!("  hostname    {}", uname.nodename().to_string_lossy());
    println!("  process     {}", std::process::id());
    println!("  user        {}", rustix::process::getuid().as_raw());
    let map = std::fs::read_to_string("/proc/self/uid_map").unwrap_or_default();
    let words: Vec<&str> = map.split_whitespace().collect();
    if let [inside, outside, ..] = words[..] {
        println!("  on the host user {inside} is {outside}");
    }
    ExitCode::SUCCESS
}

//! Running a program to its end, bounded in time, and looking at what it said.

use std::io::{Read, Write};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// No command of a test takes longer than this many seconds.
const LIMIT_S: u64 = 60;

/// What a program said and how it ended.
#[derive(Debug, Clone)]
pub struct Output {
    /// The exit code; 128 + n when signal n ended it.
    pub code: i32,
    pub stdout: Vec<u8>,
    pub stderr: String,
    /// The command line, for messages.
    pub line: String,
}

impl Output {
    /// Standard output as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }

    /// Standard output without the whitespace around it, of a command that must have succeeded.
    #[track_caller]
    pub fn ok(&self) -> String {
        assert_eq!(self.code, 0, "{}\n{}{}", self.line, self.text(), self.stderr);
        self.text().trim().to_owned()
    }

    /// Standard output, of a command that must have ended with `code`.
    #[track_caller]
    pub fn code(&self, code: i32) -> String {
        assert_eq!(self.code, code, "{}\n{}{}", self.line, self.text(), self.stderr);
        self.text().trim().to_owned()
    }

    /// Standard error, of a command that must have failed and said `part`.
    #[track_caller]
    pub fn fails(&self, part: &str) -> String {
        assert_ne!(self.code, 0, "{} was to fail\n{}{}", self.line, self.text(), self.stderr);
        let both = self.stderr.to_lowercase();
        assert!(both.contains(&part.to_lowercase()), "{}: expected {part:?} in\n{}", self.line, self.stderr);
        self.stderr.clone()
    }
}

/// Runs `command` with `input` on its standard input.
pub fn run(mut command: Command, input: &[u8]) -> Output {
    let line = format!("{command:?}");
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap_or_else(|error| panic!("{line}: {error}"));
    let (mut stdin, input) = (child.stdin.take().expect("piped"), input.to_vec());
    // The program may close its input early: that is no failure of the test.
    std::thread::spawn(move || stdin.write_all(&input).ok());
    let stdout = drain(child.stdout.take().expect("piped"));
    let stderr = drain(child.stderr.take().expect("piped"));
    let code = finish(&mut child, &line);
    let stdout = stdout.join().expect("reader");
    let stderr = String::from_utf8_lossy(&stderr.join().expect("reader")).into_owned();
    Output { code, stdout, stderr, line }
}

fn drain(mut pipe: impl Read + Send + 'static) -> std::thread::JoinHandle<Vec<u8>> {
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        pipe.read_to_end(&mut bytes).expect("reading a pipe");
        bytes
    })
}

/// Waits for the child, which is killed after [`LIMIT_S`].
fn finish(child: &mut Child, line: &str) -> i32 {
    use std::os::unix::process::ExitStatusExt;
    let end = Instant::now() + Duration::from_secs(LIMIT_S);
    loop {
        if let Some(status) = child.try_wait().expect("waiting for a child") {
            return status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0));
        }
        if Instant::now() > end {
            child.kill().ok();
            panic!("no end within {LIMIT_S} s: {line}");
        }
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// Whether `program` stands on the path or among the system's programs.
pub fn is_installed(program: &str) -> bool {
    let path = std::env::var("PATH").unwrap_or_default();
    path.split(':').chain(["/usr/sbin", "/sbin"]).any(|folder| std::path::Path::new(folder).join(program).exists())
}

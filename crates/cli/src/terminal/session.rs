//! The streams of a container and those of the user, joined.
//!
//! ```text
//! stdin thread ─► detach keys ─► socket ─► container
//! stdout, stderr ◄── frames ◄── socket ◄── container        (raw bytes when it has a terminal)
//! ```

use super::keys::{Typed, Watch};
use super::write::{Target, all};
use super::{signals, size, stdin};
use berth_client::hijack::{Input, Output};
use berth_client::{Client, Hijacked};
use berth_spec::stream::{Decoder, Stream};
use bytes::Bytes;
use tokio::sync::mpsc;

const CHUNK_BYTES: usize = 64 * 1024;

/// What to join.
pub struct Session {
    /// Give stdin to the container.
    pub stdin: bool,
    /// Show its output.
    pub stdout: bool,
    /// Show its error output.
    pub stderr: bool,
    /// It has a terminal: its output is raw.
    pub tty: bool,
    /// Bytes that detach; they count only where there is a terminal.
    pub detach: Vec<u8>,
}

/// Why a session ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// The container closed its output.
    Output,
    /// The user left.
    Detached,
}

/// What resizes with the terminal.
#[derive(Clone, Copy)]
pub enum Sized<'a> {
    /// A container.
    Container(&'a str),
    /// An exec.
    Exec(&'a str),
}

impl Session {
    /// Moves bytes until the output ends or the user detaches.
    ///
    /// # Errors
    /// Stdout or stderr cannot be written.
    pub async fn run(&self, hijacked: Hijacked) -> std::io::Result<Ended> {
        let Hijacked { output, input, .. } = hijacked;
        let typed = self.stdin.then(stdin::open);
        let out = self.show(output);
        let feed = feed(input, typed, Watch::new(if self.tty { self.detach.clone() } else { Vec::new() }));
        tokio::pin!(out, feed);
        tokio::select! {
            result = &mut out => result.map(|()| Ended::Output),
            () = &mut feed => Ok(Ended::Detached),
        }
    }

    async fn show(&self, mut output: Output) -> std::io::Result<()> {
        let mut buffer = vec![0; CHUNK_BYTES];
        let mut decoder = Decoder::default();
        loop {
            let n = match output.read(&mut buffer).await {
                Ok(0) => return Ok(()),
                Ok(n) => n,
                // The daemon went away: what came is shown, the exit code tells the rest.
                Err(_) => return Ok(()),
            };
            if self.tty {
                all(Target::Out, Bytes::copy_from_slice(&buffer[..n])).await?;
                continue;
            }
            decoder.push(&buffer[..n]);
            while let Some((stream, bytes)) = decoder.next_frame().map_err(std::io::Error::other)? {
                match stream {
                    Stream::Stderr if self.stderr => all(Target::Error, bytes).await?,
                    Stream::Stdout | Stream::Stdin if self.stdout => all(Target::Out, bytes).await?,
                    _ => {}
                }
            }
        }
    }
}

/// Gives typed bytes to the container; returns only when the user detaches.
async fn feed(mut input: Input, typed: Option<mpsc::Receiver<Vec<u8>>>, mut watch: Watch) {
    let Some(mut typed) = typed else { return std::future::pending().await };
    while let Some(bytes) = typed.recv().await {
        match watch.push(&bytes) {
            Typed::Detach(before) => {
                let _ = input.write(&before).await;
                return;
            }
            Typed::Bytes(bytes) => {
                if input.write(&bytes).await.is_err() {
                    return std::future::pending().await;
                }
            }
        }
    }
    // The end of our input is the end of the container's; a broken connection shows on the output side.
    let _ = input.close().await;
    std::future::pending().await
}

/// Sets the size of the container's terminal now and whenever the user's changes; never returns.
pub async fn follow_size(client: &Client, what: Sized<'_>) {
    let mut changes = signals::resized();
    resize(client, what).await;
    loop {
        match &mut changes {
            Some(changes) => changes.recv().await,
            None => return std::future::pending().await,
        };
        resize(client, what).await;
    }
}

/// Sets the size of the container's terminal to the user's.
pub async fn resize(client: &Client, what: Sized<'_>) {
    let Some((rows, columns)) = size() else { return };
    // A container that has just ended cannot be resized; that is no news.
    let _ = match what {
        Sized::Container(name) => client.resize(name, rows, columns).await,
        Sized::Exec(id) => client.exec_resize(id, rows, columns).await,
    };
}

//! Standard input, read by a thread: a read of a terminal or a pipe cannot be given up, a thread can be left behind.

use std::io::Read;
use tokio::sync::mpsc;

const CHUNK_BYTES: usize = 32 * 1024;

/// Chunks of standard input; the channel closes at its end.
#[must_use]
pub fn open() -> mpsc::Receiver<Vec<u8>> {
    let (sender, receiver) = mpsc::channel(4);
    std::thread::spawn(move || {
        let mut stdin = std::io::stdin().lock();
        let mut buffer = vec![0; CHUNK_BYTES];
        loop {
            match stdin.read(&mut buffer) {
                Ok(0) => return,
                Ok(n) if sender.blocking_send(buffer[..n].to_vec()).is_err() => return,
                Ok(_) => {}
                Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
                Err(_) => return,
            }
        }
    });
    receiver
}

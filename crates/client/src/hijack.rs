//! A connection taken over by `attach` or `exec`: raw bytes both ways, each way closed on its own.

use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt, AsyncWriteExt, ReadHalf, WriteHalf};

/// Both directions of a taken-over connection.
pub struct Hijacked {
    /// From the container.
    pub output: Output,
    /// To the container.
    pub input: Input,
    /// Whether the daemon said that the output is framed (API 1.42 and later say so).
    pub multiplexed: bool,
}

/// The container's output.
pub struct Output(ReadHalf<TokioIo<Upgraded>>);
/// The container's input.
pub struct Input(WriteHalf<TokioIo<Upgraded>>);

impl Hijacked {
    pub(crate) fn new(upgraded: Upgraded, multiplexed: bool) -> Self {
        let (read, write) = tokio::io::split(TokioIo::new(upgraded));
        Self { output: Output(read), input: Input(write), multiplexed }
    }
}

impl Output {
    /// Reads into `buffer`; 0 is the end.
    ///
    /// # Errors
    /// What the socket says.
    pub async fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        self.0.read(buffer).await
    }
}

impl Input {
    /// Writes all of `bytes`.
    ///
    /// # Errors
    /// What the socket says.
    pub async fn write(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.0.write_all(bytes).await?;
        self.0.flush().await
    }

    /// Half close: the container's input ends, its output goes on.
    ///
    /// # Errors
    /// What the socket says.
    pub async fn close(&mut self) -> std::io::Result<()> {
        self.0.shutdown().await
    }
}

//! Progress of long work: bars on a terminal, plain lines elsewhere.

use crate::call::Failure;
use berth_client::stream::Documents;
use berth_spec::progress::Progress;
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::collections::HashMap;
use std::io::{IsTerminal, Read, Write};

/// Shows a progress stream on stdout, bars when that is a terminal.
///
/// # Errors
/// The daemon's, at the place in the stream where it came.
pub async fn show(stream: Documents, quiet: bool) -> Result<(), Failure> {
    let terminal = std::io::stdout().is_terminal();
    let target = ProgressDrawTarget::stdout();
    follow(stream, quiet, terminal.then_some(target), &mut std::io::stdout()).await
}

/// Shows a progress stream on stderr: stdout is the container's.
///
/// # Errors
/// As [`show`].
pub async fn show_aside(stream: Documents, quiet: bool) -> Result<(), Failure> {
    let terminal = std::io::stderr().is_terminal();
    let target = ProgressDrawTarget::stderr();
    follow(stream, quiet, terminal.then_some(target), &mut std::io::stderr()).await
}

async fn follow(
    mut stream: Documents,
    quiet: bool,
    target: Option<ProgressDrawTarget>,
    out: &mut dyn Write,
) -> Result<(), Failure> {
    let mut bars = target.map(Bars::new);
    while let Some(message) = stream.next::<Progress>().await? {
        if let Some(text) = message.error_detail.map(|e| e.message).or(message.error) {
            return Err(Failure::new(text));
        }
        if quiet {
            continue;
        }
        if let Some(text) = &message.stream {
            match &bars {
                Some(bars) => bars.line(text.trim_end()),
                None => write!(out, "{text}")?,
            }
            continue;
        }
        let Some(status) = &message.status else { continue };
        let detail = message.detail.map_or((0, 0), |d| (d.current, d.total));
        match (&mut bars, &message.id) {
            (Some(bars), Some(id)) => bars.set(id, status, detail),
            (Some(bars), None) => bars.line(status),
            // Away from a terminal the steps between are left out, as Docker does.
            (None, _) if detail.0 > 0 => {}
            (None, Some(id)) => writeln!(out, "{id}: {status}")?,
            (None, None) => writeln!(out, "{status}")?,
        }
    }
    out.flush()?;
    Ok(())
}

/// One bar a layer.
struct Bars {
    all: MultiProgress,
    by_id: HashMap<String, ProgressBar>,
}

impl Bars {
    fn new(target: ProgressDrawTarget) -> Self {
        Self { all: MultiProgress::with_draw_target(target), by_id: HashMap::new() }
    }

    fn line(&self, text: &str) {
        // A terminal that cannot be written ends the command elsewhere.
        let _ = self.all.println(text);
    }

    fn set(&mut self, id: &str, status: &str, (current, total): (i64, i64)) {
        let bar = self.by_id.entry(id.to_owned()).or_insert_with(|| {
            let bar = self.all.add(ProgressBar::new(0));
            bar.set_prefix(id.to_owned());
            bar
        });
        bar.set_message(status.to_owned());
        let (current, total) = (u64::try_from(current).unwrap_or(0), u64::try_from(total).unwrap_or(0));
        if total > 0 {
            bar.set_style(style(true));
            bar.set_length(total);
            bar.set_position(current);
        } else {
            bar.set_style(style(false));
            bar.tick();
        }
    }
}

impl Drop for Bars {
    fn drop(&mut self) {
        for bar in self.by_id.values() {
            bar.abandon();
        }
    }
}

fn style(bar: bool) -> ProgressStyle {
    let template = match bar {
        true => "{prefix}: {msg} [{bar:40}] {bytes}/{total_bytes}",
        false => "{prefix}: {msg}",
    };
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar()).progress_chars("=> ")
}

/// A reader that shows how far it is, when stderr is a terminal and the whole is known.
pub struct Reading<R> {
    reader: R,
    bar: Option<ProgressBar>,
}

impl<R: Read> Reading<R> {
    /// Reads `reader`, `total` bytes long, under the word `what`.
    pub fn new(reader: R, total: u64, what: &'static str) -> Self {
        let shown = std::io::stderr().is_terminal() && total > 0;
        let bar = shown.then(|| {
            let bar = ProgressBar::with_draw_target(Some(total), ProgressDrawTarget::stderr());
            bar.set_style(
                ProgressStyle::with_template("{msg} [{bar:40}] {bytes}/{total_bytes} {bytes_per_sec}")
                    .unwrap_or_else(|_| ProgressStyle::default_bar())
                    .progress_chars("=> "),
            );
            bar.set_message(what);
            bar
        });
        Self { reader, bar }
    }
}

impl<R: Read> Read for Reading<R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let n = self.reader.read(buffer)?;
        if let Some(bar) = &self.bar {
            match n {
                0 => bar.finish_and_clear(),
                n => bar.inc(n as u64),
            }
        }
        Ok(n)
    }
}

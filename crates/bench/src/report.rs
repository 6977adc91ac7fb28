//! Tables in markdown: a row per subject, a median, and the ratio to a reference.

use std::path::Path;
use std::time::Duration;

use anyhow::Result;

/// The text so far.
#[derive(Debug)]
pub struct Report {
    text: String,
}

impl Report {
    pub fn new(binary: &Path) -> Result<Report> {
        let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
        let cores = std::thread::available_parallelism()?;
        let arguments: Vec<String> = std::env::args().skip(1).collect();
        let size_mib = std::fs::metadata(binary).map_or(0.0, |file| file.len() as f64 / f64::from(1 << 20));
        let text = format!(
            "# Benchmarks\n\nMade by `make bench` (`berth-bench {}`), which runs everything below in one go on one \
             machine:\nsubjects take turns (A B C A B C …), and the numbers are medians. Absolute times vary by half \
             from run to run;\nread the ratios. dockerd is Debian's `docker.io`; both daemons have their own \
             namespaces, folders and socket.\nThe image is Debian's static BusyBox.\n\nThis run: Linux {}, {cores} \
             cores, binary of {size_mib:.1} MiB.\n",
            arguments.join(" "),
            kernel.split('.').take(2).collect::<Vec<_>>().join("."),
        );
        Ok(Report { text })
    }

    /// A table of times; the ratio says how many times longer than the first row a row takes.
    pub fn times(&mut self, title: &str, note: &str, rows: &[(&str, Duration)]) {
        self.head(title, note, &["", "median", "ratio"]);
        let reference = rows.first().map_or(0.0, |(_, time)| time.as_secs_f64());
        for (label, time) in rows {
            self.row(&[label, &milliseconds(*time), &ratio(time.as_secs_f64(), reference)]);
        }
    }

    /// A table of other numbers, formatted by the caller; the ratio is to the first row.
    pub fn numbers(&mut self, title: &str, note: &str, unit: &str, rows: &[(String, f64)]) {
        self.head(title, note, &["", unit, "ratio"]);
        let reference = rows.first().map_or(0.0, |(_, number)| *number);
        for (label, number) in rows {
            self.row(&[label, &format!("{number:.2}"), &ratio(*number, reference)]);
        }
    }

    fn head(&mut self, title: &str, note: &str, columns: &[&str]) {
        eprintln!("{title}");
        self.text += &format!("\n## {title}\n\n");
        if !note.is_empty() {
            self.text += &format!("{note}\n\n");
        }
        self.row(columns);
        self.row(&vec!["---"; columns.len()]);
    }

    fn row(&mut self, cells: &[&str]) {
        self.text += &format!("| {} |\n", cells.join(" | "));
    }

    pub fn finish(self) -> String {
        self.text
    }
}

fn milliseconds(time: Duration) -> String {
    format!("{:.2} ms", time.as_secs_f64() * 1000.0)
}

fn ratio(number: f64, reference: f64) -> String {
    if reference > 0.0 { format!("{:.2}×", number / reference) } else { "—".into() }
}

/// The middle of the sorted values.
pub fn median<T: PartialOrd + Copy>(values: &mut [T]) -> Option<T> {
    values.sort_by(|one, other| one.partial_cmp(other).unwrap_or(std::cmp::Ordering::Equal));
    values.get(values.len() / 2).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_middle() {
        assert_eq!(median(&mut [5, 1, 9]), Some(5));
        assert_eq!(median::<u8>(&mut []), None);
    }

    #[test]
    fn ratios_are_to_the_first_row() {
        let mut report = Report { text: String::new() };
        report.times("T", "", &[("a", Duration::from_millis(2)), ("b", Duration::from_millis(5))]);
        assert!(report.text.contains("| b | 5.00 ms | 2.50× |"), "{}", report.text);
    }
}

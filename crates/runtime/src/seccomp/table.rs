//! The numbers of system calls: `data/syscalls.txt`, one line a name, sorted, one column an interface
//! ([`Abi`], in that order), every line equally long so that a name is found without reading the others.

use super::arch::{Abi, X32_BIT};

const TABLE: &str = include_str!("../../data/syscalls.txt");
const NAME_WIDTH: usize = 28;
const COLUMN_WIDTH: usize = 8;
const COLUMNS: usize = 10;
const LINE_WIDTH: usize = NAME_WIDTH + COLUMNS * COLUMN_WIDTH + 1;

/// The line of a system call.
#[derive(Clone, Copy)]
pub(super) struct Call(&'static [u8]);

/// Finds a name; `None` if no interface has it.
pub(super) fn find(name: &str) -> Option<Call> {
    // Padded as in the table; a space sorts before every letter, so the order stays.
    let mut wanted = [b' '; NAME_WIDTH];
    wanted.get_mut(..name.len())?.copy_from_slice(name.as_bytes());
    let (mut low, mut high) = (0, TABLE.len() / LINE_WIDTH);
    while low < high {
        let middle = (low + high) / 2;
        let line = &TABLE.as_bytes()[middle * LINE_WIDTH..(middle + 1) * LINE_WIDTH];
        match line[..NAME_WIDTH].cmp(&wanted) {
            std::cmp::Ordering::Equal => return Some(Call(line)),
            std::cmp::Ordering::Less => low = middle + 1,
            std::cmp::Ordering::Greater => high = middle,
        }
    }
    None
}

impl Call {
    /// Its number as the kernel shows it to a filter; `None` if this interface lacks the call.
    pub(super) fn number(self, abi: Abi) -> Option<u32> {
        let begin = NAME_WIDTH + abi.column() * COLUMN_WIDTH;
        let digits = self.0[begin..begin + COLUMN_WIDTH].trim_ascii_start();
        let number = digits
            .iter()
            .try_fold(0, |number, digit| digit.is_ascii_digit().then(|| number * 10 + u32::from(digit - b'0')))?;
        Some(if abi == Abi::X32 { number | X32_BIT } else { number })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_sorted_and_even() {
        let lines: Vec<&str> = TABLE.lines().collect();
        assert!(lines.iter().all(|line| line.len() == LINE_WIDTH - 1));
        assert!(lines.is_sorted_by(|a, b| a[..NAME_WIDTH].trim_end() < b[..NAME_WIDTH].trim_end()));
        assert!(lines.iter().all(|line| find(line[..NAME_WIDTH].trim_end()).is_some()));
    }

    #[test]
    fn numbers_are_those_of_the_kernel() {
        let number = |name, abi| find(name).and_then(|call| call.number(abi));
        let native = [
            ("read", libc::SYS_read),
            ("openat2", libc::SYS_openat2),
            ("clone3", libc::SYS_clone3),
            ("io_uring_setup", libc::SYS_io_uring_setup),
            ("mount_setattr", libc::SYS_mount_setattr),
            ("keyctl", libc::SYS_keyctl),
        ];
        for (name, expected) in native {
            assert_eq!(number(name, Abi::native().unwrap()).map(i64::from), Some(expected), "{name}");
        }
        assert_eq!(number("read", Abi::X86), Some(3));
        assert_eq!(number("read", Abi::Aarch64), Some(63));
        assert_eq!(number("open", Abi::Aarch64), None);
        assert_eq!(number("set_tls", Abi::Arm), Some(0xf_0005));
        assert_eq!(number("execve", Abi::X32), Some(0x4000_0000 + 520));
        assert!(find("no_such_call").is_none() && find("").is_none());
    }
}

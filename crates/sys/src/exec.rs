//! Becoming another program (`execve(2)`, `execveat(2)`).

use std::convert::Infallible;
use std::ffi::{CStr, CString};
use std::os::fd::{AsRawFd, BorrowedFd};

use crate::{Errno, Result, check};

/// Argument and environment lists in the shape the kernel wants; built before the last moment, so that the call itself
/// allocates nothing.
#[derive(Debug)]
pub struct Vectors<'a> {
    arguments: Vec<*const libc::c_char>,
    environment: Vec<*const libc::c_char>,
    strings: std::marker::PhantomData<&'a CStr>,
}

impl<'a> Vectors<'a> {
    /// Borrows the strings and appends the null pointers. Allocates.
    pub fn new(arguments: &'a [CString], environment: &'a [CString]) -> Self {
        let list = |strings: &'a [CString]| {
            strings.iter().map(|text| text.as_ptr()).chain(std::iter::once(std::ptr::null())).collect()
        };
        Self { arguments: list(arguments), environment: list(environment), strings: std::marker::PhantomData }
    }
}

/// Replaces the caller by the program at `path`; returns only on failure.
pub fn exec(path: &CStr, vectors: &Vectors<'_>) -> Errno {
    // SAFETY: both lists end with a null pointer and their strings are borrowed for as long as the lists live.
    let returned = unsafe { libc::execve(path.as_ptr(), vectors.arguments.as_ptr(), vectors.environment.as_ptr()) };
    check(returned.into()).err().unwrap_or(Errno::IO)
}

/// Replaces the caller by the program that the descriptor stands for.
pub fn exec_descriptor(program: BorrowedFd<'_>, vectors: &Vectors<'_>) -> Result<Infallible> {
    // SAFETY: as in `exec`; the path is an empty C string.
    let returned = unsafe {
        libc::syscall(
            libc::SYS_execveat,
            program.as_raw_fd(),
            c"".as_ptr(),
            vectors.arguments.as_ptr(),
            vectors.environment.as_ptr(),
            libc::AT_EMPTY_PATH,
        )
    };
    Err(check(returned).err().unwrap_or(Errno::IO))
}

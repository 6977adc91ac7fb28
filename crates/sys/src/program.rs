//! The pages of the running program that are mapped into this process.

use std::ffi::{c_int, c_void};

use rustix::mm::{Advice, madvise};

/// Takes the program's own code and constants out of this process's page tables (`MADV_DONTNEED`). They stay in the
/// page cache, from where the next use maps them again without reading from the disk. Gives the bytes of the segments.
///
/// Only segments that are never writable are touched: what was written to a private page would be lost.
pub fn unmap_constant_pages() -> usize {
    let mut bytes = 0usize;
    // SAFETY: the callback has the signature that `dl_iterate_phdr(3)` asks for, and `data` is the counter above,
    // which outlives the call.
    unsafe { libc::dl_iterate_phdr(Some(unmap_object), (&raw mut bytes).cast()) };
    bytes
}

/// The first object is the program; a static one has no other.
extern "C" fn unmap_object(info: *mut libc::dl_phdr_info, _size: libc::size_t, data: *mut c_void) -> c_int {
    // SAFETY: `dl_iterate_phdr` hands over a valid object, whose headers are mapped for the program's whole life.
    let (base, headers) = unsafe {
        let info = &*info;
        (info.dlpi_addr as usize, std::slice::from_raw_parts(info.dlpi_phdr, usize::from(info.dlpi_phnum)))
    };
    // SAFETY: asks for a number.
    let page = usize::try_from(unsafe { libc::sysconf(libc::_SC_PAGESIZE) }).unwrap_or(4096);
    let mut bytes = 0;
    for header in headers.iter().filter(|header| header.p_type == libc::PT_LOAD && header.p_flags & libc::PF_W == 0) {
        let begin = (base + header.p_vaddr as usize).next_multiple_of(page);
        let end = (base + header.p_vaddr as usize + header.p_filesz as usize) & !(page - 1);
        if end <= begin {
            continue;
        }
        // SAFETY: the range lies inside a segment of the program that is mapped from its file and never written, so
        // that each page comes back with the same bytes.
        if unsafe { madvise(begin as *mut c_void, end - begin, Advice::LinuxDontNeed) }.is_ok() {
            bytes += end - begin;
        }
    }
    // SAFETY: `data` is the counter that `unmap_constant_pages` handed in.
    unsafe { *data.cast::<usize>() += bytes };
    1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_program_goes_on_with_its_pages_unmapped() {
        let text = "a constant of the program".to_owned();
        assert!(unmap_constant_pages() > 1 << 16);
        assert_eq!(text, "a constant of the program");
    }
}

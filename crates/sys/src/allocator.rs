//! glibc's allocator.

/// Limits the number of arenas (`mallopt(3)`, `M_ARENA_MAX`): each keeps freed memory of its own. Whether glibc obeyed.
pub fn limit_arenas(count: i32) -> bool {
    // SAFETY: changes a setting of the allocator; no pointers are involved.
    unsafe { libc::mallopt(libc::M_ARENA_MAX, count) == 1 }
}

/// Gives freed memory back to the kernel (`malloc_trim(3)`). Whether there was any.
pub fn trim() -> bool {
    // SAFETY: touches only memory that the allocator knows to be free.
    unsafe { libc::malloc_trim(0) == 1 }
}

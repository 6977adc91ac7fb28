//! Numbers of the balloon (virtio 1.2, 5.5). // tidy: table

/// `VIRTIO_ID_BALLOON`.
pub const ID: u32 = 5;
/// `VIRTIO_BALLOON_F_DEFLATE_ON_OOM`: the guest may take pages back before it kills.
pub const DEFLATE_ON_OOM: u64 = 1 << 2;
/// `VIRTIO_BALLOON_F_REPORTING`: the guest reports free pages.
pub const REPORTING: u64 = 1 << 5;
/// Queues have the numbers of those that are offered, in the order of the specification.
pub const INFLATE: usize = 0;
pub const DEFLATE: usize = 1;
pub const REPORT: usize = 2;
pub const QUEUES: &[u16] = &[128, 128, 128];
/// Pages of a balloon, whatever the guest's are.
pub const PAGE_BYTES: u64 = 4096;

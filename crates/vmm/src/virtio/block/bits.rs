//! Numbers and structures of a disk (virtio 1.2, 5.2). // tidy: table

/// `VIRTIO_ID_BLOCK`.
pub const ID: u32 = 2;
/// What sectors are counted in, whatever the disk's blocks are.
pub const SECTOR_BYTES: u64 = 512;

/// `VIRTIO_BLK_F_SEG_MAX`.
pub const SEGMENTS: u64 = 1 << 2;
/// `VIRTIO_BLK_F_RO`.
pub const READ_ONLY: u64 = 1 << 5;
/// `VIRTIO_BLK_F_FLUSH`.
pub const FLUSH: u64 = 1 << 9;
/// `VIRTIO_BLK_F_DISCARD`.
pub const DISCARD: u64 = 1 << 13;
/// `VIRTIO_BLK_F_WRITE_ZEROES`.
pub const WRITE_ZEROES: u64 = 1 << 14;

/// Types of requests.
pub mod kind {
    pub const IN: u32 = 0;
    pub const OUT: u32 = 1;
    pub const FLUSH: u32 = 4;
    pub const GET_ID: u32 = 8;
    pub const DISCARD: u32 = 11;
    pub const WRITE_ZEROES: u32 = 13;
}

/// What a request came to.
pub mod status {
    pub const OK: u8 = 0;
    pub const IO_ERROR: u8 = 1;
    pub const UNSUPPORTED: u8 = 2;
}

/// `struct virtio_blk_req` up to its data.
pub const HEADER_BYTES: usize = 16;
/// `VIRTIO_BLK_ID_BYTES`.
pub const SERIAL_BYTES: usize = 20;
/// `struct virtio_blk_discard_write_zeroes`.
pub const SEGMENT_BYTES: usize = 16;
/// The most such segments of one request.
pub const SEGMENTS_MAX: u32 = 16;
/// The most sectors of one such segment.
pub const SEGMENT_SECTORS_MAX: u32 = 1 << 22;
/// `struct virtio_blk_config`.
pub const CONFIG_BYTES: usize = 60;

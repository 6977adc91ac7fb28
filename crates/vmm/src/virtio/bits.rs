//! Numbers that all devices share (virtio 1.2, 2.1, 4.2.2 and 6). // tidy: table

/// `VIRTIO_F_INDIRECT_DESC`.
pub const INDIRECT: u64 = 1 << 28;
/// `VIRTIO_F_EVENT_IDX`.
pub const EVENT_INDEX: u64 = 1 << 29;
/// `VIRTIO_F_VERSION_1`.
pub const VERSION_1: u64 = 1 << 32;

/// Device status.
pub mod status {
    /// The driver has found the device.
    pub const ACKNOWLEDGE: u32 = 1;
    /// It knows how to drive it.
    pub const DRIVER: u32 = 2;
    /// It drives it.
    pub const DRIVER_OK: u32 = 4;
    /// It has chosen features.
    pub const FEATURES_OK: u32 = 8;
    /// The device cannot go on.
    pub const NEEDS_RESET: u32 = 64;
    /// The driver has given up.
    pub const FAILED: u32 = 128;
}

/// Interrupt status.
pub mod cause {
    /// A queue has used buffers.
    pub const QUEUE: u32 = 1;
    /// The configuration has changed.
    pub const CONFIG: u32 = 2;
}

/// Registers of the memory-mapped transport, by offset.
pub mod register {
    pub const MAGIC: u64 = 0x00;
    pub const VERSION: u64 = 0x04;
    pub const DEVICE_ID: u64 = 0x08;
    pub const VENDOR_ID: u64 = 0x0c;
    pub const DEVICE_FEATURES: u64 = 0x10;
    pub const DEVICE_FEATURES_SELECT: u64 = 0x14;
    pub const DRIVER_FEATURES: u64 = 0x20;
    pub const DRIVER_FEATURES_SELECT: u64 = 0x24;
    pub const QUEUE_SELECT: u64 = 0x30;
    pub const QUEUE_SIZE_MAX: u64 = 0x34;
    pub const QUEUE_SIZE: u64 = 0x38;
    pub const QUEUE_READY: u64 = 0x44;
    pub const QUEUE_NOTIFY: u64 = 0x50;
    pub const INTERRUPT_STATUS: u64 = 0x60;
    pub const INTERRUPT_ACK: u64 = 0x64;
    pub const STATUS: u64 = 0x70;
    pub const QUEUE_DESCRIPTORS_LOW: u64 = 0x80;
    pub const QUEUE_DESCRIPTORS_HIGH: u64 = 0x84;
    pub const QUEUE_DRIVER_LOW: u64 = 0x90;
    pub const QUEUE_DRIVER_HIGH: u64 = 0x94;
    pub const QUEUE_DEVICE_LOW: u64 = 0xa0;
    pub const QUEUE_DEVICE_HIGH: u64 = 0xa4;
    pub const SHARED_MEMORY_LENGTH_LOW: u64 = 0xb0;
    pub const SHARED_MEMORY_BASE_HIGH: u64 = 0xbc;
    pub const CONFIG_GENERATION: u64 = 0xfc;
    pub const CONFIG: u64 = 0x100;
}

/// `virt`.
pub const MAGIC: u32 = 0x7472_6976;
/// The transport's version: not the legacy one.
pub const TRANSPORT_VERSION: u32 = 2;
/// `BRTH`.
pub const VENDOR: u32 = 0x4854_5242;

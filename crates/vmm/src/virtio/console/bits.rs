//! Numbers and messages of a console with ports (virtio 1.2, 5.3). // tidy: table

/// `VIRTIO_ID_CONSOLE`.
pub const ID: u32 = 3;
/// `VIRTIO_CONSOLE_F_MULTIPORT`.
pub const MULTIPORT: u64 = 1 << 1;
/// Control messages to the driver, and from it.
pub const CONTROL_IN: usize = 2;
pub const CONTROL_OUT: usize = 3;
/// Entries of each queue.
pub const QUEUE: u16 = 128;
/// `struct virtio_console_control`.
pub const MESSAGE_BYTES: usize = 8;

/// Events of control messages.
pub mod event {
    pub const DEVICE_READY: u16 = 0;
    pub const PORT_ADD: u16 = 1;
    pub const PORT_READY: u16 = 3;
    pub const PORT_OPEN: u16 = 6;
    pub const PORT_NAME: u16 = 7;
}

/// The queue by which a port's bytes go to the driver. Port 0 is kept for a console, which this device has none of.
pub const fn queue_in(port: usize) -> usize {
    2 + 2 * port
}

/// A control message.
pub fn message(port: u32, event: u16, value: u16) -> Vec<u8> {
    [&port.to_le_bytes()[..], &event.to_le_bytes(), &value.to_le_bytes()].concat()
}

/// Port, event and value of a message.
pub fn parse(message: &[u8; MESSAGE_BYTES]) -> (u32, u16, u16) {
    let [a, b, c, d, e, f, g, h] = *message;
    (u32::from_le_bytes([a, b, c, d]), u16::from_le_bytes([e, f]), u16::from_le_bytes([g, h]))
}

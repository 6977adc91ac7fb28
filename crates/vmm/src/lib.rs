//! The machine monitor: a KVM guest with virtio devices, in a jail.

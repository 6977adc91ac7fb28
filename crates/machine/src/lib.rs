//! Machines of their own: definitions, disks, snapshots and their life.

//! The container's mounts: prepared by the maker where the host's rights are needed, by the init where the container's
//! namespaces are, and attached by the init.

pub(crate) mod attach;
pub(crate) mod control;
pub(crate) mod device_binds;
pub(crate) mod filesystem;
pub(crate) mod id_shift;
pub(crate) mod kernel_tree;
pub(crate) mod mask;
pub(crate) mod option;
pub(crate) mod prepare;

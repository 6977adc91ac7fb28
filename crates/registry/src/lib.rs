//! The OCI distribution server and pull-through mirror.

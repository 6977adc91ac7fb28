//! EROFS images: written from a tree, byte for byte the same for the same tree.

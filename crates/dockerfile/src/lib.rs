//! The Dockerfile language: parsed, expanded and checked, and the patterns of .dockerignore.

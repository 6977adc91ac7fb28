//! What a Dockerfile or an ignore file may cost: it comes from strangers, and is refused beyond these.

/// A whole Dockerfile, in bytes.
pub const FILE_BYTES: usize = 4 << 20;
/// One instruction after its lines are joined, in bytes.
pub const INSTRUCTION_BYTES: usize = 1 << 20;
/// Instructions of one file.
pub const INSTRUCTIONS: usize = 10_000;
/// Stages of one file.
pub const STAGES: usize = 1_000;
/// Heredocs of one instruction.
pub const HEREDOCS: usize = 64;
/// Mounts of one `RUN`.
pub const MOUNTS: usize = 256;
/// Errors collected before the parser gives up.
pub const ERRORS: usize = 20;
/// How deep `${a:-${b:-…}}` may nest.
pub const EXPANSION_DEPTH: usize = 32;
/// What one expanded word may grow to, in bytes.
pub const EXPANDED_BYTES: usize = 1 << 20;
/// Steps of comparing that one pattern modifier (`#`, `%`, `/`) may take.
pub const PATTERN_WORK: usize = 20_000_000;
/// An ignore file, in bytes.
pub const IGNORE_BYTES: usize = 4 << 20;
/// Patterns of one ignore file.
pub const IGNORE_PATTERNS: usize = 20_000;
/// One ignore pattern, in bytes.
pub const IGNORE_PATTERN_BYTES: usize = 4_096;

//! The `--format` flag in its two forms.

use crate::grammar::Flag;

/// For lists: table, JSON or template.
pub const TABLE: Flag = Flag::text(
    "format",
    "Format output using a custom template:\n'table':            Print output in table format with column headers \
     (default)\n'table TEMPLATE':   Print output in table format using the given Go template\n'json':             Print \
     in JSON format\n'TEMPLATE':         Print output using the given Go template.",
);

/// For single things: JSON or template.
pub const PLAIN: Flag = Flag::text(
    "format",
    "Format output using a custom template:\n'json':             Print in JSON format\n'TEMPLATE':         Print \
     output using the given Go template.",
);

//! The resolver that containers of a network ask: names, aliases and reverse, forwarded upstream otherwise.

//! nf_tables over netlink (`linux/netfilter/nf_tables.h`): a rule set read from nft's own language, and its bytes.
//!
//! ```text
//! template.rs    the small part of nft(8)'s language that rule files use -> Ruleset
//! expression.rs  one instruction of the kernel's rule machine, and its attributes
//! object.rs      tables, chains, sets, rules, elements as requests
//! ```

pub mod expression;
pub mod object;
pub mod template;

pub use expression::Expression;
pub use template::{Chain, Ruleset, Set, Type};

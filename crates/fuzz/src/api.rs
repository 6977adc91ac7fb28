//! The Engine API: bodies and queries that any client may send.

use berth_api::hostile;

/// The bodies of the operations that make and change things.
pub fn json(input: &[u8]) {
    hostile::bodies(input);
}

/// A query string, with filters and template words in it.
pub fn query(input: &[u8]) {
    if let Ok(text) = std::str::from_utf8(input) {
        hostile::query(text);
    }
}

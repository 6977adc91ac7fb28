//! Virtual machines as isolation: kernel, guest agent, and the two monitors behind one trait.

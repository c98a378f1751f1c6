//! Address strings and broker URLs: text to a typed address, and back.

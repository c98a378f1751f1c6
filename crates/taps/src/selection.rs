//! Which protocol stack over which path to which address: gathered, pruned, ranked (RFC 9622 6.2, RFC 9623 4).
//!
//! Nothing here opens a socket or reads a clock.

mod cache;
mod capabilities;

pub use self::cache::Context;
pub use self::capabilities::Support;

//! Which protocol stack over which path to which address: gathered, pruned, ranked (RFC 9622 6.2, RFC 9623 4).
//!
//! Nothing here opens a socket or reads a clock; the race over what is selected is in `race`.

mod addresses;
mod cache;
mod candidates;
mod capabilities;
mod input;
mod prune;
mod rank;
mod rejected;
#[cfg(test)]
mod tests;

pub use self::cache::Context;
#[cfg(test)]
pub(crate) use self::cache::Place;
#[cfg(feature = "tls")]
pub(crate) use self::cache::Tickets;
pub(crate) use self::cache::Way;
#[cfg(feature = "hickory")]
pub(crate) use self::cache::names;
pub use self::candidates::{Candidate, CandidateTree};
pub use self::capabilities::Support;
pub use self::rejected::{Rejected, Rejection};

pub(crate) use self::addresses::{MAX_CHILDREN, interleave, room};
pub(crate) use self::candidates::gather;
pub(crate) use self::capabilities::{StackSet, may_duplicate, support};
pub(crate) use self::input::{GatherInput, PathAddress, PathInfo, Source, Target};
pub(crate) use self::rank::MAX_CANDIDATES;

use std::time::Instant;

/// Gathers, prunes and ranks: what is left is raced.
///
/// # Errors
/// Why each candidate was rejected, when none is left.
pub(crate) fn select(input: &GatherInput<'_>, context: &Context, now: Instant) -> Result<CandidateTree, Vec<Rejected>> {
    let mut tree = gather(input);
    tree.prune(input);
    tree.add_addresses(input);
    tree.rank(input, context, now);
    if tree.is_empty() { Err(tree.rejected) } else { Ok(tree) }
}

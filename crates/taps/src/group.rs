//! What the connections of a group share: the order in which their messages leave, and the rates (RFC 9622 7.4).
//!
//! Nothing here does input or output or looks at a clock.

mod queue;
mod rate;
mod scheduler;
#[cfg(test)]
mod tests;

#[allow(unused_imports, reason = "for the connections of a group")]
pub(crate) use {
    queue::Entry,
    rate::RateLimit,
    scheduler::{GroupScheduler, MemberId, Ticket},
};

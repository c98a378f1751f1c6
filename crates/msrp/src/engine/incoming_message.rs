//! What is known of a message that is coming, beside its octets.

use super::keys::IncomingKey;
use crate::{FailureReport, Head, MessageId};

#[derive(Debug)]
pub(super) struct Incoming {
    pub(super) id: MessageId,
    /// What its parts go by.
    pub(super) key: IncomingKey,
    /// Its first chunk's.
    pub(super) head: Head,
    pub(super) failure: FailureReport,
    /// Its size, where it was said.
    pub(super) size: Option<u64>,
    /// Whether it is handed on part by part.
    pub(super) parts: bool,
}

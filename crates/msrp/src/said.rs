//! What a `SEND` says of its chunk (RFC 4975 7.1.1, 7.1.2).

use bytes::Bytes;

use crate::report::success_report;
use crate::{ByteRange, FailureReport, Head, HeaderName, MessageId};

/// What the headers of a chunk say.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) id: MessageId,
    pub(crate) range: ByteRange,
    pub(crate) success: bool,
    pub(crate) failure: FailureReport,
}

impl Said {
    /// Nothing where one of them says nothing that makes sense.
    pub(crate) fn in_head(head: &Head) -> Option<Self> {
        // A copy, which keeps no read buffer in memory.
        let id = MessageId::received(Bytes::copy_from_slice(head.value(HeaderName::MessageId)?))?;
        let range = match head.value(HeaderName::ByteRange) {
            Some(range) => ByteRange::from_bytes(range).ok()?,
            // It is the first, then, and of unknown length.
            None => ByteRange::new(1, None, None).ok()?,
        };
        let success = match head.text(HeaderName::SuccessReport) {
            Some(text) => success_report(text).ok()?,
            None => false,
        };
        let failure = match head.text(HeaderName::FailureReport) {
            Some(text) => text.parse().ok()?,
            None => FailureReport::Yes,
        };
        Some(Self { id, range, success, failure })
    }
}

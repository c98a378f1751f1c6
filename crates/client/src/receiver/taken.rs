//! A message between being taken and being read: what needs the receiver's lock, and what does not.

use bytes::Bytes;

use super::Receiver;
use crate::disposition::{self, Origin};
use crate::link::Link;
use crate::protocol::MessageFormat;
use crate::types::{DecodeError, ErrorCondition, PeerError};
use crate::{Message, Outcome, ReceiveError};

impl Receiver {
    /// The next message that is here, for [`Link::open`] to read.
    #[inline]
    pub(crate) fn take(&mut self) -> Option<Taken> {
        let delivery = self.next()?;
        let origin = self.origin(&delivery);
        self.taken += 1;
        Some(Taken { payload: delivery.payload, format: delivery.message_format, origin })
    }
}

/// A message that was taken from a receiver and is still to be read.
#[derive(Debug)]
pub struct Taken {
    payload: Bytes,
    format: MessageFormat,
    origin: Origin,
}

impl Taken {
    /// Where the message came from.
    #[must_use]
    pub fn origin(&self) -> Origin {
        self.origin
    }
}

impl Link {
    #[inline]
    pub(crate) fn open(&self, taken: Taken) -> Result<Message, ReceiveError> {
        let mut message = Message::default();
        self.read(taken, &mut message)?;
        Ok(message)
    }

    /// As [`Link::open`], where the message is to stay: it is large to be handed through.
    #[inline]
    pub(crate) fn read(&self, taken: Taken, message: &mut Message) -> Result<(), ReceiveError> {
        let Taken { payload, format, origin } = taken;
        match (self.session.shared().wire().read)(message, payload, format, origin) {
            Ok(()) => Ok(()),
            Err(error) => Err(self.refuse_malformed(origin, error)),
        }
    }

    /// Rejects a message that cannot be read.
    #[cold]
    pub(crate) fn refuse_malformed(&self, origin: Origin, error: DecodeError) -> ReceiveError {
        if !origin.is_settled() {
            let condition = ErrorCondition::DECODE_ERROR;
            let told = Outcome::Rejected(Some(PeerError::new(condition, error.to_string())));
            // The link may be over; then the message goes back by itself.
            let _ = disposition::dispose(self.session.shared(), &origin, told);
        }
        ReceiveError::Malformed(error)
    }
}

//! The way up: from the transport to the application.

use crate::framer::FramerError;
use crate::framer::stack::layer::Done;
use crate::framer::stack::{Above, Stack};
use crate::message::{Message, Receive};

/// How often in a row a framer may deliver something of its own without using anything that has arrived.
const MAX_OWN: usize = 1000;

/// How much may wait for a framer besides a message of the length that it allows, in bytes: a header, a delimiter.
const SLACK: usize = 64 * 1024;

impl Stack {
    /// Gives the application what it wants, when enough has arrived.
    ///
    /// After an error nothing more comes over a stream. Over a transport of messages the one at fault is dropped, and
    /// the next call goes on with the next.
    pub(crate) fn receive(&mut self, want: &Receive) -> Result<Option<Message>, FramerError> {
        match self.take(want) {
            Some(message) => Ok(Some(message)),
            None => self.advance(want),
        }
    }

    /// As [`receive`](Self::receive), when [`take`](Self::take) has given nothing.
    pub(crate) fn advance(&mut self, want: &Receive) -> Result<Option<Message>, FramerError> {
        self.check()?;
        if self.has_news() {
            let processed = self.process();
            // What came before the fault is received first.
            if let Some(message) = self.take(want) {
                return Ok(Some(message));
            }
            if let Err(error) = processed {
                if self.out.keeps_boundaries() {
                    self.fault = None;
                }
                return Err(error);
            }
        }
        if self.ended && self.holds_remains() {
            return Err(FramerError::Truncated);
        }
        Ok(None)
    }

    /// Gives the application what it wants of what the framers have delivered.
    #[inline]
    pub(crate) fn take(&mut self, want: &Receive) -> Option<Message> {
        let earmarked = self.delivered.is_empty();
        let mut message = self.delivered.receive(want, self.inboxes.last_mut()?)?;
        // What is behind a delivery that was earmarked is the framer's to look at.
        self.stirred |= earmarked;
        message.context.set_endpoints(&self.endpoints);
        if self.early {
            message.context.set_early_data();
        }
        Some(message)
    }

    fn holds_remains(&self) -> bool {
        self.holds_received() || self.inboxes.iter().any(|inbox| inbox.earmark.is_some())
    }

    /// Whether something has changed since the framers found nothing to do.
    fn has_news(&self) -> bool {
        self.stirred || self.fault.is_some() || self.inboxes[0].position() != self.seen
    }

    /// Runs the started framers over what has arrived, from the bottom up, until none makes progress.
    pub(super) fn process(&mut self) -> Result<(), FramerError> {
        if let Some(fault) = &self.fault {
            return Err(fault.clone());
        }
        let mut level = 0;
        while level < self.started {
            if let Err(error) = self.process_level(level) {
                if self.out.keeps_boundaries() {
                    self.drop_message(level);
                }
                // The framers above have their turn: what has come to them came before the fault.
                self.fault = Some(error);
            }
            if self.layers[level].progress.leaving && self.inboxes[level].earmark.is_none() {
                self.step_aside(level);
            } else {
                level += 1;
            }
        }
        // Behind a message at fault there may be others.
        self.stirred = self.fault.is_some();
        self.seen = self.inboxes[0].position();
        self.fault.as_ref().map_or(Ok(()), |fault| Err(fault.clone()))
    }

    fn process_level(&mut self, level: usize) -> Result<(), FramerError> {
        let mut own = 0;
        loop {
            let top = level + 1 == self.layers.len();
            let inbox = &self.inboxes[level];
            if let Some(earmark) = &inbox.earmark {
                if inbox.front_is_complete() && inbox.front_len() < earmark.remaining {
                    return Err(FramerError::Truncated);
                }
                // The application takes what is earmarked for it when it has enough, without a copy; only the
                // rest of a message whose parts it has already must join them.
                let kept = top && self.delivered.is_whole() && !self.stopping;
                if kept || !self.pass_earmarked(level) {
                    return Ok(());
                }
                continue;
            }
            if inbox.is_empty() || self.layers[level].progress.leaving {
                return Ok(());
            }
            let (_, done) = self.call(level, |framer, cx| framer.handle_received_data(cx))?;
            let inbox = &self.inboxes[level];
            match done {
                Done::Used => own = 0,
                Done::Delivered if own < MAX_OWN => own += 1,
                Done::Delivered => return Err(FramerError::NoProgress { held: inbox.bytes.len() as u64 }),
                // The whole message is there, and no byte more will make it longer.
                Done::Nothing if inbox.front_is_complete() => return Err(FramerError::Truncated),
                Done::Nothing => {
                    let limit = self.layers[level].framer.max_message_len().saturating_add(SLACK);
                    if inbox.bytes.len() > limit {
                        return Err(FramerError::NoProgress { held: inbox.bytes.len() as u64 });
                    }
                    return Ok(());
                }
            }
        }
    }

    /// Passes on what has arrived of an earmarked delivery; returns whether the delivery is over.
    fn pass_earmarked(&mut self, level: usize) -> bool {
        let (lower, upper) = self.inboxes.split_at_mut(level + 1);
        let inbox = &mut lower[level];
        if inbox.is_empty() {
            return false;
        }
        if let Some((data, context, end_of_message)) = inbox.take_earmarked(usize::MAX) {
            let mut above = upper.first_mut().map_or(Above::Application(&mut self.delivered), Above::Framer);
            above.push(data, context, end_of_message);
        }
        inbox.earmark.is_none()
    }

    /// Drops the message that a framer cannot make sense of, and what it has delivered of one that has no end now.
    fn drop_message(&mut self, level: usize) {
        let (lower, upper) = self.inboxes.split_at_mut(level + 1);
        lower[level].drop_front();
        match upper.first_mut() {
            Some(above) => above.drop_open(),
            None => self.delivered.drop_open(),
        }
    }
}

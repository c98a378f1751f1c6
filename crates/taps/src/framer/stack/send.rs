//! The way down: from the application to the transport.

use crate::framer::FramerError;
use crate::framer::outbox::Mark;
use crate::framer::stack::Stack;
use crate::message::{Message, MessageContext};

/// The longest message that is collected from parts for a transport whose own limit is not known, in bytes.
const MAX_COLLECTED: usize = 16 * 1024 * 1024;

/// Where the application is with the message it sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sending {
    /// Between messages.
    Idle,
    /// The end of this one has not come.
    Part(u64),
    /// A part of this one was refused, and its end has not come.
    Refused(u64),
}

impl Stack {
    /// Frames a message, or a part of one, into `out`. When that fails, `out` is as it was.
    pub(crate) fn send(&mut self, message: Message) -> Result<(), FramerError> {
        self.check()?;
        // Without framers, a stream has no messages that could be mixed up.
        if self.layers.is_empty() && !self.out.keeps_boundaries() {
            self.out.push(message.data);
            return Ok(());
        }
        let mark = self.out.mark();
        let whole = message.end_of_message && self.sending == Sending::Idle;
        let sent = if whole { self.pass_down(self.layers.len(), message) } else { self.send_part(message) };
        if sent.is_err() {
            self.out.roll_back(mark);
        }
        sent
    }

    fn send_part(&mut self, message: Message) -> Result<(), FramerError> {
        let (id, end) = (message.context.id(), message.end_of_message);
        match self.sending {
            Sending::Part(open) if open != id => return Err(FramerError::Interleaved),
            Sending::Refused(refused) if refused == id => {
                if end {
                    self.sending = Sending::Idle;
                }
                return Err(FramerError::PartRefused);
            }
            Sending::Refused(_) => {
                self.sending = Sending::Idle;
                return self.send(message);
            }
            Sending::Idle | Sending::Part(_) => {}
        }
        let first = self.sending == Sending::Idle;
        let sent = self.pass_down(self.layers.len(), message);
        match &sent {
            Ok(()) if end => self.sending = Sending::Idle,
            Ok(()) => self.sending = Sending::Part(id),
            Err(error) => self.refuse_part(id, first, end, error),
        }
        sent
    }

    /// Forgets a message of which a part was refused, where that can be done.
    fn refuse_part(&mut self, id: u64, first: bool, end: bool, error: &FramerError) {
        self.sending = if end { Sending::Idle } else { Sending::Refused(id) };
        // What framers have seen of it, and the peer perhaps, cannot be taken back.
        let untouched = self.collects_at_top() || (first && self.layers.len() == 1);
        if !untouched {
            self.failure.get_or_insert_with(|| error.clone());
        }
        self.layers.last_mut().map_or(&mut self.leaving, |layer| &mut layer.parts).give_up();
    }

    /// Forgets a message whose rest will not come; false where something of it has been seen below, which cannot be
    /// taken back.
    pub(crate) fn give_up_part(&mut self) -> bool {
        if self.layers.is_empty() && !self.out.keeps_boundaries() {
            return true;
        }
        if self.sending != Sending::Idle && !self.collects_at_top() {
            return false;
        }
        self.sending = Sending::Idle;
        self.layers.last_mut().map_or(&mut self.leaving, |layer| &mut layer.parts).give_up();
        true
    }

    fn collects_at_top(&self) -> bool {
        self.layers.len().checked_sub(1).is_none_or(|top| self.collects(top))
    }

    /// Whether a layer sees messages as a whole. Over a transport of messages nothing leaves before the end, so the
    /// bottom one may as well.
    fn collects(&self, level: usize) -> bool {
        !self.layers[level].framer.takes_parts() || (level == 0 && self.out.keeps_boundaries())
    }

    /// Gives a message, or a part of one, to the framers below `level`.
    pub(super) fn pass_down(&mut self, level: usize, message: Message) -> Result<(), FramerError> {
        let Some(below) = level.checked_sub(1) else { return self.leave(message) };
        if self.layers[below].progress.leaving {
            return self.pass_down(below, message);
        }
        if message.end_of_message && self.layers[below].parts.is_idle() {
            return self.frame(below, message);
        }
        let collects = self.collects(below);
        let layer = &mut self.layers[below];
        let limit = layer.framer.max_message_len();
        if let Some(message) = layer.parts.admit(message, collects, limit)? {
            self.frame(below, message)?;
        }
        while let Some(held) = self.layers.get_mut(below).and_then(|layer| layer.parts.pop_held()) {
            self.frame(below, held)?;
        }
        Ok(())
    }

    /// Gives a message to the transport.
    fn leave(&mut self, message: Message) -> Result<(), FramerError> {
        if !self.out.keeps_boundaries() {
            self.out.push(message.data);
            return Ok(());
        }
        let limit = if self.max_out == usize::MAX { MAX_COLLECTED } else { self.max_out };
        let Some(message) = self.leaving.admit(message, true, limit)? else { return Ok(()) };
        let mark = self.out.mark();
        self.out.push(message.data);
        self.end_out_message(message.context, mark)
    }

    /// Makes a message of what was pushed to `out` since the mark.
    pub(super) fn end_out_message(&mut self, context: MessageContext, mark: Mark) -> Result<(), FramerError> {
        let size = self.out.open_len();
        if size > self.max_out {
            self.out.roll_back(mark);
            return Err(FramerError::MessageTooLarge { size: size as u64, limit: self.max_out as u64 });
        }
        self.out.end_message(context);
        Ok(())
    }
}

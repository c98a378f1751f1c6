//! A connection's framers, one above the other.

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};

use crate::framer::inbox::Inbox;
use crate::framer::outbox::Outbox;
use crate::framer::{Framer, FramerCx, FramerError, FramerFactory, Start};
use crate::message::{Message, MessageContext, Receive};

/// The framers in the order in which they were added, the first at the bottom.
///
/// Sent messages run from the last to the first and end in `out`; received bytes enter at `received` and run from
/// the first to the last. Without framers the stream itself is one message.
pub(crate) struct Stack {
    framers: Vec<Layer>,
    /// What waits for each framer; with no framer, for the application.
    inboxes: Vec<Inbox>,
    /// What waits for the application, from the top framer.
    delivered: VecDeque<Message>,
    /// What waits for the transport.
    pub(crate) out: Outbox,
    /// How many framers have started.
    started: usize,
    /// Whether the transport has ended.
    ended: bool,
}

struct Layer {
    framer: Box<dyn Framer>,
    ready: bool,
}

/// Where a framer's deliveries go.
#[derive(Debug)]
pub(crate) enum Above<'a> {
    Application(&'a mut VecDeque<Message>),
    Framer(&'a mut Inbox),
}

impl Above<'_> {
    pub(crate) fn push(&mut self, data: Bytes, context: MessageContext, end_of_message: bool) {
        match self {
            Self::Application(delivered) => delivered.push_back(Message::part(data, context, end_of_message)),
            Self::Framer(inbox) => inbox.push(data, end_of_message),
        }
    }
}

impl Stack {
    pub(crate) fn new(factories: &[FramerFactory]) -> Self {
        let framers: Vec<_> = factories.iter().map(|make| Layer { framer: make(), ready: false }).collect();
        let inboxes =
            if framers.is_empty() { vec![Inbox::stream()] } else { framers.iter().map(|_| Inbox::default()).collect() };
        Self { framers, inboxes, delivered: VecDeque::new(), out: Outbox::default(), started: 0, ended: false }
    }

    pub(crate) fn has_framers(&self) -> bool {
        !self.framers.is_empty()
    }

    pub(crate) fn preserves_boundaries(&self) -> bool {
        self.framers.iter().any(|layer| layer.framer.preserves_boundaries())
    }

    /// Starts framers from the bottom up until one is not ready; returns whether all are. Call it again after
    /// bytes have arrived.
    pub(crate) fn start(&mut self) -> Result<bool, FramerError> {
        loop {
            self.process()?;
            if self.framers[..self.started].iter().any(|layer| !layer.ready) {
                return Ok(false);
            }
            if self.started == self.framers.len() {
                return Ok(true);
            }
            let level = self.started;
            self.started += 1;
            if self.call(level, |framer, cx| framer.start(cx))?.0 == Start::Ready {
                self.framers[level].ready = true;
            }
        }
    }

    /// Frames a message into `out`.
    pub(crate) fn send(&mut self, message: Message) -> Result<(), FramerError> {
        self.send_below(self.framers.len(), message)
    }

    /// Stops the framers from the top down; what they send goes to `out`.
    pub(crate) fn stop(&mut self) -> Result<(), FramerError> {
        for level in (0..self.framers.len()).rev() {
            self.call(level, |framer, cx| {
                framer.stop(cx);
                Ok(())
            })?;
        }
        Ok(())
    }

    /// Where the transport reads into.
    pub(crate) fn received(&mut self) -> &mut BytesMut {
        &mut self.inboxes[0].bytes
    }

    /// How many bytes the delivery at the bottom still lacks, as far as is known.
    pub(crate) fn lacking(&self) -> usize {
        let inbox = &self.inboxes[0];
        let declared = inbox.earmark.as_ref().filter(|earmark| earmark.remaining != usize::MAX);
        declared.map_or(0, |earmark| earmark.remaining.saturating_sub(inbox.bytes.len()))
    }

    /// Notes that the transport has ended in order: nothing more arrives.
    pub(crate) fn handle_end(&mut self) {
        self.ended = true;
        let (no_framers, inbox) = (self.framers.is_empty(), &mut self.inboxes[0]);
        if let Some(earmark) = inbox.earmark.as_mut().filter(|_| no_framers) {
            earmark.remaining = inbox.bytes.len();
            earmark.context.last = true;
            // A stream that never carried a byte, or whose every byte is delivered in a finished message.
            if earmark.remaining == 0 && !earmark.started {
                inbox.earmark = None;
            }
        }
    }

    /// Whether the transport has ended.
    pub(crate) fn is_ended(&self) -> bool {
        self.ended
    }

    /// Whether bytes wait that nobody has used.
    pub(crate) fn holds_received(&self) -> bool {
        self.inboxes.iter().any(|inbox| !inbox.is_empty()) || !self.delivered.is_empty()
    }

    /// Drops what has been received and not used.
    pub(crate) fn discard_received(&mut self) {
        self.inboxes[0].bytes.clear();
    }

    /// Gives the application what it wants, when enough has arrived.
    pub(crate) fn receive(&mut self, want: &Receive) -> Result<Option<Message>, FramerError> {
        if let Some(message) = self.take(want) {
            return Ok(Some(message));
        }
        self.process()?;
        let message = self.take(want);
        if message.is_none() && self.ended && self.holds_remains() {
            return Err(FramerError::Truncated);
        }
        Ok(message)
    }

    fn holds_remains(&self) -> bool {
        self.holds_received() || self.inboxes.iter().any(|inbox| inbox.earmark.is_some())
    }

    fn take(&mut self, want: &Receive) -> Option<Message> {
        if self.delivered.is_empty() {
            return self.inboxes.last_mut()?.receive_earmarked(want);
        }
        let parts = self.delivered.iter().position(|part| part.end_of_message);
        let count = parts.map_or(self.delivered.len(), |last| last + 1);
        let available: usize = self.delivered.iter().take(count).map(|part| part.data.len()).sum();
        if parts.is_none() && available < want.enough() {
            return None;
        }
        let mut first = self.delivered.pop_front()?;
        if first.data.len() > want.limit() {
            let rest = Message::part(first.data.split_off(want.limit()), first.context.clone(), first.end_of_message);
            self.delivered.push_front(rest);
            first.end_of_message = false;
        }
        if first.end_of_message || first.data.len() == want.limit() || count == 1 {
            return Some(first);
        }
        let mut joined = BytesMut::with_capacity(available.min(want.limit()));
        joined.extend_from_slice(&first.data);
        while !first.end_of_message && joined.len() < want.limit() {
            let Some(mut next) = self.delivered.pop_front() else { break };
            let room = want.limit() - joined.len();
            if next.data.len() > room {
                let rest = Message::part(next.data.split_off(room), next.context.clone(), next.end_of_message);
                self.delivered.push_front(rest);
                next.end_of_message = false;
            }
            joined.extend_from_slice(&next.data);
            first.end_of_message = next.end_of_message;
        }
        first.data = joined.freeze();
        Some(first)
    }

    /// Runs the started framers over what has arrived, from the bottom up, until none makes progress.
    fn process(&mut self) -> Result<(), FramerError> {
        for level in 0..self.started {
            let top = level + 1 == self.framers.len();
            loop {
                if let Some(earmark) = &self.inboxes[level].earmark {
                    let inbox = &self.inboxes[level];
                    if inbox.front_is_complete() && inbox.front_len() < earmark.remaining {
                        return Err(FramerError::Truncated);
                    }
                    // The application takes what is earmarked for it when it has enough, without a copy; only the
                    // rest of a message whose parts it has already must join them.
                    let whole = self.delivered.back().is_none_or(|part| part.end_of_message);
                    if (top && whole) || !self.pass_earmarked(level) {
                        break;
                    }
                    continue;
                }
                if self.inboxes[level].is_empty() {
                    break;
                }
                let (_, progress) = self.call(level, |framer, cx| framer.handle_received_data(cx))?;
                if !progress {
                    // The whole message is there, and no byte more will make it longer.
                    if self.inboxes[level].front_is_complete() {
                        return Err(FramerError::Truncated);
                    }
                    break;
                }
            }
        }
        Ok(())
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

    /// Calls one framer, and sends what it sent through the framers below it. Returns its answer and whether it
    /// made progress.
    fn call<T>(
        &mut self,
        level: usize,
        run: impl FnOnce(&mut dyn Framer, &mut FramerCx<'_>) -> Result<T, FramerError>,
    ) -> Result<(T, bool), FramerError> {
        let mut between = Outbox::default();
        let (lower, upper) = self.inboxes.split_at_mut(level + 1);
        let above = upper.first_mut().map_or(Above::Application(&mut self.delivered), Above::Framer);
        let Layer { framer, ready } = &mut self.framers[level];
        let below = if level == 0 { &mut self.out } else { &mut between };
        let mut cx = FramerCx { inbox: &mut lower[level], above, below, ready, progress: false };
        let answer = run(&mut **framer, &mut cx)?;
        let progress = cx.progress;
        if !between.is_empty() {
            self.send_below(level, Message::new(between.take()))?;
        }
        Ok((answer, progress))
    }

    /// Sends a message through the framers below `level`.
    fn send_below(&mut self, level: usize, message: Message) -> Result<(), FramerError> {
        match level.checked_sub(1) {
            None => {
                self.out.push(message.data);
                Ok(())
            }
            Some(below) => self.call(below, |framer, cx| framer.new_sent_message(cx, message)).map(|_| ()),
        }
    }
}

impl std::fmt::Debug for Stack {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Stack")
            .field("framers", &self.framers.len())
            .field("ended", &self.ended)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::framer::Tlv;

    fn stack(factories: &[FramerFactory]) -> Stack {
        let mut stack = Stack::new(factories);
        assert!(stack.start().unwrap());
        stack
    }

    fn tlv() -> FramerFactory {
        std::sync::Arc::new(|| Box::new(Tlv::new()))
    }

    /// Delivers each byte as a part; a dot ends the message.
    struct Drops;

    impl Framer for Drops {
        fn new_sent_message(&mut self, cx: &mut FramerCx<'_>, message: Message) -> Result<(), FramerError> {
            cx.send(message.data);
            Ok(())
        }

        fn handle_received_data(&mut self, cx: &mut FramerCx<'_>) -> Result<(), FramerError> {
            let Some(parsed) = cx.parse(1, 1) else { return Ok(()) };
            let end = parsed.data == b".";
            cx.deliver_and_advance_receive_cursor(MessageContext::default(), 1, end);
            Ok(())
        }
    }

    fn drops() -> FramerFactory {
        std::sync::Arc::new(|| Box::new(Drops))
    }

    fn got(message: Option<Message>) -> Option<(Vec<u8>, bool)> {
        message.map(|message| (message.data.to_vec(), message.end_of_message))
    }

    #[test]
    fn parts_are_joined_and_cut_as_the_application_wants() {
        let mut stack = stack(&[drops()]);
        stack.received().extend_from_slice(b"one.two");
        let want = Receive::complete();
        assert_eq!(got(stack.receive(&want).unwrap()), Some((b"one.".to_vec(), true)));
        assert_eq!(got(stack.receive(&want).unwrap()), None);
        let want = Receive::min_incomplete(4);
        assert_eq!(got(stack.receive(&want).unwrap()), None);
        stack.received().extend_from_slice(b"three.x");
        let want = want.max(5);
        assert_eq!(got(stack.receive(&want).unwrap()), Some((b"twoth".to_vec(), false)));
        assert_eq!(got(stack.receive(&want).unwrap()), Some((b"ree.".to_vec(), true)));
        let want = Receive::min_incomplete(1);
        assert_eq!(got(stack.receive(&want).unwrap()), Some((b"x".to_vec(), false)));
    }

    #[test]
    fn every_split_of_a_stack_of_two_gives_the_same_messages() {
        let factories = [tlv(), tlv()];
        let bodies = [&b"one"[..], b"", b"three"];
        let mut sender = stack(&factories);
        for body in bodies {
            sender.send(Message::new(body)).unwrap();
        }
        let wire = sender.out.take();
        assert_eq!(&wire[..11], b"\0\0\0\x07\0\0\0\x03one");
        for split in 0..=wire.len() {
            let mut receiver = stack(&factories);
            let mut messages = Vec::new();
            for piece in [&wire[..split], &wire[split..]] {
                receiver.received().extend_from_slice(piece);
                while let Some(message) = receiver.receive(&Receive::complete()).unwrap() {
                    messages.push(message.data);
                }
            }
            assert_eq!(messages, bodies, "split at {split}");
        }
    }

    #[test]
    fn a_message_that_cannot_hold_the_one_above_is_truncated() {
        // The lower messages have two bytes, too few for a header, and six, too few for the five declared.
        for wire in [&b"\0\0\0\x02\0\0"[..], b"\0\0\0\x06\0\0\0\x05ab"] {
            let mut receiver = stack(&[tlv(), tlv()]);
            receiver.received().extend_from_slice(wire);
            assert_eq!(receiver.receive(&Receive::complete()), Err(FramerError::Truncated));
        }
    }

    #[test]
    fn a_large_body_goes_through_without_a_copy() {
        let mut stack = stack(&[tlv()]);
        stack.received().extend_from_slice(b"\0\0\x10\0");
        stack.received().extend_from_slice(&[7; 4096]);
        let address = stack.received()[4..].as_ptr();
        let message = stack.receive(&Receive::complete()).unwrap().unwrap();
        assert_eq!((message.data.len(), message.data.as_ptr()), (4096, address));
    }
}

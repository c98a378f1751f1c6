//! A connection's framers, one above the other.

mod layer;
mod receive;
mod send;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Instant;

use bytes::{Bytes, BytesMut};

use crate::framer::delivered::Delivered;
use crate::framer::inbox::Inbox;
use crate::framer::outbox::Outbox;
use crate::framer::parts::Parts;
use crate::framer::{FramerError, FramerFactory, Start, Stop};
use crate::message::{Endpoints, MessageContext};
use layer::Layer;
use send::Sending;

pub(in crate::framer) use layer::{Progress, Wakeup};

/// How many framers a connection takes; a framer that puts another above it, which does the same, ends here.
const MAX_FRAMERS: usize = 64;

/// The framers in the order in which they were added, the first at the bottom.
///
/// Sent messages run from the last to the first and end in `out`; received bytes enter at `received`, received
/// messages at `push_message`, and run from the first to the last. Without framers a stream itself is one message.
///
/// It does no input or output and knows no clock. When an operation has returned an error that is not about one
/// message, [`failure`](Self::failure) has it, and every later operation returns it too.
pub(crate) struct Stack {
    layers: Vec<Layer>,
    /// What waits for each framer; with no framer over a stream, for the application.
    inboxes: Vec<Inbox>,
    /// What waits for the application, from the top framer.
    delivered: Delivered,
    /// What waits for the transport.
    pub(crate) out: Outbox,
    /// What the transport gets in parts: only one of messages cares.
    leaving: Parts,
    /// The longest message that the transport takes.
    max_out: usize,
    sending: Sending,
    /// How many framers have started.
    started: usize,
    /// Whether the transport has ended.
    ended: bool,
    stopping: bool,
    /// Whether a framer may wait for a wakeup.
    waits: bool,
    /// Whether a framer is being called. It stays so when the framer panics.
    calling: bool,
    failure: Option<FramerError>,
    /// What a framer could not make sense of, until the application has heard of it; over a stream, for good.
    fault: Option<FramerError>,
    /// What received messages say about where they came from.
    endpoints: Option<Arc<Endpoints>>,
    /// Whether what waits may have been sent before the handshake was over.
    early: bool,
    /// Whether anything but the bytes of a stream has come since the framers last found nothing to do, and where those
    /// were then.
    stirred: bool,
    seen: (u64, usize),
    /// The framers of messages that go beside the stream, where they can.
    pub(crate) beside: Option<Box<Self>>,
}

/// Where a framer's deliveries go.
#[derive(Debug)]
pub(crate) enum Above<'a> {
    Application(&'a mut Delivered),
    Framer(&'a mut Inbox),
}

impl Above<'_> {
    pub(crate) fn push(&mut self, data: Bytes, context: MessageContext, end_of_message: bool) {
        match self {
            Self::Application(delivered) => delivered.push(data, context, end_of_message),
            Self::Framer(inbox) => inbox.push(data, context, end_of_message),
        }
    }
}

impl Stack {
    /// Framers over a stream.
    pub(crate) fn new(factories: &[FramerFactory]) -> Self {
        let inbox = if factories.is_empty() { Inbox::stream() } else { Inbox::default() };
        Self::over(factories, inbox, Outbox::default())
    }

    /// Framers over a transport that keeps messages apart and takes them up to `max_message` bytes.
    pub(crate) fn of_messages(factories: &[FramerFactory], max_message: Option<usize>) -> Self {
        let mut stack = Self::over(factories, Inbox::default(), Outbox::of_messages());
        stack.set_max_message(max_message);
        stack
    }

    fn over(factories: &[FramerFactory], bottom: Inbox, out: Outbox) -> Self {
        let layers: Vec<_> = factories.iter().map(|make| Layer::new(make())).collect();
        let mut inboxes = vec![bottom];
        inboxes.resize_with(layers.len().max(1), Inbox::default);
        Self {
            layers,
            inboxes,
            delivered: Delivered::default(),
            out,
            leaving: Parts::default(),
            max_out: usize::MAX,
            sending: Sending::Idle,
            started: 0,
            ended: false,
            stopping: false,
            waits: false,
            calling: false,
            failure: None,
            fault: None,
            endpoints: None,
            early: false,
            stirred: true,
            seen: (0, 0),
            beside: None,
        }
    }

    /// Limits the messages in `out`, framed as they are. Over a stream it has no effect.
    pub(crate) fn set_max_message(&mut self, bytes: Option<usize>) {
        self.max_out = bytes.unwrap_or(usize::MAX);
    }

    /// Says whether what comes next may have been sent before the handshake was over: then every message that has a part
    /// of it is early data (RFC 9622 9.3.3.2).
    pub(crate) fn set_early(&mut self, early: bool) {
        if early || (self.early && !self.holds_received()) {
            self.early = early;
        }
    }

    /// Says where received messages come from, unless the transport says so message by message.
    pub(crate) fn set_endpoints(&mut self, endpoints: Arc<Endpoints>) {
        self.endpoints = Some(endpoints);
    }

    /// Makes framers of the same kind for messages that go beside the stream, each by itself. There are none when no framer
    /// keeps messages apart, so that the stream is one message of which nothing may be lost; or when one has to say or hear
    /// something before all messages, or to wait for a time, for which it has the stream.
    pub(crate) fn set_beside(&mut self, factories: &[FramerFactory]) {
        if !self.preserves_boundaries() {
            return;
        }
        let mut beside = Self::of_messages(factories, None);
        beside.endpoints.clone_from(&self.endpoints);
        let ready = matches!(beside.start(), Ok(true)) && beside.out.is_empty() && !beside.waits;
        self.beside = ready.then(|| Box::new(beside));
    }

    /// Whether no message has been sent in part.
    pub(crate) fn is_between_messages(&self) -> bool {
        self.sending == Sending::Idle
    }

    pub(crate) fn has_framers(&self) -> bool {
        !self.layers.is_empty()
    }

    /// Whether messages arrive as they were sent.
    pub(crate) fn preserves_boundaries(&self) -> bool {
        self.out.keeps_boundaries() || self.layers.iter().any(|layer| layer.framer.preserves_boundaries())
    }

    /// What has made the framers unusable.
    pub(crate) fn failure(&self) -> Option<&FramerError> {
        if self.calling { Some(&FramerError::Panicked) } else { self.failure.as_ref() }
    }

    fn check(&self) -> Result<(), FramerError> {
        self.failure().map_or(Ok(()), |error| Err(error.clone()))
    }

    /// Starts framers from the bottom up until one is not ready; returns whether all are. Call it again after
    /// bytes have arrived.
    pub(crate) fn start(&mut self) -> Result<bool, FramerError> {
        self.check()?;
        loop {
            self.process()?;
            if self.layers[..self.started].iter().any(|layer| !layer.progress.ready) {
                return Ok(false);
            }
            if self.started == self.layers.len() {
                return Ok(true);
            }
            let level = self.started;
            self.started += 1;
            if self.call(level, |framer, cx| framer.start(cx))?.0 == Start::Ready {
                self.layers[level].progress.ready = true;
            }
        }
    }

    /// Stops the framers from the top down; what they send goes to `out`. Returns whether all have finished, or have
    /// nothing to wait for since the transport has ended: until then, what arrives goes to the framers and no further,
    /// and this is to be called again after it, and after a wakeup.
    pub(crate) fn stop(&mut self) -> Result<bool, FramerError> {
        self.check()?;
        self.stopping = true;
        loop {
            let open = |layer: &Layer| !layer.progress.closed && !layer.progress.leaving;
            let Some(level) = self.layers[..self.started].iter().rposition(open) else { return Ok(true) };
            if self.layers[level].stopped {
                self.process()?;
                self.delivered.clear();
                match self.layers.get_mut(level).filter(|layer| open(layer)) {
                    Some(layer) if self.ended => layer.progress.closed = true,
                    Some(_) => return Ok(false),
                    None => {}
                }
                continue;
            }
            self.layers[level].stopped = true;
            if self.call(level, |framer, cx| Ok(framer.stop(cx)))?.0 == Stop::Closed {
                self.layers[level].progress.closed = true;
            }
        }
    }

    /// Whether a framer may wait for a wakeup.
    pub(crate) fn waits(&self) -> bool {
        self.waits
    }

    /// When [`handle_wakeup`](Self::handle_wakeup) is to be called next; `None` when no framer waits for that. Ask
    /// after every other operation.
    pub(crate) fn next_wakeup(&mut self, now: Instant) -> Option<Instant> {
        if !self.waits {
            return None;
        }
        let next = self.layers.iter_mut().filter_map(|layer| layer.progress.next_wakeup(now)).min();
        self.waits = next.is_some();
        next
    }

    /// Wakes the framers whose time has come.
    pub(crate) fn handle_wakeup(&mut self, now: Instant) -> Result<(), FramerError> {
        self.check()?;
        for level in (0..self.layers.len()).rev() {
            if self.layers.get_mut(level).is_some_and(|layer| layer.progress.take_wakeup(now)) {
                self.call(level, |framer, cx| framer.wakeup(cx))
                    .inspect_err(|error| self.failure = Some(error.clone()))?;
            }
        }
        Ok(())
    }

    /// Where a stream reads into.
    pub(crate) fn received(&mut self) -> &mut BytesMut {
        &mut self.inboxes[0].bytes
    }

    /// Takes a message that has arrived whole.
    pub(crate) fn push_message(&mut self, data: Bytes, context: MessageContext) {
        self.stirred = true;
        match self.inboxes.first_mut().filter(|_| !self.layers.is_empty()) {
            Some(bottom) => bottom.push(data, context, true),
            None => self.delivered.push(data, context, true),
        }
    }

    /// How many bytes the delivery at the bottom still lacks, as far as is known.
    pub(crate) fn lacking(&self) -> usize {
        let inbox = &self.inboxes[0];
        let declared = inbox.earmark.as_ref().filter(|earmark| earmark.remaining != usize::MAX);
        declared.map_or(0, |earmark| earmark.remaining.saturating_sub(inbox.bytes.len()))
    }

    /// Notes that the transport has ended in order: nothing more arrives.
    pub(crate) fn handle_end(&mut self) {
        self.stirred = true;
        self.ended = true;
        if self.out.keeps_boundaries() {
            return;
        }
        let inbox = &mut self.inboxes[0];
        if !self.layers.is_empty() {
            // The last bytes of the stream are the end of its one message.
            if !inbox.bytes.is_empty() {
                inbox.end_message();
            }
        } else if let Some(earmark) = &mut inbox.earmark {
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
        self.inboxes[0].clear();
        self.delivered.clear();
    }
}

impl std::fmt::Debug for Stack {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Stack")
            .field("framers", &self.layers.len())
            .field("ended", &self.ended)
            .field("failure", &self.failure())
            .finish_non_exhaustive()
    }
}

//! One framer of a stack, and the calls into it.

use std::mem;
use std::time::{Duration, Instant};

use crate::framer::cx::Prepended;
use crate::framer::inbox::Inbox;
use crate::framer::outbox::{Mark, Outbox};
use crate::framer::parts::Parts;
use crate::framer::stack::{Above, MAX_FRAMERS, Stack};
use crate::framer::{Framer, FramerCx, FramerError};
use crate::message::{Message, MessageContext};

/// A framer and what the stack knows about it.
pub(super) struct Layer {
    pub(super) framer: Box<dyn Framer>,
    pub(super) progress: Progress,
    pub(super) parts: Parts,
    /// Whether its stop has run.
    pub(super) stopped: bool,
    /// Whether it has begun a message to the layer below and not ended it.
    sends_part: bool,
    /// What it sends to the layer below.
    scratch: Outbox,
}

impl Layer {
    pub(super) fn new(framer: Box<dyn Framer>) -> Self {
        Self {
            framer,
            progress: Progress::default(),
            parts: Parts::default(),
            stopped: false,
            sends_part: false,
            scratch: Outbox::default(),
        }
    }
}

/// How far a framer has come, as far as it tells.
#[derive(Debug, Default)]
pub(in crate::framer) struct Progress {
    pub(in crate::framer) ready: bool,
    pub(in crate::framer) closed: bool,
    /// Whether it steps aside.
    pub(in crate::framer) leaving: bool,
    pub(in crate::framer) wakeup: Option<Wakeup>,
}

/// When a framer wants to be called.
#[derive(Debug, Clone, Copy)]
pub(in crate::framer) enum Wakeup {
    /// So long after a time that is not known yet.
    After(Duration),
    At(Instant),
}

impl Progress {
    pub(super) fn next_wakeup(&mut self, now: Instant) -> Option<Instant> {
        let at = match self.wakeup? {
            // A time past the end of the clock never comes.
            Wakeup::After(after) => now.checked_add(after),
            Wakeup::At(at) => Some(at),
        };
        self.wakeup = at.map(Wakeup::At);
        at
    }

    pub(super) fn take_wakeup(&mut self, now: Instant) -> bool {
        let due = matches!(self.wakeup, Some(Wakeup::At(at)) if at <= now);
        if due {
            self.wakeup = None;
        }
        due
    }
}

/// What a call of a framer has done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Done {
    /// It has used something that had arrived.
    Used,
    /// It has delivered something of its own.
    Delivered,
    Nothing,
}

impl Stack {
    /// Calls a framer for something else than a message to send. What it sends is a message of its own.
    pub(super) fn call<T>(
        &mut self,
        level: usize,
        run: impl FnOnce(&mut dyn Framer, &mut FramerCx<'_>) -> Result<T, FramerError>,
    ) -> Result<(T, Done), FramerError> {
        let mut context = MessageContext::NONE;
        context.set_id(MessageContext::FRAMERS);
        self.call_for(level, &context, true, run)
    }

    /// Calls a framer with a message to send, or a part of one.
    pub(super) fn frame(&mut self, level: usize, message: Message) -> Result<(), FramerError> {
        let (context, end) = (message.context.clone(), message.end_of_message);
        self.call_for(level, &context, end, |framer, cx| framer.new_sent_message(cx, message))?;
        Ok(())
    }

    /// Calls one framer, and sends what it sent through the framers below it as the message of `context`.
    fn call_for<T>(
        &mut self,
        level: usize,
        context: &MessageContext,
        end: bool,
        run: impl FnOnce(&mut dyn Framer, &mut FramerCx<'_>) -> Result<T, FramerError>,
    ) -> Result<(T, Done), FramerError> {
        let (lower, upper) = self.inboxes.split_at_mut(level + 1);
        let inbox = &mut lower[level];
        let above = upper.first_mut().map_or(Above::Application(&mut self.delivered), Above::Framer);
        let Layer { framer, progress, scratch, .. } = &mut self.layers[level];
        let below = if level == 0 { &mut self.out } else { scratch };
        let (before, mark) = (inbox.cursor(), below.mark());
        let mut cx = FramerCx {
            inbox,
            above,
            below,
            progress,
            sent: false,
            delivered: false,
            failure: None,
            prepended: Prepended::default(),
        };
        self.calling = true;
        self.stirred = true;
        let answer = run(&mut **framer, &mut cx);
        self.calling = false;
        let FramerCx { inbox, progress, sent, delivered, failure, prepended, .. } = cx;
        let used = inbox.cursor() != before || inbox.earmark.is_some();
        let used = inbox.leave_finished() || used;
        self.waits |= progress.wakeup.is_some();
        let answer = match answer {
            Ok(answer) => answer,
            Err(error) => {
                self.layers[level].scratch.clear();
                return Err(failure.map_or(error, |failure| self.fail(failure)));
            }
        };
        if !prepended.0.is_empty() {
            self.insert_above(level, prepended)?;
        }
        let own = context.id() == MessageContext::FRAMERS;
        if sent || (end && !own && self.layers[level].sends_part) {
            self.send_sent(level, context.clone(), end, mark)?;
            if !own {
                self.layers[level].sends_part = !end;
            }
        }
        if self.layers[level].progress.leaving {
            for message in mem::take(&mut self.layers[level].parts).into_rest() {
                self.pass_down(level, message)?;
            }
        }
        if let Some(failure) = failure {
            return Err(self.fail(failure));
        }
        let done = match (used, delivered) {
            (true, _) => Done::Used,
            (false, true) => Done::Delivered,
            (false, false) => Done::Nothing,
        };
        Ok((answer, done))
    }

    fn fail(&mut self, failure: FramerError) -> FramerError {
        self.failure.get_or_insert(failure).clone()
    }

    /// Passes on what a framer has sent.
    fn send_sent(&mut self, level: usize, context: MessageContext, end: bool, mark: Mark) -> Result<(), FramerError> {
        if level > 0 {
            let data = self.layers[level].scratch.take();
            return self.pass_down(level, Message::part(data, context, end));
        }
        if self.out.keeps_boundaries() {
            return self.end_out_message(context, mark);
        }
        Ok(())
    }

    fn insert_above(&mut self, level: usize, prepended: Prepended) -> Result<(), FramerError> {
        for framer in prepended.0 {
            if self.layers.len() == MAX_FRAMERS {
                return Err(FramerError::TooManyFramers { limit: MAX_FRAMERS });
            }
            self.layers.insert(level + 1, Layer::new(framer));
            self.inboxes.insert(level + 1, Inbox::default());
        }
        Ok(())
    }

    /// Takes a framer out of the stack: what waited for it goes to who is above it now.
    pub(super) fn step_aside(&mut self, level: usize) {
        self.layers.remove(level);
        if level < self.started {
            self.started -= 1;
        }
        if level < self.layers.len() {
            let inbox = self.inboxes.remove(level);
            self.inboxes[level].append(inbox);
            return;
        }
        // The application is above it.
        let inbox = &mut self.inboxes[level];
        if level == 0 && !self.out.keeps_boundaries() {
            inbox.earmark_all();
            if self.ended {
                self.handle_end();
            }
            return;
        }
        let mut inbox = mem::take(inbox);
        if level > 0 {
            self.inboxes.pop();
        }
        while let Some((data, context, end_of_message)) = inbox.take_front() {
            self.delivered.push(data, context, end_of_message);
            if !end_of_message {
                break;
            }
        }
    }
}

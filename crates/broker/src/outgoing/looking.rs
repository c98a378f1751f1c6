//! What a link does when it is looked at: the queue hears what was settled, and messages go out.

use postroad_amqp::v1_0::{Connection, Message, SendError};
use postroad_codec::v1_0::{DeliveryNumber, DeliveryTag};

use super::{Look, NO_KEY, Outgoing, Scratch, token};
use crate::mailbox::wake_all;
use crate::message::{Held, Return};
use crate::queue::Demand;

/// One visit to the queue.
struct Visit {
    /// Messages that wait there still.
    available: usize,
    /// Whether there may be more for the link that nobody has looked at.
    searching: bool,
}

/// Messages that one look takes from the queue at once.
const BATCH: usize = 256;

/// Batches that one look takes before other links have their turn.
const BATCHES: usize = 8;

/// A browser that leaves so many messages unsettled gets no more before it settles some, nor does a link that can be
/// resumed: what is not settled is held for as long as it is away, and told when it comes back.
const MAX_UNSETTLED: usize = 4096;

impl Outgoing {
    /// Tells the queue what was settled, and sends what there is as far as the link takes it.
    pub(crate) fn look(&mut self, engine: &mut Connection, scratch: &mut Scratch, closing: bool) -> Look {
        for _ in 0..BATCHES {
            let room = engine.config().outgoing_bytes.saturating_sub(engine.output_len());
            let mut sender = engine.sender(self.id);
            let capacity = if closing { 0 } else { (sender.capacity() as usize).min(self.allowance()) };
            let draining = sender.is_draining();
            let want = Demand { messages: capacity.min(BATCH), bytes: room };
            let Some(visit) = self.exchange(want, !draining, scratch) else { return Look::Deleted };
            let taken = scratch.held.len();
            // Each message that is handed over counts itself out. Who chooses does not know what it will choose.
            let here = match (self.browse, &self.filter) {
                (true, _) => visit.available,
                (false, None) => visit.available + taken,
                (false, Some(_)) => taken,
            };
            sender.offered(u32::try_from(here).unwrap_or(u32::MAX));
            self.send(engine, scratch, closing);
            let mut sender = engine.sender(self.id);
            let may = self.allowance();
            let open = !closing && sender.capacity() > 0 && may > 0;
            // What was too large took a share of the batch: behind it there may be more.
            if open && (taken >= want.messages || self.passed_over) {
                continue;
            }
            if open && visit.searching {
                self.flush(false, scratch);
                return Look::More;
            }
            if !closing && draining && (open || may == 0) {
                // Everything that the queue had for it is on its way, or all that it may have: what credit is left is
                // given up.
                sender.drained();
            }
            // A link that waits for credit or the socket must not be assigned what others could have.
            self.flush(!open && taken < want.messages, scratch);
            return Look::Waits;
        }
        self.flush(false, scratch);
        Look::More
    }

    /// One visit to the queue, under one lock: what was settled goes in, messages come out. `None`: the
    /// node is gone.
    fn exchange(&mut self, want: Demand, standing: bool, scratch: &mut Scratch) -> Option<Visit> {
        let mut emptied = false;
        let (visit, dead) = {
            let mut state = self.hold.node.lock();
            if state.deleted {
                return None;
            }
            let queue = &mut state.queue;
            let before = queue.is_empty();
            queue.tick(scratch.now);
            if self.settled.messages > 0 {
                let settled = std::mem::take(&mut self.settled);
                queue.settle(settled.messages, settled.bytes, &mut scratch.woken);
            }
            let gave_back = !self.returned.is_empty();
            if gave_back {
                queue.give_back(self.consumer, self.returned.drain(..));
            }
            for place in self.missed.drain(..) {
                queue.browse_from(self.consumer, place);
            }
            let searching = if self.browse {
                queue.browse(self.consumer, want, &mut scratch.held)
            } else {
                queue.take(self.consumer, want, standing, &mut scratch.held, &mut scratch.woken);
                self.filter.is_some() && want.is_some() && queue.is_searching(self.consumer)
            };
            if gave_back {
                queue.dispatch(&mut scratch.woken);
            }
            emptied |= !before && queue.is_empty();
            (Visit { available: queue.available(), searching }, queue.take_dead())
        };
        wake_all(&mut scratch.woken);
        self.hold.bury(dead);
        if emptied {
            self.hold.reap();
        }
        Some(visit)
    }

    /// Tells the queue what was settled since the last exchange, and what the link no longer wants.
    pub(super) fn flush(&mut self, withdraw: bool, scratch: &mut Scratch) {
        if self.settled.messages == 0 && self.returned.is_empty() && !withdraw {
            return;
        }
        let mut state = self.hold.node.lock();
        state.queue.tick(scratch.now);
        if withdraw {
            state.queue.withdraw(self.consumer);
        }
        let settled = std::mem::take(&mut self.settled);
        state.queue.settle(settled.messages, settled.bytes, &mut scratch.woken);
        state.queue.give_back(self.consumer, self.returned.drain(..));
        state.queue.dispatch(&mut scratch.woken);
        let emptied = state.queue.is_empty();
        let dead = state.queue.take_dead();
        drop(state);
        wake_all(&mut scratch.woken);
        self.hold.bury(dead);
        if emptied {
            self.hold.reap();
        }
    }

    fn send(&mut self, engine: &mut Connection, scratch: &mut Scratch, closing: bool) {
        let mut sender = engine.sender(self.id);
        self.passed_over = false;
        while let Some(held) = scratch.held.pop_front() {
            if closing && !self.browse {
                self.returned.push((held, Return::Unsent));
                continue;
            }
            let rewritten = held.rewritten(scratch.now, self.number.as_ref());
            let payload = rewritten.as_ref().unwrap_or(&held.payload);
            let keep = !self.browse && !self.presettled;
            let key = if keep { self.unsettled.vacant_key() as u64 } else { NO_KEY };
            let token = token(self.slot, key);
            let message = Message {
                message_format: held.format,
                settled: self.presettled,
                state: self.provisional.state(),
                ..Message::shared(payload, DeliveryTag::from(self.next_tag), token)
            };
            match sender.send(&message) {
                Ok(number) => {
                    self.next_tag += 1;
                    if message.state.is_some() {
                        self.acquired(held, number);
                    } else if keep {
                        self.unsettled.insert(held);
                    } else if !self.browse {
                        self.settle(held.size());
                    } else if !self.presettled {
                        self.looked_at += 1;
                    }
                }
                Err(SendError::TooLarge(_)) => {
                    self.passed_over = true;
                    if !self.browse {
                        self.returned.push((held, Return::Unfit));
                    }
                }
                // Frames and windows fill before the count of messages does: it reads on from here.
                Err(_) if self.browse => {
                    self.missed.push(held.place());
                    self.missed.extend(scratch.held.drain(..).map(|held| held.place()));
                    // The first of each level is where it reads on.
                    self.missed.dedup_by_key(|place| place.level);
                }
                Err(_) => self.returned.push((held, Return::Unsent)),
            }
        }
    }

    /// Takes note of a message that was sent in a transaction.
    #[cold]
    fn acquired(&mut self, held: Held, number: DeliveryNumber) {
        if self.presettled {
            self.provisional.acquired_settled(held);
        } else {
            let message = self.unsettled.insert(held);
            self.provisional.acquired(message, number);
        }
    }

    /// How many messages more the consumer may have before it settles some. What others have counts in the queue alone.
    fn allowance(&self) -> usize {
        let bounded = match (self.browse, self.resumable) {
            (true, _) => self.looked_at,
            (false, true) => self.unsettled.len(),
            (false, false) => return usize::MAX,
        };
        MAX_UNSETTLED.saturating_sub(bounded)
    }
}

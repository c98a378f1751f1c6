//! Outcomes in the order in which they come, a batch at a time: for those who drive many links with one task, and keep a future
//! for none of their messages.

use std::task::{Context, Poll};

use crate::sender::{Handover, Held, Put};
use crate::state::{Drain, State};
use crate::types::DeliveryTag;
use crate::wait::Place;
use crate::{LinkError, Message, Outcome, SendError, Sender};

/// What became of a message that was handed over by [`Sender::try_submit_told`]. Once it is settled, its tag is free.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Told {
    /// The tag of its delivery.
    pub tag: DeliveryTag,
    /// The outcome, or why there is none.
    pub result: Result<Outcome, SendError>,
    /// Whether the outcome was told before: what is new is that the message is settled.
    pub before: bool,
    /// Whether the message is settled, by either end. With [`LinkOptions::auto_settle`](crate::LinkOptions::auto_settle) it
    /// is once it has an outcome.
    pub settled: bool,
    /// Whether the receiver has settled it.
    pub by_peer: bool,
}

/// A task that waits for what is new at a link, from one call to the next. One waits at a time with it.
#[derive(Debug, Default)]
pub struct Ticket {
    pub(crate) waits: Option<u64>,
    /// The credit that it was told of, by its count.
    credited: u32,
    /// Whether nothing could be handed over when it was told last.
    full: bool,
    /// The room that it was told of, and how many messages had been handed over then.
    room: (u32, u64),
    /// A list for the next outcomes.
    spare: Vec<Told>,
}

impl Ticket {
    /// Gives a list of outcomes back that have been seen: the next ones need no memory of their own then.
    pub fn reuse(&mut self, mut told: Vec<Told>) {
        told.clear();
        self.spare = told;
    }
}

/// What is new at a sender.
#[derive(Debug, Clone, PartialEq, Default)]
#[non_exhaustive]
pub struct SenderNews {
    /// Outcomes, in the order in which they came.
    pub told: Vec<Told>,
    /// Messages that can be handed over now, where that is new.
    pub room: u32,
    /// Whether more of a message of which a part was handed over can be now ([`Sender::try_append`]), where that is new.
    pub writable: bool,
    /// Whether the receiver wants its credit used now or given up (part 2, 2.6.7), which is told once each time that it says
    /// so. What is left of the credit is given up, and that is told to the receiver, by the next call of
    /// [`Sender::poll_news`] or by [`Sender::drained`].
    pub drain: bool,
    /// Why the link is over.
    pub over: Option<LinkError>,
}

impl Sender {
    /// Hands a message over at once or not at all, under a tag of the caller's or the next of our own. Its outcome is told by
    /// [`Sender::poll_news`], unless the sender settles messages as it sends them.
    ///
    /// # Errors
    /// [`SendError::NoCredit`] when it cannot be handed over now, [`SendError::TagInUse`] when a message of this tag is not
    /// settled on the link, and as [`Sender::submit`].
    pub fn try_submit_told(&self, message: &Message, tag: Option<DeliveryTag>) -> Result<DeliveryTag, SendError> {
        let put = |state: &mut State, encoded: &[u8], content: Option<&bytes::Bytes>| {
            // Without one, the next of our own is taken, and need not be looked for among those that were chosen.
            let (chosen, tag) = (tag.is_some(), self.free_tag(state, tag)?);
            let how =
                Handover { tag: chosen.then_some(tag), told: true, ..Handover::tracked(message.message_format()) };
            self.put(state, encoded, content, how).map(|Put { .. }| tag)
        };
        self.encode_and(message, put).map_err(|held| match *held {
            Held::Back(_) => SendError::NoCredit,
            Held::Refused(error) => error,
        })
    }

    /// A tag that no message that is not settled has: the caller's, or the next of our own.
    pub(crate) fn free_tag(&self, state: &mut State, tag: Option<DeliveryTag>) -> Result<DeliveryTag, SendError> {
        let entry = &state.links[self.link.key];
        match tag {
            None => Ok(DeliveryTag::from(entry.sends.next_tag)),
            Some(tag) if entry.over.is_none() && entry.is_usable() && state.engine.has_unsettled(entry.id, &tag) => {
                Err(SendError::TagInUse(tag))
            }
            Some(tag) => Ok(tag),
        }
    }

    /// Settles a message that has come to an outcome, where that is not done by itself
    /// ([`LinkOptions::auto_settle`](crate::LinkOptions::auto_settle)): the receiver may forget it then. `false` where it is
    /// settled, or no message of this tag was sent on the connection that there is.
    pub fn settle(&self, tag: &DeliveryTag) -> bool {
        self.link.with(|state| state.settle_sent(self.link.key, tag))
    }

    /// Messages that can be handed over now: the receiver's credit, and none while so much is under way that nothing more can be
    /// ([`LinkOptions::max_unsettled`](crate::LinkOptions::max_unsettled) and its kin).
    #[must_use]
    pub fn room(&self) -> u32 {
        self.link.with(|state| self.room_in(state))
    }

    fn room_in(&self, state: &mut State) -> u32 {
        match self.has_room(state) {
            Ok(Some(())) => state.engine.credit(state.links[self.link.key].id),
            _ => 0,
        }
    }

    /// What is new: outcomes of [`Sender::try_submit_told`], room for messages where the receiver has granted credit or there was
    /// none when this was called last, that the receiver wants its credit back, or the end of the link, behind which nothing comes. The ticket is the caller's.
    pub fn poll_news(&self, ticket: &mut Ticket, cx: &Context<'_>) -> Poll<SenderNews> {
        let Ticket { waits, credited, full, room: known, spare } = ticket;
        let news = |state: &mut State| {
            let drain = state.drain_news(self.link.key);
            let room = self.room_in(state);
            let entry = &mut state.links[self.link.key];
            let told = if entry.sends.told.is_empty() {
                Vec::new()
            } else {
                std::mem::replace(&mut entry.sends.told, std::mem::take(spare))
            };
            // Credit may come between two messages, when nobody waits for it.
            let used = entry.sends.sent.wrapping_sub(known.1);
            let more = u64::from(room) > u64::from(known.0).saturating_sub(used);
            let is_new = *credited != entry.credited;
            let has_room = room > 0 && (*full || is_new || drain || more);
            let writable = is_new && entry.over.is_none() && state.down.is_none() && state.engine.can_append(entry.id);
            (*full, *credited) = (room == 0, entry.credited);
            if has_room {
                *known = (room, entry.sends.sent);
            }
            let room = if has_room { room } else { 0 };
            let news = SenderNews { told, room, writable, drain, over: entry.over.clone() };
            (!news.told.is_empty() || news.over.is_some() || has_room || writable || drain).then_some(news)
        };
        self.link.session.shared().poll_at(Place::Link(self.link.key), waits, cx, news)
    }

    /// Gives up the credit that is left, where the receiver asks for that: there is nothing more to send now. Otherwise it does
    /// nothing.
    pub fn drained(&self) {
        self.link.with(|state| {
            let entry = &mut state.links[self.link.key];
            if entry.over.is_none() {
                entry.drain = if entry.drain == Drain::Unpolled { Drain::Unpolled } else { Drain::No };
                state.engine.give_up_credit(entry.id);
            }
        });
    }

    /// Whether the receiver asks for the credit that is left to be used now or given up.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.link.with(|state| {
            let entry = &state.links[self.link.key];
            entry.over.is_none()
                && entry.is_usable()
                && state.down.is_none()
                && state.engine.is_asked_to_drain(entry.id)
        })
    }
}

impl State {
    /// Whether the owner of a sender is to be told that its credit is wanted back; gives up what it has not used since it was
    /// told so.
    fn drain_news(&mut self, key: usize) -> bool {
        let Self { links, engine, .. } = self;
        let entry = &mut links[key];
        match entry.drain {
            Drain::Unpolled => {
                entry.drain = Drain::No;
                // It may have been asked before anybody polled.
                if entry.over.is_none() && engine.is_asked_to_drain(entry.id) && engine.credit(entry.id) > 0 {
                    entry.drain = Drain::Told;
                }
                let (id, asked) = (entry.id, entry.drain == Drain::Told);
                self.drop_drain(id);
                asked
            }
            Drain::No => false,
            Drain::Asked => {
                entry.drain = Drain::Told;
                true
            }
            Drain::Told => {
                entry.drain = Drain::No;
                if entry.over.is_none() {
                    engine.give_up_credit(entry.id);
                }
                false
            }
        }
    }
}

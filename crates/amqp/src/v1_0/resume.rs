//! Resuming: what becomes of the deliveries that a link brings along (part 2, 2.6.13).
//!
//! Each end tells the deliveries that it has not settled, by tag, with their states. Where the two maps differ, the
//! sender acts: it knows whether the message can be sent again, and its view of an outcome is the one that counts.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use bytes::Bytes;
use postroad_codec::v1_0::{
    Attach, DeliveryNumber, DeliveryState, DeliveryTag, Encode, Error, ErrorCondition, FrameHeader, Map, MessageFormat,
    Position, Role, Transfer, Value,
};

use super::arena::Key;
use super::fit::state_fits;
use super::link::{Link, Phase};
use super::link_state::Unsettled;
use super::resolve::{Resolution, Told, resolve};
use super::sender::{Pieces, SenderMut};
use super::session::Outgoing;
use super::unsettled_map::{read_map, value};
use super::{Connection, Event, LinkId, LinkState, Update};

/// The deliveries of a link that was attached again, until all of them are dealt with. Each has a place among them, which
/// stays, so that they can be given back in their order.
#[derive(Debug, Default)]
pub(crate) struct Resuming {
    /// Deliveries that this end has not settled, until both maps are known.
    deliveries: VecDeque<Unsettled>,
    /// Those that a receiver waits for the sender to resume, in any order: by tag and place.
    expected: BTreeMap<(DeliveryTag, usize), Unsettled>,
    /// Those that a sender told whose map lacks entries, and that have never come here: it sends them again.
    awaited: BTreeSet<DeliveryTag>,
    /// How many of the deliveries, from the front, our attach tells.
    told: usize,
    /// What a sender does about deliveries, once it has credit for them. Those that the peer alone knows have no place.
    decided: VecDeque<(usize, Unsettled, Resolution)>,
    /// Deliveries that one of the maps left out: they wait for another attach.
    later: Vec<(usize, Unsettled)>,
    /// The places of deliveries that are dealt with, by their new numbers.
    places: BTreeMap<u32, usize>,
    /// Whether one of them is on its way into the output: the end of its last frame makes room for the next.
    putting: bool,
    /// Whether our attach tells no map: the peer is taken to know nothing.
    anew: bool,
    /// Whether both maps are known.
    exchanged: bool,
    /// Whether the peer told one.
    remembered: bool,
    /// Whether one of the maps lacks entries: then nothing new is sent before the link is attached again (2.7.3).
    incomplete: bool,
    /// Whether it is ours that does: then nothing new may come.
    told_incomplete: bool,
}

/// Deliveries of one map that the peer alone knows, and that are dealt with in a round. What is left of them comes up again
/// in the next one.
const STRANGE: usize = 1024;

/// What a large map takes more than an empty one, beside its entries (part 1, 1.6.23).
const MAP: usize = 6;

/// The least that an entry of a map takes: a tag of one byte, and null.
const ENTRY: usize = 4;

impl Resuming {
    /// Takes the deliveries over, and tells no map of them when it is attached `anew`.
    pub(crate) fn new(state: &mut LinkState, anew: bool) -> Self {
        let deliveries: VecDeque<_> = std::mem::take(&mut state.unsettled).into();
        let anew = anew || state.anew || !state.unheard.is_empty();
        Self { told: deliveries.len(), deliveries, anew, ..Self::default() }
    }

    /// The map that our attach tells, where it does, and whether it lacks entries.
    pub(crate) fn map(&self, role: Role) -> Option<(Map, bool)> {
        if self.anew {
            return None;
        }
        let told = self.deliveries.iter().take(self.told);
        let entries = told.map(|unsettled| {
            let tag = Value::Binary(Bytes::copy_from_slice(unsettled.tag.as_bytes()));
            (tag, unsettled.state(role).as_ref().map_or(Value::Null, value))
        });
        Some((Map(entries.collect()), self.told < self.deliveries.len()))
    }

    /// Everything that has not been dealt with, oldest first.
    pub(crate) fn into_unsettled(self) -> Vec<Unsettled> {
        let mut waiting = self.into_places().0;
        waiting.sort_by_key(|(place, _)| *place);
        waiting.into_iter().map(|(_, unsettled)| unsettled).collect()
    }

    /// Everything that has not been dealt with, with its place, and the places of what has been.
    pub(crate) fn into_places(self) -> (Vec<(usize, Unsettled)>, BTreeMap<u32, usize>) {
        let ours = self.decided.into_iter().filter(|(place, ..)| *place < usize::MAX);
        let decided = ours.map(|(place, unsettled, _)| (place, unsettled));
        let expected = self.expected.into_iter().map(|((_, place), unsettled)| (place, unsettled));
        let told = self.deliveries.into_iter().enumerate();
        (decided.chain(told).chain(expected).chain(self.later).collect(), self.places)
    }

    /// Deliveries that have not been dealt with.
    pub(crate) fn len(&self) -> usize {
        let decided = self.decided.iter().filter(|(place, ..)| *place < usize::MAX).count();
        self.deliveries.len() + self.expected.len() + decided + self.later.len()
    }

    /// Whether a sender has a delivery of this tag that has not been dealt with.
    pub(crate) fn holds(&self, tag: &DeliveryTag) -> bool {
        self.deliveries.iter().any(|unsettled| unsettled.tag == *tag)
            || self.decided.iter().any(|(_, unsettled, _)| unsettled.tag == *tag)
            || self.later.iter().any(|(_, unsettled)| unsettled.tag == *tag)
    }

    /// The format of the delivery with this tag that waits for the sender to resume it.
    pub(crate) fn format_of(&self, tag: DeliveryTag) -> Option<MessageFormat> {
        let expected = self.expected.range((tag, 0)..=(tag, usize::MAX)).map(|(_, unsettled)| unsettled);
        let later = self.later.iter().map(|(_, unsettled)| unsettled).filter(|unsettled| unsettled.tag == tag);
        expected.chain(later).next().map(|unsettled| unsettled.message_format)
    }

    /// Takes the delivery with this tag, when it waits for the sender to resume it, or might be left for another attach;
    /// it has this number now.
    pub(crate) fn take(&mut self, tag: DeliveryTag, number: DeliveryNumber) -> Option<Unsettled> {
        let (place, unsettled) = match self.expected.range((tag, 0)..=(tag, usize::MAX)).next() {
            Some((&first, _)) => (first.1, self.expected.remove(&first)?),
            None => {
                let index = self.later.iter().position(|(_, unsettled)| unsettled.tag == tag)?;
                self.later.remove(index)
            }
        };
        self.places.insert(number.0, place);
        Some(unsettled)
    }

    /// Whether our own map lacked entries, so that nothing but what is resumed may come.
    pub(crate) fn told_incomplete(&self) -> bool {
        self.told_incomplete
    }

    /// Whether nothing is left for a receiver to wait for.
    pub(crate) fn is_received(&self) -> bool {
        self.exchanged && self.is_told() && self.later.is_empty() && !self.told_incomplete
    }

    /// Takes note of a delivery that has come, whether it was resumed or is as good as new.
    pub(crate) fn has_come(&mut self, tag: &DeliveryTag) {
        self.awaited.remove(tag);
    }

    /// Whether nothing of what was told is left to be sent or to come.
    fn is_told(&self) -> bool {
        self.decided.is_empty() && self.expected.is_empty() && self.awaited.is_empty()
    }

    /// Whether a sender may send something new.
    fn is_over(&self) -> bool {
        self.exchanged && self.decided.is_empty() && !self.incomplete
    }

    fn event(&self, link: LinkId) -> Event {
        Event::Resumed { link, complete: !self.incomplete, remembered: self.remembered }
    }
}

impl Unsettled {
    /// Whether the message is there to be sent again to a receiver that takes messages of so many bytes, in frames of so
    /// many.
    fn fits(&self, limit: u64, frame: usize) -> bool {
        self.message.as_ref().is_some_and(|message| message.len() as u64 <= limit)
            && self.local_state.as_ref().is_none_or(|state| state_fits(state, frame))
    }

    /// One of which we have no record.
    fn disowned(tag: DeliveryTag) -> Self {
        Self {
            tag,
            message_format: MessageFormat(0),
            delivery: DeliveryNumber(0),
            token: 0,
            local_state: None,
            remote_state: None,
            received: None,
            message: None,
        }
    }

    /// What its owner hears when it is not to be sent again.
    fn in_doubt(self, link: LinkId) -> Event {
        let Self { tag, message_format, delivery, token, message, .. } = self;
        Event::InDoubt { link, token, delivery, tag, message_format, message }
    }
}

impl Link {
    /// Tells no more deliveries in the attach than fit into a frame of so many bytes; whether any number does.
    pub(crate) fn fit_unsettled(&mut self, limit: usize) -> bool {
        let Some(resuming) = &self.resuming else { return true };
        let all = resuming.deliveries.len();
        let (mut fits, mut too_many) = (0, all.min(limit / ENTRY) + 1);
        let mut tell = |told: usize| {
            self.resuming.as_mut().expect("looked up above").told = told;
            FrameHeader::LENGTH + self.attach().encoded_len() <= limit
        };
        if too_many > all && tell(all) {
            return true;
        }
        // Who answers tells first what the other end has told: what both tell is settled, and the maps shrink.
        let known = self.remote.as_ref().and_then(|attach| attach.unsettled.as_ref()).and_then(read_map);
        if let (Some(known), Some(resuming)) = (known, &mut self.resuming) {
            let (told, rest) = resuming.deliveries.drain(..).partition::<Vec<_>, _>(|one| known.contains_key(&one.tag));
            resuming.deliveries.extend(told.into_iter().chain(rest));
        }
        let mut tell = |told: usize| {
            self.resuming.as_mut().expect("looked up above").told = told;
            FrameHeader::LENGTH + self.attach().encoded_len() <= limit
        };
        if !tell(0) {
            return false;
        }
        while too_many - fits > 1 {
            let middle = fits + (too_many - fits) / 2;
            if tell(middle) {
                fits = middle;
            } else {
                too_many = middle;
            }
        }
        tell(fits)
    }
}

impl Connection {
    /// So many deliveries, of which each takes `entry` bytes, fit into the map of an attach of a link: while no more are
    /// unsettled, a link is resumed with one attach.
    #[must_use]
    pub fn map_capacity(&self, link: LinkId, entry: usize) -> usize {
        // What the link still brings along does not count: it takes up room of the same map.
        let empty = |link: &Link| Attach { unsettled: Some(Map::default()), ..link.attach() };
        let attach = self.link(link).map_or(0, |link| empty(link).encoded_len() + MAP);
        self.frame_limit().saturating_sub(FrameHeader::LENGTH + attach) / entry.max(1)
    }

    /// Whether everything is settled that the maps of a link have told which was attached again with a map that lacks
    /// entries ([`Event::Resumed`] without `complete`): then it is time to detach it and to attach it again, for the
    /// rest. What the maps told is on the link until then, and nothing new comes or goes (2.7.3).
    #[must_use]
    pub fn is_round_over(&self, link: LinkId) -> bool {
        let Some(link) = self.link(link).filter(|link| link.phase == Phase::Attached) else { return false };
        let told = link.resuming.as_ref().is_none_or(|resuming| resuming.exchanged && resuming.is_told());
        told && self.sessions.get(link.session).is_some_and(|session| match link.role {
            Role::Sender => session.outgoing.iter().all(|(_, slot)| slot.link != link.id),
            Role::Receiver => {
                let settled = session.incoming.iter().all(|(_, slot)| slot.link != link.id);
                settled && link.queue.is_empty() && link.partial.is_none()
            }
        })
    }

    /// Has a link that was attached again, and [held](super::LinkTerms::hold), go on with what it brought along.
    pub fn proceed(&mut self, link: LinkId) {
        if let Some(held) = self.links.get_mut(link.0) {
            held.terms.hold = false;
            self.exchange_unsettled(link.0);
        }
    }

    /// Compares the two maps of a link that is attached again, once both are known.
    pub(crate) fn exchange_unsettled(&mut self, key: Key) {
        let frame = self.frame_limit();
        let Some(link) = self.links.get_mut(key).filter(|link| link.phase == Phase::Attached) else { return };
        let (id, role, limit) = (link.id, link.role, link.peer_limit());
        let (resend_lost, in_parts) = (link.terms.resend_lost, link.terms.in_parts);
        let (Some(resuming), Some(remote)) = (&mut link.resuming, &mut link.remote) else { return };
        let held = link.terms.hold && role == Role::Sender && remote.target.is_some();
        if resuming.exchanged || held {
            return;
        }
        let map = remote.unsettled.take();
        resuming.remembered = map.is_some();
        let Some(mut map) = read_map(&map.unwrap_or_default()) else {
            let text = "an unsettled map with a key that is no delivery-tag, or a value that is no delivery-state";
            self.detach_faulty(id, false, Error::new(ErrorCondition::INVALID_FIELD, text));
            return;
        };
        resuming.exchanged = true;
        // An end without a map knows nothing: then it does not matter which entries the other map lacks.
        let forgotten = resuming.anew || !resuming.remembered;
        resuming.told_incomplete = !forgotten && resuming.told < resuming.deliveries.len();
        resuming.incomplete = !forgotten && (remote.incomplete_unsettled || resuming.told_incomplete);
        let absent = match remote.incomplete_unsettled {
            _ if forgotten => Told::Forgotten,
            true => Told::Unknown,
            false => Told::Absent,
        };
        for (place, unsettled) in std::mem::take(&mut resuming.deliveries).into_iter().enumerate() {
            let untold = resuming.told_incomplete && place >= resuming.told;
            let told = match map.remove(&unsettled.tag).filter(|_| !forgotten) {
                // A receiver cannot know whether the sender has heard enough to resume it.
                Some(_) if untold && role == Role::Receiver => Told::Unknown,
                Some(state) => Told::State(state),
                None if untold => Told::Unknown,
                None => absent.clone(),
            };
            match role {
                Role::Sender => {
                    let can_resend = unsettled.fits(limit, frame) && (resend_lost || !forgotten);
                    match resolve(unsettled.state(role).as_ref(), can_resend, &told) {
                        Resolution::Later => resuming.later.push((place, unsettled)),
                        Resolution::Over(state) => self.events.push_back(Event::Update(Update {
                            link: id,
                            token: unsettled.token,
                            delivery: unsettled.delivery,
                            state,
                            settled: true,
                            by_peer: true,
                        })),
                        Resolution::Doubt => self.events.push_back(unsettled.in_doubt(id)),
                        resolution => resuming.decided.push_back((place, unsettled, resolution)),
                    }
                }
                Role::Receiver => match told {
                    Told::State(_) => {
                        resuming.expected.insert((unsettled.tag, place), unsettled);
                    }
                    Told::Unknown => resuming.later.push((place, unsettled)),
                    // The sender has settled it. The owner hears of what it has taken, be it a part.
                    Told::Absent | Told::Forgotten
                        if !resuming.anew && (unsettled.is_whole() || (in_parts && unsettled.received.is_some())) =>
                    {
                        self.events.push_back(Event::Reassociated {
                            link: id,
                            tag: unsettled.tag,
                            previous: unsettled.delivery,
                            delivery: None,
                            state: None,
                        });
                    }
                    Told::Absent | Told::Forgotten => {}
                },
            }
        }
        if role == Role::Sender && resuming.told_incomplete {
            // Our map cannot say that they are over, so each is told by itself: otherwise two ends whose maps lack entries
            // might tell each other for ever what the other one does not know.
            let disowned = std::mem::take(&mut map).into_keys().take(STRANGE);
            let disowned = disowned.map(|tag| (usize::MAX, Unsettled::disowned(tag), Resolution::Disown));
            resuming.decided.extend(disowned);
        }
        match role {
            Role::Sender => self.put_resumed(key),
            Role::Receiver => {
                if remote.incomplete_unsettled && !forgotten && !resuming.told_incomplete {
                    // With a state, or where our map lacks it too, nothing need come of one in this round.
                    map.retain(|_, state| state.is_none());
                    resuming.awaited = map.into_keys().take(STRANGE).collect();
                }
                self.events.push_back(resuming.event(id));
                if resuming.is_received() {
                    link.resuming = None;
                }
            }
        }
    }

    /// Sends what was decided about deliveries of a link, as far as credit and windows go.
    pub(crate) fn put_resumed(&mut self, key: Key) {
        loop {
            let room = self.room(key) > 0;
            let Some(link) = self.links.get_mut(key) else { return };
            let ready = link.resuming.as_mut().filter(|resuming| resuming.exchanged && !resuming.putting);
            let Some(resuming) = ready else { return };
            if resuming.decided.is_empty() {
                if !std::mem::replace(&mut link.resumed, true) {
                    self.events.push_back(resuming.event(link.id));
                }
                if resuming.is_over() {
                    link.resuming = None;
                }
                return;
            }
            if !room {
                return;
            }
            let (place, unsettled, resolution) = resuming.decided.pop_front().expect("looked up above");
            resuming.putting = true;
            let delivery = self.put_resolution(key, &unsettled, resolution);
            let resuming = self.links.get_mut(key).and_then(|link| link.resuming.as_mut());
            let resuming = resuming.expect("it lasts as long as something is decided");
            if place < usize::MAX {
                resuming.places.insert(delivery.0, place);
            }
            resuming.putting = false;
        }
    }

    fn put_resolution(&mut self, key: Key, unsettled: &Unsettled, resolution: Resolution) -> DeliveryNumber {
        let link = self.links.get(key).expect("the caller has it");
        let (id, auto_settle) = (link.id, link.terms.auto_settle);
        let message = unsettled.message.clone().unwrap_or_default();
        // Of a state that the peer has told it needs no copy that is larger than its frames.
        let frame = self.frame_limit();
        let told = |state: DeliveryState| Some(state).filter(|state| state_fits(state, frame));
        let mut transfer = Transfer {
            delivery_tag: Some(unsettled.tag),
            message_format: Some(unsettled.message_format),
            settled: Some(false),
            resume: true,
            ..Transfer::default()
        };
        let (mut payload, mut remote_state, mut news) = (Bytes::new(), None, None);
        match resolution {
            Resolution::Resend => {
                transfer.resume = false;
                transfer.state.clone_from(&unsettled.local_state);
                payload = message;
            }
            Resolution::Resume(from) => {
                transfer.state.clone_from(&unsettled.local_state);
                // A receiver that claims more than there is has all of it.
                payload = Position::find(&message, &from).map_or_else(Bytes::new, |start| message.slice(start..));
            }
            Resolution::Settle(state) if auto_settle => {
                transfer.settled = Some(true);
                transfer.state = told(state.clone());
                news = Some((Some(state), true));
            }
            Resolution::Settle(state) => {
                remote_state = Some(state.clone());
                news = Some((Some(state), false));
            }
            Resolution::Restate(state) => transfer.state = told(state),
            Resolution::Abort(state) => {
                transfer.aborted = true;
                news = Some((state, true));
            }
            Resolution::Disown => {
                transfer.message_format = None;
                transfer.aborted = true;
            }
            Resolution::Later | Resolution::Over(_) | Resolution::Doubt => unreachable!("nothing is sent for them"),
        }
        let over = transfer.aborted || transfer.settled == Some(true);
        let mut sender = SenderMut { connection: self, key };
        let outgoing = (!over).then(|| {
            let (tag, token) = (unsettled.tag, unsettled.token);
            let (local_state, message_format) = (transfer.state.clone(), unsettled.message_format);
            let kept = sender.keep(unsettled.message.as_ref());
            Outgoing { link: id, token, tag, message_format, kept, local_state, remote_state }
        });
        let delivery = sender.put_delivery(transfer, outgoing, Pieces::of(&payload));
        if let Some((state, settled)) = news {
            let (token, by_peer) = (unsettled.token, false);
            self.events.push_back(Event::Update(Update { link: id, token, delivery, state, settled, by_peer }));
        }
        delivery
    }
}

//! The owner of the engine: does anything at any time, and checks what it is told.

use std::collections::{HashSet, VecDeque};

use bytes::Bytes;
use postroad_codec::v1_0::{
    DeliveryNumber, DeliveryState, DeliveryTag, Error, ErrorCondition, ReceiverSettleMode, Role, SequenceNo,
};

use super::Choices;
use super::peer::NAMES;
use crate::v1_0::{Connection, Event, LinkId, LinkState, LinkTerms, Message, SendError, SessionId};

#[derive(Debug, Default)]
pub(super) struct Owner {
    sessions: Vec<SessionId>,
    links: Vec<LinkId>,
    /// Links that wait to be accepted.
    waiting: Vec<LinkId>,
    /// Links that were released, sessions that ended, links that were detached: each once.
    released: HashSet<LinkId>,
    ended: HashSet<SessionId>,
    detached: HashSet<LinkId>,
    /// Messages that were handed over and of which nothing was heard yet.
    tokens: HashSet<u64>,
    next_token: u64,
    sent: Vec<(LinkId, DeliveryNumber, u64)>,
    /// A message of which a part was handed over.
    open: Option<(LinkId, DeliveryNumber)>,
    /// What links gave back, to be attached again.
    kept: Vec<LinkState>,
    closed: bool,
}

impl Owner {
    /// Takes every event.
    pub(super) fn listen(&mut self, engine: &mut Connection) {
        while let Some(event) = engine.poll_event() {
            assert!(!self.closed, "an event after the last: {event:?}");
            match event {
                Event::SessionIncoming(session) => self.sessions.push(session),
                Event::SessionBegun(session) => assert!(self.sessions.contains(&session)),
                Event::SessionEnded { session, .. } => {
                    assert!(self.sessions.contains(&session));
                    assert!(self.ended.insert(session), "ended twice");
                }
                Event::LinkIncoming(link) => {
                    assert!(!self.links.contains(&link));
                    self.links.push(link);
                    self.waiting.push(link);
                }
                Event::LinkDetached { link, .. } => {
                    self.known(link);
                    assert!(self.detached.insert(link), "detached twice");
                    assert!(engine.has_link(link));
                }
                Event::LinkAttached(link)
                | Event::LinkLeaving { link, .. }
                | Event::Credit(link)
                | Event::Drain(link)
                | Event::Echo(link)
                | Event::Readable(link)
                | Event::Aborted(link)
                | Event::Flow(link)
                | Event::Drained(link)
                | Event::FlowProperties(link)
                | Event::Resumed { link, .. }
                | Event::Reassociated { link, .. }
                | Event::SettledBySender { link, .. } => self.known(link),
                Event::InDoubt { token, .. } => assert!(self.tokens.remove(&token), "in doubt, and over before"),
                Event::Update(update) if update.settled => assert!(self.tokens.remove(&update.token), "settled twice"),
                Event::Update(update) => self.known(update.link),
                Event::Closed(error) => {
                    assert_eq!(engine.error(), Some(&error));
                    self.closed = true;
                }
                Event::Opened => assert!(engine.remote_open().is_some()),
                Event::Authenticated | Event::CheckPassword => panic!("nobody asked for that"),
            }
        }
    }

    fn known(&self, link: LinkId) {
        assert!(self.links.contains(&link), "{link:?} is unknown");
        assert!(!self.released.contains(&link), "{link:?} was released");
    }

    pub(super) fn step(&mut self, choices: &mut Choices<'_>, engine: &mut Connection) {
        let kind = choices.below(24);
        let error = choices.flag().then(|| Error::new(ErrorCondition::INTERNAL_ERROR, "fuzz"));
        let session = pick(&self.sessions, choices);
        let link = pick(&self.links, choices);
        match (kind, session, link) {
            (0, ..) => {
                if let Ok(session) = engine.begin() {
                    self.sessions.push(session);
                }
            }
            (1, ..) if choices.below(128) == 0 => engine.close(error),
            (2, Some(session), _) if choices.below(16) == 0 => engine.end(session, error),
            (3 | 4, Some(session), _) => {
                let role = if choices.flag() { Role::Sender } else { Role::Receiver };
                let name = NAMES[usize::from(choices.below(10))];
                if let Ok(link) = engine.attach(session, name, role, terms(choices)) {
                    self.links.push(link);
                }
            }
            (5..=8, _, Some(link)) => {
                let link = self.waiting.pop().unwrap_or(link);
                let terms = terms(choices);
                // Refused when it is no longer there, or was never asked for.
                let accepted = engine.accept(link, terms);
                if accepted.is_ok() && engine.role_of(link) == Some(Role::Receiver) {
                    engine.receiver(link).set_credit(choices.number());
                }
            }
            (9, _, Some(link)) if choices.flag() => engine.refuse(link, Error::new(ErrorCondition::NOT_FOUND, "fuzz")),
            (10, _, Some(link)) if choices.flag() => engine.detach(link, choices.flag(), error),
            (11, _, Some(link)) if choices.flag() => self.release(engine, link, choices.flag()),
            (12, Some(session), _) => self.resume(choices, engine, session),
            (13, _, Some(link)) if choices.flag() => engine.answer_detach(link),
            (_, _, Some(link)) if engine.has_link(link) => match engine.role_of(link) {
                Some(Role::Sender) => self.send(choices, engine, link),
                Some(Role::Receiver) => receive(choices, engine, link),
                None => panic!("a link without role"),
            },
            _ => {}
        }
    }

    fn release(&mut self, engine: &mut Connection, link: LinkId, keep: bool) {
        let state = engine.release(link);
        assert_eq!(state.is_none(), !self.released.insert(link), "released once");
        assert!(!engine.has_link(link));
        match state {
            Some(state) if keep => self.kept.push(state),
            Some(state) => self.forget(&state),
            None => {}
        }
    }

    /// What a state holds is not lost.
    fn forget(&mut self, state: &LinkState) {
        if state.role == Role::Sender {
            for unsettled in &state.unsettled {
                assert!(self.tokens.remove(&unsettled.token), "given back twice");
            }
        }
    }

    /// Attaches a link again, or takes one that waits for its continuation.
    fn resume(&mut self, choices: &mut Choices<'_>, engine: &mut Connection, session: SessionId) {
        let Some(mut state) = self.kept.pop() else { return };
        let (before, terms) = (state.clone(), terms(choices));
        let resumed = match self.waiting.iter().position(|link| engine.role_of(*link) == Some(state.role)) {
            Some(index) => {
                let link = self.waiting.remove(index);
                engine.accept_resumed(link, &mut state, terms).map(|()| link)
            }
            None if choices.flag() => engine.restart(session, &mut state, terms),
            None => engine.resume(session, &mut state, terms),
        };
        match resumed {
            Ok(link) => {
                assert_eq!(state.unsettled, []);
                if !self.links.contains(&link) {
                    self.links.push(link);
                }
                if engine.role_of(link) == Some(Role::Receiver) {
                    engine.receiver(link).set_credit(choices.number());
                }
            }
            Err(_) => {
                assert_eq!(state.unsettled, before.unsettled, "a state is taken or left");
                self.kept.push(state);
            }
        }
    }

    fn send(&mut self, choices: &mut Choices<'_>, engine: &mut Connection, link: LinkId) {
        let mut sender = engine.sender(link);
        match choices.below(8) {
            0 => sender.drained(),
            1 => sender.offered(choices.number()),
            2 => {
                let before = sender.unsettled();
                let sent = pick(&self.sent, choices).filter(|(of, ..)| *of == link);
                if let Some((_, number, token)) = sent {
                    sender.settle(number);
                    if sender.unsettled() < before {
                        assert!(self.tokens.remove(&token), "settled twice");
                    }
                }
            }
            3 => {
                let Some((_, number)) = self.open.filter(|(of, _)| *of == link) else { return };
                let payload = vec![choices.byte(); usize::from(choices.byte()) * 40];
                match choices.below(8) {
                    0 => {
                        let token = self.sent.iter().find(|sent| (sent.0, sent.1) == (link, number)).unwrap().2;
                        let before = sender.unsettled();
                        sender.abort(number);
                        if sender.unsettled() < before {
                            assert!(self.tokens.remove(&token), "aborted twice");
                        }
                        self.open = None;
                    }
                    more => {
                        let can = sender.can_append();
                        let more = more > 2;
                        match sender.append(number, &payload, None, more) {
                            Ok(()) => {
                                assert!(can);
                                self.open = self.open.filter(|_| more);
                            }
                            Err(SendError::Blocked) => assert!(!can),
                            Err(SendError::Detached | SendError::TooLarge(_)) => {}
                            Err(SendError::State) => panic!("a part has none"),
                        }
                    }
                }
            }
            _ => {
                let capacity = sender.capacity();
                assert!(capacity <= sender.credit());
                let payload = Bytes::from(vec![choices.byte(); usize::from(choices.byte()) * 40]);
                let token = self.next_token;
                let tag = DeliveryTag::from(token);
                let mut message = Message::new(&payload, tag, token);
                if choices.flag() {
                    message = Message::shared(&payload, tag, token);
                }
                message.settled = choices.below(3) == 0;
                message.more = !payload.is_empty() && choices.below(8) == 0;
                match sender.send(&message) {
                    Ok(number) => {
                        assert!(capacity > 0);
                        self.next_token += 1;
                        self.sent.push((link, number, token));
                        self.open = message.more.then_some((link, number)).or(self.open);
                        if !message.settled {
                            self.tokens.insert(token);
                        }
                    }
                    Err(SendError::Blocked | SendError::Detached) => assert_eq!(capacity, 0),
                    Err(SendError::TooLarge(limit)) => assert!(payload.len() as u64 > limit),
                    Err(SendError::State) => panic!("it has none"),
                }
            }
        }
    }

    /// Nothing that was handed over is lost: it was settled, or it is given back.
    pub(super) fn finish(&mut self, engine: &mut Connection) {
        assert!(self.closed);
        for link in self.links.clone() {
            if engine.has_link(link) {
                self.release(engine, link, false);
            }
        }
        for state in std::mem::take(&mut self.kept) {
            self.forget(&state);
        }
        assert_eq!(self.tokens, HashSet::new(), "lost");
    }
}

fn receive(choices: &mut Choices<'_>, engine: &mut Connection, link: LinkId) {
    let mut receiver = engine.receiver(link);
    match choices.below(8) {
        0 | 1 => receiver.set_credit(choices.number()),
        2 => receiver.drain(),
        3 => {
            let queued = receiver.queued();
            assert_eq!(receiver.take().is_some(), queued > 0);
        }
        4 => {
            let mut all = VecDeque::new();
            let queued = receiver.queued();
            receiver.take_all(&mut all);
            assert_eq!((all.len(), receiver.queued()), (queued, 0));
        }
        _ => {
            let state = [None, Some(DeliveryState::Accepted), Some(DeliveryState::Released)];
            let state = state[usize::from(choices.below(3))].clone();
            receiver.dispose(DeliveryNumber(choices.number()), state, choices.flag());
        }
    }
}

fn terms(choices: &mut Choices<'_>) -> LinkTerms {
    let kind = choices.byte();
    LinkTerms {
        rcv_settle_mode: ReceiverSettleMode(kind & 1),
        initial_delivery_count: SequenceNo(if kind & 2 == 0 { 0 } else { u32::MAX }),
        max_message_size: if kind & 4 == 0 { 1000 } else { 0 },
        keep: kind & 8 != 0,
        auto_settle: kind & 16 == 0,
        resend_lost: kind & 64 == 0,
        in_parts: kind & 32 != 0,
        answers_last: kind & 128 != 0,
        ..LinkTerms::default()
    }
}

fn pick<T: Copy>(all: &[T], choices: &mut Choices<'_>) -> Option<T> {
    // The newest are the ones that are alive.
    let back = usize::from(choices.byte() >> 4);
    all.len().checked_sub(1 + back.min(all.len().saturating_sub(1))).map(|index| all[index])
}

//! What the engine has to tell, and who is to hear of it.

use std::time::{Duration, Instant};

use super::{Drain, State};
use crate::LinkError;
use crate::again::Joining;
use crate::incoming::Opened;
use crate::protocol::{LinkId, News};
use crate::types::{ErrorCondition, PeerError};

/// Sessions and links that a peer may open before somebody takes them.
const MAX_INCOMING: usize = 4096;

/// How long a sender that has left waits for outcomes of what it had sent.
const ANSWER: Duration = Duration::from_secs(10);

/// How long those who wait for credit have to use it once the peer wants it back.
const DRAIN: Duration = Duration::from_millis(20);

impl State {
    /// Takes in everything that the engine has to tell.
    pub(crate) fn take_news(&mut self) {
        while let Some(news) = self.engine.poll_news() {
            match news {
                News::Settled { link, token, outcome, by_peer } => self.settled(link, token, outcome, by_peer),
                News::Outcome { link, token, outcome } => self.decided(link, token, outcome),
                News::Declared { link, token, id } => self.declared(link, token, id),
                News::Ready(link) => {
                    let (mut control, mut joining) = (false, Joining::Not);
                    if let Some(entry) = self.entry(link) {
                        entry.confirmed = true;
                        entry.credited = entry.credited.wrapping_add(1);
                        control = entry.control.is_some();
                        joining = entry.joining;
                        // Who waits for the first message of any link.
                        let session = entry.session;
                        if let Some(session) = self.sessions.get_mut(session) {
                            session.waiters.wake(&mut self.wakes);
                        }
                    }
                    if joining == Joining::Anew {
                        self.confirmed(link);
                    }
                    if control {
                        self.roll_back_abandoned(link);
                    }
                    self.wake_link(link);
                }
                News::Opened => {
                    self.opened = true;
                    self.waiters.wake(&mut self.wakes);
                }
                News::SessionBegun(session) => {
                    for (_, entry) in self.sessions.iter_mut().filter(|(_, entry)| entry.id == session) {
                        entry.begun = true;
                        entry.waiters.wake(&mut self.wakes);
                    }
                }
                News::LinkAttached(link) => {
                    self.attached(link);
                    self.wake_link(link);
                }
                News::LinkLeaving(link, error) => self.unanswered.push((Instant::now() + ANSWER, link, error)),
                // What a peer ends as it hears the close of a connection that we detach is only gone for now.
                News::LinkEnded { .. } | News::SessionEnded(..) if self.detached.is_some() => {}
                News::LinkEnded { link, error, closed } => self.link_ended(link, error, closed),
                News::Resumed { link, complete, remembered } => self.resumed(link, complete, remembered),
                News::Reassociated { link, tag, number } => self.reassociated(link, tag, number),
                News::SettledBySender { link, number } => self.settled_by_sender(link, number),
                News::InDoubt { link, doubt } => self.in_doubt(link, doubt),
                News::SessionEnded(session, error) => {
                    // What answers an end of ours is no news of the peer's.
                    if let Some(incoming) = &mut self.incoming {
                        incoming.retain(|opened| *opened != Opened::Session(session));
                    }
                    let ours = error == LinkError::SessionEnded(None) && self.is_ending(session);
                    self.end_session(session, if ours { &LinkError::Closed } else { &error });
                }
                News::Closed(error) => self.lose(error),
                News::Answer { token, answer } => self.answered(token, answer),
                News::Drained(link) => {
                    if let Some(entry) = self.entry(link) {
                        entry.drained = true;
                    }
                    self.wake_link(link);
                }
                News::Flow(link) => {
                    if let Some(entry) = self.entry(link) {
                        entry.heard.answered();
                    }
                    self.wake_link(link);
                }
                News::Aborted(link) => {
                    if let Some(entry) = self.entry(link) {
                        entry.aborted = true;
                    }
                    self.wake_link(link);
                }
                News::Drain(link) => self.drain(link),
                News::SessionIncoming(id) => {
                    self.add_session(id, false);
                    if self.teardown.close.is_some() {
                        self.engine.end(id, None);
                    } else if let Some(incoming) = self.incoming.as_mut().filter(|all| all.len() < MAX_INCOMING) {
                        incoming.push_back(Opened::Session(id));
                        self.waiters.wake(&mut self.wakes);
                    }
                }
                News::LinkIncoming(link)
                    if !self.coordinators
                        && self.engine.remote(link).is_some_and(|remote| remote.coordinator.is_some()) =>
                {
                    let text = "this container has no transactions";
                    self.engine.refuse(link, PeerError::new(ErrorCondition::NOT_IMPLEMENTED, text));
                }
                News::LinkIncoming(link) => match &mut self.incoming {
                    Some(incoming) if incoming.len() < MAX_INCOMING => {
                        incoming.push_back(Opened::Link(link));
                        self.waiters.wake(&mut self.wakes);
                    }
                    _ => {
                        let text = "this container takes no links";
                        self.engine.refuse(link, PeerError::new(ErrorCondition::NOT_ALLOWED, text));
                    }
                },
            }
        }
        self.suspend_leaving();
        self.tell_of_doubts();
        if !self.partly.is_empty() {
            self.go_on_with_parts();
        }
    }

    /// The peer wants credit used or given up: those who wait for it come first, and an owner who polls for news.
    fn drain(&mut self, link: LinkId) {
        let Self { links, by_engine, wakes, drains, engine, .. } = self;
        // A peer that asks again is answered at the moment that was set.
        if drains.iter().any(|(_, pending)| *pending == link) {
            return;
        }
        let key = by_engine.get(link.index()).copied().flatten();
        match key.and_then(|key| links.get_mut(key)).filter(|entry| entry.id == link) {
            Some(entry) if entry.drain != Drain::Unpolled => {
                entry.drain = Drain::Asked;
                entry.waiters.wake(wakes);
            }
            Some(entry) if !entry.waiters.is_empty() => {
                entry.waiters.wake(wakes);
                drains.push((Instant::now() + DRAIN, link));
            }
            _ => engine.give_up_credit(link),
        }
    }

    /// Gives up the credit that nobody used in time, and tells when that is to be done next.
    pub(crate) fn answer_drains(&mut self, now: Instant) -> Option<Instant> {
        let Self { drains, engine, .. } = self;
        drains.retain(|(due, link)| {
            if *due <= now {
                engine.give_up_credit(*link);
            }
            *due > now
        });
        drains.iter().map(|(due, _)| *due).min()
    }

    /// Answers senders that have left and waited long enough.
    pub(crate) fn answer_leaving(&mut self, now: Instant) -> Option<Instant> {
        let Self { unanswered, engine, .. } = self;
        let waiting = unanswered.len();
        unanswered.retain(|(due, link, _)| {
            if *due <= now {
                engine.answer_detach(*link);
            }
            *due > now && engine.has_link(*link)
        });
        if unanswered.len() < waiting {
            self.take_news();
        }
        self.unanswered.iter().map(|(due, ..)| *due).min()
    }

    /// Why the sender of a link has left that waits for its answer.
    pub(crate) fn left_for(&mut self, link: LinkId) -> Option<LinkError> {
        let place = self.unanswered.iter().position(|(_, waits, _)| *waits == link)?;
        Some(self.unanswered.swap_remove(place).2)
    }

    /// Has the credit of a receiver taken back after a while, unless more is granted before.
    pub(crate) fn withdraw_after(&mut self, key: usize, time: Duration) {
        let nothing = self.granted(key) == 0;
        let entry = &mut self.links[key];
        if entry.over.is_some() || entry.withdrawn_at.is_some() {
            return;
        }
        entry.drained = nothing;
        if nothing {
            return;
        }
        let at = Instant::now() + time;
        entry.withdrawn_at = Some(at);
        self.withdrawals.push((at, key));
        self.wake_driver();
    }

    /// Takes back the credit whose time has come, and tells when that is to be done next.
    pub(crate) fn withdraw_due(&mut self, now: Instant) -> Option<Instant> {
        if self.withdrawals.is_empty() {
            return None;
        }
        for (at, key) in std::mem::take(&mut self.withdrawals) {
            // Where more was granted, or the place is another link's, it is called off.
            let Some(entry) = self.links.get_mut(key).filter(|entry| entry.withdrawn_at == Some(at)) else { continue };
            if at > now {
                self.withdrawals.push((at, key));
                continue;
            }
            entry.withdrawn_at = None;
            if entry.over.is_none() {
                entry.drained = true;
                let (id, granted) = (entry.id, self.granted(key));
                // What is on its way is taken all the same.
                self.set_overdraft(key, granted);
                self.grant(key, 0);
                self.wake_link(id);
            }
        }
        self.withdrawals.iter().map(|(at, _)| *at).min()
    }

    /// A sender that was to give up credit at a moment need not: its owner sees to it.
    pub(crate) fn drop_drain(&mut self, link: LinkId) {
        self.drains.retain(|(_, pending)| *pending != link);
    }

    /// Senders that were to give up credit need not.
    pub(crate) fn drop_drains(&mut self) {
        self.drains.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        AcceptOptions, Acceptor, ConnectOptions, Connection, LinkError, LinkOptions, LocalEndpoint, SendError,
    };

    #[tokio::test]
    async fn a_sender_that_has_left_does_not_wait_for_ever() {
        let acceptor = Acceptor::listen(AcceptOptions::new(LocalEndpoint::host("127.0.0.1"))).await.unwrap();
        let options = ConnectOptions::new(format!("amqp://{}", acceptor.local_endpoint()).parse().unwrap());
        let (client, server) = tokio::join!(Connection::open(options), acceptor.accept());
        let (client, server) = (client.unwrap(), server.unwrap());
        let session = client.session().await.unwrap();
        let options = LinkOptions { answers_last: true, ..LinkOptions::default() };
        let accepting = async { server.next_link().await.unwrap().into_receiver(&options) };
        let (sender, receiver) = tokio::join!(session.sender("q"), accepting);
        let (sender, mut receiver) = (sender.unwrap(), receiver.unwrap());
        let outcome = sender.submit_tracked(&"a".into()).await.unwrap();
        let message = receiver.receive().await.unwrap();
        sender.shut();
        let shared = &server.inner.shared;
        while shared.with(|state| state.unanswered.is_empty()) {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let now = Instant::now();
        assert!(shared.with(|state| state.answer_leaving(now)).unwrap() > now, "it has its time");
        assert_eq!(receiver.error(), None);
        assert_eq!(shared.with(|state| state.answer_leaving(now + ANSWER)), None);
        assert_eq!(receiver.closed().await, LinkError::DetachedByPeer);
        assert!(receiver.accept(&message).is_err());
        assert!(matches!(outcome.await, Err(SendError::InDoubt(_))));
    }
}

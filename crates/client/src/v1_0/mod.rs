//! AMQP 1.0 behind the seam: nodes become termini, outcomes become delivery states, and the engine's events become news of
//! links.

mod connect;
mod nodes;
mod outcomes;
mod queries;
mod serve;
mod terms;

use std::collections::VecDeque;
use std::time::Instant;

use bytes::{Bytes, BytesMut};
use postroad_amqp::sasl::{PasswordAnswer, PasswordCheck};
use postroad_amqp::v1_0::{self as amqp, ConnectionError, LinkState, LinkTerms};
use postroad_codec::v1_0::{
    self as codec, AttachTarget, Declare, DeliveryState, Discharge, Encode, ReceiverSettleMode, SenderSettleMode,
    TransactionalState,
};

use crate::protocol::{
    Answer, Delivery, DeliveryNumber, DeliveryTag, Doubt, How, LimitError, LinkId, MOST_CREDIT, News, Outgoing, Own,
    Peer, Protocol, Query, Refusal, Remote, Role, SessionId, Suspended, Take, To, TransactionId, Transmit, Unsettled,
    Wire,
};
use crate::sasl::User;
use crate::types::PeerError;
use crate::{LinkError, Message, Node, Outcome};

pub(crate) use connect::client;
use nodes::{node_of_source, node_of_target};
use outcomes::{codec_outcome, outcome, state};
use queries::Queries;
pub(crate) use serve::server;
use terms::{coordinator_terms, remembers, terms, terms_of_answer};

/// One end of an AMQP 1.0 connection.
#[derive(Debug)]
pub(crate) struct Engine {
    inner: amqp::Connection,
    queries: Queries,
}

impl Engine {
    pub(crate) fn new(inner: amqp::Connection) -> Box<Self> {
        Box::new(Self { inner, queries: Queries::default() })
    }

    /// A link that receives; nothing where this engine has none of that id, such as one that waits to be attached.
    #[inline]
    fn receiving(&mut self, link: LinkId) -> Option<amqp::ReceiverMut<'_>> {
        (self.inner.role_of(link) == Some(Role::Receiver)).then(|| self.inner.receiver(link))
    }

    /// What an event of the engine's is to the connection; nothing where it is none of its business.
    #[inline]
    fn news(&mut self, event: amqp::Event) -> Option<News> {
        Some(match event {
            // Every outcome settles: senders let the engine do that.
            amqp::Event::Update(update) if update.settled => {
                let outcome = update.state.as_ref().and_then(outcome);
                if outcome.is_none()
                    && let Some(DeliveryState::Declared(declared)) = update.state
                {
                    return Some(News::Declared { link: update.link, token: update.token, id: declared.txn_id });
                }
                News::Settled { link: update.link, token: update.token, outcome, by_peer: update.by_peer }
            }
            amqp::Event::Update(update) => {
                let outcome = update.state.as_ref().and_then(outcome)?;
                News::Outcome { link: update.link, token: update.token, outcome }
            }
            amqp::Event::Readable(link) | amqp::Event::Credit(link) => News::Ready(link),
            amqp::Event::Opened => News::Opened,
            amqp::Event::SessionBegun(session) => News::SessionBegun(session),
            amqp::Event::SessionIncoming(session) => News::SessionIncoming(session),
            amqp::Event::SessionEnded { session, error } => {
                News::SessionEnded(session, LinkError::SessionEnded(error.map(|error| *error)))
            }
            amqp::Event::LinkAttached(link) => News::LinkAttached(link),
            amqp::Event::LinkIncoming(link) => News::LinkIncoming(link),
            amqp::Event::LinkLeaving { link, error } => {
                News::LinkLeaving(link, error.map_or(LinkError::DetachedByPeer, |error| LinkError::Detached(*error)))
            }
            amqp::Event::LinkDetached { link, error, closed } => {
                let error = error.map_or(LinkError::DetachedByPeer, |error| LinkError::Detached(*error));
                News::LinkEnded { link, error, closed }
            }
            amqp::Event::Drained(link) => News::Drained(link),
            amqp::Event::Flow(link) => News::Flow(link),
            amqp::Event::Aborted(link) => News::Aborted(link),
            amqp::Event::Drain(link) => News::Drain(link),
            amqp::Event::Resumed { link, complete, remembered } => News::Resumed { link, complete, remembered },
            amqp::Event::Reassociated { link, tag, delivery, .. } => News::Reassociated { link, tag, number: delivery },
            amqp::Event::SettledBySender { link, delivery, .. } => News::SettledBySender { link, number: delivery },
            amqp::Event::InDoubt { link, token, tag, message, .. } => {
                News::InDoubt { link, doubt: Doubt { token, tag, message } }
            }
            amqp::Event::Closed(error) => News::Closed(match error {
                ConnectionError::Closed => crate::ConnectionError::Closed,
                error => crate::ConnectionError::Protocol(error),
            }),
            // States on the way to an outcome, and what `Opened` tells as well.
            _ => return None,
        })
    }
}

impl Protocol for Engine {
    fn wire(&self) -> Wire {
        Wire { encode: Message::encode_to, read: Message::read_received }
    }

    fn handle_input(&mut self, now: Instant, input: &mut BytesMut) {
        let _ = self.inner.handle_input(now, input);
    }

    fn handle_eof(&mut self) {
        self.inner.handle_eof();
    }

    fn handle_timeout(&mut self, now: Instant) {
        self.inner.handle_timeout(now);
    }

    fn poll_timeout(&self) -> Option<Instant> {
        self.inner.poll_timeout()
    }

    fn poll_transmit(&mut self, now: Instant, output: &mut Transmit) {
        self.inner.poll_transmit(now, output);
    }

    fn has_output(&self) -> bool {
        self.inner.has_output()
    }

    fn poll_news(&mut self) -> Option<News> {
        loop {
            let news = match self.inner.poll_event()? {
                // What is told of each message that was sent takes the short way.
                amqp::Event::Update(amqp::Update {
                    link,
                    token,
                    state: Some(DeliveryState::Accepted),
                    settled,
                    by_peer,
                    ..
                }) if settled && self.queries.is_empty() => {
                    return Some(News::Settled { link, token, outcome: Some(Outcome::Accepted), by_peer });
                }
                event => self.news(event),
            };
            let news = if self.queries.is_empty() { news } else { news.and_then(|news| self.answered(news)) };
            if news.is_some() {
                return news;
            }
        }
    }

    fn is_over(&self) -> bool {
        self.inner.error().is_some()
    }

    fn user(&self) -> Option<User> {
        let (name, mechanism) = self.inner.user()?;
        Some(User { name: name.to_owned(), mechanism: mechanism.to_owned() })
    }

    fn password_check(&mut self) -> Option<PasswordCheck> {
        self.inner.password_check()
    }

    fn password_checked(&mut self, answer: PasswordAnswer) {
        self.inner.password_checked(answer);
    }

    fn own(&self) -> Own {
        let config = self.inner.config();
        Own { container: config.container_id.to_string(), host: config.hostname.as_ref().map(ToString::to_string) }
    }

    fn peer(&self) -> Option<Peer> {
        let open = self.inner.remote_open()?;
        let fields = open.properties.iter().flat_map(|fields| fields.0.iter());
        Some(Peer {
            container: open.container_id.to_string(),
            host: open.hostname.as_ref().map(ToString::to_string),
            properties: fields.filter_map(|(key, value)| Some((key.as_str()?.to_owned(), value.clone()))).collect(),
            offers: open.offered_capabilities.iter().map(ToString::to_string).collect(),
            desires: open.desired_capabilities.iter().map(ToString::to_string).collect(),
        })
    }

    fn close(&mut self, error: Option<PeerError>) {
        self.inner.close(error);
    }

    fn is_closing(&self) -> bool {
        self.inner.is_closing()
    }

    fn begin(&mut self) -> Result<SessionId, LimitError> {
        self.inner.begin()
    }

    fn end(&mut self, session: SessionId, error: Option<PeerError>) {
        self.inner.end(session, error);
    }

    fn end_all(&mut self) {
        let sessions: Vec<SessionId> = self.inner.sessions().collect();
        sessions.into_iter().for_each(|session| self.inner.end(session, None));
    }

    fn has_sessions(&self) -> bool {
        self.inner.sessions().next().is_some()
    }

    fn attach(&mut self, session: SessionId, name: &str, to: To<'_>, how: How<'_>) -> Result<LinkId, LimitError> {
        let (role, mut terms) = match to {
            To::Node { role, node, options } => (role, terms(role, node, options)),
            To::Coordinator => (Role::Sender, coordinator_terms()),
        };
        let (suspended, restart) = match how {
            How::Anew => return self.inner.attach(session, name, role, terms),
            How::Restart(suspended) => (suspended, true),
            How::Resume(suspended) => (suspended, false),
        };
        terms.hold = true;
        // One of another protocol has nothing that could go over.
        let Some(state) = suspended.state.downcast_mut::<LinkState>() else {
            return self.inner.attach(session, name, role, terms);
        };
        let attached = match restart {
            true => self.inner.restart(session, state, terms),
            false => self.inner.resume(session, state, terms),
        };
        if attached.is_ok() {
            suspended.unsettled.clear();
        }
        attached
    }

    fn accept(&mut self, link: LinkId, answer: &Answer<'_>) -> Result<(), LimitError> {
        let attach = self.inner.remote_attach(link).ok_or(LimitError::Ended)?;
        let terms = terms_of_answer(attach, answer);
        self.inner.accept(link, terms)
    }

    fn accept_resumed(
        &mut self,
        link: LinkId,
        answer: &Answer<'_>,
        suspended: &mut Suspended,
    ) -> Result<(), LimitError> {
        let attach = self.inner.remote_attach(link).ok_or(LimitError::Ended)?;
        let terms = terms_of_answer(attach, answer);
        let Some(state) = suspended.state.downcast_mut::<LinkState>() else { return self.inner.accept(link, terms) };
        state.in_parts = answer.options.in_parts;
        for (unsettled, named) in state.unsettled.iter_mut().zip(&suspended.unsettled) {
            unsettled.token = named.token;
        }
        self.inner.accept_resumed(link, state, terms)
    }

    fn retain_told(&self, suspended: &mut Suspended) {
        let Some(state) = suspended.state.downcast_mut::<LinkState>() else { return };
        let sent = state.role == Role::Sender;
        let is_outcome = |state: &Option<DeliveryState>| state.as_ref().is_some_and(DeliveryState::is_terminal);
        state.unsettled.retain(|unsettled| sent || is_outcome(&unsettled.local_state));
        for unsettled in &mut state.unsettled {
            // What the peer tells along the way may be as large as its frames, and only an outcome counts.
            unsettled.remote_state = unsettled.remote_state.take().filter(|state| sent && state.is_terminal());
        }
        // What came with the last attach holds the buffer that it was read into.
        (state.source, state.target) = (None, None);
        state.name = state.name.to_string().into();
        suspended.unsettled = unsettled_of(state);
    }

    fn refuse(&mut self, link: LinkId, error: PeerError) {
        self.inner.refuse(link, error);
        self.inner.release(link);
    }

    fn proceed(&mut self, link: LinkId) {
        self.inner.proceed(link);
    }

    fn detach(&mut self, link: LinkId, error: Option<PeerError>) {
        self.inner.detach(link, true, error);
    }

    fn answer_detach(&mut self, link: LinkId) {
        self.inner.answer_detach(link);
    }

    fn detach_for_now(&mut self, link: LinkId, error: Option<PeerError>) {
        self.inner.detach(link, false, error);
    }

    fn map_capacity(&self, link: LinkId) -> usize {
        // A sender tells our tags, and mostly no states; a receiver the peer's tags, with outcomes.
        let entry = if self.receives(link) { 64 } else { 16 };
        self.inner.map_capacity(link, entry).max(1)
    }

    fn is_round_over(&self, link: LinkId) -> bool {
        self.inner.is_round_over(link)
    }

    fn release(&mut self, link: LinkId, take: Take) -> (Option<Suspended>, VecDeque<Delivery>) {
        let mut taken = VecDeque::new();
        if take != Take::None && self.inner.role_of(link) == Some(Role::Receiver) {
            self.inner.receiver(link).take_all(&mut taken);
            if take == Take::Settled {
                taken.retain(|delivery| delivery.settled);
            }
        }
        (self.inner.release(link).map(suspended), taken)
    }

    fn session_of(&self, link: LinkId) -> Option<SessionId> {
        self.inner.session_of(link)
    }

    #[inline]
    fn has_link(&self, link: LinkId) -> bool {
        self.inner.has_link(link)
    }

    fn receives(&self, link: LinkId) -> bool {
        self.inner.role_of(link) == Some(Role::Receiver)
    }

    fn is_attached(&self, link: LinkId) -> bool {
        self.inner.is_attached(link)
    }

    fn own_nodes(&self, link: LinkId) -> (Option<Node>, Option<Node>) {
        let Some(terms) = self.inner.terms(link) else { return (None, None) };
        nodes::nodes(terms.source.as_ref(), terms.target.as_ref())
    }

    fn remote(&self, link: LinkId) -> Option<Remote> {
        let attach = self.inner.remote_attach(link)?;
        let target = attach.target.as_deref();
        let coordinator = match target {
            Some(AttachTarget::Coordinator(coordinator)) => {
                Some(coordinator.capabilities.iter().map(|capability| capability.0.to_string()).collect())
            }
            _ => None,
        };
        // Some answer a link that asks for their coordinator with a target of the ordinary kind that has no address: a
        // node would have one, and a refusal no target.
        let nameless = target.and_then(AttachTarget::as_target).is_some_and(|t| t.address.is_none() && !t.dynamic);
        Some(Remote {
            name: attach.name.to_string(),
            role: attach.role.opposite(),
            settled: attach.snd_settle_mode == SenderSettleMode::SETTLED,
            unsettled: attach.snd_settle_mode == SenderSettleMode::UNSETTLED,
            second: attach.rcv_settle_mode == ReceiverSettleMode::SECOND,
            remembers: remembers(attach),
            source: attach.source.as_deref().map(node_of_source),
            target: target.and_then(AttachTarget::as_target).map(node_of_target),
            coordinates: coordinator.is_some() || nameless,
            coordinator,
            properties: attach.properties.clone(),
            offers: attach.offered_capabilities.iter().map(ToString::to_string).collect(),
            desires: attach.desired_capabilities.iter().map(ToString::to_string).collect(),
            max_message_size: attach.max_message_size.unwrap_or(0),
            has_map: attach.unsettled.is_some(),
        })
    }

    #[inline]
    fn send(&mut self, link: LinkId, message: &Outgoing<'_>) -> Result<DeliveryNumber, Refusal> {
        let message = amqp::Message {
            content: message.content,
            settled: message.settled,
            message_format: message.format,
            more: message.more,
            state: message.transaction.map(|id| within(id, None)),
            ..amqp::Message::new(message.encoded, message.tag, message.token)
        };
        self.inner.sender(link).send(&message).map_err(refusal)
    }

    fn has_unsettled(&mut self, link: LinkId, tag: &DeliveryTag) -> bool {
        self.inner.sender(link).has_unsettled(tag)
    }

    fn settle_sent(&mut self, link: LinkId, tag: &DeliveryTag) -> Option<u64> {
        let mut sender = self.inner.sender(link);
        let (number, token) = sender.unsettled_of(tag)?;
        sender.settle(number);
        Some(token)
    }

    fn append(&mut self, link: LinkId, delivery: DeliveryNumber, part: &Bytes, more: bool) -> Result<(), Refusal> {
        self.inner.sender(link).append(delivery, part, Some(part), more).map_err(refusal)
    }

    fn can_append(&mut self, link: LinkId) -> bool {
        self.inner.sender(link).can_append()
    }

    fn abort(&mut self, link: LinkId, delivery: DeliveryNumber) {
        if self.inner.has_link(link) {
            self.inner.sender(link).abort(delivery);
        }
    }

    fn capacity(&mut self, link: LinkId) -> u32 {
        self.inner.sender(link).capacity()
    }

    fn credit(&mut self, link: LinkId) -> u32 {
        self.inner.sender(link).credit()
    }

    #[inline]
    fn kept_bytes(&mut self, link: LinkId) -> usize {
        self.inner.sender(link).kept_bytes()
    }

    fn has_rest(&mut self, link: LinkId) -> bool {
        let sends = self.inner.has_link(link) && self.inner.role_of(link) == Some(Role::Sender);
        sends && self.inner.sender(link).has_rest()
    }

    fn offer(&mut self, link: LinkId, available: u32) {
        if self.inner.has_link(link) {
            self.inner.sender(link).offered(available);
        }
    }

    fn is_asked_to_drain(&mut self, link: LinkId) -> bool {
        self.inner.role_of(link) == Some(Role::Sender) && self.inner.sender(link).is_draining()
    }

    fn give_up_credit(&mut self, link: LinkId) {
        if self.inner.has_link(link) {
            self.inner.sender(link).drained();
        }
    }

    fn queued(&mut self, link: LinkId) -> usize {
        self.receiving(link).map_or(0, |receiver| receiver.queued())
    }

    fn take_all(&mut self, link: LinkId, deliveries: &mut VecDeque<Delivery>) {
        self.inner.receiver(link).take_all(deliveries);
    }

    fn granted(&mut self, link: LinkId) -> u32 {
        self.receiving(link).map_or(0, |receiver| receiver.credit())
    }

    fn grant(&mut self, link: LinkId, credit: u32) {
        if let Some(mut receiver) = self.receiving(link) {
            receiver.set_credit(credit.min(MOST_CREDIT));
        }
    }

    fn ask_flow(&mut self, link: LinkId) {
        self.inner.ask_flow(link);
    }

    fn set_overdraft(&mut self, link: LinkId, messages: u32) {
        if let Some(mut receiver) = self.receiving(link) {
            receiver.set_overdraft(messages);
        }
    }

    fn drain(&mut self, link: LinkId) {
        if let Some(mut receiver) = self.receiving(link) {
            receiver.drain();
        }
    }

    fn stop_draining(&mut self, link: LinkId) {
        if let Some(mut receiver) = self.receiving(link) {
            receiver.stop_draining();
        }
    }

    fn is_draining(&mut self, link: LinkId) -> bool {
        self.receiving(link).is_some_and(|receiver| receiver.is_draining())
    }

    fn available(&mut self, link: LinkId) -> u32 {
        self.receiving(link).map_or(0, |receiver| receiver.available())
    }

    fn update(&mut self, link: LinkId, delivery: DeliveryNumber, outcome: Outcome) {
        self.inner.receiver(link).dispose(delivery, Some(state(outcome)), false);
    }

    fn states(&mut self, link: LinkId, number: DeliveryNumber) -> Option<(Option<Outcome>, Option<Outcome>)> {
        let receiver = self.inner.receiver(link);
        let states = receiver.states(number)?;
        Some((states.local.and_then(outcome), states.remote.and_then(outcome)))
    }

    #[inline]
    fn settle(&mut self, link: LinkId, delivery: DeliveryNumber, outcome: Outcome) {
        self.inner.receiver(link).dispose(delivery, Some(state(outcome)), true);
    }

    fn declare(&self) -> Bytes {
        command(&Declare::default())
    }

    fn discharge(&self, id: &TransactionId, fail: bool) -> Bytes {
        command(&Discharge { txn_id: id.clone(), fail: Some(fail) })
    }

    /// Part 4, 4.4.2.
    fn retire(&mut self, link: LinkId, delivery: DeliveryNumber, outcome: Outcome, id: &TransactionId) {
        let outcome = codec_outcome(outcome);
        self.inner.receiver(link).dispose(delivery, Some(within(id, Some(outcome))), false);
    }

    fn flush(&mut self) {
        self.inner.flush();
    }

    fn ask(&mut self, session: SessionId, query: &Query, token: u64) -> Result<(), LimitError> {
        self.put_query(session, query, token)
    }
}

fn suspended(state: LinkState) -> Suspended {
    Suspended { role: state.role, unsettled: unsettled_of(&state), state: Box::new(state) }
}

fn unsettled_of(state: &LinkState) -> Vec<Unsettled> {
    let sent = state.role == Role::Sender;
    let unsettled = state.unsettled.iter().map(|unsettled| Unsettled {
        tag: unsettled.tag,
        number: unsettled.delivery,
        token: unsettled.token,
        taken: !sent && unsettled.received.is_some(),
        message: if sent { unsettled.message.clone() } else { None },
    });
    unsettled.collect()
}

/// A message whose one section, an amqp-value, is this.
fn command(body: &impl Encode) -> Bytes {
    let mut encoded = vec![0x00, 0x53, 0x77];
    body.encode(&mut encoded);
    encoded.into()
}

fn within(id: &TransactionId, outcome: Option<codec::Outcome>) -> DeliveryState {
    DeliveryState::Transactional(Box::new(TransactionalState { txn_id: id.clone(), outcome }))
}

fn refusal(error: amqp::SendError) -> Refusal {
    match error {
        amqp::SendError::Blocked => Refusal::Blocked,
        amqp::SendError::TooLarge(limit) => Refusal::TooLarge(limit),
        _ => Refusal::Detached,
    }
}

//! What the client needs of AMQP 1.0, behind the seam: nodes become termini, outcomes become delivery
//! states, and the engine's events become news of links. The rest of the crate knows none of it.

use std::collections::VecDeque;
use std::time::Instant;

use bytes::{Bytes, BytesMut};
use postroad_amqp::v1_0::{self as amqp, LimitError, LinkState, LinkTerms, Transmit};
use postroad_codec::v1_0::{
    self as codec, AttachTarget, Coordinator, Declare, DeliveryNumber, DeliveryState, Discharge, DistributionMode,
    Encode, FilterSet, Map, MessageFormat, Multiple, NodeProperties, Open, ReceiverSettleMode, Role, Seconds,
    SenderSettleMode, Source, Symbol, Target, TerminusDurability, TerminusExpiryPolicy, TransactionalState,
    TxnCapability,
};

use crate::types::PeerError;
use crate::{AttachError, Expiry, Guarantee, LinkError, LinkOptions, Node, Outcome};

pub(crate) use postroad_amqp::v1_0::{Delivery, LinkId, SessionId};
pub(crate) use postroad_codec::v1_0::{DeliveryTag, TransactionId};

/// One end of an AMQP 1.0 connection.
#[derive(Debug)]
pub(crate) struct Engine(pub(crate) amqp::Connection);

/// What an engine tells of its connection.
#[derive(Debug)]
pub(crate) enum News {
    Opened,
    SessionBegun(SessionId),
    SessionIncoming(SessionId),
    SessionEnded(SessionId, LinkError),
    LinkAttached(LinkId),
    LinkIncoming(LinkId),
    LinkEnded {
        link: LinkId,
        error: LinkError,
        /// Whether for good.
        closed: bool,
    },
    /// A link that was attached again has dealt with what it brought along.
    Resumed {
        link: LinkId,
        /// Whether that was all of it; the rest takes another attach.
        complete: bool,
        /// Whether the peer knew the link.
        remembered: bool,
    },
    /// A delivery that was received before has another number now, or none: its sender has settled it.
    Reassociated {
        link: LinkId,
        tag: DeliveryTag,
        number: Option<DeliveryNumber>,
    },
    /// The sender has settled a delivery that we had not settled.
    SettledBySender {
        link: LinkId,
        number: DeliveryNumber,
    },
    /// What became of a message is not known, and cannot be found out.
    InDoubt {
        link: LinkId,
        doubt: Doubt,
    },
    /// A sender has credit, or a receiver messages.
    Ready(LinkId),
    Drained(LinkId),
    /// A message was given up by its sender, and its credit is gone.
    Aborted(LinkId),
    /// The peer wants a sender's credit used now or given up.
    Drain(LinkId),
    /// A message that was sent is over, with an outcome where the receiver gave one.
    Settled {
        link: LinkId,
        token: u64,
        outcome: Option<Outcome>,
    },
    /// A transaction was declared.
    Declared {
        link: LinkId,
        token: u64,
        id: TransactionId,
    },
    Closed(amqp::ConnectionError),
}

/// Why a message was not handed over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refusal {
    Blocked,
    Detached,
    TooLarge(u64),
}

/// A message on its way into a link.
#[derive(Debug)]
pub(crate) struct Outgoing<'a> {
    /// The encoded message, or the front of it, and what follows that.
    pub(crate) encoded: &'a [u8],
    pub(crate) content: Option<&'a Bytes>,
    pub(crate) format: MessageFormat,
    pub(crate) tag: DeliveryTag,
    pub(crate) settled: bool,
    pub(crate) token: u64,
    /// Whether this is the first part of it.
    pub(crate) more: bool,
    pub(crate) transaction: Option<&'a TransactionId>,
}

/// A message that was sent, and of which no outcome is known.
#[derive(Debug)]
pub(crate) struct Doubt {
    pub(crate) token: u64,
    pub(crate) tag: DeliveryTag,
    /// The message, where it was kept.
    pub(crate) message: Option<Bytes>,
}

/// What of a link outlives its connection.
#[derive(Debug)]
pub(crate) struct Suspended(LinkState);

impl Suspended {
    pub(crate) fn is_empty(&self) -> bool {
        self.0.unsettled.is_empty()
    }

    pub(crate) fn len(&self) -> usize {
        self.0.unsettled.len()
    }

    /// Deliveries that came and that we have taken.
    pub(crate) fn taken(&self) -> impl Iterator<Item = (DeliveryTag, DeliveryNumber)> {
        let taken = self.0.unsettled.iter().filter(|unsettled| unsettled.received.is_some());
        taken.map(|unsettled| (unsettled.tag, unsettled.delivery))
    }

    /// Takes what is not settled out.
    pub(crate) fn take_unsettled(&mut self) -> Self {
        let taken = Self(self.0.clone());
        self.0.unsettled.clear();
        taken
    }

    /// Messages that were sent and have no outcome.
    pub(crate) fn into_doubts(self) -> impl Iterator<Item = Doubt> {
        let sent = self.0.role == Role::Sender;
        let doubts = self.0.unsettled.into_iter().filter(move |_| sent);
        doubts.map(|unsettled| Doubt { token: unsettled.token, tag: unsettled.tag, message: unsettled.message })
    }
}

/// How a link is attached again.
#[derive(Debug)]
pub(crate) enum How<'a> {
    /// As a new link.
    Anew,
    /// As a new link, on which what was not settled is sent again.
    Restart(&'a mut Suspended),
    /// As the link that it was: both ends tell what they have not settled.
    Resume(&'a mut Suspended),
}

/// What a receiver wants of its sender.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Demand {
    credit: u32,
    drain: bool,
}

impl Demand {
    /// With credit for one more delivery: one that is resumed uses some, as most peers have it.
    pub(crate) fn and_one(self) -> Self {
        Self { credit: self.credit.saturating_add(1), ..self }
    }
}

impl Engine {
    // The five verbs.

    pub(crate) fn handle_input(&mut self, now: Instant, input: &mut BytesMut) {
        // The error is told by an event as well.
        let _ = self.0.handle_input(now, input);
    }

    pub(crate) fn handle_eof(&mut self) {
        self.0.handle_eof();
    }

    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        self.0.handle_timeout(now);
    }

    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        self.0.poll_timeout()
    }

    pub(crate) fn poll_transmit(&mut self, now: Instant, output: &mut Transmit) {
        self.0.poll_transmit(now, output);
    }

    #[inline]
    pub(crate) fn has_output(&self) -> bool {
        self.0.has_output()
    }

    pub(crate) fn is_over(&self) -> bool {
        self.0.error().is_some()
    }

    #[inline]
    pub(crate) fn poll_news(&mut self) -> Option<News> {
        loop {
            return Some(match self.0.poll_event()? {
                // Every outcome settles: senders let the engine do that.
                amqp::Event::Update(update) if update.settled => {
                    let outcome = update.state.as_ref().and_then(outcome);
                    if outcome.is_none()
                        && let Some(DeliveryState::Declared(declared)) = update.state
                    {
                        return Some(News::Declared { link: update.link, token: update.token, id: declared.txn_id });
                    }
                    News::Settled { link: update.link, token: update.token, outcome }
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
                amqp::Event::LinkDetached { link, error, closed } => {
                    let error = error.map_or(LinkError::DetachedByPeer, |error| LinkError::Detached(*error));
                    News::LinkEnded { link, error, closed }
                }
                amqp::Event::Resumed { link, complete, remembered } => News::Resumed { link, complete, remembered },
                amqp::Event::Reassociated { link, tag, delivery, .. } => {
                    News::Reassociated { link, tag, number: delivery }
                }
                amqp::Event::SettledBySender { link, delivery, .. } => News::SettledBySender { link, number: delivery },
                amqp::Event::InDoubt { link, token, tag, message, .. } => {
                    News::InDoubt { link, doubt: Doubt { token, tag, message } }
                }
                amqp::Event::Drained(link) => News::Drained(link),
                amqp::Event::Aborted(link) => News::Aborted(link),
                amqp::Event::Drain(link) => News::Drain(link),
                amqp::Event::Closed(error) => News::Closed(error),
                // States on the way to an outcome, and what `Opened` tells as well.
                _ => continue,
            });
        }
    }

    // The connection and its sessions.

    pub(crate) fn config(&self) -> &amqp::Config {
        self.0.config()
    }

    pub(crate) fn open(&self) -> Option<&Open> {
        self.0.remote_open()
    }

    /// The id of the peer's container.
    pub(crate) fn container(&self) -> Option<&str> {
        self.0.remote_open().map(|open| &*open.container_id)
    }

    pub(crate) fn close(&mut self, error: Option<PeerError>) {
        self.0.close(error);
    }

    /// Whether close has been said.
    pub(crate) fn is_closing(&self) -> bool {
        self.0.is_closing()
    }

    pub(crate) fn begin(&mut self) -> Result<SessionId, LimitError> {
        self.0.begin()
    }

    pub(crate) fn end(&mut self, session: SessionId) {
        self.0.end(session, None);
    }

    /// Ends every session.
    pub(crate) fn end_all(&mut self) {
        let sessions: Vec<SessionId> = self.0.sessions().collect();
        sessions.into_iter().for_each(|session| self.0.end(session, None));
    }

    /// Whether there are sessions that have not ended.
    pub(crate) fn has_sessions(&self) -> bool {
        self.0.sessions().next().is_some()
    }

    // Links.

    pub(crate) fn attach(
        &mut self,
        session: SessionId,
        name: String,
        role: Role,
        node: &Node,
        options: &LinkOptions,
    ) -> Result<LinkId, LimitError> {
        self.0.attach(session, name, role, terms(role, node, options))
    }

    /// Accepts a link of the peer's on the peer's terms, but for what is to outlive it: nothing at our end does.
    pub(crate) fn accept(&mut self, link: LinkId, options: &LinkOptions) -> Result<(), LimitError> {
        let attach = self.0.remote_attach(link).ok_or(LimitError::Ended)?;
        let (mut source, mut target) = (attach.source.as_deref().cloned(), attach.target.as_deref().cloned());
        match (attach.role.opposite(), &mut source, &mut target) {
            (Role::Sender, Some(source), _) => {
                (source.expiry_policy, source.timeout) = (TerminusExpiryPolicy::LINK_DETACH, Seconds(0));
                source.durable = TerminusDurability::NONE;
            }
            (Role::Receiver, _, Some(AttachTarget::Target(target))) => {
                (target.expiry_policy, target.timeout) = (TerminusExpiryPolicy::LINK_DETACH, Seconds(0));
                target.durable = TerminusDurability::NONE;
            }
            _ => {}
        }
        let terms = LinkTerms {
            source,
            target,
            snd_settle_mode: attach.snd_settle_mode,
            rcv_settle_mode: attach.rcv_settle_mode,
            max_message_size: options.max_message_size,
            in_parts: options.in_parts,
            ..LinkTerms::default()
        };
        self.0.accept(link, terms)
    }

    pub(crate) fn refuse(&mut self, link: LinkId, error: PeerError) {
        self.0.refuse(link, error);
        self.0.release(link);
    }

    pub(crate) fn detach(&mut self, link: LinkId) {
        self.0.detach(link, true, None);
    }

    /// Whether a link that told a part of what is not settled is done with that part.
    pub(crate) fn is_round_over(&self, link: LinkId) -> bool {
        self.0.is_round_over(link)
    }

    /// Detaches a link that is to be attached again at once.
    pub(crate) fn detach_for_now(&mut self, link: LinkId) {
        self.0.detach(link, false, None);
    }

    /// Attaches a link again.
    #[allow(clippy::needless_pass_by_value, reason = "it borrows what it is about")]
    pub(crate) fn attach_again(
        &mut self,
        session: SessionId,
        name: String,
        role: Role,
        node: &Node,
        options: &LinkOptions,
        how: How<'_>,
    ) -> Result<LinkId, LimitError> {
        let terms = terms(role, node, options);
        match how {
            How::Anew => self.0.attach(session, name, role, terms),
            How::Restart(Suspended(state)) => self.0.restart(session, state, terms),
            How::Resume(Suspended(state)) => self.0.resume(session, state, terms),
        }
    }

    /// What a receiver wants, counting what has come and was not taken: it comes again.
    pub(crate) fn demand(&mut self, link: LinkId) -> Option<Demand> {
        (self.0.role_of(link)? == Role::Receiver).then(|| {
            let receiver = self.0.receiver(link);
            let queued = u32::try_from(receiver.queued()).unwrap_or(u32::MAX);
            Demand { credit: receiver.credit().saturating_add(queued), drain: receiver.is_draining() }
        })
    }

    /// Wants the same of the sender of a link that is attached again.
    pub(crate) fn demand_again(&mut self, link: LinkId, demand: Demand, overdraft: u32) {
        let mut receiver = self.0.receiver(link);
        receiver.set_overdraft(overdraft);
        receiver.set_credit(demand.credit);
        if demand.drain && demand.credit > 0 {
            receiver.drain();
        }
    }

    /// Takes a link out of a dead engine, with what outlives it, and with the settled messages that had come where
    /// they are wanted. What is not settled and was not taken comes again.
    pub(crate) fn suspend(&mut self, link: LinkId, settled: bool) -> (Option<Suspended>, VecDeque<Delivery>) {
        let mut left = VecDeque::new();
        if settled && self.0.role_of(link) == Some(Role::Receiver) {
            self.0.receiver(link).take_all(&mut left);
            left.retain(|delivery| delivery.settled);
        }
        (self.0.release(link).map(Suspended), left)
    }

    /// Frees a link, and gives back what was not settled and the messages that had come on it.
    pub(crate) fn release(&mut self, link: LinkId) -> (Option<Suspended>, VecDeque<Delivery>) {
        let mut left = VecDeque::new();
        if self.0.role_of(link) == Some(Role::Receiver) {
            self.0.receiver(link).take_all(&mut left);
        }
        (self.0.release(link).map(Suspended), left)
    }

    pub(crate) fn session_of(&self, link: LinkId) -> Option<SessionId> {
        self.0.session_of(link)
    }

    pub(crate) fn has_link(&self, link: LinkId) -> bool {
        self.0.has_link(link)
    }

    /// Whether our end of a link is attached.
    pub(crate) fn is_attached(&self, link: LinkId) -> bool {
        self.0.is_attached(link)
    }

    /// The source and target that our end of a link has told.
    pub(crate) fn own_nodes(&self, link: LinkId) -> (Option<Node>, Option<Node>) {
        let Some(terms) = self.0.terms(link) else { return (None, None) };
        nodes(terms.source.as_ref(), terms.target.as_ref())
    }

    /// The source and target that the peer's end of a link has told.
    pub(crate) fn remote_nodes(&self, link: LinkId) -> (Option<Node>, Option<Node>) {
        let Some(attach) = self.0.remote_attach(link) else { return (None, None) };
        nodes(attach.source.as_deref(), attach.target.as_deref())
    }

    /// The peer's attach of a link.
    pub(crate) fn remote(&self, link: LinkId) -> Option<Remote<'_>> {
        self.0.remote_attach(link).map(Remote)
    }

    // Sending.

    #[inline]
    pub(crate) fn send(&mut self, link: LinkId, message: &Outgoing<'_>) -> Result<DeliveryNumber, Refusal> {
        let message = amqp::Message {
            content: message.content,
            settled: message.settled,
            message_format: message.format,
            more: message.more,
            state: message.transaction.map(|id| within(id, None)),
            ..amqp::Message::new(message.encoded, message.tag, message.token)
        };
        self.0.sender(link).send(&message).map_err(refusal)
    }

    /// Whether a message of this tag is not settled.
    pub(crate) fn has_unsettled(&mut self, link: LinkId, tag: &DeliveryTag) -> bool {
        self.0.sender(link).has_unsettled(tag)
    }

    /// Hands over the next part of a message.
    pub(crate) fn append(
        &mut self,
        link: LinkId,
        delivery: DeliveryNumber,
        part: &Bytes,
        more: bool,
    ) -> Result<(), Refusal> {
        self.0.sender(link).append(delivery, part, Some(part), more).map_err(refusal)
    }

    /// Whether the next part of a message can be handed over now.
    pub(crate) fn can_append(&mut self, link: LinkId) -> bool {
        self.0.sender(link).can_append()
    }

    /// Gives up a message of which a part was handed over.
    pub(crate) fn abort(&mut self, link: LinkId, delivery: DeliveryNumber) {
        if self.0.has_link(link) {
            self.0.sender(link).abort(delivery);
        }
    }

    /// Messages that can be handed over now; where it is 0, news follows when it no longer is.
    pub(crate) fn capacity(&mut self, link: LinkId) -> u32 {
        self.0.sender(link).capacity()
    }

    pub(crate) fn credit(&mut self, link: LinkId) -> u32 {
        self.0.sender(link).credit()
    }

    /// Whether the rest of a message that was handed over waits for the peer's window.
    pub(crate) fn has_rest(&mut self, link: LinkId) -> bool {
        self.0.has_link(link) && self.0.role_of(link) == Some(Role::Sender) && self.0.sender(link).has_rest()
    }

    /// Notes how many messages wait at a sender.
    pub(crate) fn offer(&mut self, link: LinkId, available: u32) {
        self.0.sender(link).offered(available);
    }

    /// Gives up the credit of a sender that is asked to: nothing waits for it.
    pub(crate) fn give_up_credit(&mut self, link: LinkId) {
        if self.0.has_link(link) {
            self.0.sender(link).drained();
        }
    }

    // Receiving.

    pub(crate) fn queued(&mut self, link: LinkId) -> usize {
        self.0.receiver(link).queued()
    }

    pub(crate) fn take_all(&mut self, link: LinkId, deliveries: &mut VecDeque<Delivery>) {
        self.0.receiver(link).take_all(deliveries);
    }

    pub(crate) fn granted(&mut self, link: LinkId) -> u32 {
        self.0.receiver(link).credit()
    }

    pub(crate) fn grant(&mut self, link: LinkId, credit: u32) {
        self.0.receiver(link).set_credit(credit);
    }

    /// Takes so many messages beyond the credit.
    pub(crate) fn set_overdraft(&mut self, link: LinkId, messages: u32) {
        self.0.receiver(link).set_overdraft(messages);
    }

    pub(crate) fn drain(&mut self, link: LinkId) {
        self.0.receiver(link).drain();
    }

    pub(crate) fn stop_draining(&mut self, link: LinkId) {
        self.0.receiver(link).stop_draining();
    }

    pub(crate) fn is_draining(&mut self, link: LinkId) -> bool {
        self.0.receiver(link).is_draining()
    }

    /// Messages that wait at the sender, as far as it told.
    pub(crate) fn available(&mut self, link: LinkId) -> u32 {
        self.0.receiver(link).available()
    }

    /// Tells the outcome of a delivery, and leaves it unsettled.
    pub(crate) fn update(&mut self, link: LinkId, delivery: DeliveryNumber, outcome: Outcome) {
        self.0.receiver(link).dispose(delivery, Some(state(outcome)), false);
    }

    /// What our end and the peer's have told of a delivery; nothing once either has settled it.
    pub(crate) fn states(
        &mut self,
        link: LinkId,
        number: DeliveryNumber,
    ) -> Option<(Option<Outcome>, Option<Outcome>)> {
        let receiver = self.0.receiver(link);
        let states = receiver.states(number)?;
        Some((states.local.and_then(outcome), states.remote.and_then(outcome)))
    }

    #[inline]
    pub(crate) fn settle(&mut self, link: LinkId, delivery: DeliveryNumber, outcome: Outcome) {
        self.0.receiver(link).dispose(delivery, Some(state(outcome)), true);
    }

    // Transactions.

    /// Attaches a link to the peer's coordinator.
    pub(crate) fn attach_coordinator(&mut self, session: SessionId, name: String) -> Result<LinkId, LimitError> {
        // What is desired is that which every coordinator has: the rest can be seen in its answer.
        let capabilities = [TxnCapability::LOCAL_TRANSACTIONS].into_iter().collect();
        let outcomes = outcomes().iter().cloned().chain([Symbol::from_static("amqp:declared:list")]).collect();
        let terms = LinkTerms {
            source: Some(Source { outcomes, ..Source::default() }),
            target: Some(AttachTarget::Coordinator(Coordinator { capabilities })),
            snd_settle_mode: SenderSettleMode::UNSETTLED,
            ..LinkTerms::default()
        };
        self.0.attach(session, name, Role::Sender, terms)
    }

    /// Tells an outcome that waits for the commit of a transaction (part 4, 4.4.2).
    pub(crate) fn retire(&mut self, link: LinkId, delivery: DeliveryNumber, outcome: Outcome, id: &TransactionId) {
        let outcome = codec_outcome(outcome);
        self.0.receiver(link).dispose(delivery, Some(within(id, Some(outcome))), false);
    }

    /// Has the outcomes that were told leave before what is sent from now on.
    pub(crate) fn flush(&mut self) {
        self.0.flush();
    }
}

/// A message for a coordinator that asks for a transaction.
pub(crate) fn declare() -> Bytes {
    command(&Declare::default())
}

/// A message for a coordinator that ends a transaction.
pub(crate) fn discharge(id: &TransactionId, fail: bool) -> Bytes {
    command(&Discharge { txn_id: id.clone(), fail: Some(fail) })
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

/// How the peer attached a link.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Remote<'a>(&'a codec::Attach);

impl<'a> Remote<'a> {
    pub(crate) fn name(self) -> &'a str {
        &self.0.name
    }

    /// Our end of the link.
    pub(crate) fn role(self) -> Role {
        self.0.role.opposite()
    }

    pub(crate) fn is_settled(self) -> bool {
        self.0.snd_settle_mode == SenderSettleMode::SETTLED
    }

    /// Whether the peer names the terminus at its own end: one that refuses a link does not.
    pub(crate) fn has_terminus(self) -> bool {
        match self.0.role {
            Role::Sender => self.0.source.is_some(),
            Role::Receiver => self.0.target.is_some(),
        }
    }

    /// Whether we settle what we receive only once the sender has.
    pub(crate) fn settles_second(self) -> bool {
        self.0.rcv_settle_mode == ReceiverSettleMode::SECOND
    }

    /// Whether the peer attached the link on terms that keep what was asked for.
    pub(crate) fn grants(self, role: Role, node: &Node, options: &LinkOptions) -> Result<(), AttachError> {
        if let (Some(asked), Some(offered)) = (&node.address, self.address())
            && !node.dynamic
            && !options.any_node
            && asked != offered
        {
            let (asked, offered) = (asked.clone(), offered.to_owned());
            return Err(AttachError::OtherNode { asked, offered });
        }
        let missing = match options.guarantee {
            Guarantee::AtMostOnce
                if role == Role::Receiver && self.0.snd_settle_mode == SenderSettleMode::UNSETTLED =>
            {
                "the sender settles nothing before the receiver does"
            }
            Guarantee::AtLeastOnce if role == Role::Receiver && self.is_settled() => "the sender settles as it sends",
            Guarantee::ExactlyOnce => match self.lacks_for_exactly_once(role) {
                Some(missing) => missing,
                None => return Ok(()),
            },
            _ => return Ok(()),
        };
        Err(AttachError::GuaranteeUnavailable { asked: options.guarantee, missing: missing.to_owned() })
    }

    fn lacks_for_exactly_once(self, role: Role) -> Option<&'static str> {
        let target = || self.0.target.as_deref().and_then(AttachTarget::as_target);
        let expiry = match role {
            Role::Sender => target().map(|target| (&target.expiry_policy, target.timeout)),
            Role::Receiver => self.0.source.as_deref().map(|source| (&source.expiry_policy, source.timeout)),
        };
        let forgets = expiry.is_none_or(|(policy, timeout)| *policy != TerminusExpiryPolicy::NEVER && timeout.0 == 0);
        if !self.settles_second() {
            Some("the receiver settles first (rcv-settle-mode first)")
        } else if role == Role::Receiver && self.is_settled() {
            Some("the sender settles as it sends (snd-settle-mode settled)")
        } else if forgets {
            Some("the peer forgets the link with its connection (no expiry timeout)")
        } else {
            None
        }
    }

    /// The address at the peer's end.
    pub(crate) fn address(self) -> Option<&'a str> {
        match self.0.role {
            Role::Sender => self.source_address(),
            Role::Receiver => self.target_address(),
        }
    }

    /// The node at the peer's end.
    pub(crate) fn node(self) -> Option<Node> {
        match self.0.role {
            Role::Sender => self.0.source.as_deref().map(node_of_source),
            Role::Receiver => self.0.target.as_deref()?.as_target().map(node_of_target),
        }
    }

    /// What the coordinator can do that the link is attached to.
    pub(crate) fn coordinator(self) -> Option<Vec<String>> {
        match self.0.target.as_deref()? {
            AttachTarget::Coordinator(coordinator) => {
                Some(coordinator.capabilities.iter().map(|capability| capability.0.to_string()).collect())
            }
            _ => None,
        }
    }

    /// Whether the peer attached a link that asked for its coordinator to one. Some answer with a target of the ordinary
    /// kind that has no address: a node would have one, and a refusal no target.
    pub(crate) fn answers_as_coordinator(self) -> bool {
        match self.0.target.as_deref() {
            Some(AttachTarget::Coordinator(_)) => true,
            Some(AttachTarget::Target(target)) => target.address.is_none() && !target.dynamic,
            _ => false,
        }
    }

    pub(crate) fn source_address(self) -> Option<&'a str> {
        self.0.source.as_ref()?.address.as_deref()
    }

    pub(crate) fn target_address(self) -> Option<&'a str> {
        self.0.target.as_ref()?.as_target()?.address.as_deref()
    }
}

/// The outcomes that our ends of links use.
const OUTCOMES: [&str; 4] = ["amqp:accepted:list", "amqp:rejected:list", "amqp:released:list", "amqp:modified:list"];

fn outcomes() -> Multiple<Symbol> {
    OUTCOMES.iter().map(|name| Symbol::from_static(name)).collect()
}

fn terms(role: Role, node: &Node, options: &LinkOptions) -> LinkTerms {
    let own_address = options.own_address.clone().map(Into::into);
    let exactly_once = options.guarantee == Guarantee::ExactlyOnce;
    let (mut source, mut target) = match role {
        Role::Sender => (Source { address: own_address, outcomes: outcomes(), ..Source::default() }, target(node)),
        Role::Receiver => (source(node), Target { address: own_address, ..Target::default() }),
    };
    if exactly_once {
        // Both ends have to remember the link while there is no connection.
        let timeout = seconds(options.resume_timeout).max(Seconds(1));
        let of_node = node.expiry.is_some();
        if role == Role::Sender || !of_node {
            (source.expiry_policy, source.timeout) = (TerminusExpiryPolicy::CONNECTION_CLOSE, timeout);
        }
        if role == Role::Receiver || !of_node {
            (target.expiry_policy, target.timeout) = (TerminusExpiryPolicy::CONNECTION_CLOSE, timeout);
        }
    }
    LinkTerms {
        source: Some(source),
        target: Some(AttachTarget::Target(target)),
        snd_settle_mode: match options.guarantee {
            Guarantee::AtMostOnce => SenderSettleMode::SETTLED,
            Guarantee::AtLeastOnce | Guarantee::ExactlyOnce => SenderSettleMode::UNSETTLED,
        },
        // 2.6.12: the receiver keeps its record until it knows that the sender has the outcome.
        rcv_settle_mode: if exactly_once { ReceiverSettleMode::SECOND } else { ReceiverSettleMode::FIRST },
        keep: options.keep,
        resend_lost: !exactly_once,
        max_message_size: options.max_message_size,
        properties: options.properties.clone(),
        in_parts: options.in_parts,
        ..LinkTerms::default()
    }
}

fn source(node: &Node) -> Source {
    let (expiry_policy, timeout) = expiry(node);
    let filters: Map = node.filters.iter().cloned().collect();
    Source {
        address: node.address.clone().map(Into::into),
        durable: durability(node),
        expiry_policy,
        timeout,
        dynamic: node.dynamic,
        dynamic_node_properties: node.properties.clone().map(NodeProperties),
        distribution_mode: node.browse.then_some(DistributionMode::COPY),
        filter: (!filters.is_empty()).then_some(FilterSet(filters)),
        default_outcome: Some(codec::Outcome::modified(true, false, None)),
        outcomes: outcomes(),
        capabilities: capabilities(node),
    }
}

fn target(node: &Node) -> Target {
    let (expiry_policy, timeout) = expiry(node);
    Target {
        address: node.address.clone().map(Into::into),
        durable: durability(node),
        expiry_policy,
        timeout,
        dynamic: node.dynamic,
        dynamic_node_properties: node.properties.clone().map(NodeProperties),
        capabilities: capabilities(node),
    }
}

/// A target that is no node, such as a coordinator, is none.
fn nodes(source: Option<&Source>, target: Option<&AttachTarget>) -> (Option<Node>, Option<Node>) {
    (source.map(node_of_source), target.and_then(AttachTarget::as_target).map(node_of_target))
}

fn node_of_source(source: &Source) -> Node {
    let filters = source.filter.iter().flat_map(|FilterSet(filters)| filters.0.iter());
    Node {
        address: source.address.as_ref().map(|address| address.to_string()),
        dynamic: source.dynamic,
        properties: source.dynamic_node_properties.as_ref().map(|properties| properties.0.clone()),
        capabilities: source.capabilities.iter().map(ToString::to_string).collect(),
        filters: filters
            .filter_map(|(name, filter)| Some((Symbol::new(name.as_str()?.to_owned())?, filter.clone())))
            .collect(),
        browse: source.distribution_mode == Some(DistributionMode::COPY),
        durable: source.durable != TerminusDurability::NONE,
        expiry: expiry_of(&source.expiry_policy, source.timeout),
    }
}

fn node_of_target(target: &Target) -> Node {
    Node {
        address: target.address.as_ref().map(|address| address.to_string()),
        dynamic: target.dynamic,
        properties: target.dynamic_node_properties.as_ref().map(|properties| properties.0.clone()),
        capabilities: target.capabilities.iter().map(ToString::to_string).collect(),
        durable: target.durable != TerminusDurability::NONE,
        expiry: expiry_of(&target.expiry_policy, target.timeout),
        ..Node::default()
    }
}

/// None for a policy that the standard does not know.
fn expiry_of(policy: &TerminusExpiryPolicy, timeout: Seconds) -> Option<Expiry> {
    let timeout = std::time::Duration::from_secs(timeout.0.into());
    match policy {
        policy if *policy == TerminusExpiryPolicy::LINK_DETACH => Some(Expiry::LinkDetach(timeout)),
        policy if *policy == TerminusExpiryPolicy::SESSION_END => Some(Expiry::SessionEnd(timeout)),
        policy if *policy == TerminusExpiryPolicy::CONNECTION_CLOSE => Some(Expiry::ConnectionClose(timeout)),
        policy if *policy == TerminusExpiryPolicy::NEVER => Some(Expiry::Never),
        _ => None,
    }
}

fn durability(node: &Node) -> TerminusDurability {
    if node.durable { TerminusDurability::UNSETTLED_STATE } else { TerminusDurability::NONE }
}

fn expiry(node: &Node) -> (TerminusExpiryPolicy, Seconds) {
    match node.expiry {
        None => (TerminusExpiryPolicy::SESSION_END, Seconds(0)),
        Some(Expiry::LinkDetach(after)) => (TerminusExpiryPolicy::LINK_DETACH, seconds(after)),
        Some(Expiry::SessionEnd(after)) => (TerminusExpiryPolicy::SESSION_END, seconds(after)),
        Some(Expiry::ConnectionClose(after)) => (TerminusExpiryPolicy::CONNECTION_CLOSE, seconds(after)),
        Some(Expiry::Never) => (TerminusExpiryPolicy::NEVER, Seconds(0)),
    }
}

fn seconds(duration: std::time::Duration) -> Seconds {
    Seconds(u32::try_from(duration.as_secs()).unwrap_or(u32::MAX))
}

fn capabilities(node: &Node) -> Multiple<Symbol> {
    node.capabilities.iter().filter_map(|name| Symbol::new(name.clone())).collect()
}

fn outcome(state: &DeliveryState) -> Option<Outcome> {
    Some(match state.outcome()? {
        codec::Outcome::Accepted => Outcome::Accepted,
        codec::Outcome::Rejected(rejected) => Outcome::Rejected(rejected.error),
        codec::Outcome::Released => Outcome::Released,
        codec::Outcome::Modified(modified) => Outcome::Modified {
            delivery_failed: modified.delivery_failed.unwrap_or(false),
            undeliverable_here: modified.undeliverable_here.unwrap_or(false),
            annotations: modified.message_annotations,
        },
        _ => return None,
    })
}

fn state(outcome: Outcome) -> DeliveryState {
    codec_outcome(outcome).into()
}

fn codec_outcome(outcome: Outcome) -> codec::Outcome {
    match outcome {
        Outcome::Accepted => codec::Outcome::Accepted,
        Outcome::Rejected(error) => codec::Outcome::rejected(error),
        Outcome::Released => codec::Outcome::Released,
        Outcome::Modified { delivery_failed, undeliverable_here, annotations } => {
            codec::Outcome::modified(delivery_failed, undeliverable_here, annotations)
        }
    }
}

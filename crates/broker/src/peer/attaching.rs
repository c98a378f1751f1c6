//! Links that a client attaches: new ones, those that were suspended, and those that another connection has.

use std::sync::Arc;
use std::time::{Duration, Instant};

use postroad_amqp::v1_0::{LimitError, LinkId, LinkTerms, SessionId};
use postroad_codec::v1_0::{
    Attach, AttachTarget, ByteString, Error, ErrorCondition, Fields, Map, Role, Seconds, SenderSettleMode, Source,
    Symbol, Target, TerminusExpiryPolicy,
};
use tracing::debug;

use super::{ANONYMOUS, Kind, Link, Peer, Stage};
use crate::coordinator::Coordinator;
use crate::declaration::Owner;
use crate::error::clip;
use crate::filter::Origin;
use crate::incoming::Incoming;
use crate::link_expiry::LinkExpiry;
use crate::link_table::{Claim, LinkKey, Stay};
use crate::mailbox::Wake;
use crate::management::MAX_REQUEST;
use crate::nodes::MANAGEMENT;
use crate::outgoing::{Outgoing, Subscription};
use crate::suspended::{End, Suspended};
use crate::terminus::{grant_source, grant_target, source_again, target_again, wants_exclusive};

/// A link that another connection is told to yield.
#[derive(Debug)]
pub(super) struct Waiting {
    pub(super) id: LinkId,
    pub(super) until: Instant,
}

/// A connection that is served yields at once. One that nobody serves any more keeps its links, and others wait so long.
const PATIENCE: Duration = Duration::from_secs(5);

/// What became of an attach.
enum Attached {
    /// It was answered, or there is nobody to answer.
    Done,
    /// It waits for another connection.
    Waits,
}

/// A link that is about to be attached: its place in the table, and at this connection.
struct Claimed {
    stay: Arc<Stay<Suspended>>,
    session: SessionId,
    slot: u32,
}

/// What a link is granted.
struct Granted {
    kind: Kind,
    terms: LinkTerms,
    expiry: Option<LinkExpiry>,
}

impl Peer {
    /// Grants or refuses a link that the client attaches, or has it wait.
    pub(super) fn attach(&mut self, id: LinkId) {
        if self.scratch.origin == Origin::default() {
            self.scratch.origin = Origin::of(&self.owner());
        }
        self.attach_until(id, self.scratch.now + PATIENCE);
    }

    /// Tries again to attach the links that others have had.
    pub(super) fn attach_waiting(&mut self, now: Instant) {
        if std::mem::take(&mut self.try_again) {
            for Waiting { id, until } in std::mem::take(&mut self.waiting) {
                self.attach_until(id, until);
            }
        }
        if self.waiting.iter().any(|waiting| waiting.until <= now) {
            let (over, left) = std::mem::take(&mut self.waiting).into_iter().partition(|waiting| waiting.until <= now);
            self.waiting = left;
            for Waiting { id, .. } in over {
                let text = "the link is attached on a connection that does not yield it";
                self.refuse(id, Error::new(ErrorCondition::RESOURCE_LOCKED, text));
            }
        }
    }

    fn attach_until(&mut self, id: LinkId, until: Instant) {
        match self.try_attach(id) {
            Ok(Attached::Done) => {}
            Ok(Attached::Waits) => self.waiting.push(Waiting { id, until }),
            Err(error) => self.refuse(id, error),
        }
    }

    /// Refuses a link. The engine forgets it with the peer's detach or the end of its session, of which
    /// only the latter may come.
    fn refuse(&mut self, id: LinkId, error: Error) {
        debug!(%error, "attach refused");
        self.engine.refuse(id, clip(error));
        self.depart(id);
    }

    fn try_attach(&mut self, id: LinkId) -> Result<Attached, Error> {
        let (Some(attach), Some(session)) = (self.engine.remote_attach(id), self.engine.session_of(id)) else {
            return Ok(Attached::Done);
        };
        self.check_limits(session)?;
        let key = Arc::new(self.key_of(attach));
        let slot = self.links.vacant_key() as u32;
        let (ticket, mut old) = match self.shared.links.claim(&key, &self.mailbox, slot) {
            Claim::Wait => return Ok(Attached::Waits),
            Claim::New(ticket) => (ticket, None),
            Claim::Suspended(ticket, left) => (ticket, Some(left)),
        };
        let meant = old.as_ref().is_some_and(|old| old.is_meant_by(attach));
        let claimed = Claimed { stay: Arc::new(Stay::new(&self.shared.links, key, ticket)), session, slot };
        let done = if meant { self.attach_again(id, &claimed, &mut old) } else { self.attach_new(id, &claimed) };
        match (done, old) {
            // What another link has held that had the name goes back.
            (Ok(true), old) => drop(old),
            (failed, old) => {
                if let Some(old) = old {
                    // It is as if nobody had come.
                    self.keep(&claimed.stay, old, None);
                }
                failed?;
            }
        }
        Ok(Attached::Done)
    }

    fn check_limits(&self, session: SessionId) -> Result<(), Error> {
        if self.stage != Stage::Serving {
            return Err(Error::new(ErrorCondition::ILLEGAL_STATE, "the broker is shutting down"));
        }
        let settings = &self.shared.settings;
        if self.links.len() + self.waiting.len() >= settings.max_links {
            let text = format!("more than {} links on one connection", settings.max_links);
            return Err(Error::new(ErrorCondition::RESOURCE_LIMIT_EXCEEDED, text));
        }
        let on_session = self.links.iter().filter(|(_, link)| link.session() == session).count();
        if on_session >= settings.max_links_per_session {
            let text = format!("more than {} links on one session", settings.max_links_per_session);
            return Err(Error::new(ErrorCondition::RESOURCE_LIMIT_EXCEEDED, text));
        }
        Ok(())
    }

    /// Attaches a link of which nothing is left, or nothing that is meant. `false`: there is nobody to answer any more.
    fn attach_new(&mut self, id: LinkId, claimed: &Claimed) -> Result<bool, Error> {
        let Some(attach) = self.engine.remote_attach(id) else { return Ok(false) };
        let Granted { kind, terms, expiry } = self.grant(id, attach, claimed)?;
        let answered = self.engine.accept(id, terms);
        if !self.answered(id, answered)? {
            return Ok(false);
        }
        self.insert(id, kind, expiry, claimed);
        Ok(true)
    }

    /// Attaches a link again. What was left of it is taken once that is done. `false`: there is nobody to answer any more.
    fn attach_again(&mut self, id: LinkId, claimed: &Claimed, old: &mut Option<Suspended>) -> Result<bool, Error> {
        let (Some(attach), Some(left)) = (self.engine.remote_attach(id), old.as_mut()) else { return Ok(false) };
        let mut terms = self.terms(attach);
        let expiry = match (&left.end, attach.source.as_deref(), attach.target.as_deref()) {
            (End::Outgoing(outgoing), Some(asked), target) => {
                let expiry = self.expiry(&asked.expiry_policy, asked.timeout);
                terms.source = Some(tell_source(source_again(asked, outgoing.hold(), self.scratch.origin)?, expiry));
                terms.target = target.cloned();
                (terms.keep, terms.keep_provisional) = (expiry.is_some(), true);
                expiry
            }
            (End::Incoming(incoming), source, Some(AttachTarget::Target(asked))) => {
                let expiry = self.expiry(&asked.expiry_policy, asked.timeout);
                terms.source = source.cloned();
                terms.target = Some(tell_target(target_again(asked, incoming.hold())?, expiry).into());
                expiry
            }
            _ => return Ok(false),
        };
        let (presettled, mode) = (attach.snd_settle_mode == SenderSettleMode::SETTLED, attach.rcv_settle_mode);
        // 2.6.13: whoever tells no map remembers nothing of the link, and is told none.
        let resumes = attach.unsettled.is_some();
        let answered = if resumes {
            Outgoing::rename(&mut left.state, claimed.slot);
            self.engine.accept_resumed(id, &mut left.state, terms)
        } else {
            self.engine.accept(id, terms)
        };
        if !self.answered(id, answered)? {
            return Ok(false);
        }
        let Some(Suspended { end, .. }) = old.take() else { return Ok(false) };
        let wake = self.wake(claimed.slot);
        let kind = match end {
            End::Outgoing(mut outgoing) => {
                outgoing.resume(id, claimed.session, claimed.slot, wake, presettled);
                if !resumes {
                    outgoing.start_over();
                }
                Kind::Outgoing(outgoing)
            }
            End::Incoming(mut incoming) => {
                incoming.resume(id, claimed.session, wake, mode);
                if !resumes {
                    incoming.start_over();
                }
                Kind::Incoming(incoming)
            }
        };
        debug!(link = &*claimed.stay.key.name, resumes, "link attached again");
        self.insert(id, kind, expiry, claimed);
        Ok(true)
    }

    /// Whether the answer to an attach is on its way.
    fn answered(&mut self, id: LinkId, answered: Result<(), LimitError>) -> Result<bool, Error> {
        match answered {
            Ok(()) => Ok(true),
            Err(LimitError::FrameSize) => {
                let text = "the answer to the attach does not fit into a frame";
                Err(Error::new(ErrorCondition::FRAME_SIZE_TOO_SMALL, text))
            }
            // Its session has ended before anybody could answer.
            Err(_) => {
                let _ = self.engine.release(id);
                Ok(false)
            }
        }
    }

    fn insert(&mut self, id: LinkId, mut kind: Kind, expiry: Option<LinkExpiry>, claimed: &Claimed) {
        claimed.stay.confirm(expiry.is_some());
        if let Kind::Outgoing(outgoing) = &mut kind {
            outgoing.set_resumable(expiry.is_some());
        }
        let stay = Arc::clone(&claimed.stay);
        let slot = self.links.insert(Link { kind, dirty: false, stay, expiry, leaving: None });
        self.by_id.insert(id, slot);
        self.touch(slot);
    }

    fn grant(&self, id: LinkId, attach: &Attach, claimed: &Claimed) -> Result<Granted, Error> {
        let Claimed { session, slot, .. } = *claimed;
        let settings = &self.shared.settings;
        let (nodes, auto_create) = (&self.shared.nodes, settings.auto_create);
        let mut terms = self.terms(attach);
        let place = |expiry: Option<LinkExpiry>| expiry.filter(|_| claimed.stay.reserve());
        // An attach of the peer's as a receiver makes us the sender.
        let (kind, expiry) = match attach.role {
            Role::Receiver if is_management_source(attach) => {
                let Some(reply_to) = target_address(attach) else {
                    let text = "a link from the management needs a target address, which is the reply-to of requests";
                    return Err(Error::new(ErrorCondition::INVALID_FIELD, text));
                };
                let hold = self.scratch.replies.add(reply_to, nodes);
                terms.source = Some(tell_source(Source::at(MANAGEMENT), None));
                terms.target = attach.target.as_deref().cloned();
                let presettled = attach.snd_settle_mode == SenderSettleMode::SETTLED;
                let outgoing =
                    Outgoing::new(id, session, slot, self.wake(slot), hold, Subscription::default(), presettled)?;
                (Kind::Outgoing(Box::new(outgoing)), None)
            }
            Role::Receiver => {
                let granted = grant_source(nodes, auto_create, attach, || self.owner(), self.scratch.origin)?;
                let browse = granted.subscription.subscriber.browse;
                let asked = attach.source.as_deref().filter(|_| !browse);
                let expiry = place(asked.and_then(|asked| self.expiry(&asked.expiry_policy, asked.timeout)));
                terms.keep_provisional = !browse;
                terms.keep = expiry.is_some();
                terms.source = Some(tell_source(granted.source, expiry));
                terms.target = attach.target.as_deref().cloned();
                let presettled = attach.snd_settle_mode == SenderSettleMode::SETTLED;
                let wake = self.wake(slot);
                let outgoing = Outgoing::new(id, session, slot, wake, granted.hold, granted.subscription, presettled)?;
                (Kind::Outgoing(Box::new(outgoing)), expiry)
            }
            Role::Sender if matches!(attach.target.as_deref(), Some(AttachTarget::Coordinator(_))) => {
                terms.source = attach.source.as_deref().cloned();
                Coordinator::grant(&mut terms);
                (Kind::Coordinator(Coordinator::new(id, session, attach)), None)
            }
            Role::Sender if target_address(attach) == Some(MANAGEMENT) => {
                terms.source = attach.source.as_deref().cloned();
                terms.target = Some(tell_target(Target::at(MANAGEMENT), None).into());
                terms.max_message_size = MAX_REQUEST;
                let (owner, mode) = (self.owner(), attach.rcv_settle_mode);
                let incoming = Incoming::management(id, session, Arc::clone(nodes), owner, mode);
                (Kind::Incoming(Box::new(incoming)), None)
            }
            Role::Sender => {
                let granted = grant_target(nodes, auto_create, attach, || self.owner())?;
                let expiry = match attach.target.as_deref() {
                    Some(AttachTarget::Target(asked)) => place(self.expiry(&asked.expiry_policy, asked.timeout)),
                    _ => None,
                };
                terms.source = attach.source.as_deref().cloned();
                terms.target = Some(tell_target(granted.target, expiry).into());
                let mode = attach.rcv_settle_mode;
                let incoming = match granted.hold {
                    Some(hold) => Incoming::to_node(id, session, self.wake(slot), hold, mode),
                    None => Incoming::relay(id, session, Arc::clone(nodes), auto_create, mode),
                };
                (Kind::Incoming(Box::new(incoming)), expiry)
            }
        };
        Ok(Granted { kind, terms, expiry })
    }

    /// What every link is granted.
    fn terms(&self, attach: &Attach) -> LinkTerms {
        LinkTerms {
            snd_settle_mode: attach.snd_settle_mode,
            rcv_settle_mode: attach.rcv_settle_mode,
            max_message_size: self.shared.settings.max_message_size,
            // Told back, so that who asks knows that it is kept.
            properties: wants_exclusive(attach)
                .then(|| Fields(Map::from_iter([(Symbol::from_static("exclusive"), true)]))),
            ..LinkTerms::default()
        }
    }

    fn expiry(&self, policy: &TerminusExpiryPolicy, timeout: Seconds) -> Option<LinkExpiry> {
        LinkExpiry::grant(policy, timeout, self.shared.settings.expiry)
    }

    fn wake(&self, slot: u32) -> Wake {
        Wake::Link { mailbox: Arc::clone(&self.mailbox), slot }
    }

    /// The link that an attach of the client's means: we are the other end.
    fn key_of(&self, attach: &Attach) -> LinkKey {
        let Owner { user, container } = self.owner();
        let somebody = self.engine.user().is_some_and(|(_, mechanism)| mechanism != ANONYMOUS);
        let name = ByteString::from(&*attach.name);
        LinkKey { user: somebody.then_some(user), container, name, role: attach.role.opposite() }
    }

    /// The user and the container: what they name is theirs alone. They hold no more memory than their own, as what has
    /// just been read does.
    fn owner(&self) -> Owner {
        let user = self.engine.user().map(|(user, _)| ByteString::from(user)).unwrap_or_default();
        let container = self.engine.remote_open().map(|open| ByteString::from(&*open.container_id)).unwrap_or_default();
        Owner { user, container }
    }
}

fn is_management_source(attach: &Attach) -> bool {
    let source = attach.source.as_deref().filter(|source| !source.dynamic);
    source.and_then(|source| source.address.as_ref()).is_some_and(|address| **address == *MANAGEMENT)
}

/// The address of a target that is no dynamic one.
fn target_address(attach: &Attach) -> Option<&str> {
    match attach.target.as_deref() {
        Some(AttachTarget::Target(target)) if !target.dynamic => {
            target.address.as_deref().filter(|address| !address.is_empty())
        }
        _ => None,
    }
}

fn tell_source(mut source: Source, expiry: Option<LinkExpiry>) -> Source {
    (source.expiry_policy, source.timeout) = LinkExpiry::told(expiry);
    source
}

fn tell_target(mut target: Target, expiry: Option<LinkExpiry>) -> Target {
    (target.expiry_policy, target.timeout) = LinkExpiry::told(expiry);
    target
}

//! Links that a client attaches.

use std::sync::Arc;

use postroad_amqp::v1_0::{LimitError, LinkId, LinkTerms};
use postroad_codec::v1_0::{AttachTarget, ByteString, Error, ErrorCondition, Role, SenderSettleMode};
use tracing::debug;

use super::{Kind, Link, Peer, Stage};
use crate::coordinator::Coordinator;
use crate::error::clip;
use crate::incoming::Incoming;
use crate::mailbox::Wake;
use crate::outgoing::Outgoing;
use crate::terminus::{grant_source, grant_target};

impl Peer {
    /// Grants or refuses a link that the client attaches.
    pub(super) fn attach(&mut self, id: LinkId) {
        let granted = self.grant(id);
        let Some((kind, terms)) = granted.unwrap_or_else(|error| {
            self.refuse(id, error);
            None
        }) else {
            return;
        };
        match self.engine.accept(id, terms) {
            Ok(()) => {}
            Err(LimitError::FrameSize) => {
                let text = "the answer to the attach does not fit into a frame";
                return self.refuse(id, Error::new(ErrorCondition::FRAME_SIZE_TOO_SMALL, text));
            }
            // Its session has ended before anybody could answer.
            Err(_) => return drop(self.engine.release(id)),
        }
        let slot = self.links.insert(Link { kind, dirty: false });
        self.by_id.insert(id, slot);
        self.touch(slot);
    }

    /// Refuses a link. The engine forgets it with the peer's detach or the end of its session, of which
    /// only the latter may come.
    fn refuse(&mut self, id: LinkId, error: Error) {
        debug!(%error, "attach refused");
        self.engine.refuse(id, clip(error));
        self.depart(id);
    }

    fn grant(&mut self, id: LinkId) -> Result<Option<(Kind, LinkTerms)>, Error> {
        let (Some(attach), Some(session)) = (self.engine.remote_attach(id), self.engine.session_of(id)) else {
            return Ok(None);
        };
        if self.stage != Stage::Serving {
            return Err(Error::new(ErrorCondition::ILLEGAL_STATE, "the broker is shutting down"));
        }
        let settings = &self.shared.settings;
        if self.links.len() >= settings.max_links {
            let text = format!("more than {} links on one connection", settings.max_links);
            return Err(Error::new(ErrorCondition::RESOURCE_LIMIT_EXCEEDED, text));
        }
        let on_session = self.links.iter().filter(|(_, link)| link.session() == session).count();
        if on_session >= settings.max_links_per_session {
            let text = format!("more than {} links on one session", settings.max_links_per_session);
            return Err(Error::new(ErrorCondition::RESOURCE_LIMIT_EXCEEDED, text));
        }
        let slot = self.links.vacant_key() as u32;
        let wake = Wake::Link { mailbox: Arc::clone(&self.mailbox), slot };
        let (nodes, auto_create) = (&self.shared.nodes, settings.auto_create);
        let mut terms = LinkTerms {
            snd_settle_mode: attach.snd_settle_mode,
            rcv_settle_mode: attach.rcv_settle_mode,
            max_message_size: settings.max_message_size,
            ..LinkTerms::default()
        };
        // An attach of the peer's as a receiver makes us the sender.
        let kind = match attach.role {
            Role::Receiver => {
                let granted = grant_source(nodes, auto_create, attach, || self.scope())?;
                terms.keep_provisional = !granted.browse;
                terms.source = Some(granted.source);
                terms.target = attach.target.as_deref().cloned();
                let presettled = attach.snd_settle_mode == SenderSettleMode::SETTLED;
                let outgoing = Outgoing::new(id, session, slot, wake, granted.hold, granted.browse, presettled);
                Kind::Outgoing(Box::new(outgoing))
            }
            Role::Sender if matches!(attach.target.as_deref(), Some(AttachTarget::Coordinator(_))) => {
                terms.source = attach.source.as_deref().cloned();
                Coordinator::grant(&mut terms);
                Kind::Coordinator(Coordinator::new(id, session, attach))
            }
            Role::Sender => {
                let granted = grant_target(nodes, auto_create, attach)?;
                terms.source = attach.source.as_deref().cloned();
                terms.target = Some(granted.target.into());
                let mode = attach.rcv_settle_mode;
                Kind::Incoming(Box::new(match granted.hold {
                    Some(hold) => Incoming::to_node(id, session, wake, hold, mode),
                    None => Incoming::relay(id, session, Arc::clone(nodes), auto_create, mode),
                }))
            }
        };
        Ok(Some((kind, terms)))
    }

    /// The user and the container: what they name is theirs alone.
    fn scope(&self) -> (ByteString, ByteString) {
        let user = self.engine.user().map(|(user, _)| ByteString::from(user)).unwrap_or_default();
        let container = self.engine.remote_open().map(|open| open.container_id.clone()).unwrap_or_default();
        (user, container)
    }
}

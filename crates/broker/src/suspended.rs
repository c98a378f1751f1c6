//! A link that is attached no longer and that may be attached again: what the engine and the queue know of it.

use std::sync::{Arc, Weak};

use postroad_amqp::v1_0::LinkState;
use postroad_codec::v1_0::{
    Address, Attach, AttachTarget, ByteString, DeliveryState, DistributionMode, Multiple, Source, Symbol, Target,
};

use crate::incoming::Incoming;
use crate::link_table::{LinkKey, LinkTable};
use crate::mailbox::Wake;
use crate::node::{Hold, Kind};
use crate::outgoing::{Outgoing, Scratch};
use crate::terminus::binds;

/// The link table of a broker.
pub(crate) type Links = LinkTable<Suspended>;

/// What is left of a link. When it is dropped, what it holds goes back.
#[derive(Debug)]
pub(crate) struct Suspended {
    /// Without the termini: both ends tell theirs with each attach.
    pub(crate) state: LinkState,
    pub(crate) end: End,
    /// Of the terminus at our end, as it was asked for: whether its node was to be made, and by what its subscription is
    /// shared.
    dynamic: bool,
    shares: [bool; 2],
}

/// Our end of it.
#[derive(Debug)]
pub(crate) enum End {
    /// What it has sent and the client has not settled stays acquired.
    Outgoing(Box<Outgoing>),
    /// The state has the outcomes of what it has received.
    Incoming(Box<Incoming>),
}

/// Where in the table a suspended link is, for the queue that it uses.
#[derive(Debug)]
pub(crate) struct Place {
    pub(crate) table: Weak<Links>,
    pub(crate) key: Arc<LinkKey>,
    pub(crate) ticket: u64,
}

impl Place {
    /// Gives the link up where its node is gone.
    pub(crate) fn drop_if_deleted(&self) {
        let Some(table) = self.table.upgrade() else { return };
        drop(table.take_if(&self.key, self.ticket, Suspended::is_deleted));
    }
}

impl Suspended {
    /// Puts together what the engine and the queue know of a link that sends.
    pub(crate) fn outgoing(mut state: LinkState, mut outgoing: Box<Outgoing>, scratch: &mut Scratch) -> Self {
        outgoing.suspend(&mut state, scratch);
        for unsettled in &mut state.unsettled {
            // What the client tells along the way may be as large as its frames, and only an outcome counts.
            unsettled.remote_state.take_if(|state| !state.is_terminal());
        }
        let source = state.source.take();
        let dynamic = source.as_ref().is_some_and(|source| source.dynamic);
        let shares = source.as_ref().map(|source| shares(&source.capabilities)).unwrap_or_default();
        Self::new(state, End::Outgoing(outgoing), dynamic, shares)
    }

    /// What came with the last attach holds the buffer that it was read into, and is not kept.
    fn new(mut state: LinkState, end: End, dynamic: bool, shares: [bool; 2]) -> Self {
        (state.source, state.target) = (None, None);
        state.name = ByteString::from(&*state.name);
        state.unsettled.shrink_to_fit();
        Self { state, end, dynamic, shares }
    }

    /// As [`Suspended::outgoing`], of a link that receives: all that counts are outcomes. What was not taken as a whole
    /// comes again, and what was part of a transaction is undone.
    pub(crate) fn incoming(mut state: LinkState, mut incoming: Box<Incoming>) -> Self {
        state.unsettled.retain(|unsettled| unsettled.local_state.as_ref().is_some_and(DeliveryState::is_terminal));
        for unsettled in &mut state.unsettled {
            unsettled.remote_state = None;
        }
        incoming.suspend(state.unsettled.len());
        let dynamic = matches!(&state.target, Some(AttachTarget::Target(target)) if target.dynamic);
        Self::new(state, End::Incoming(incoming), dynamic, [false; 2])
    }

    /// Has its node wake it in another way from now on.
    pub(crate) fn wake_by(&self, wake: &Wake) {
        match &self.end {
            End::Outgoing(outgoing) => outgoing.wake_by(wake.clone()),
            End::Incoming(incoming) => incoming.wake_by(wake.clone()),
        }
    }

    /// The node that it uses; `None` for the anonymous terminus.
    pub(crate) fn hold(&self) -> Option<&Hold> {
        match &self.end {
            End::Outgoing(outgoing) => Some(outgoing.hold()),
            End::Incoming(incoming) => incoming.hold(),
        }
    }

    fn is_deleted(&self) -> bool {
        self.hold().is_some_and(|hold| hold.node.lock().deleted)
    }

    /// Whether an attach means this link, and not another one that has got its name.
    pub(crate) fn is_meant_by(&self, attach: &Attach) -> bool {
        if self.is_deleted() {
            return false;
        }
        match &self.end {
            End::Outgoing(_) => attach.source.as_deref().is_some_and(|source| self.has_source(source)),
            End::Incoming(_) => match attach.target.as_deref() {
                Some(AttachTarget::Target(target)) => self.has_target(target),
                _ => false,
            },
        }
    }

    fn has_source(&self, asked: &Source) -> bool {
        let browses = asked.distribution_mode.as_ref().is_some_and(|mode| *mode == DistributionMode::COPY);
        let of_exchange = self.hold().is_some_and(|hold| hold.addressed().kind == Kind::Exchange);
        self.has_address(asked.address.as_ref(), asked.dynamic)
            && self.shares == shares(&asked.capabilities)
            && matches!(&self.end, End::Outgoing(outgoing) if outgoing.has_filter(asked.filter.as_ref()))
            && (if of_exchange { self.is_bound_as(asked) } else { !browses })
    }

    /// Whether the filters of a source are those by which the subscription is bound: other filters are another one.
    fn is_bound_as(&self, asked: &Source) -> bool {
        let Some(hold) = self.hold() else { return false };
        let Ok(binds) = binds(asked, hold) else { return false };
        let state = hold.addressed().lock();
        state.exchange.as_deref().is_some_and(|exchange| exchange.is_bound_by(&hold.node, &binds.bindings))
    }

    fn has_target(&self, asked: &Target) -> bool {
        self.has_address(asked.address.as_ref(), asked.dynamic)
    }

    fn has_address(&self, asked: Option<&Address>, dynamic: bool) -> bool {
        let asked = asked.map(|address| &**address).filter(|address| !address.is_empty());
        match (self.hold(), asked) {
            (Some(hold), Some(asked)) => *hold.addressed().name == *asked,
            // Whoever asks once more for a dynamic node means the one that it got.
            (Some(_), None) => dynamic && self.dynamic,
            (None, asked) => asked.is_none() && !dynamic,
        }
    }
}

/// By what links share a subscription.
fn shares(capabilities: &Multiple<Symbol>) -> [bool; 2] {
    ["shared", "global"].map(|name| capabilities.iter().any(|capability| capability.as_str() == name))
}

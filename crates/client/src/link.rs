//! What senders and receivers have in common.

use std::time::Duration;

use crate::protocol::{LinkId, Remote};
use crate::state::{LinkEntry, State};
use crate::types::Fields;
use crate::wait::Place;
use crate::{LinkError, Node, Session};

/// A peer that attaches a link without the terminus that was asked for mostly refuses it: the detach
/// follows at once (2.6.3). Some never say where they attached, and mean it; they get this long.
const REFUSAL: Duration = Duration::from_millis(250);

/// The handle of a link: when it is gone, the link is closed.
#[derive(Debug)]
pub(crate) struct Link {
    pub(crate) session: Session,
    pub(crate) key: usize,
    pub(crate) name: String,
    pub(crate) timeout: Duration,
}

impl Link {
    pub(crate) fn with<R>(&self, act: impl FnOnce(&mut State) -> R) -> R {
        self.session.shared().with(act)
    }

    /// Whether it was made while there was no connection, which there still is not.
    pub(crate) fn is_unborn(&self) -> bool {
        self.with(|state| state.links[self.key].unborn)
    }

    #[inline]
    pub(crate) fn id(&self) -> LinkId {
        self.with(|state| state.links[self.key].id)
    }

    /// Waits until `ready` says something about the link, or the link is over.
    pub(crate) async fn wait<R>(
        &self,
        mut ready: impl FnMut(&mut LinkEntry, &Remote) -> Option<R>,
    ) -> Result<R, LinkError> {
        let ready = |state: &mut State| {
            let entry = &mut state.links[self.key];
            if let Some(error) = &entry.over {
                return Some(Err(error.clone()));
            }
            state.engine.remote(entry.id).and_then(|remote| ready(entry, &remote)).map(Ok)
        };
        self.session.shared().wait(Place::Link(self.key), ready).await
    }

    pub(crate) async fn attached(&self) -> Result<(), LinkError> {
        let complete = self.wait(|entry, remote| entry.attached.then(|| remote.has_terminus())).await?;
        if !complete {
            // No news within the time means that it is no refusal.
            let confirmed = self.wait(|entry, _| entry.confirmed.then_some(()));
            if let Ok(result) = tokio::time::timeout(REFUSAL, confirmed).await {
                result?;
            }
        }
        Ok(())
    }

    /// Waits until the link is attached to the connection that there is, and tells which one that is and the address of the
    /// far end: a node that the peer made has another one on each.
    pub(crate) async fn here(&self) -> Result<(u32, Option<String>), LinkError> {
        let here = |state: &mut State| {
            let entry = &state.links[self.key];
            if let Some(error) = &entry.over {
                return Some(Err(error.clone()));
            }
            let here = entry.attached && state.down.is_none() && state.detached.is_none();
            here.then(|| Ok((state.epoch, entry.address.clone())))
        };
        self.session.shared().wait(Place::Link(self.key), here).await
    }

    /// The address of the far end as the peer tells it: that of a node that it made.
    pub(crate) fn remote_address(&self) -> Option<String> {
        self.with(|state| {
            let remote = state.engine.remote(state.links[self.key].id)?;
            remote.address().map(ToOwned::to_owned)
        })
    }

    /// The node at the far end as the peer's attach tells it.
    pub(crate) fn remote(&self) -> Option<Node> {
        self.with(|state| state.engine.remote(state.links[self.key].id)?.node().cloned())
    }

    /// The properties of the link as the peer's attach tells them.
    pub(crate) fn remote_properties(&self) -> Option<Fields> {
        self.with(|state| state.engine.remote(state.links[self.key].id)?.properties)
    }

    /// The extensions that the peer offers on the link, and those that it would use, as its attach tells them.
    pub(crate) fn remote_capabilities(&self) -> (Vec<String>, Vec<String>) {
        let remote = self.with(|state| state.engine.remote(state.links[self.key].id));
        remote.map(|remote| (remote.offers, remote.desires)).unwrap_or_default()
    }

    pub(crate) fn error(&self) -> Option<LinkError> {
        self.with(|state| state.links[self.key].over.clone())
    }

    /// Waits until the link is over.
    pub(crate) async fn closed(&self) -> LinkError {
        self.session.shared().wait(Place::Link(self.key), |state| state.links[self.key].over.clone()).await
    }

    /// Closes the link, and waits for nothing.
    pub(crate) fn shut(&self) {
        self.with(|state| {
            let entry = &state.links[self.key];
            if entry.over.is_none() && !entry.detaching {
                state.detach(entry.id, self.timeout);
            }
        });
    }

    /// Closes the link, and waits for the peer to do the same.
    pub(crate) async fn close(&self) -> Result<(), LinkError> {
        if let Some(error) = self.error() {
            return if error.peer_error().is_some() { Err(error) } else { Ok(()) };
        }
        self.shut();
        let ended = self.wait(|_, _| None::<()>);
        match tokio::time::timeout(self.timeout, ended).await {
            Ok(Err(LinkError::DetachedByPeer | LinkError::Closed) | Ok(())) => Ok(()),
            Ok(Err(error)) => Err(error),
            Err(_) => Err(LinkError::Timeout(self.timeout)),
        }
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        let (key, timeout) = (self.key, self.timeout);
        self.with(|state| state.abandon_link(key, timeout));
    }
}

//! Connections that belong together: cloning, and what is done to all of them (RFC 9622 7.4 and 10).

use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;

use super::{Connection, ConnectionError, Inner, Opened, Origin};
use crate::error::AttemptError;
use crate::framer::{Framer, FramerFactory};
use crate::group::{Group, GroupHold};
use crate::stack;
use crate::transport::BoxFuture;

/// Why a connection was not cloned; it lives on.
#[doc(alias = "clone_error_handler")]
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CloneError {
    /// It is not established any more, or was never.
    #[error("the connection cannot be cloned: {0}")]
    Connection(#[from] ConnectionError),
    /// It is closed.
    #[error("the connection is closed")]
    Closed,
    /// The peer has opened it, and its protocol has no way to open another one from this side.
    #[error("the peer has opened this connection: only the peer can open more, unless the protocol has streams")]
    NotCloneable,
    /// The transport for the new connection was not established.
    #[error("the new connection was not established: {0}")]
    Establishment(#[from] AttemptError),
}

/// What a clone has of its own; the rest is as with the connection it is made of (RFC 9622 7.4).
#[derive(Default)]
#[must_use]
pub struct CloneOptions {
    framers: Option<Vec<FramerFactory>>,
    priority: Option<u32>,
}

impl CloneOptions {
    /// Nothing of its own.
    pub fn new() -> Self {
        Self::default()
    }

    /// Runs this framer instead of those of the original; called again, on top of it.
    pub fn framer<F: Framer + 'static>(mut self, make: impl Fn() -> F + Send + Sync + 'static) -> Self {
        self.framers.get_or_insert_default().push(Arc::new(move || Box::new(make())));
        self
    }

    /// Sets the priority among the connections of the group; a lower number is a higher priority.
    pub fn conn_priority(mut self, priority: u32) -> Self {
        self.priority = Some(priority);
        self
    }
}

impl std::fmt::Debug for CloneOptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CloneOptions")
            .field("framers", &self.framers.as_ref().map(Vec::len))
            .field("priority", &self.priority)
            .finish()
    }
}

impl Connection {
    /// Opens another connection to the same peer, with the same properties and framers, in one group with this one:
    /// as a further stream where the protocol has streams, and as another transport connection otherwise.
    ///
    /// # Errors
    /// See [`CloneError`].
    ///
    /// # Cancel safety
    /// Dropping the future leaves no further connection.
    #[doc(alias = "clone")]
    pub async fn clone_connection(&self) -> Result<Self, CloneError> {
        self.clone_with(CloneOptions::new()).await
    }

    /// As [`clone_connection`](Self::clone_connection), with framers or a priority of its own.
    ///
    /// # Errors
    /// See [`CloneError`].
    ///
    /// # Cancel safety
    /// Dropping the future leaves no further connection.
    pub async fn clone_with(&self, options: CloneOptions) -> Result<Self, CloneError> {
        self.ready().await?;
        if self.state() != super::ConnectionState::Established {
            return Err(CloneError::Closed);
        }
        let facts = self.inner.facts.get().ok_or(CloneError::Closed)?;
        let mut properties = self.transport_properties();
        if let Some(priority) = options.priority {
            properties.connection.conn_priority = priority;
        }
        let established = match (&facts.streams, &facts.origin.reach) {
            (Some(streams), _) => streams.open(&properties.connection).await?,
            (None, Some(reach)) => {
                let mut setting = reach.setting.clone();
                setting.properties = Arc::new(properties.clone());
                stack::connect(&reach.leaf, &setting).await?
            }
            (None, None) => return Err(CloneError::NotCloneable),
        };
        let framers = options.framers.as_ref().unwrap_or(&facts.origin.framers);
        let mut opened = Opened::start(established, Origin::new(framers, facts.origin.reach.clone()), None).await?;
        opened.measure();
        let group = self.inner.group_or_new();
        opened.facts.group = Some(group);
        Ok(Self::new(opened, &properties))
    }

    /// The connections of the group, this one among them, the oldest first.
    #[doc(alias = "GroupedConnections")]
    #[doc(alias = "Connection Group")]
    #[must_use]
    pub fn grouped_connections(&self) -> Vec<Self> {
        match self.inner.group() {
            Some(group) => group.connections().into_iter().map(|inner| Self { inner }).collect(),
            None => vec![Self { inner: Arc::clone(&self.inner) }],
        }
    }

    /// Whether two connections are in one group.
    #[must_use]
    pub fn is_grouped_with(&self, other: &Self) -> bool {
        match (self.inner.group(), other.inner.group()) {
            (Some(one), Some(other)) => Arc::ptr_eq(&one, &other),
            _ => Arc::ptr_eq(&self.inner, &other.inner),
        }
    }

    /// Holds back what the connections of the group send, until the guard is dropped: then it leaves in the order of
    /// the scheduler and the priorities (RFC 9622 9.2.6).
    pub fn hold_group(&self) -> GroupHold {
        self.inner.group_or_new().hold()
    }

    /// Closes every connection of the group, as [`close`](Self::close) does.
    ///
    /// # Errors
    /// The first failure; all are closed nevertheless.
    ///
    /// # Cancel safety
    /// As [`close`](Self::close).
    #[doc(alias = "CloseGroup")]
    pub async fn close_group(&self) -> Result<(), ConnectionError> {
        let members: Vec<_> = self.grouped_connections();
        let mut closing: Vec<(BoxFuture<'_, _>, _)> =
            members.iter().map(|member| (Box::pin(member.close()) as _, None)).collect();
        poll_fn(|cx| {
            for (future, outcome) in &mut closing {
                if outcome.is_none()
                    && let Poll::Ready(closed) = future.as_mut().poll(cx)
                {
                    *outcome = Some(closed);
                }
            }
            if closing.iter().all(|(_, outcome)| outcome.is_some()) { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
        closing.into_iter().filter_map(|(_, outcome)| outcome).collect()
    }

    /// Ends every connection of the group at once, as [`abort`](Self::abort) does.
    #[doc(alias = "AbortGroup")]
    pub fn abort_group(&self) {
        for member in self.grouped_connections() {
            member.abort();
        }
    }
}

impl Inner {
    /// The group that the connection is in, if any.
    pub(super) fn group(self: &Arc<Self>) -> Option<Arc<Group>> {
        if let Some(group) = self.core().group() {
            return Some(group);
        }
        // One that was being established when it was made has its group since.
        let born = self.facts.get()?.group.as_ref()?;
        self.join(born);
        Some(Arc::clone(born))
    }

    fn group_or_new(self: &Arc<Self>) -> Arc<Group> {
        if let Some(group) = self.group() {
            return group;
        }
        let group = Arc::<Group>::default();
        self.join(&group);
        group
    }

    /// Makes the connection a member of a group.
    pub(super) fn join(self: &Arc<Self>, group: &Arc<Group>) {
        let mut core = self.core();
        let membership = Group::join(group, self, &core.properties().connection);
        core.set_membership(membership);
    }
}

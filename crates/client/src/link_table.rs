//! The links of an acceptor's connections by name: who has them attached, and what is left of those whose connection is lost
//! (AMQP 1.0 part 2, 2.6.1 and 2.6.13).
//!
//! ```text
//!  claim ──▶ attached ──suspend──▶ suspended ──claim──▶ attached
//!               │                      └──its time is over──▶ expired
//!               └──release──▶ gone
//! ```
//! A ticket tells one stay of a link in the table from the next. The table's lock may be taken under that of a connection, and
//! never the other way round.

mod expiry;
mod stay;
mod timing;

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use tokio::runtime::Handle;
use tokio::sync::Notify;

use crate::Node;
use crate::protocol::{Role, Suspended};
use crate::state::Shared;
use crate::types::DeliveryTag;

pub(crate) use expiry::{Parting, Until, grant};
pub(crate) use stay::Stay;

/// How an acceptor keeps links whose connection is lost or that are detached for a while, so that their peers go on with them
/// ([`AcceptOptions::keep_links`](crate::AcceptOptions::keep_links)).
///
/// What a peer is granted is in the answer to its attach: the link is kept for as long as the terminus at our end has to
/// live. Links are told apart by the user, the container and their name; clients that are nobody are one user.
///
/// ```
/// use postroad_client::{AcceptOptions, KeepLinks, LocalEndpoint};
///
/// let mut keep = KeepLinks::default();
/// keep.links_per_user = 50;
/// let mut options = AcceptOptions::new(LocalEndpoint::any().port(5672));
/// options.keep_links = Some(keep);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct KeepLinks {
    /// Links that may be kept, those that are attached included. By default 1000; further ones are granted nothing.
    pub links: usize,
    /// Of these, those of one user. By default 1000.
    pub links_per_user: usize,
    /// Bytes of messages that are kept for links which are not attached. By default 256 MiB; a link that comes on top is not
    /// kept, and what it had not settled is in doubt.
    pub bytes: usize,
    /// How long a link is kept at most, in whole seconds. By default ten minutes.
    pub longest: Duration,
}

impl Default for KeepLinks {
    fn default() -> Self {
        Self { links: 1000, links_per_user: 1000, bytes: 256 * 1024 * 1024, longest: Duration::from_secs(600) }
    }
}

/// A link that was kept, with messages whose outcome nobody will know: its time is over, or its name is another link's.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct ExpiredLink {
    /// The user; `None` for clients that are nobody.
    pub user: Option<String>,
    /// The container at the other end.
    pub container: String,
    /// The link's name.
    pub name: String,
    /// The node at our end, as the answer told it.
    pub node: Option<Node>,
    /// The tags of the messages that were sent and are in doubt, oldest first.
    pub in_doubt: Vec<DeliveryTag>,
}

/// What two links have in common that are one.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct LinkKey {
    /// `None` for clients that are nobody.
    pub(crate) user: Option<String>,
    pub(crate) container: String,
    pub(crate) name: String,
    /// Our end of it.
    pub(crate) role: Role,
}

/// Links with longer names, in bytes, are not in the table, nor are those of containers with such.
pub(crate) const MAX_NAME: usize = 1024;

/// What a delivery that is kept takes beside its message.
const DELIVERY: usize = 128;

/// What is left of a link.
#[derive(Debug)]
pub(crate) struct Left {
    pub(crate) suspended: Suspended,
    /// The number of the next tag of ours.
    pub(crate) next_tag: u64,
    /// What the peer had asked of the node at our end, as far as that tells one link from another.
    pub(crate) asked: Node,
    /// The node that the answer told.
    pub(crate) node: Option<Node>,
}

/// All links that are attached, and all that are suspended.
pub(crate) struct LinkTable {
    limits: KeepLinks,
    runtime: Handle,
    inner: Mutex<Inner>,
    /// Told when the first deadline may have changed.
    changed: Arc<Notify>,
    /// Told when a link has expired.
    expired: Notify,
}

#[derive(Debug, Default)]
struct Inner {
    links: HashMap<Arc<LinkKey>, Entry>,
    tickets: u64,
    /// Links that are or may be suspended, in all and of each user.
    kept: usize,
    users: HashMap<Option<String>, usize>,
    bytes: usize,
    /// Suspended links by the time at which they expire.
    due: BTreeMap<(Instant, u64), Arc<LinkKey>>,
    /// Those whose time begins with the end of a session or of the connection itself, by connection.
    waiting: HashMap<u64, HashSet<Arc<LinkKey>>>,
    expired: VecDeque<ExpiredLink>,
    /// Whether a task sees to deadlines.
    watched: bool,
}

#[derive(Debug)]
struct Entry {
    ticket: u64,
    /// Whether it has a place among those that may be suspended.
    kept: bool,
    place: Place,
}

#[derive(Debug)]
enum Place {
    Attached(Weak<Shared>),
    Suspended { left: Box<Left>, until: Until, bytes: usize },
}

/// What whoever attaches a link finds.
#[derive(Debug)]
pub(crate) enum Claim {
    /// Nobody has it.
    New(Stay),
    /// It was suspended, and was to be so until then.
    Known(Stay, Box<Left>, Until),
    /// This connection has it, under this ticket.
    Held(Arc<Shared>, u64),
}

impl LinkTable {
    pub(crate) fn new(limits: KeepLinks, runtime: Handle) -> Arc<Self> {
        let (inner, changed, expired) = (Mutex::default(), Arc::default(), Notify::new());
        Arc::new(Self { limits, runtime, inner, changed, expired })
    }

    /// The connection that has a link attached, and its ticket there.
    pub(crate) fn holder(&self, key: &LinkKey) -> Option<(Arc<Shared>, u64)> {
        match self.lock().links.get(key) {
            Some(Entry { ticket, place: Place::Attached(holder), .. }) => Some((holder.upgrade()?, *ticket)),
            _ => None,
        }
    }

    /// The node of a link that is suspended, where an attach that asks for this node means it.
    pub(crate) fn known(&self, key: &LinkKey, asked: &Node) -> Option<Node> {
        match &self.lock().links.get(key)?.place {
            Place::Suspended { left, .. } if left.is_meant_by(asked) => Some(left.node.clone().unwrap_or_default()),
            _ => None,
        }
    }

    /// Asks for a link, for this connection.
    pub(crate) fn claim(self: &Arc<Self>, key: &Arc<LinkKey>, by: &Arc<Shared>) -> Claim {
        let mut guard = self.lock();
        let inner = &mut *guard;
        inner.tickets += 1;
        let stay = Stay { table: Arc::clone(self), key: Arc::clone(key), ticket: inner.tickets };
        let attached = Place::Attached(Arc::downgrade(by));
        let Some(entry) = inner.links.get_mut(key) else {
            inner.links.insert(Arc::clone(key), Entry { ticket: stay.ticket, kept: false, place: attached });
            return Claim::New(stay);
        };
        if let Place::Attached(holder) = &entry.place
            && let Some(holder) = holder.upgrade()
        {
            let ticket = entry.ticket;
            drop(guard);
            return Claim::Held(holder, ticket);
        }
        let before = std::mem::replace(&mut entry.ticket, stay.ticket);
        match std::mem::replace(&mut entry.place, attached) {
            Place::Attached(_) => Claim::New(stay),
            Place::Suspended { left, until, bytes } => {
                inner.bytes -= bytes;
                inner.stop(key, until, before);
                Claim::Known(stay, left, until)
            }
        }
    }

    /// A link that was kept is another one now: what it had not settled is in doubt.
    pub(crate) fn displace(&self, key: &LinkKey, left: Box<Left>) {
        let mut inner = self.lock();
        inner.expire(key, left, self.limits.links);
        drop(inner);
        self.expired.notify_one();
    }

    /// Starts the time of the links that a connection has left behind, or one of its sessions.
    pub(crate) fn ended(self: &Arc<Self>, connection: u64, session: Option<u64>) {
        let mut inner = self.lock();
        if inner.start_those(connection, session, Instant::now()) {
            self.watch(&mut inner);
        }
    }

    /// The next link that has expired.
    pub(crate) async fn next_expired(&self) -> ExpiredLink {
        loop {
            if let Some(link) = self.take_expired() {
                return link;
            }
            self.expired.notified().await;
        }
    }

    fn take_expired(&self) -> Option<ExpiredLink> {
        let mut inner = self.lock();
        let link = inner.expired.pop_front();
        if !inner.expired.is_empty() {
            // Others may wait.
            self.expired.notify_one();
        }
        link
    }

    /// Has a task see to the deadlines.
    fn watch(self: &Arc<Self>, inner: &mut Inner) {
        if std::mem::replace(&mut inner.watched, true) {
            self.changed.notify_one();
            return;
        }
        let (table, changed) = (Arc::downgrade(self), Arc::clone(&self.changed));
        self.runtime.spawn(async move {
            while let Some(due) = table.upgrade().and_then(|table| table.give_up(Instant::now())) {
                let _ = tokio::time::timeout_at(due.into(), changed.notified()).await;
            }
        });
    }

    /// Gives up the links whose time is over; tells when the next one's is. Without one the watch is over.
    fn give_up(&self, now: Instant) -> Option<Instant> {
        let mut guard = self.lock();
        let inner = &mut *guard;
        while let Some(((at, _), key)) = inner.due.first_key_value()
            && *at <= now
        {
            let key = Arc::clone(key);
            if let Some(Place::Suspended { left, .. }) = inner.remove(&key) {
                inner.expire(&key, left, self.limits.links);
            }
        }
        let due = inner.due.first_key_value().map(|((at, _), _)| *at);
        inner.watched = due.is_some();
        let told = !inner.expired.is_empty();
        drop(guard);
        if told {
            self.expired.notify_one();
        }
        due
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn remove(&mut self, key: &LinkKey) -> Option<Place> {
        let entry = self.links.remove(key)?;
        if entry.kept {
            self.one_less(&key.user);
        }
        if let Place::Suspended { until, bytes, .. } = &entry.place {
            self.bytes -= bytes;
            self.stop(key, *until, entry.ticket);
        }
        Some(entry.place)
    }

    fn one_less(&mut self, user: &Option<String>) {
        self.kept -= 1;
        if let Some(count) = self.users.get_mut(user) {
            *count -= 1;
            if *count == 0 {
                self.users.remove(user);
            }
        }
    }

    /// Notes what is in doubt of a link that is given up; of so many links, the last ones.
    fn expire(&mut self, key: &LinkKey, left: Box<Left>, most: usize) {
        let in_doubt: Vec<DeliveryTag> = match left.suspended.role {
            Role::Sender => left.suspended.unsettled.iter().map(|unsettled| unsettled.tag).collect(),
            Role::Receiver => Vec::new(),
        };
        if in_doubt.is_empty() {
            return;
        }
        tracing::info!(link = key.name, messages = in_doubt.len(), "a link that was kept is given up");
        if self.expired.len() >= most.max(1) {
            self.expired.pop_front();
        }
        let LinkKey { user, container, name, .. } = key.clone();
        self.expired.push_back(ExpiredLink { user, container, name, node: left.node, in_doubt });
    }
}

impl Left {
    fn bytes(&self) -> usize {
        let of = |message: &Option<bytes::Bytes>| message.as_ref().map_or(0, bytes::Bytes::len) + DELIVERY;
        self.suspended.unsettled.iter().map(|unsettled| of(&unsettled.message)).sum()
    }

    /// Whether an attach that asks for this node means this link, and not another one that has got its name.
    pub(crate) fn is_meant_by(&self, asked: &Node) -> bool {
        let address = |node: &Node| node.address.clone().filter(|address| !address.is_empty());
        let made = self.node.as_ref().filter(|_| self.asked.dynamic).and_then(address);
        let same_node = match address(asked) {
            // Whoever asks once more for a dynamic node means the one that it got.
            None => asked.dynamic == self.asked.dynamic && address(&self.asked).is_none(),
            asked => asked == address(&self.asked) || asked == made,
        };
        same_node && asked.filters == self.asked.filters && asked.distribution == self.asked.distribution
    }
}

/// What an attach asks of a node, as far as it tells one link from another.
pub(crate) fn essence(asked: &Node) -> Node {
    Node {
        address: asked.address.clone(),
        dynamic: asked.dynamic,
        filters: asked.filters.clone(),
        distribution: asked.distribution,
        ..Node::default()
    }
}

impl fmt::Debug for LinkTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LinkTable").field("limits", &self.limits).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;

//! The transactions of a connection (AMQP 1.0 part 4): what was posted in them and waits for the commit, and which links
//! have deliveries whose outcome does.
//!
//! ```text
//!  declare ─▶ open ──discharge──▶ committed: posts are enqueued, outcomes applied, or neither
//!              │ └───discharge, fail───▶ rolled back
//!              └─ time, a settled message that cannot be taken ─▶ failed ──discharge──▶ told so
//! ```
//! A transaction ends with its control link at the latest. Whatever a transaction holds goes back when it is dropped.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use postroad_amqp::v1_0::LinkId;
use postroad_codec::v1_0::{DeliveryNumber, Error, ErrorCondition, TransactionId};

use crate::mailbox::wake_all;
use crate::message::Held;
use crate::node::{Node, Nodes};

mod batch;
mod commit;
mod orphan;

use batch::Batch;
pub(crate) use batch::Post;
pub(crate) use orphan::Orphan;

/// The open transactions of a connection.
#[derive(Debug)]
pub(crate) struct Transactions {
    open: HashMap<TxnKey, Transaction>,
    limits: TransactionLimits,
    ledger: Arc<Ledger>,
    /// What all of them hold, in bytes.
    bytes: usize,
    /// No transaction times out before that.
    due: Option<Instant>,
}

/// One transaction.
#[derive(Debug)]
pub(crate) struct Transaction {
    /// The link that declared it: it alone may discharge it, and its end rolls it back.
    pub(crate) control: LinkId,
    /// Messages by the place of their node in memory, in which order their locks are taken.
    posts: BTreeMap<usize, Batch>,
    bytes: usize,
    /// Posted deliveries that are not settled with their provisional outcome: those of a receiver that settles second.
    pub(crate) unsettled: Vec<(LinkId, DeliveryNumber)>,
    /// Links by slot that have deliveries in it, or acquire in it.
    pub(crate) links: Vec<(u32, LinkId)>,
    /// Retired messages of links that have ended since.
    pub(crate) orphans: Vec<Orphan>,
    until: Option<Instant>,
    /// Why it can only be rolled back, which is done already.
    pub(crate) fault: Option<Error>,
    _counted: Counted,
}

/// Names a transaction of a broker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct TxnKey(u64);

/// How many transactions a connection may have, how much they may hold, and how long they last.
#[derive(Debug, Clone, Copy)]
pub(crate) struct TransactionLimits {
    pub(crate) open: usize,
    pub(crate) bytes: usize,
    pub(crate) timeout: Option<Duration>,
}

/// The transactions of a broker, counted.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    declared: AtomicU64,
    open: AtomicUsize,
}

/// A message that is held costs this much beside its body, in bytes.
const OVERHEAD: usize = 256;

impl Transactions {
    pub(crate) fn new(limits: TransactionLimits, ledger: &Arc<Ledger>) -> Self {
        Self { open: HashMap::new(), limits, ledger: Arc::clone(ledger), bytes: 0, due: None }
    }

    /// Begins a transaction.
    pub(crate) fn declare(&mut self, control: LinkId, now: Instant) -> Result<TransactionId, Error> {
        if self.open.len() >= self.limits.open {
            let text = format!("more than {} open transactions on one connection", self.limits.open);
            return Err(Error::new(ErrorCondition::RESOURCE_LIMIT_EXCEEDED, text));
        }
        let key = TxnKey(self.ledger.declared.fetch_add(1, Ordering::Relaxed));
        let until = self.limits.timeout.and_then(|timeout| now.checked_add(timeout));
        let transaction = Transaction {
            control,
            posts: BTreeMap::new(),
            bytes: 0,
            unsettled: Vec::new(),
            links: Vec::new(),
            orphans: Vec::new(),
            until,
            fault: None,
            _counted: Counted::new(&self.ledger),
        };
        self.open.insert(key, transaction);
        self.due = [self.due, until].into_iter().flatten().min();
        Ok(key.id())
    }

    pub(crate) fn get_mut(&mut self, id: &TransactionId) -> Result<(TxnKey, &mut Transaction), Error> {
        let key = TxnKey::of(id).filter(|key| self.open.contains_key(key)).ok_or_else(|| unknown(id))?;
        Ok((key, self.open.get_mut(&key).expect("just looked up")))
    }

    pub(crate) fn by_key(&mut self, key: TxnKey) -> Option<&mut Transaction> {
        self.open.get_mut(&key)
    }

    /// Holds a message back that was posted in a transaction, with the room for it in its node.
    pub(crate) fn post(&mut self, key: TxnKey, node: &Arc<Node>, nodes: &Arc<Nodes>, held: Held) -> Result<(), Post> {
        let Some(transaction) = self.open.get_mut(&key) else { return Err(Post::Failed(unknown(&key.id()))) };
        if let Some(fault) = &transaction.fault {
            return Err(Post::Failed(fault.clone()));
        }
        let cost = held.payload.len() + OVERHEAD;
        if self.bytes + cost > self.limits.bytes {
            let text = format!("the transactions of a connection hold {} bytes at most", self.limits.bytes);
            return Err(Post::Failed(Error::new(ErrorCondition::RESOURCE_LIMIT_EXCEEDED, text)));
        }
        let batch = transaction.posts.entry(Arc::as_ptr(node) as usize);
        batch.or_insert_with(|| Batch::new(node, nodes)).add(held)?;
        self.bytes += cost;
        transaction.bytes += cost;
        Ok(())
    }

    /// Takes a transaction out, to be discharged over its control link.
    pub(crate) fn take(&mut self, id: &TransactionId, control: LinkId) -> Result<(TxnKey, Transaction), Error> {
        let key = TxnKey::of(id).filter(|key| self.open.get(key).is_some_and(|open| open.control == control));
        let key = key.ok_or_else(|| unknown(id))?;
        let transaction = self.open.remove(&key).expect("just looked up");
        self.bytes -= transaction.bytes;
        Ok((key, transaction))
    }

    /// Takes out everything that a control link has declared.
    pub(crate) fn take_all(&mut self, control: LinkId) -> Vec<(TxnKey, Transaction)> {
        let keys: Vec<TxnKey> =
            self.open.iter().filter(|(_, open)| open.control == control).map(|(key, _)| *key).collect();
        let taken: Vec<_> = keys.into_iter().filter_map(|key| Some((key, self.open.remove(&key)?))).collect();
        self.bytes -= taken.iter().map(|(_, transaction)| transaction.bytes).sum::<usize>();
        taken
    }

    /// Lets go of all of them, and of what they hold.
    pub(crate) fn clear(&mut self) {
        (self.open, self.bytes, self.due) = (HashMap::new(), 0, None);
    }

    /// Notes why a transaction can only be rolled back, and takes out what it holds. It stays open, so that whoever
    /// discharges it hears of that.
    pub(crate) fn fail(&mut self, key: TxnKey, fault: Error) -> Option<Transaction> {
        let open = self.open.get_mut(&key).filter(|open| open.fault.is_none())?;
        let rest = Transaction {
            control: open.control,
            posts: BTreeMap::new(),
            bytes: 0,
            unsettled: Vec::new(),
            links: Vec::new(),
            orphans: Vec::new(),
            until: None,
            fault: Some(fault),
            _counted: Counted::new(&self.ledger),
        };
        let failed = std::mem::replace(open, rest);
        self.bytes -= failed.bytes;
        Some(failed)
    }

    /// The transactions whose time is over.
    pub(crate) fn overdue(&mut self, now: Instant) -> Vec<TxnKey> {
        if self.due.is_none_or(|due| due > now) {
            return Vec::new();
        }
        let is_over = |open: &Transaction| open.until.is_some_and(|until| until <= now);
        let over = self.open.iter().filter(|(_, open)| is_over(open)).map(|(key, _)| *key).collect();
        self.due = self.open.values().filter_map(|open| open.until).filter(|until| *until > now).min();
        over
    }

    /// When [`Transactions::overdue`] may have some.
    pub(crate) fn due(&self) -> Option<Instant> {
        self.due
    }

    /// The error of a transaction that took too long.
    pub(crate) fn timeout(&self) -> Error {
        let text = format!("a transaction may last {:?}", self.limits.timeout.unwrap_or_default());
        Error::new(ErrorCondition::TRANSACTION_TIMEOUT, text)
    }

    /// Whether messages wait for a commit.
    pub(crate) fn holds_posts(&self) -> bool {
        self.bytes > 0
    }
}

impl Transaction {
    /// Notes a link that has something to do with it.
    pub(crate) fn touch(&mut self, slot: u32, link: LinkId) {
        if !self.links.contains(&(slot, link)) {
            self.links.push((slot, link));
        }
    }

    /// Enqueues what was posted: all or nothing. Of what is in queues nobody sees a part.
    pub(crate) fn commit(&mut self, now: Instant) -> Result<(), Error> {
        let batches: Vec<Batch> = std::mem::take(&mut self.posts).into_values().collect();
        let mut woken = Vec::new();
        let done = commit::commit(batches, now, &mut woken);
        wake_all(&mut woken);
        for (batch, aftermath) in done? {
            batch.attend(aftermath);
        }
        Ok(())
    }
}

impl TxnKey {
    pub(crate) fn id(self) -> TransactionId {
        TransactionId(self.0.to_be_bytes().to_vec().into())
    }

    fn of(id: &TransactionId) -> Option<Self> {
        Some(Self(u64::from_be_bytes(id.0.as_ref().try_into().ok()?)))
    }
}

impl Ledger {
    /// How many transactions are open.
    pub(crate) fn open(&self) -> usize {
        self.open.load(Ordering::Relaxed)
    }
}

/// An open transaction, as the ledger counts it.
#[derive(Debug)]
struct Counted(Arc<Ledger>);

impl Counted {
    fn new(ledger: &Arc<Ledger>) -> Self {
        ledger.open.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(ledger))
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::Relaxed);
    }
}

fn unknown(id: &TransactionId) -> Error {
    let text = format!("no transaction {:?} of this link or connection is open", id.0);
    Error::new(ErrorCondition::TRANSACTION_UNKNOWN_ID, text)
}

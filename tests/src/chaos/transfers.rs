//! Messages that are moved from one queue to another, each in a transaction.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::atomic::Ordering::{Relaxed, SeqCst};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use postroad_client::{ConnectOptions, Connection, Guarantee, Message, Node, Session};
use tokio::task::JoinSet;

use super::moving::{ClientLinks, FaceLinks, Links, Moved};
use super::stage::Stage;
use super::{Blows, Count, Failure, Interface, Options, ends, face, payload};

/// What moving messages under faults has shown.
#[derive(Debug)]
pub struct TransferReport {
    /// What became of the messages: those that are in neither queue are lost, those that are there twice are repeated.
    pub count: Count,
    /// Numbers of messages that were lost, and of some that were there twice: the first ones.
    pub odd_ones: [Vec<u64>; 2],
    /// Commits whose outcome was not learned.
    pub doubts: Doubts,
    /// Messages that were moved by a transaction that was committed, and then by another one.
    pub undone: Vec<u64>,
    /// Transactions that were rolled back, or not declared at all.
    pub rolled_back: u64,
    /// What was done to the connections.
    pub blows: Blows,
}

/// Commits in doubt, and what was found of them afterwards.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Doubts {
    /// Those that were committed: the message is in the other queue.
    pub committed: u64,
    /// Those that were not: the message was moved by another transaction.
    pub rolled_back: u64,
}

/// What the movers know of messages.
#[derive(Debug, Default)]
struct Known {
    committed: BTreeSet<u64>,
    in_doubt: BTreeSet<u64>,
    doubts: Doubts,
    undone: Vec<u64>,
    rolled_back: u64,
}

/// The queue that messages are taken from, and the one that they are posted to.
pub(super) const FROM: &str = "from";
pub(super) const TO: &str = "to";
/// Movers of each connection, each with links of its own.
const MOVERS: usize = 2;
/// How long a mover waits for a message before it looks whether there are any.
const WAIT: Duration = Duration::from_millis(20);

/// Moves messages, cuts connections, and looks where they are.
///
/// # Errors
/// When it does not come to its end.
///
/// # Cancel safety
/// A dropped future leaves nothing that outlives the runtime.
pub async fn run_transfers(options: &Options) -> Result<TransferReport, Failure> {
    let options = Options { guarantee: Guarantee::AtLeastOnce, ..options.clone() };
    let stage = Stage::set(&options, ["one", "other"], &[FROM, TO]).await?;
    fill(&stage).await?;
    let known = Arc::new(Mutex::new(Known::default()));
    let mut tasks = JoinSet::new();
    for end in 0..2 {
        tasks.spawn(mover(Arc::clone(&stage), end, Arc::clone(&known)));
    }
    let blows = stage.perform(tasks).await?;
    let found = find(&stage).await?;
    let mut known = std::mem::take(&mut *known.lock().expect("no holder panics"));
    // What nobody has seen again was committed, and is where it should be, or it is lost.
    known.doubts.committed += known.in_doubt.iter().filter(|id| found.contains(id)).count() as u64;
    let ledger = stage.ledger.lock().expect("no holder panics");
    let Known { doubts, undone, rolled_back, .. } = known;
    let (count, odd_ones) = (ledger.count(options.messages), ledger.odd_ones(options.messages));
    Ok(TransferReport { count, odd_ones, doubts, undone, rolled_back, blows })
}

/// A connection to the broker that meets no faults.
async fn directly(stage: &Stage) -> Result<(Connection, Session), Failure> {
    let url = stage.broker.urls()[0].parse().expect("the broker knows its URL");
    let connection = Connection::open(ConnectOptions::new(url)).await.map_err(|error| stage.failure(0, error))?;
    let session = connection.session().await.map_err(|error| stage.failure(0, error))?;
    Ok((connection, session))
}

/// Puts all messages into the first queue.
async fn fill(stage: &Stage) -> Result<(), Failure> {
    let (connection, session) = directly(stage).await?;
    let sender = session.sender(Node::at(FROM)).await.map_err(|error| stage.failure(0, error))?;
    for id in 0..stage.options.messages {
        let message = Message::from(payload::make(id, stage.options.seed));
        sender.submit(&message).await.map_err(|error| stage.failure(0, error))?;
    }
    sender.sync().await.map_err(|error| stage.failure(0, error))?;
    connection.close().await.map_err(|error| stage.failure(0, error))
}

/// Empties both queues; the numbers that were in the second one.
async fn find(stage: &Stage) -> Result<BTreeSet<u64>, Failure> {
    let (connection, session) = directly(stage).await?;
    let mut found = BTreeSet::new();
    for queue in [FROM, TO] {
        let mut receiver = session.receiver(Node::at(queue)).await.map_err(|error| stage.failure(0, error))?;
        while let Some(message) = receiver.fetch(Duration::ZERO).await.map_err(|error| stage.failure(0, error))? {
            let id = read(stage, &message);
            stage.ledger.lock().expect("no holder panics").note(id);
            found.extend(id.filter(|_| queue == TO));
            receiver.accept(&message).map_err(|error| stage.failure(0, error))?;
        }
    }
    connection.close().await.map_err(|error| stage.failure(0, error))?;
    Ok(found)
}

fn read(stage: &Stage, message: &Message) -> Option<u64> {
    message.bytes().and_then(|bytes| payload::read(bytes, stage.options.seed))
}

/// Moves messages over one connection, with several movers at once, until the first queue is empty.
async fn mover(stage: Arc<Stage>, end: usize, known: Arc<Mutex<Known>>) -> Result<(), Failure> {
    stage.board.doing(end, "connects");
    if stage.options.interface == Interface::Messaging {
        let connection = face::connect(&stage, end).await?;
        move_all(&stage, end, &known, || FaceLinks::attach(&stage, end, &connection)).await?;
        connection.close().await.map_err(|error| stage.failure(end, error))?;
    } else {
        let (connection, session) = ends::connect(&stage, end).await?;
        move_all(&stage, end, &known, || ClientLinks::attach(&stage, end, &session)).await?;
        connection.close().await.map_err(|error| stage.failure(end, error))?;
    }
    stage.board.doing(end, "is done");
    Ok(())
}

/// The movers of a connection, from their links to its close.
async fn move_all<L: Links, F: Future<Output = Result<L, Failure>>>(
    stage: &Stage,
    end: usize,
    known: &Mutex<Known>,
    attach: impl Fn() -> F,
) -> Result<(), Failure> {
    let links = futures_util::future::try_join_all((0..MOVERS).map(|_| attach())).await?;
    stage.board.doing(end, "moves");
    let movers = links.into_iter().map(|links| Mover { stage, end, known, links }.run());
    futures_util::future::try_join_all(movers).await?;
    stage.board.doing(end, "closes");
    Ok(())
}

/// Moves one message after the other.
struct Mover<'a, L> {
    stage: &'a Stage,
    end: usize,
    known: &'a Mutex<Known>,
    links: L,
}

impl<L: Links> Mover<'_, L> {
    async fn run(mut self) -> Result<(), Failure> {
        let board = &self.stage.board;
        loop {
            let moved = board.sent.load(Relaxed);
            board.until(|_| self.stage.allowed() > moved).await;
            match self.links.fetch(WAIT).await? {
                Some(message) => self.take(&message).await?,
                // Somebody else may have the last ones, and lose them.
                None if self.stage.waiting(FROM) == 0 && board.calm.load(SeqCst) => return Ok(()),
                None => {}
            }
        }
    }

    /// Moves a message, and notes what became of that. That it comes again tells nothing before it is moved again: it may be
    /// what a connection brought that is lost, which is not known here yet.
    async fn take(&mut self, message: &Message) -> Result<(), Failure> {
        let board = &self.stage.board;
        board.came.fetch_add(1, Relaxed);
        let Some(id) = read(self.stage, message) else {
            return Err(self.stage.failure(self.end, "a message that nobody has sent like that"));
        };
        let copy = Message::from(message.bytes().cloned().unwrap_or_default());
        match self.links.transfer(message, copy).await? {
            Moved::Committed => {
                let mut known = self.known();
                if known.in_doubt.remove(&id) {
                    known.doubts.rolled_back += 1;
                }
                if !known.committed.insert(id) {
                    known.undone.push(id);
                }
            }
            Moved::InDoubt => {
                let mut known = self.known();
                if !known.in_doubt.insert(id) {
                    known.doubts.rolled_back += 1;
                }
            }
            Moved::RolledBack => {
                self.known().rolled_back += 1;
                return Ok(());
            }
        }
        board.sent.fetch_add(1, Relaxed);
        Ok(())
    }

    fn known(&self) -> std::sync::MutexGuard<'_, Known> {
        self.known.lock().expect("no holder panics")
    }
}

impl TransferReport {
    /// What is not as it should be, where something is not.
    #[must_use]
    pub fn breach(&self) -> Option<String> {
        let whole = self.count.breach(Guarantee::ExactlyOnce);
        let undone = (!self.undone.is_empty()).then(|| "transactions that were committed and undone".to_owned());
        let all: Vec<String> = [whole, undone].into_iter().flatten().collect();
        (!all.is_empty()).then(|| all.join(", "))
    }
}

impl Doubts {
    /// All of them.
    #[must_use]
    pub fn all(self) -> u64 {
        self.committed + self.rolled_back
    }
}

impl fmt::Display for TransferReport {
    /// The last line of a run.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Count { sent, lost, repeated, .. } = self.count;
        let (doubts, cuts) = (self.doubts.all(), self.blows.cuts());
        write!(f, "moved {} lost {lost} repeated {repeated} in-doubt {doubts} cuts {cuts}", sent - lost)
    }
}

//! Messages through an embedded broker over connections that are cut all the time, and what became of them.
//!
//! A sender and a receiver have each a connection of their own, through a proxy of its own. Payloads carry their numbers and
//! a checksum, and the receiver's record decides: how many were lost, and how many came again.
//!
//! The cuts are spread over the messages. Each comes when its share of them was handed over; the sender waits where the
//! cuts are late, and at the end, until there were as many as were asked for. Then there are no more faults, everything
//! is settled, and the queue is emptied.

mod board;
mod director;
mod ends;
mod ledger;
mod payload;
mod table;

use std::fmt::{self, Write as _};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering::{Relaxed, SeqCst};
use std::time::{Duration, Instant};

use postroad_broker::{Broker, StartError};
use postroad_client::{Guarantee, Message};
use postroad_testkit::faults::{Plan, Stats};
use postroad_testkit::{Door, Proxy};

use self::board::Board;
use self::director::{Away, Director};
use self::ends::{Receiving, Sending};
pub use self::ledger::Count;
use self::ledger::Ledger;
pub use self::table::Table;

/// What a run is to be.
#[derive(Debug, Clone)]
pub struct Options {
    /// Messages to send.
    pub messages: u64,
    /// Cuts to make, at least.
    pub cuts: u64,
    /// What is asked of both links.
    pub guarantee: Guarantee,
    /// Fixes payloads and cuts; not how they fall together.
    pub seed: u64,
    /// How long nothing may move.
    pub patience: Duration,
    /// How long it may take in all.
    pub limit: Duration,
}

/// What a run has shown.
#[derive(Debug)]
pub struct Report {
    /// What became of the messages.
    pub count: Count,
    /// What was done to the connections of sender and receiver.
    pub stats: [Stats; 2],
    /// Numbers of messages that were lost, and of some that came again: the first ones.
    pub odd_ones: [Vec<u64>; 2],
    /// Cuts that did not find the place in time that was meant for them, and came anywhere.
    pub late: u64,
    /// How long it took.
    pub took: Duration,
}

/// Why a run did not come to its end.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Failure {
    /// The broker did not start.
    #[error("broker: {0}")]
    Broker(#[from] StartError),
    /// A proxy did not start.
    #[error("proxy: {0}")]
    Proxy(#[from] std::io::Error),
    /// An end has lost what it cannot make again, or an outcome of a message: with where everything stands, once it is told.
    #[error("{end}: {why}")]
    End {
        /// Which end.
        end: &'static str,
        /// Why.
        why: String,
    },
    /// Nothing moved any more, or it took too long: where everything stands.
    #[error("{0}")]
    Stuck(String),
}

/// The queue that messages go through.
const QUEUE: &str = "chaos";
/// The ends by their numbers.
const ENDS: [&str; 2] = ["sender", "receiver"];
/// So many bytes of a frame are allowed that larger messages take several.
const FRAME: u32 = 4096;
/// How many cuts the sender may be ahead of each end's.
const AHEAD: u64 = 4;
/// How long a cut waits for its place before it comes wherever the connection is.
const LATE: Duration = Duration::from_millis(100);

/// Sends messages, cuts connections, and counts.
///
/// # Errors
/// When it does not come to its end: that is not what breaks a guarantee, which is in the report.
///
/// # Cancel safety
/// A dropped future leaves tasks that end with the runtime.
pub async fn run(options: &Options) -> Result<Report, Failure> {
    let started = Instant::now();
    let stage = Arc::new(Stage::set(options).await?);
    let mut tasks = tokio::task::JoinSet::new();
    tasks.spawn(send(Arc::clone(&stage)));
    tasks.spawn(receive(Arc::clone(&stage)));
    for end in 0..ENDS.len() {
        let stage = Arc::clone(&stage);
        tasks.spawn(async move {
            direct(&stage, end).await;
            Ok(())
        });
    }
    let watching = watch(&stage, started);
    tokio::pin!(watching);
    loop {
        tokio::select! {
            ended = tasks.join_next() => match ended {
                None => break,
                Some(result) => result.expect("no task panics").map_err(|failure| stage.explain(failure))?,
            },
            why = &mut watching => return Err(Failure::Stuck(stage.dump(&why))),
        }
    }
    let ledger = stage.ledger.lock().expect("no holder panics");
    let sent = stage.board.sent.load(Relaxed);
    let stats = stage.proxies.each_ref().map(Proxy::stats);
    Ok(Report {
        count: ledger.count(sent),
        odd_ones: ledger.odd_ones(sent),
        stats,
        late: stage.board.late.load(Relaxed),
        took: started.elapsed(),
    })
}

/// Everything that the tasks of a run share.
struct Stage {
    options: Options,
    broker: Broker,
    proxies: [Proxy; 2],
    board: Arc<Board>,
    ledger: std::sync::Mutex<Ledger>,
}

impl Stage {
    async fn set(options: &Options) -> Result<Self, Failure> {
        let broker = Broker::builder()
            .queue(QUEUE)
            .listen("amqp://127.0.0.1:0")
            .with_limits(|limits| limits.frame_size = FRAME)
            .start()
            .await?;
        let at = broker.addr().expect("it listens on TCP");
        let proxies = [calm_proxy(at, options.seed).await?, calm_proxy(at, !options.seed).await?];
        let ledger = std::sync::Mutex::new(Ledger::new(options.messages));
        Ok(Self { options: options.clone(), broker, proxies, board: Arc::default(), ledger })
    }

    /// The cuts that an end is to have.
    fn quota(&self, end: usize) -> u64 {
        let cuts = self.options.cuts;
        if end == 0 { cuts.div_ceil(2) } else { cuts / 2 }
    }

    /// How many messages are handed over before the cut that comes behind `cuts` others of an end.
    fn due(&self, end: usize, cuts: u64) -> u64 {
        let share = u128::from(self.options.messages) * u128::from(cuts) / u128::from(self.quota(end).max(1));
        u64::try_from(share).unwrap_or(u64::MAX)
    }

    /// How many messages may be handed over by now.
    fn allowed(&self) -> u64 {
        let of = |end: usize| match self.board.cuts[end].load(Relaxed) {
            cuts if cuts >= self.quota(end) => u64::MAX,
            cuts => self.due(end, cuts + AHEAD),
        };
        of(0).min(of(1))
    }

    /// Adds to what has ended a run where everything stood.
    fn explain(&self, failure: Failure) -> Failure {
        match failure {
            Failure::End { end, why } => Failure::End { end, why: self.dump(&why) },
            other => other,
        }
    }

    /// Where everything stands.
    fn dump(&self, why: &str) -> String {
        let board = &self.board;
        let (sent, came, _) = board.movement();
        let mut text = format!("{why}\n  {sent} of {} messages handed over, {came} came", self.options.messages);
        let count = self.ledger.lock().expect("no holder panics").count(sent);
        let _ = write!(
            text,
            ", {} of them again; {} connections made again",
            count.repeated,
            board.reconnects.load(Relaxed)
        );
        for (end, name) in ENDS.iter().enumerate() {
            let (stats, armed) = (self.proxies[end].stats(), self.proxies[end].armed());
            let _ = write!(
                text,
                "\n  {name}: {}; {} of {} cuts, {armed} armed, {} connections, {} hung",
                board.does(end),
                stats.cuts,
                self.quota(end),
                stats.connections,
                stats.hung
            );
        }
        let _ =
            write!(text, "\n  broker: {:?}, {} connections", self.broker.queue_stats(QUEUE), self.broker.connections());
        for event in board.events() {
            let _ = write!(text, "\n  {event}");
        }
        text
    }
}

async fn calm_proxy(to: SocketAddr, seed: u64) -> std::io::Result<Proxy> {
    Proxy::start(to, Plan::new(seed)).await
}

/// Sends everything, and has it settled.
async fn send(stage: Arc<Stage>) -> Result<(), Failure> {
    let Options { messages, guarantee, seed, .. } = stage.options;
    let board = &stage.board;
    board.doing(0, "connects");
    let end = Sending::open(stage.proxies[0].addr(), QUEUE, guarantee, board).await?;
    board.doing(0, "sends");
    let mut allowed = 0;
    for id in 0..messages {
        if id >= allowed {
            board.doing(0, "waits for cuts");
            board.until(|_| stage.allowed() > id).await;
            allowed = stage.allowed();
            board.doing(0, "sends");
        }
        end.submit(&Message::from(payload::make(id, seed))).await?;
        board.sent.store(id + 1, Relaxed);
    }
    board.doing(0, "waits for the last cuts");
    board.until(|board| board.calm.load(SeqCst)).await;
    board.doing(0, "waits for outcomes");
    end.settle().await?;
    board.doing(0, "closes");
    end.close().await?;
    board.settled.store(true, Relaxed);
    board.doing(0, "is done");
    Ok(())
}

/// Receives everything, and empties the queue at the end.
async fn receive(stage: Arc<Stage>) -> Result<(), Failure> {
    let board = &stage.board;
    board.doing(1, "connects");
    let mut end = Receiving::open(stage.proxies[1].addr(), QUEUE, stage.options.guarantee, board).await?;
    board.doing(1, "receives");
    let note = |message: &Message| {
        let id = message.bytes().and_then(|bytes| payload::read(bytes, stage.options.seed));
        stage.ledger.lock().expect("no holder panics").note(id);
        board.came.fetch_add(1, Relaxed);
    };
    loop {
        tokio::select! {
            biased;
            message = end.receive() => {
                let message = message?;
                note(&message);
                end.accept(&message);
            }
            () = board.until(|board| board.settled.load(Relaxed)) => break,
        }
    }
    board.doing(1, "empties the queue");
    loop {
        match end.fetch(Duration::from_millis(50)).await? {
            Some(message) => {
                note(&message);
                end.accept(&message);
            }
            None if stage.broker.queue_stats(QUEUE).is_some_and(|stats| stats.ready + stats.unsettled == 0) => break,
            None => {}
        }
    }
    board.doing(1, "closes");
    end.close().await?;
    board.doing(1, "is done");
    Ok(())
}

/// Cuts the connections of one end as often as it is to be, and then lets them be.
async fn direct(stage: &Stage, end: usize) {
    let (board, proxy, quota) = (&stage.board, &stage.proxies[end], stage.quota(end));
    let mut director = Director::new(stage.options.seed ^ (end as u64) << 32, stage.options.guarantee);
    loop {
        let done = proxy.stats().cuts;
        board.cuts[end].store(done, SeqCst);
        if done >= quota {
            break;
        }
        let due = stage.due(end, done);
        board.until(|board| board.sent.load(Relaxed) >= due).await;
        let strike = director.next(quota - done);
        let all = done + strike.cuts.len() as u64;
        if let Some(delay) = strike.delay {
            proxy.arm(delay);
        }
        let mut cuts = strike.cuts.into_iter();
        proxy.arm(cuts.next().expect("a strike has a cut"));
        if let Some(away) = strike.away {
            strike_now(board, proxy, done + 1).await;
            be_away(proxy, away).await;
        }
        cuts.for_each(|cut| proxy.arm(cut));
        strike_now(board, proxy, all).await;
    }
    // Nothing that was armed and has found no place is left.
    proxy.set_plan(Plan::new(0));
    if (0..ENDS.len()).all(|end| board.cuts[end].load(SeqCst) >= stage.quota(end)) {
        board.calm.store(true, SeqCst);
    }
}

/// Waits until there were so many cuts; those that find no place in time come wherever the connection is.
async fn strike_now(board: &Board, proxy: &Proxy, cuts: u64) {
    if board.until_or(LATE, |_| proxy.stats().cuts >= cuts).await {
        return;
    }
    board.late.fetch_add(cuts.saturating_sub(proxy.stats().cuts), Relaxed);
    proxy.set_plan(Plan::new(cuts));
    while proxy.stats().cuts < cuts {
        let before = proxy.stats().cuts;
        proxy.cut_all();
        board.until_or(LATE / 10, |_| proxy.stats().cuts > before).await;
    }
}

/// Lets nobody in for a while.
async fn be_away(proxy: &Proxy, away: Away) {
    match away {
        Away::Refuses(time) => proxy.refuse_for(time).await,
        Away::Hangs(time) => {
            proxy.set_door(Door::Hanging);
            tokio::time::sleep(time).await;
            proxy.set_door(Door::Open);
            // Those that hang are no cuts: they never worked.
            proxy.cut_all();
        }
    }
}

/// Waits until nothing moves any more or it takes too long, and says which.
async fn watch(stage: &Stage, started: Instant) -> String {
    let Options { patience, limit, .. } = stage.options;
    let (mut last, mut moved) = (stage.board.movement(), Instant::now());
    loop {
        tokio::time::sleep(Duration::from_millis(100)).await;
        let movement = stage.board.movement();
        if movement != last {
            (last, moved) = (movement, Instant::now());
        }
        if moved.elapsed() > patience {
            return format!("stuck: nothing has moved for {} s", patience.as_secs());
        }
        if started.elapsed() > limit {
            return format!("stuck: not done after {} s", limit.as_secs());
        }
    }
}

impl Report {
    /// Cuts of both ends.
    #[must_use]
    pub fn cuts(&self) -> u64 {
        self.stats.iter().map(|stats| stats.cuts).sum()
    }
}

impl fmt::Display for Report {
    /// The last line of a run.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Count { sent, received, lost, repeated, .. } = self.count;
        write!(f, "sent {sent} received {received} lost {lost} repeated {repeated} cuts {}", self.cuts())
    }
}

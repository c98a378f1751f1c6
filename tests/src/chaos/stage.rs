//! A broker, two proxies to it, and the tasks that use them.

use std::fmt::{Display, Write as _};
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use postroad_broker::Broker;
use postroad_client::{ConnectionEvent, ConnectionEvents};
use postroad_testkit::Proxy;
use postroad_testkit::faults::Plan;
use tokio::task::JoinSet;

use super::board::Board;
use super::cutting::direct;
use super::ends::FRAME;
use super::ledger::Ledger;
use super::{Blows, Failure, Options};

/// Everything that the tasks of a run share.
pub(super) struct Stage {
    pub(super) options: Options,
    pub(super) broker: Broker,
    pub(super) proxies: [Proxy; 2],
    pub(super) board: Arc<Board>,
    pub(super) ledger: Mutex<Ledger>,
    /// What the two ends are called.
    pub(super) ends: [&'static str; 2],
    queues: &'static [&'static str],
    started: Instant,
}

/// How many cuts the messages may be ahead of each end's.
const AHEAD: u64 = 4;

/// How often a link is asked for that is cut while it is attached for the first time.
const ATTEMPTS: usize = 100;

impl Stage {
    pub(super) async fn set(
        options: &Options,
        ends: [&'static str; 2],
        queues: &'static [&'static str],
    ) -> Result<Arc<Self>, Failure> {
        let started = Instant::now();
        let builder = queues.iter().fold(Broker::builder(), |builder, queue| builder.queue(*queue));
        let builder = builder.listen("amqp://127.0.0.1:0").with_limits(|limits| limits.frame_size = FRAME);
        let broker = builder.start().await?;
        let at = broker.addr().expect("it listens on TCP");
        let proxies =
            [Proxy::start(at, Plan::new(options.seed)).await?, Proxy::start(at, Plan::new(!options.seed)).await?];
        let ledger = Mutex::new(Ledger::new(options.messages));
        let (options, board) = (options.clone(), Arc::default());
        Ok(Arc::new(Self { options, broker, proxies, board, ledger, ends, queues, started }))
    }

    /// Runs the tasks beside the cuts, until all of them are done.
    pub(super) async fn perform(self: &Arc<Self>, mut tasks: JoinSet<Result<(), Failure>>) -> Result<Blows, Failure> {
        for end in 0..self.ends.len() {
            let stage = Arc::clone(self);
            tasks.spawn(async move {
                direct(&stage, end).await;
                Ok(())
            });
        }
        let watching = self.watch();
        tokio::pin!(watching);
        loop {
            tokio::select! {
                ended = tasks.join_next() => match ended {
                    None => break,
                    Some(result) => result.expect("no task panics").map_err(|failure| self.explain(failure))?,
                },
                why = &mut watching => return Err(Failure::Stuck(self.dump(&why))),
            }
        }
        let stats = self.proxies.each_ref().map(Proxy::stats);
        Ok(Blows { ends: self.ends, stats, late: self.board.late.load(Relaxed), took: self.started.elapsed() })
    }

    /// The cuts that an end is to have.
    pub(super) fn quota(&self, end: usize) -> u64 {
        let cuts = self.options.cuts;
        if end == 0 { cuts.div_ceil(2) } else { cuts / 2 }
    }

    /// How many messages are handed over before the cut that comes behind `cuts` others of an end.
    pub(super) fn due(&self, end: usize, cuts: u64) -> u64 {
        let share = u128::from(self.options.messages) * u128::from(cuts) / u128::from(self.quota(end).max(1));
        u64::try_from(share).unwrap_or(u64::MAX)
    }

    /// How many messages may be handed over by now.
    pub(super) fn allowed(&self) -> u64 {
        let of = |end: usize| match self.board.cuts[end].load(Relaxed) {
            cuts if cuts >= self.quota(end) => u64::MAX,
            cuts => self.due(end, cuts + AHEAD),
        };
        of(0).min(of(1))
    }

    /// Messages in the queues that somebody may take, or has taken and not settled.
    pub(super) fn waiting(&self, queue: &str) -> usize {
        self.broker.queue_stats(queue).map_or(0, |stats| stats.ready + stats.unsettled + stats.uncommitted)
    }

    /// Asks for a session or a link until it is there: the connection may be cut meanwhile.
    pub(super) async fn again<T, E: Display, F: Future<Output = Result<T, E>>>(
        &self,
        end: usize,
        ask: impl Fn() -> F,
    ) -> Result<T, Failure> {
        let mut attempts = 0;
        loop {
            attempts += 1;
            match ask().await {
                Ok(made) => return Ok(made),
                Err(error) if attempts == ATTEMPTS => return Err(self.failure(end, error)),
                Err(_) => tokio::time::sleep(Duration::from_millis(1)).await,
            }
        }
    }

    /// Notes what becomes of an end's connection, until that is over.
    pub(super) fn note(&self, end: usize, mut events: ConnectionEvents) {
        let (board, name) = (Arc::clone(&self.board), self.ends[end]);
        tokio::spawn(async move {
            while let Some(event) = events.next().await {
                if let ConnectionEvent::Reopened { .. } = event {
                    board.reconnects.fetch_add(1, Relaxed);
                }
                board.tell(format!("{name}: {event:?}"));
            }
        });
    }

    /// What an end has met that it cannot make good.
    pub(super) fn failure(&self, end: usize, why: impl Display) -> Failure {
        Failure::End { end: self.ends[end], why: why.to_string() }
    }

    /// Adds to what has ended a run where everything stood.
    fn explain(&self, failure: Failure) -> Failure {
        match failure {
            Failure::End { end, why } => Failure::End { end, why: self.dump(&why) },
            other => other,
        }
    }

    /// Waits until nothing moves any more or it takes too long, and says which.
    async fn watch(&self) -> String {
        let Options { patience, limit, .. } = self.options;
        let (mut last, mut moved) = (self.board.movement(), Instant::now());
        loop {
            tokio::time::sleep(Duration::from_millis(100)).await;
            let movement = self.board.movement();
            if movement != last {
                (last, moved) = (movement, Instant::now());
            }
            if moved.elapsed() > patience {
                self.board.stuck.store(true, Relaxed);
                tokio::time::sleep(Duration::from_millis(100)).await;
                return format!("stuck: nothing has moved for {} s", patience.as_secs());
            }
            if self.started.elapsed() > limit {
                return format!("stuck: not done after {} s", limit.as_secs());
            }
        }
    }

    /// Where everything stands.
    fn dump(&self, why: &str) -> String {
        let board = &self.board;
        let (sent, came, _) = board.movement();
        let mut text = format!("{why}\n  {sent} of {} messages handed over, {came} came", self.options.messages);
        let count = self.ledger.lock().expect("no holder panics").count(sent);
        let again = board.reconnects.load(Relaxed);
        let _ = write!(text, ", {} of them again; {again} connections made again", count.repeated);
        for (end, name) in self.ends.iter().enumerate() {
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
        for queue in self.queues {
            let _ = write!(text, "\n  queue {queue}: {:?}", self.broker.queue_stats(queue));
        }
        let open = self.broker.open_transactions();
        let _ = write!(text, "\n  broker: {} connections, {open} open transactions", self.broker.connections());
        for event in board.events() {
            let _ = write!(text, "\n  {event}");
        }
        text
    }
}

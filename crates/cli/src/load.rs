//! Messages from senders to receivers, counted and timed: what `demo` and `bench` have in common.

mod bar;
mod cpu;
mod ends;
mod tally;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use postroad::messaging::{FetchError, Message, Sender, SyncError};
use tokio::sync::Notify;
use tokio::task::JoinSet;

use self::ends::Inlet;
pub(crate) use self::ends::{Ends, Shape};
use self::tally::{Stamp, Tally};
use crate::exit::{Exit, Failure};
use crate::failure;
use crate::signals::Stop;
use crate::term::Talk;

/// The least size of a body: there are number and time in it.
pub(crate) const MIN_SIZE: u64 = tally::STAMP as u64;
/// The largest body, in bytes.
pub(crate) const MAX_SIZE: u64 = 64 * 1024 * 1024;
/// The most messages: each has a bit in memory.
pub(crate) const MAX_COUNT: u64 = tally::MAX_COUNT;
/// How often a receiver looks whether the end has changed.
const GLANCE: Duration = Duration::from_millis(500);

/// How much is sent, and when it is over.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Load {
    /// Messages in all.
    pub(crate) count: u64,
    /// How long there is sending, however many messages that makes.
    pub(crate) duration: Option<Duration>,
    /// Bytes of each body.
    pub(crate) size: usize,
    /// Messages on their way at once.
    pub(crate) window: u64,
    /// Messages that have not come after so long a silence are lost.
    pub(crate) timeout: Duration,
    /// What a person can do about a node that others use.
    pub(crate) in_use: &'static str,
}

/// What came of a run.
#[derive(Debug)]
pub(crate) struct Measured {
    pub(crate) sent: u64,
    pub(crate) received: u64,
    pub(crate) duplicated: u64,
    /// Messages that the peer did not accept.
    pub(crate) refused: u64,
    /// From the start to the last message.
    pub(crate) elapsed: Duration,
    /// What this process has used of the processors, where the system tells.
    pub(crate) cpu: Option<Duration>,
    /// In microseconds, from before the send until the message was received.
    pub(crate) latency: Histogram<u64>,
}

impl Measured {
    pub(crate) fn lost(&self) -> u64 {
        self.sent.saturating_sub(self.received)
    }

    /// Messages a second.
    pub(crate) fn rate(&self) -> f64 {
        let seconds = self.elapsed.as_secs_f64();
        if seconds > 0.0 { self.received as f64 / seconds } else { 0.0 }
    }

    /// How the run ends, with so many messages left at the broker.
    pub(crate) fn exit(&self, left: u64) -> Exit {
        let complete = self.lost() == 0 && self.duplicated == 0 && self.refused == 0 && left == 0;
        if complete { Exit::Ok } else { Exit::Partial }
    }
}

/// What all tasks of a run share.
#[derive(Debug)]
struct Run {
    load: Load,
    id: u64,
    start: Instant,
    /// The number of the next message.
    next: AtomicU64,
    sent: AtomicU64,
    refused: AtomicU64,
    /// Senders that have not sent their last message.
    sending: AtomicU64,
    /// The messages that there will be; fewer once the time is over or somebody asks to finish.
    goal: AtomicU64,
    /// Messages that were received, not counting those that came again.
    received: AtomicU64,
    /// Whether no receiver waits any more.
    over: AtomicBool,
    tally: Mutex<Tally>,
    /// Tells senders that there is room in the window, or nobody there any more.
    room: Notify,
    /// Tells receivers that the goal has come nearer.
    nearer: Notify,
}

impl Load {
    /// Sends, receives and settles until everything is here, or nothing comes any more.
    pub(crate) async fn run(self, ends: Ends, stop: &Stop, talk: Talk) -> Result<Measured, Failure> {
        let mut id = [0; 8];
        getrandom::fill(&mut id).map_err(|error| Failure::new(Exit::Unavailable, "no random numbers", error))?;
        let cpu = cpu::time();
        let run = Arc::new(Run {
            load: self,
            id: u64::from_be_bytes(id),
            start: Instant::now(),
            next: AtomicU64::new(0),
            sent: AtomicU64::new(0),
            refused: AtomicU64::new(0),
            sending: AtomicU64::new(ends.senders.len() as u64),
            goal: AtomicU64::new(self.count),
            received: AtomicU64::new(0),
            over: AtomicBool::new(false),
            tally: Mutex::new(Tally::new()),
            room: Notify::new(),
            nearer: Notify::new(),
        });
        // Tasks that are dropped with their sets: the first that fails ends the others, which would wait in vain.
        let (mut receivers, mut senders) = (JoinSet::new(), JoinSet::new());
        for receiver in ends.receivers {
            receivers.spawn(Arc::clone(&run).receive(receiver));
        }
        for sender in ends.senders {
            senders.spawn(Arc::clone(&run).send(sender, stop.clone()));
        }
        let bar = talk.bar().then(|| bar::show(Arc::clone(&run)));
        let received = async {
            let result = all(&mut receivers).await;
            run.over.store(true, Ordering::Release);
            run.room.notify_waiters();
            result
        };
        let both = tokio::try_join!(received, all(&mut senders));
        if let Some(bar) = bar {
            bar.clear().await;
        }
        both?;
        let cpu = cpu.zip(cpu::time()).map(|(before, after)| after.saturating_sub(before));
        for connection in ends.connections {
            if let Err(error) = connection.close().await {
                talk.say(1, || format!("a connection did not close in order: {error}"));
            }
        }
        let tally = run.tally();
        Ok(Measured {
            sent: run.sent.load(Ordering::Acquire),
            received: tally.seen.count,
            duplicated: tally.duplicated,
            refused: run.refused.load(Ordering::Acquire),
            elapsed: tally.last.saturating_duration_since(run.start),
            cpu,
            latency: tally.latency.clone(),
        })
    }
}

async fn all(tasks: &mut JoinSet<Result<(), Failure>>) -> Result<(), Failure> {
    while let Some(ended) = tasks.join_next().await {
        ended.map_err(|error| Failure::new(Exit::Unavailable, "the run broke off", error))??;
    }
    Ok(())
}

impl Run {
    fn tally(&self) -> MutexGuard<'_, Tally> {
        self.tally.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends until all messages are sent, the time is over, or somebody asks to finish.
    async fn send(self: Arc<Self>, sender: Sender, stop: Stop) -> Result<(), Failure> {
        let lost = |error: &dyn std::fmt::Display| Failure::new(Exit::Temporary, "cannot send any more", error);
        while !stop.asked() && self.has_room(&stop).await {
            let number = self.next.fetch_add(1, Ordering::Relaxed);
            if number >= self.load.count {
                break;
            }
            let body = Stamp { run: self.id, number, sent: self.start.elapsed() }.body(self.load.size);
            // Without credit there is nothing to send and nothing to wait for once somebody asks to finish.
            tokio::select! {
                biased;
                result = sender.send_async(Message::from(body)) => result.map_err(|error| lost(&error))?,
                () = stop.first() => break,
                () = self.time_is_over() => break,
            }
            self.sent.fetch_add(1, Ordering::AcqRel);
        }
        if self.sending.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.goal.store(self.sent.load(Ordering::Acquire), Ordering::Release);
            self.nearer.notify_waiters();
        }
        let synced = tokio::select! {
            synced = sender.sync() => synced,
            () = self.is_over() => {
                // Everything that comes has come; a peer that never tells its outcomes must not hold the run.
                tokio::time::timeout(self.load.timeout, sender.sync()).await.map_err(|_| {
                    let why = format!("{} messages have no outcome", sender.unsettled());
                    Failure::new(Exit::Partial, "gave up waiting", why)
                })?
            }
        };
        match synced {
            Ok(()) => {}
            Err(SyncError::NotAccepted { count, .. }) => drop(self.refused.fetch_add(count as u64, Ordering::AcqRel)),
            Err(error) => return Err(lost(&error)),
        }
        // A link from peer to peer ends for both: nobody could look for what comes twice.
        self.is_over().await;
        Ok(())
    }

    /// Waits until no receiver waits any more.
    async fn is_over(&self) {
        loop {
            let news = self.room.notified();
            if self.over.load(Ordering::Acquire) {
                return;
            }
            news.await;
        }
    }

    /// Waits for room in the window; `false`: there is no more sending.
    async fn has_room(&self, stop: &Stop) -> bool {
        loop {
            // From its making on it hears what is told to all.
            let room = self.room.notified();
            if self.over.load(Ordering::Acquire) || self.load.duration.is_some_and(|time| self.start.elapsed() >= time)
            {
                return false;
            }
            let received = self.received.load(Ordering::Acquire);
            if self.sent.load(Ordering::Acquire).saturating_sub(received) < self.load.window {
                return true;
            }
            tokio::select! {
                () = room => {}
                () = stop.first() => return false,
                () = self.time_is_over() => return false,
            }
        }
    }

    async fn time_is_over(&self) {
        match self.load.duration {
            Some(duration) => tokio::time::sleep_until((self.start + duration).into()).await,
            None => std::future::pending().await,
        }
    }

    /// Receives and settles until everything is here, or nothing comes any more.
    async fn receive(self: Arc<Self>, mut receiver: Inlet) -> Result<(), Failure> {
        // Often enough that a full window never waits, and seldom enough to cost nothing.
        let step = (self.load.window / 8).max(1);
        loop {
            let nearer = self.nearer.notified();
            let complete = self.received.load(Ordering::Acquire) >= self.goal.load(Ordering::Acquire);
            // What came twice is on its way or in the queue: the last look finds it.
            let timeout = if complete { Duration::ZERO } else { GLANCE.min(self.load.timeout) };
            let message = tokio::select! {
                // Most of the time there is a message.
                biased;
                fetched = receiver.fetch(timeout) => match fetched {
                    Ok(message) => message,
                    Err(FetchError::Empty) if complete || self.tally().last.elapsed() >= self.load.timeout => break,
                    Err(FetchError::Empty) => continue,
                    Err(error) => return Err(failure::fetch("cannot receive any more", &error)),
                },
                () = nearer, if !complete => continue,
            };
            let stamp = Stamp::read(&message, self.id).ok_or_else(|| {
                Failure::new(Exit::Data, "the node is in use", "it holds messages of others")
                    .hint(self.load.in_use.to_owned())
            })?;
            let latency = self.start.elapsed().saturating_sub(stamp.sent);
            receiver.accept(&message).map_err(|error| failure::link("cannot settle any more", &error))?;
            let count = self.tally().add(stamp.number, latency);
            if let Some(count) = count {
                self.received.store(count, Ordering::Release);
                if count.is_multiple_of(step) {
                    self.room.notify_waiters();
                }
                if count >= self.goal.load(Ordering::Acquire) {
                    // The other receivers wait for messages that do not come.
                    self.nearer.notify_waiters();
                }
            }
        }
        // The broker has the last outcomes once it has answered the close.
        receiver.close().await.map_err(|error| failure::link("cannot settle any more", &error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_is_wrong_shows_in_the_exit_code() {
        let latency = Histogram::new(3).unwrap();
        let good = || Measured {
            sent: 2,
            received: 2,
            duplicated: 0,
            refused: 0,
            elapsed: Duration::from_secs(1),
            cpu: None,
            latency: latency.clone(),
        };
        assert_eq!(good().exit(0), Exit::Ok);
        assert_eq!(good().exit(1), Exit::Partial);
        assert_eq!(Measured { received: 1, ..good() }.exit(0), Exit::Partial);
        assert_eq!(Measured { duplicated: 1, ..good() }.exit(0), Exit::Partial);
        assert_eq!(Measured { refused: 1, ..good() }.exit(0), Exit::Partial);
        assert_eq!(good().rate(), 2.0);
        assert_eq!(Measured { elapsed: Duration::ZERO, ..good() }.rate(), 0.0);
    }
}

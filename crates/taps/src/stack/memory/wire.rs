//! What two ends share: a bounded queue in each direction.

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use bytes::{Bytes, BytesMut};

use super::conditions::Conditions;
use super::faults::MemoryFaults;

/// What a message counts for beside its bytes, so that empty ones are bounded too.
const MESSAGE_COST: usize = 64;

/// One end.
#[derive(Debug)]
pub(super) struct End {
    wire: Arc<Wire>,
    side: usize,
    aborting: bool,
}

/// Makes the end of the initiator and that of the listener.
pub(super) fn wire(conditions: Option<Arc<Conditions>>) -> (End, End) {
    let faults = conditions.as_ref().map(|conditions| conditions.faults()).unwrap_or_default();
    let wire = Arc::new(Wire { halves: Mutex::new(faults.map(Half::new)), conditions });
    let end = |side| End { wire: Arc::clone(&wire), side, aborting: false };
    (end(0), end(1))
}

#[derive(Debug)]
struct Wire {
    /// What the initiator sends, and what the listener sends.
    halves: Mutex<[Half; 2]>,
    conditions: Option<Arc<Conditions>>,
}

/// One direction:
///
/// ```text
/// open --shut down or dropped--> ended --all read--> (end of the stream)
///   \--broken or aborted--> broken --all read--> (reset)
/// ```
#[derive(Debug)]
pub(super) struct Half {
    /// Bytes of a stream.
    pub(super) bytes: BytesMut,
    /// Messages, where it carries those.
    pub(super) messages: VecDeque<Bytes>,
    /// How many bytes the messages count for.
    pub(super) occupied: usize,
    /// Messages that wait until so many others have overtaken them.
    pub(super) delayed: Vec<(usize, Bytes)>,
    pub(super) faults: MemoryFaults,
    pub(super) written: u64,
    pub(super) read: u64,
    /// How many writes, or messages, and reads there were.
    pub(super) writes: u64,
    pub(super) reads: u64,
    pub(super) ended: bool,
    pub(super) broken: bool,
    deaf: bool,
    reader: Option<Waker>,
    writer: Option<Waker>,
}

impl Half {
    fn new(faults: MemoryFaults) -> Self {
        Self {
            bytes: BytesMut::new(),
            messages: VecDeque::new(),
            occupied: 0,
            delayed: Vec::new(),
            faults,
            written: 0,
            read: 0,
            writes: 0,
            reads: 0,
            ended: false,
            broken: false,
            deaf: false,
            reader: None,
            writer: None,
        }
    }

    /// Whether something may be written; an error when nothing ever will.
    pub(super) fn check_write(&self) -> io::Result<()> {
        if self.broken {
            return Err(io::ErrorKind::ConnectionReset.into());
        }
        if self.ended || self.deaf {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        Ok(())
    }

    /// How many bytes the reader may still see.
    pub(super) fn before_stall(&self) -> u64 {
        self.faults.stall_after.map_or(u64::MAX, |limit| limit.saturating_sub(self.read))
    }

    /// How many bytes may pass before the direction ends or the connection breaks.
    pub(super) fn before_cut(&self) -> u64 {
        let limit = self.faults.fail_after.unwrap_or(u64::MAX).min(self.faults.end_after.unwrap_or(u64::MAX));
        limit.saturating_sub(self.written)
    }

    /// What a reader meets when nothing is left for it: `None` while more may come.
    pub(super) fn outcome(&self) -> Option<io::Result<()>> {
        match (self.broken, self.ended) {
            (true, _) => Some(Err(io::ErrorKind::ConnectionReset.into())),
            (false, true) => Some(Ok(())),
            (false, false) => None,
        }
    }

    pub(super) fn push_message(&mut self, message: Bytes) {
        self.occupied += message.len() + MESSAGE_COST;
        self.messages.push_back(message);
    }

    pub(super) fn pop_message(&mut self) -> Option<Bytes> {
        let message = self.messages.pop_front()?;
        self.occupied -= message.len() + MESSAGE_COST;
        Some(message)
    }

    pub(super) fn has_room_for(&self, length: usize) -> bool {
        let delayed: usize = self.delayed.iter().map(|(_, message)| message.len() + MESSAGE_COST).sum();
        let occupied = self.occupied + delayed;
        occupied == 0 || occupied + length + MESSAGE_COST <= self.faults.capacity
    }

    /// Ends the direction in order; what was delayed arrives before that.
    pub(super) fn end(&mut self) {
        if !self.ended {
            self.ended = true;
            for (_, message) in std::mem::take(&mut self.delayed) {
                self.push_message(message);
            }
        }
    }

    fn clear(&mut self) {
        self.bytes.clear();
        self.messages.clear();
        self.delayed.clear();
        self.occupied = 0;
    }
}

impl End {
    /// Writes under the lock, or reads: `act` gets what this end sends, then what it receives. Whoever may go on
    /// because of it is woken afterwards.
    fn with<T>(&self, act: impl FnOnce(&mut Half, &mut Half) -> T) -> T {
        let mut halves = self.halves();
        let [initiator, listener] = &mut *halves;
        let (out, inward) = if self.side == 0 { (initiator, listener) } else { (listener, initiator) };
        let done = act(out, inward);
        let wakers = [out.reader.take(), inward.writer.take()];
        // A waker may run whatever it likes.
        drop(halves);
        wakers.into_iter().flatten().for_each(Waker::wake);
        done
    }

    fn halves(&self) -> MutexGuard<'_, [Half; 2]> {
        // Nothing that can panic happens under the lock.
        self.wire.halves.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs `act` on what this end sends until it has done something; the reader is woken then.
    pub(super) fn poll_out<T>(
        &self,
        cx: &Context<'_>,
        act: impl FnOnce(&mut Half) -> Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        let mut halves = self.halves();
        let half = &mut halves[self.side];
        let done = act(half);
        let (mut wakers, mut broken) = ([None, None, None], false);
        if done.is_pending() {
            keep(&mut half.writer, cx);
        } else {
            wakers[0] = half.reader.take();
            broken = half.broken;
        }
        if broken {
            // The connection breaks as a whole.
            let other = &mut halves[1 - self.side];
            other.broken = true;
            wakers[1] = other.reader.take();
            wakers[2] = other.writer.take();
        }
        drop(halves);
        wakers.into_iter().flatten().for_each(Waker::wake);
        done
    }

    /// Runs `act` on what this end receives until it has got something; the writer is woken then.
    pub(super) fn poll_in<T>(
        &self,
        cx: &Context<'_>,
        act: impl FnOnce(&mut Half) -> Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        let mut halves = self.halves();
        let half = &mut halves[1 - self.side];
        let done = act(half);
        let mut waker = None;
        if done.is_pending() {
            keep(&mut half.reader, cx);
        } else {
            waker = half.writer.take();
        }
        drop(halves);
        if let Some(waker) = waker {
            waker.wake();
        }
        done
    }

    /// Notes a write of this end.
    pub(super) fn count(&self, bytes: usize, message: bool) {
        if let Some(conditions) = &self.wire.conditions {
            conditions.count(self.side, bytes, message);
        }
    }

    /// Makes the coming drop an abort.
    pub(super) fn abort(&mut self) {
        self.aborting = true;
    }

    /// Ends what this end sends.
    pub(super) fn shut_down(&self) {
        self.with(|out, _| out.end());
    }
}

impl Drop for End {
    fn drop(&mut self) {
        let aborting = self.aborting;
        self.with(|out, inward| {
            if aborting {
                for half in [&mut *out, &mut *inward] {
                    half.clear();
                    half.broken = true;
                }
            } else {
                out.end();
            }
            inward.deaf = true;
            inward.clear();
        });
    }
}

fn keep(slot: &mut Option<Waker>, cx: &Context<'_>) {
    match slot {
        Some(waker) => waker.clone_from(cx.waker()),
        None => *slot = Some(cx.waker().clone()),
    }
}

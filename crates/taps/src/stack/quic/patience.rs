//! How long a peer may owe an answer before the connection has failed (RFC 9622 8.1.3).
//!
//! The idle timeout of QUIC does not serve: it would end a connection on which nobody has anything to say. Here the time
//! runs from the first packet that asks for an acknowledgement to the next packet that comes, whatever that is.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use quinn::{Connection, ConnectionStats, FrameStats};
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::time::{Instant, sleep};

use super::error::ABORTED;

/// How often is looked, as a part of the timeout, within bounds.
const PARTS: u32 = 8;
const OFTEN: Duration = Duration::from_millis(5);
const SELDOM: Duration = Duration::from_secs(1);

/// The patience with the peer of one connection.
#[derive(Debug)]
pub(super) struct Patience {
    connection: Connection,
    timeout: watch::Sender<Option<Duration>>,
    over: Arc<AtomicBool>,
}

impl Patience {
    pub(super) fn new(connection: Connection) -> Self {
        Self { connection, timeout: watch::Sender::new(None), over: Arc::default() }
    }

    /// Sets how long it lasts; `None` is as long as the connection.
    pub(super) fn set(&self, timeout: Option<Duration>, runtime: &Handle) {
        let (old, idle) = (self.timeout.send_replace(timeout), self.timeout.receiver_count() == 0);
        if timeout.is_some() && timeout != old && idle {
            runtime.spawn(watch(self.connection.clone(), self.timeout.subscribe(), Arc::clone(&self.over)));
        }
    }

    /// Ends it, and the connection with it.
    pub(super) fn end(&self) {
        give_up(&self.connection, &self.over);
    }

    /// Whether it has come to its end.
    pub(super) fn is_over(&self) -> bool {
        self.over.load(Ordering::Acquire)
    }
}

/// Looks after the connection until it is closed.
async fn watch(connection: Connection, mut timeout: watch::Receiver<Option<Duration>>, over: Arc<AtomicBool>) {
    let mut account = Account::new(&connection.stats());
    loop {
        let patience = *timeout.borrow_and_update();
        tokio::select! {
            _ = connection.closed() => return,
            changed = timeout.changed() => match changed {
                Ok(()) => continue,
                Err(_) => return,
            },
            () = look_again(patience) => {}
        }
        let Some(patience) = patience else { continue };
        if account.owes(&connection.stats(), Instant::now()) >= patience {
            return give_up(&connection, &over);
        }
    }
}

fn give_up(connection: &Connection, over: &AtomicBool) {
    over.store(true, Ordering::Release);
    connection.close(ABORTED, b"no answer");
}

async fn look_again(patience: Option<Duration>) {
    match patience {
        Some(patience) => sleep((patience / PARTS).clamp(OFTEN, SELDOM)).await,
        None => std::future::pending().await,
    }
}

/// What has come and what was asked.
struct Account {
    heard: u64,
    asked: u64,
    since: Option<Instant>,
}

impl Account {
    fn new(stats: &ConnectionStats) -> Self {
        Self { heard: stats.udp_rx.datagrams, asked: asked(&stats.frame_tx), since: None }
    }

    /// For how long the peer has owed an answer.
    fn owes(&mut self, stats: &ConnectionStats, now: Instant) -> Duration {
        let (heard, asked) = (stats.udp_rx.datagrams, asked(&stats.frame_tx));
        if heard != self.heard {
            // What was asked since then is asked again before long (RFC 9002 6.2).
            (self.heard, self.asked, self.since) = (heard, asked, None);
        } else if asked != self.asked {
            self.since.get_or_insert(now);
        }
        self.since.map_or(Duration::ZERO, |since| now - since)
    }
}

/// How many frames that want an acknowledgement were sent: all but acknowledgements and the last one (RFC 9002 2). A probe
/// may be nothing but a frame that asks for an answer at once.
fn asked(sent: &FrameStats) -> u64 {
    let probes = sent.ping + sent.immediate_ack;
    let data = sent.stream + sent.datagram + sent.crypto + sent.reset_stream + sent.stop_sending;
    let limits = sent.max_data + sent.max_stream_data + sent.max_streams_bidi + sent.max_streams_uni;
    let blocked = sent.data_blocked + sent.stream_data_blocked + sent.streams_blocked_bidi + sent.streams_blocked_uni;
    let paths = sent.new_connection_id + sent.retire_connection_id + sent.path_challenge + sent.path_response;
    probes + data + limits + blocked + paths
}

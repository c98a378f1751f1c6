//! A sender, a queue, and a receiver.

use std::sync::Arc;
use std::sync::atomic::Ordering::{Relaxed, SeqCst};
use std::time::Duration;

use postroad_client::Message;
use tokio::task::JoinSet;

use super::stage::Stage;
use super::{Failure, Interface, Options, Report, ends, face, handlers, payload};

/// The queue that messages go through.
const QUEUE: &str = "chaos";

/// One of the two ends, by whichever interface it has.
enum Either<C, F, H> {
    Client(C),
    Face(F),
    Handlers(H),
}

/// Does the same with any of them.
macro_rules! either {
    ($end:expr, $one:ident => $does:expr) => {
        match $end {
            Either::Client($one) => $does,
            Either::Face($one) => $does,
            Either::Handlers($one) => $does,
        }
    };
}

/// Sends messages, cuts connections, and counts.
///
/// # Errors
/// When it does not come to its end: that is not what breaks a guarantee, which is in the report.
///
/// # Cancel safety
/// A dropped future leaves nothing that outlives the runtime.
pub async fn run(options: &Options) -> Result<Report, Failure> {
    let stage = Stage::set(options, ["sender", "receiver"], &[QUEUE]).await?;
    let mut tasks = JoinSet::new();
    tasks.spawn(send(Arc::clone(&stage)));
    tasks.spawn(receive(Arc::clone(&stage)));
    let blows = stage.perform(tasks).await?;
    let ledger = stage.ledger.lock().expect("no holder panics");
    let sent = stage.board.sent.load(Relaxed);
    Ok(Report { count: ledger.count(sent), odd_ones: ledger.odd_ones(sent), blows })
}

/// Sends everything, and has it settled.
async fn send(stage: Arc<Stage>) -> Result<(), Failure> {
    let Options { messages, seed, .. } = stage.options;
    let board = &stage.board;
    board.doing(0, "connects");
    let end = match stage.options.interface {
        Interface::Client => Either::Client(ends::Sending::open(&stage, 0, QUEUE).await?),
        Interface::Messaging => Either::Face(face::Sending::open(&stage, 0, QUEUE).await?),
        Interface::Container => Either::Handlers(handlers::Sending::open(&stage, 0, QUEUE).await?),
    };
    board.doing(0, "sends");
    let mut allowed = 0;
    for id in 0..messages {
        if id >= allowed {
            board.doing(0, "waits for cuts");
            board.until(|_| stage.allowed() > id).await;
            allowed = stage.allowed();
            board.doing(0, "sends");
        }
        let message = Message::from(payload::make(id, seed));
        either!(&end, end => end.submit(&message).await?);
        board.sent.store(id + 1, Relaxed);
    }
    board.doing(0, "waits for the last cuts");
    board.until(|board| board.calm.load(SeqCst)).await;
    board.doing(0, "waits for outcomes");
    either!(&end, end => end.settle().await?);
    board.doing(0, "closes");
    either!(end, end => end.close().await?);
    board.settled.store(true, Relaxed);
    board.doing(0, "is done");
    Ok(())
}

/// Receives everything, and empties the queue at the end.
async fn receive(stage: Arc<Stage>) -> Result<(), Failure> {
    let board = &stage.board;
    board.doing(1, "connects");
    let mut end = match stage.options.interface {
        Interface::Client => Either::Client(ends::Receiving::open(&stage, 1, QUEUE).await?),
        Interface::Messaging => Either::Face(face::Receiving::open(&stage, 1, QUEUE).await?),
        Interface::Container => Either::Handlers(handlers::Receiving::open(&stage, 1, QUEUE).await?),
    };
    board.doing(1, "receives");
    let note = |message: &Message| {
        let id = message.bytes().and_then(|bytes| payload::read(bytes, stage.options.seed));
        stage.ledger.lock().expect("no holder panics").note(id);
        board.came.fetch_add(1, Relaxed);
    };
    loop {
        tokio::select! {
            biased;
            message = async { either!(&mut end, end => end.receive().await) } => {
                let message = message?;
                note(&message);
                either!(&end, end => end.accept(&message).await);
            }
            () = board.until(|board| board.settled.load(Relaxed) || board.stuck.load(Relaxed)) => {
                if board.settled.load(Relaxed) {
                    break;
                }
                board.tell(either!(&end, end => end.sight()));
                std::future::pending().await
            }
        }
    }
    board.doing(1, "empties the queue");
    loop {
        match either!(&mut end, end => end.fetch(Duration::from_millis(50)).await?) {
            Some(message) => {
                note(&message);
                either!(&end, end => end.accept(&message).await);
            }
            None if stage.waiting(QUEUE) == 0 => break,
            None => {}
        }
    }
    board.doing(1, "closes");
    either!(end, end => end.close().await?);
    board.doing(1, "is done");
    Ok(())
}

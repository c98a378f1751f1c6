//! Cuts that come when they are due, where a [`Director`] wants them.

use std::sync::atomic::Ordering::{Relaxed, SeqCst};
use std::time::Duration;

use postroad_testkit::faults::Plan;
use postroad_testkit::{Door, Proxy};

use super::board::Board;
use super::director::{Away, Director};
use super::stage::Stage;

/// How long a cut waits for its place before it comes wherever the connection is.
const LATE: Duration = Duration::from_millis(100);

/// Cuts the connections of one end as often as it is to be, and then lets them be.
pub(super) async fn direct(stage: &Stage, end: usize) {
    let (board, proxy, quota) = (&stage.board, &stage.proxies[end], stage.quota(end));
    let seed = stage.options.seed ^ (end as u64) << 32;
    let mut director = Director::new(seed, stage.options.guarantee, stage.due(end, 1));
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
    if (0..2).all(|end| board.cuts[end].load(SeqCst) >= stage.quota(end)) {
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

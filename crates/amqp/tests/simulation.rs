//! Ten thousand short lives of links, in virtual time. One that fails prints its seed, and the command that plays it again.

use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use postroad_testkit::{Stats, simulate};

const RUNS: u64 = 10_000;

#[test]
fn guarantees_hold_whatever_happens_to_connections() {
    let next = AtomicU64::new(1);
    let play = || {
        let mut stats = Stats::default();
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed > RUNS {
                return stats;
            }
            match simulate(seed, false) {
                Ok(one) => stats += one,
                Err(error) => {
                    panic!("{error}\nagain with: cargo run -p tests --bin simulate -- --runs 1 --seed {seed} --trace")
                }
            }
        }
    };
    let threads = thread::available_parallelism().map_or(2, usize::from).clamp(2, 8);
    let mut stats = Stats::default();
    thread::scope(|scope| {
        let threads: Vec<_> = (0..threads).map(|_| scope.spawn(play)).collect();
        for thread in threads {
            stats += thread.join().expect("a run failed, as it says above");
        }
    });
    // They come by everything that they are to check.
    assert!(stats.connections > 3 * RUNS, "{stats:?}");
    let seen = [stats.resumed, stats.restarted, stats.reassociated, stats.in_doubt, stats.stolen, stats.expired];
    assert!(seen.iter().all(|count| *count > RUNS / 20) && stats.incomplete > RUNS / 20, "{stats:?}");
}

#[test]
fn a_seed_fixes_a_run() {
    for seed in 0..20 {
        assert_eq!(simulate(seed, false), simulate(seed, false), "seed {seed}");
    }
}

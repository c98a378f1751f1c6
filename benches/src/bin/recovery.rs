//! How soon links of each guarantee work again once their broker is back.

use std::process::ExitCode;
use std::time::Duration;

use benches::recovery::{self, Plan, Times};
use clap::Parser;
use postroad_client::Guarantee;

/// Takes a broker's port away and back, and prints how long sending and receiving took from its return on.
#[derive(Debug, Parser)]
struct Arguments {
    /// How often the broker goes and comes back, for each guarantee.
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    rounds: u32,
    /// Milliseconds between two attempts to connect.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u64).range(1..=10_000))]
    interval: u64,
    /// Milliseconds for which the broker is away, at least.
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u64).range(..=60_000))]
    least: u64,
    /// Milliseconds for which the broker is away, at most.
    #[arg(long, default_value_t = 250, value_parser = clap::value_parser!(u64).range(..=60_000))]
    most: u64,
    /// Milliseconds above which no p99 may be: the exit code is 1 then.
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u64).range(1..))]
    goal: u64,
    /// Seconds after which a round has failed, beside the time for which the broker is away.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=600))]
    limit: u64,
    /// The same seed gives the same times away.
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if arguments.most < arguments.least {
        eprintln!("--most is less than --least");
        return ExitCode::from(2);
    }
    let most = Duration::from_millis(arguments.most);
    let plan = Plan {
        rounds: arguments.rounds as usize,
        interval: Duration::from_millis(arguments.interval),
        least: Duration::from_millis(arguments.least),
        most,
        limit: Duration::from_secs(arguments.limit) + most,
        seed: arguments.seed,
    };
    // Two threads, so that the client need not wait for what is beside it: broker and port.
    let runtime = match tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::FAILURE;
        }
    };
    println!(
        "milliseconds from the broker's return; attempts every {} ms, away for {} to {} ms, seed {}\n",
        arguments.interval, arguments.least, arguments.most, arguments.seed
    );
    println!("| guarantee | what | rounds | p50 | p90 | p99 | max |\n|---|---|---:|---:|---:|---:|---:|");
    let (mut worst, mut late) = (Duration::ZERO, Vec::new());
    let guarantees = [Guarantee::AtMostOnce, Guarantee::AtLeastOnce, Guarantee::ExactlyOnce];
    let all = match runtime.block_on(recovery::run(&plan, &guarantees)) {
        Ok(all) => all,
        Err(error) => {
            eprintln!("failed: {error}");
            return ExitCode::FAILURE;
        }
    };
    for (guarantee, Times { sent, received, woken }) in guarantees.into_iter().zip(all) {
        late.extend(woken);
        for (what, times) in [("sent", sent), ("received", received)] {
            print_row(guarantee, what, &times);
            worst = worst.max(recovery::percentile(&times, 99).unwrap_or_default());
        }
    }
    let late = [50, 99, 100].map(|percent| percentile_ms(&late, percent));
    println!("\nthe bench itself was woken late by {} (p50), {} (p99), {} (max)", late[0], late[1], late[2]);
    if worst > Duration::from_millis(arguments.goal) {
        eprintln!("failed: a p99 of {worst:.1?} is above {} ms", arguments.goal);
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}

fn print_row(guarantee: Guarantee, what: &str, times: &[Duration]) {
    let columns = [50, 90, 99, 100].map(|percent| percentile_ms(times, percent));
    println!("| {guarantee} | {what} | {} | {} |", times.len(), columns.join(" | "));
}

fn percentile_ms(times: &[Duration], percent: usize) -> String {
    let time = recovery::percentile(times, percent).unwrap_or_default();
    format!("{:.1}", time.as_secs_f64() * 1e3)
}

//! Plays links that outlive their connections, run by run; one that failed is played again, alone and told in full.

use std::process::ExitCode;
use std::time::Instant;

use clap::Parser;
use postroad_testkit::{Stats, simulate};

/// Plays links that outlive their connections in virtual time, a run for each seed, until one fails.
///
/// Exit status: 0, every run kept what its links guarantee; 1, one did not, and how it is played again is told; 64, usage.
#[derive(Debug, Parser)]
struct Arguments {
    /// Runs, each with the seed after the one before.
    #[arg(long, value_name = "N", default_value_t = 1000, value_parser = clap::value_parser!(u64).range(1..))]
    runs: u64,
    /// The seed of the first run.
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// Tells everything that happens.
    #[arg(long)]
    trace: bool,
}

fn main() -> ExitCode {
    let Arguments { runs, seed: first, trace } = match postroad_tests::arguments() {
        Ok(arguments) => arguments,
        Err(code) => return code,
    };
    let (start, mut stats) = (Instant::now(), Stats::default());
    for run in 0..runs {
        let seed = first.wrapping_add(run);
        match simulate(seed, trace) {
            Ok(one) => stats += one,
            Err(error) => {
                println!("run {run} failed: {error}");
                println!("again with: cargo run -p tests --bin simulate -- --runs 1 --seed {seed} --trace");
                return ExitCode::FAILURE;
            }
        }
    }
    println!("{runs} runs in {:.1} s: {stats:?}", start.elapsed().as_secs_f64());
    ExitCode::SUCCESS
}

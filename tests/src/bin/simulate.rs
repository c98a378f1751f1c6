//! Plays links that outlive their connections, run by run: `simulate --runs 10000 --seed 1`, and one that failed again
//! with `simulate --runs 1 --seed N --trace`.

use std::process::ExitCode;
use std::time::Instant;

use postroad_testkit::{Stats, simulate};

const USAGE: &str = "usage: simulate [--runs N] [--seed N] [--trace]";

fn main() -> ExitCode {
    let (mut runs, mut seed, mut trace) = (1000, 1, false);
    let mut args = std::env::args().skip(1);
    while let Some(arg) = args.next() {
        let mut number = || args.next().and_then(|text| text.parse::<u64>().ok());
        match arg.as_str() {
            "--trace" => trace = true,
            "--runs" | "--seed" => {
                let Some(number) = number() else {
                    eprintln!("{arg} takes a number\n{USAGE}");
                    return ExitCode::from(2);
                };
                *(if arg == "--runs" { &mut runs } else { &mut seed }) = number;
            }
            _ => {
                eprintln!("{USAGE}");
                return ExitCode::from(2);
            }
        }
    }
    let (start, mut stats) = (Instant::now(), Stats::default());
    for (run, seed) in (seed..).take(runs as usize).enumerate() {
        match simulate(seed, trace) {
            Ok(one) => stats += one,
            Err(error) => {
                println!("run {run} failed: {error}\nagain with: simulate --runs 1 --seed {seed} --trace");
                return ExitCode::FAILURE;
            }
        }
    }
    println!("{runs} runs in {:.1} s: {stats:?}", start.elapsed().as_secs_f64());
    ExitCode::SUCCESS
}

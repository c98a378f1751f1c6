//! Our codec beside Proton C's, interleaved in one run.

use std::process::{Command, ExitCode};

use benches::codec::{Costs, costs};
use benches::peers;
use benches::table::Spread;
use clap::Parser;

/// Measures what the codecs take for each operation, and prints CPU time and ratios.
#[derive(Debug, Parser)]
struct Arguments {
    /// Repetitions; every codec runs once in each.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    reps: u32,
    /// How often each operation runs in a repetition.
    #[arg(long, default_value_t = 500_000, value_parser = clap::value_parser!(u32).range(1..))]
    count: u32,
}

/// An operation: its name, and its cost to those who have it.
type Operation = (&'static str, fn(&Costs) -> Option<f64>);

const OPERATIONS: [Operation; 7] = [
    ("message, made and encoded", |costs| Some(costs.build)),
    ("message, encoded", |costs| Some(costs.encode)),
    ("message, decoded lazily", |costs| Some(costs.lazy)),
    ("message, read whole", |costs| Some(costs.full)),
    ("message, read into owned values", |costs| costs.owned),
    ("transfer, encoded", |costs| Some(costs.transfer_out)),
    ("transfer, decoded", |costs| Some(costs.transfer_in)),
];

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let peer = peers::proton_c_codec().inspect_err(|skipped| eprintln!("{skipped}")).ok();
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for _ in 0..arguments.reps {
        ours.push(costs(arguments.count));
        let Some(peer) = &peer else { continue };
        let output = Command::new(peer.program()).arg(arguments.count.to_string()).output();
        match output.ok().and_then(|output| serde_json::from_slice::<Costs>(&output.stdout).ok()) {
            Some(costs) => theirs.push(costs),
            None => {
                eprintln!("failed: {} gave no report", peer.name);
                return ExitCode::FAILURE;
            }
        }
    }
    println!("CPU nanoseconds, medians of {} interleaved runs of {}", arguments.reps, arguments.count);
    println!("{:<32} {:>10} {:>10}   {:<22}", "operation", "postroad", "proton-c", "ratio (min..max)");
    for (name, cost) in OPERATIONS {
        let median = |all: &[Costs]| {
            let spread = Spread::of(all.iter().filter_map(cost));
            spread.map_or_else(|| "-".into(), |spread| format!("{:.0}", spread.median))
        };
        let pairs = ours.iter().zip(&theirs);
        let ratio = Spread::of(pairs.filter_map(|(ours, theirs)| Some(cost(ours)? / cost(theirs)?)));
        let ratio = ratio.map_or_else(|| "-".into(), |r| format!("{:.2} ({:.2}..{:.2})", r.median, r.min, r.max));
        println!("{name:<32} {:>10} {:>10}   {ratio:<22}", median(&ours), median(&theirs));
    }
    ExitCode::SUCCESS
}

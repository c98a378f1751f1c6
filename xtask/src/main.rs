//! Everything a person or CI runs more than once: `cargo xtask COMMAND`.
//!
//! Each check is a function from the checkout to a one-line summary or a list of faults.

mod layers;
mod seed_check;
mod workspace;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// What a check found: a summary line, or every fault, one a line.
type Verdict = Result<String, Vec<String>>;

/// Everything a person or CI runs more than once.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Check who imports whom against the table of the architecture
    Layers,
    /// Check that every item and test named in docs/seeds exists
    SeedCheck,
}

fn main() -> ExitCode {
    let root = workspace::root();
    match Arguments::parse().command {
        Command::Layers => report(layers::check(&root)),
        Command::SeedCheck => report(seed_check::check(&root)),
    }
}

fn report(verdict: Verdict) -> ExitCode {
    match verdict {
        Ok(summary) => {
            println!("{summary}");
            ExitCode::SUCCESS
        }
        Err(faults) => {
            for fault in faults {
                println!("{fault}");
            }
            ExitCode::FAILURE
        }
    }
}

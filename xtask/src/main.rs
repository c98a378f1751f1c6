//! Everything a person or CI runs more than once: `cargo xtask COMMAND`.
//!
//! Each check is a function from the checkout to a one-line summary or a list of faults; `test` runs them all, and
//! cargo's own commands, as named steps with a table at the end.

mod features;
mod layers;
mod mirror_check;
mod peers;
mod seed_check;
mod spec_check;
mod steps;
mod test;
mod workspace;

use std::path::PathBuf;
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
    /// Check that the blocking mirrors have every method of their originals
    MirrorCheck,
    /// Check transport services with each protocol stack alone, with some together, and with none
    Features,
    /// Compare the codec's tables with the XML of the AMQP 1.0 standard
    SpecCheck {
        /// Folder with types, transport, messaging, security and transactions .bare.xml
        #[arg(long, value_name = "DIR", env = "POSTROAD_SPEC_XML")]
        xml: PathBuf,
    },
    /// Fetch the other people's clients and brokers that the interop suites talk to, into target/peers
    Peers {
        /// Also install system packages with apt (needs root)
        #[arg(long)]
        install: bool,
    },
    /// Run every check and every test, as named steps
    Test(test::Options),
}

fn main() -> ExitCode {
    let root = workspace::root();
    match Arguments::parse().command {
        Command::Layers => report(layers::check(&root)),
        Command::SeedCheck => report(seed_check::check(&root)),
        Command::MirrorCheck => report(mirror_check::check(&root)),
        Command::Features => test::run(&root, &test::Options::only("features")),
        Command::SpecCheck { xml } => report(spec_check::check(&xml)),
        Command::Peers { install } => {
            // A signal ends the command that is running; we stay to put things back.
            let _held = steps::Interrupt::watch();
            report(peers::prepare(&root, install || peers::on_ci()))
        }
        Command::Test(options) => test::run(&root, &options),
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

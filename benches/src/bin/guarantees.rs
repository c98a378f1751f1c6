//! What each guarantee costs our client, through the embedded broker, interleaved in one run.

use std::process::ExitCode;

use benches::guarantees::{self, ALL, BASE, Embedded, Terms};
use benches::peers;
use benches::run::Course;
use benches::series::{self, Series};
use clap::Parser;
use clap::builder::RangedU64ValueParser;

/// Sends and receives on the terms of each guarantee, and prints rate and CPU time a message of both clients.
#[derive(Debug, Parser)]
struct Arguments {
    #[command(flatten)]
    series: Series,
    /// The most messages in the broker's queue.
    #[arg(long, value_name = "N", default_value_t = 1000, value_parser = RangedU64ValueParser::<usize>::new().range(1..))]
    queue: usize,
    #[command(subcommand)]
    role: Option<Role>,
}

/// One end, as the run starts it.
#[derive(Debug, clap::Subcommand)]
enum Role {
    /// Receives COUNT messages of ADDRESS from the broker at PORT, with CREDIT at once.
    Recv {
        #[arg(value_parser = Terms::find)]
        terms: Terms,
        port: u16,
        count: u64,
        credit: u32,
        address: String,
    },
    /// Sends COUNT messages of SIZE bytes to ADDRESS of the broker at PORT.
    Send {
        #[arg(value_parser = Terms::find)]
        terms: Terms,
        port: u16,
        count: u64,
        size: usize,
        address: String,
    },
}

fn main() -> ExitCode {
    let Arguments { series, queue, role } = Arguments::parse();
    match role {
        Some(Role::Recv { terms, port, count, credit, address }) => {
            series::run_end(async || guarantees::receive(terms, port, count, credit, &address).await)
        }
        Some(Role::Send { terms, port, count, size, address }) => {
            series::run_end(async || guarantees::send(terms, port, count, size, &address).await)
        }
        None => compare(&series, queue),
    }
}

fn compare(series: &Series, queue: usize) -> ExitCode {
    let (broker, client) = match (Embedded::start(queue), peers::postroad()) {
        (Ok(broker), Ok(client)) => (broker, client),
        (Err(error), _) => return failed(&error.to_string()),
        (_, Err(error)) => return failed(&error.to_string()),
    };
    let course =
        |terms: Terms| Course::Guaranteed { terms: terms.name, client: client.clone(), port: broker.port, runs: 0 };
    series.compare(&mut ALL.map(course), BASE)
}

fn failed(why: &str) -> ExitCode {
    eprintln!("{why}");
    ExitCode::FAILURE
}

//! Our peer beside other people's on loopback, interleaved in one run: peer to peer, or through brokers.

use std::process::ExitCode;

use benches::brokers::{self, Broker, Places};
use benches::peers::{self, Peer, Skipped};
use benches::postroad;
use benches::run::Course;
use benches::series::{self, Series};
use clap::Parser;

/// Runs AMQP 1.0 peers side by side and prints rate and CPU time a message.
#[derive(Debug, Parser)]
struct Arguments {
    /// Through brokers, with Proton C as sender and as receiver, instead of peer to peer.
    #[arg(long)]
    broker: bool,
    /// Which peers or brokers, separated by commas; all that can be had unless given.
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
    /// Ours with each of the others too, in both directions, and not only each with itself.
    #[arg(long, conflicts_with = "broker")]
    mixed: bool,
    /// What the ratios are to: `proton-c`, or of the brokers the first that can be had.
    #[arg(long)]
    base: Option<String>,
    #[command(flatten)]
    series: Series,
    #[command(flatten)]
    places: Places,
    #[command(subcommand)]
    role: Option<Role>,
}

/// One end of our own pair, as the side-by-side run starts it.
#[derive(Debug, Clone, Copy, clap::Subcommand)]
enum Role {
    /// Listens on PORT, and receives COUNT messages with CREDIT at once.
    Recv { port: u16, count: u64, credit: u32 },
    /// Connects to PORT, and sends COUNT messages of SIZE bytes, as the receiver gives credit.
    Send { port: u16, count: u64, size: usize, credit: Option<u32> },
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match arguments.role {
        Some(Role::Recv { port, count, credit }) => {
            return series::run_end(async || postroad::receive(port, count, credit).await);
        }
        Some(Role::Send { port, count, size, credit: _ }) => {
            return series::run_end(async || postroad::send(port, count, size).await);
        }
        None => {}
    }
    let known: &[&str] = if arguments.broker { &brokers::NAMES } else { &peers::NAMES };
    let mut named = arguments.only.iter().chain(&arguments.base);
    if let Some(unknown) = named.find(|name| !known.contains(&name.as_str())) {
        eprintln!("there is no {unknown}; there are {}", known.join(", "));
        return ExitCode::from(2);
    }
    let names =
        known.iter().filter(|name| arguments.only.is_empty() || arguments.only.iter().any(|only| only == *name));
    let names: Vec<&str> = names.copied().collect();
    let mut courses =
        if arguments.broker { through(&names, &arguments.places) } else { direct(&names, arguments.mixed) };
    let base = arguments.base.map(|base| if arguments.broker { base } else { format!("{base} -> {base}") });
    let base = base.or_else(|| courses.first().map(Course::name)).unwrap_or_default();
    arguments.series.compare(&mut courses, &base)
}

fn found<T>(result: Option<Result<T, Skipped>>) -> Option<T> {
    result?.inspect_err(|skipped| eprintln!("{skipped}")).ok()
}

/// Every peer against itself and, `mixed`, ours with each other one in both directions.
fn direct(names: &[&str], mixed: bool) -> Vec<Course> {
    let peers: Vec<Peer> = names.iter().filter_map(|name| found(Peer::find(name))).collect();
    let course = |sender: &Peer, receiver: &Peer| Course::Direct { sender: sender.clone(), receiver: receiver.clone() };
    let mut courses: Vec<Course> = peers.iter().map(|peer| course(peer, peer)).collect();
    let ours = peers.iter().find(|peer| peer.name == "postroad").filter(|_| mixed);
    for other in peers.iter().filter(|peer| peer.name != "postroad") {
        courses.extend(ours.iter().flat_map(|ours| [course(ours, other), course(other, ours)]));
    }
    courses
}

/// Every broker, each with the same clients.
fn through(names: &[&str], places: &Places) -> Vec<Course> {
    let Some(client) = found(Some(peers::proton_c())) else { return Vec::new() };
    let brokers = names.iter().filter_map(|name| found(Broker::start(name, places)));
    brokers.map(|broker| Course::Through { broker, client: client.clone() }).collect()
}

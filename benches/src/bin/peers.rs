//! Our peer beside other people's, peer to peer on loopback, interleaved in one run.

use std::process::ExitCode;
use std::time::Duration;

use benches::peers::{self, Load, Peer, Skipped};
use benches::postroad;
use benches::table::{self, Row, Sample};
use clap::Parser;

/// Runs pairs of AMQP 1.0 peers side by side and prints rate and CPU time a message.
#[derive(Debug, Parser)]
struct Arguments {
    /// Repetitions; every pair runs once in each.
    #[arg(long, default_value_t = 5)]
    reps: usize,
    /// Messages a run.
    #[arg(long, default_value_t = 300_000)]
    count: u64,
    /// Bytes of body, separated by commas.
    #[arg(long, value_delimiter = ',', default_value = "100,1024")]
    sizes: Vec<usize>,
    /// The most messages on the way.
    #[arg(long, default_value_t = 500)]
    credit: u32,
    /// Seconds after which a run has failed.
    #[arg(long, default_value_t = 60)]
    limit: u64,
    /// Print every sample as a line of JSON as well.
    #[arg(long)]
    json: bool,
    #[command(subcommand)]
    role: Option<Role>,
}

/// One end of our own pair, as the side-by-side run starts it.
#[derive(Debug, Clone, Copy, clap::Subcommand)]
enum Role {
    /// Listens on PORT, and receives COUNT messages with CREDIT at once.
    Recv { port: u16, count: u64, credit: u32 },
    /// Connects to PORT, and sends COUNT messages of SIZE bytes.
    Send { port: u16, count: u64, size: usize },
}

/// Runs one end on one thread, as the other peers do.
fn run_role(role: Role) -> ExitCode {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let report = runtime.map_err(Into::into).and_then(|runtime| match role {
        Role::Recv { port, count, credit } => runtime.block_on(postroad::receive(port, count, credit)),
        Role::Send { port, count, size } => runtime.block_on(postroad::send(port, count, size)),
    });
    match report {
        Ok(report) => {
            println!("{}", serde_json::json!(report));
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// The pair that the ratios are against.
const BASE: &str = "proton-c -> proton-c";

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if let Some(role) = arguments.role {
        return run_role(role);
    }
    let pairs = pairs();
    let mut rows: Vec<Row> = Vec::new();
    for &size in &arguments.sizes {
        for (sender, receiver) in &pairs {
            rows.push(Row { pair: format!("{} -> {}", sender.name, receiver.name), size, samples: Vec::new() });
        }
    }
    let mut failed = false;
    for repetition in 0..arguments.reps {
        for (row, index) in rows.iter_mut().zip((0..pairs.len()).cycle()) {
            let (sender, receiver) = &pairs[index];
            let load = Load { count: arguments.count, size: row.size, credit: arguments.credit };
            let sample = match peers::run(sender, receiver, load, Duration::from_secs(arguments.limit)) {
                Ok((send, recv)) => {
                    if arguments.json {
                        let line = serde_json::json!({
                            "repetition": repetition, "pair": row.pair, "size": row.size, "send": send, "recv": recv,
                        });
                        println!("{line}");
                    }
                    Some(Sample::new(&send, &recv))
                }
                Err(error) => {
                    eprintln!("failed: {}, {} bytes: {error}", row.pair, row.size);
                    failed = true;
                    None
                }
            };
            row.samples.push(sample);
        }
    }
    let mut text = String::new();
    table::write(&mut text, &rows, BASE).expect("a string takes all");
    println!(
        "medians of {} interleaved runs of {} messages, credit {}; base: {BASE}\n{text}",
        arguments.reps, arguments.count, arguments.credit
    );
    if failed || rows.is_empty() { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

/// Every peer against itself, and ours in both directions with each other.
fn pairs() -> Vec<(Peer, Peer)> {
    let found = |peer: Result<Peer, Skipped>| peer.inspect_err(|skipped| eprintln!("{skipped}")).ok();
    let ours = found(peers::postroad());
    let others: Vec<Peer> = [peers::proton_c()].into_iter().filter_map(found).collect();
    let mut pairs: Vec<(Peer, Peer)> = others.iter().map(|peer| (peer.clone(), peer.clone())).collect();
    if let Some(ours) = ours {
        pairs.push((ours.clone(), ours.clone()));
        for other in &others {
            pairs.push((ours.clone(), other.clone()));
            pairs.push((other.clone(), ours.clone()));
        }
    }
    pairs
}

//! A broker as a process of its own, which tells what it takes of the machine.
//!
//! Its standard output is a line of JSON for each event: `listening` with its URLs and the number of descriptors that it may have,
//! then `stats` for each line of its standard input. It ends with that.

use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use postroad_broker::Broker;
use postroad_tests::meter::{self, Counting};
use serde_json::json;
use tokio::io::{AsyncBufReadExt as _, BufReader, stdin};

#[global_allocator]
static ALLOCATOR: &Counting = meter::COUNTING;

/// A broker that tells what it takes of the machine.
#[derive(Debug, Parser)]
struct Arguments {
    /// A URL to listen on.
    #[arg(long)]
    listen: Vec<String>,
    /// A queue.
    #[arg(long)]
    queue: Vec<String>,
    /// Connections at once.
    #[arg(long)]
    connections: usize,
}

#[tokio::main(worker_threads = 2)]
async fn main() -> ExitCode {
    let arguments: Arguments = match postroad_tests::arguments() {
        Ok(arguments) => arguments,
        Err(code) => return code,
    };
    let descriptors = meter::raise_descriptor_limit();
    let mut builder = Broker::builder()
        .with_limits(|limits| limits.connections = arguments.connections)
        // Everybody comes at once, on a machine that may be busy.
        .handshake_timeout(Duration::from_secs(120));
    for queue in &arguments.queue {
        builder = builder.queue(queue);
    }
    for url in &arguments.listen {
        builder = builder.listen(url);
    }
    let broker = match builder.start().await {
        Ok(broker) => broker,
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::FAILURE;
        }
    };
    println!("{}", json!({"event": "listening", "urls": broker.urls(), "descriptors": descriptors}));
    let mut lines = BufReader::new(stdin()).lines();
    while let Ok(Some(_)) = lines.next_line().await {
        let ready = |name: &String| broker.queue_stats(name).map_or(0, |stats| stats.ready);
        let ready: usize = arguments.queue.iter().map(ready).sum();
        let stats = json!({
            "event": "stats",
            "connections": broker.connections(),
            "ready": ready,
            "live": meter::live_bytes(),
            "resident": meter::resident_bytes(),
        });
        println!("{stats}");
    }
    ExitCode::SUCCESS
}

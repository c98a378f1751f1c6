//! Our peer beside other people's on loopback, interleaved in one run: peer to peer, or through brokers.

use std::process::ExitCode;
use std::time::Duration;

use benches::brokers::{self, Broker, Places};
use benches::peers::{self, Peer, Skipped};
use benches::postroad;
use benches::run::{Course, Load};
use benches::table::{self, Format, Row};
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
    /// Repetitions; everything runs once in each.
    #[arg(long, default_value_t = 5)]
    reps: usize,
    /// Bytes of body, separated by commas.
    #[arg(long, value_delimiter = ',', default_value = "100,1024,65536")]
    sizes: Vec<usize>,
    /// Seconds that a run is to take; how many messages that makes is found first.
    #[arg(long, default_value_t = 1.0)]
    seconds: f64,
    /// Messages a run, instead of a time.
    #[arg(long, conflicts_with = "seconds")]
    count: Option<u64>,
    /// The most messages on the way.
    #[arg(long, default_value_t = 500)]
    credit: u32,
    /// Seconds after which a run has failed.
    #[arg(long, default_value_t = 60)]
    limit: u64,
    /// How the result is written.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
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

/// Runs one end on one thread, as the other peers do.
fn run_role(role: Role) -> ExitCode {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let report = runtime.map_err(Into::into).and_then(|runtime| match role {
        Role::Recv { port, count, credit } => runtime.block_on(postroad::receive(port, count, credit)),
        Role::Send { port, count, size, credit: _ } => runtime.block_on(postroad::send(port, count, size)),
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

/// What runs at one size, and how many messages; the table's row of it.
struct Entry {
    course: usize,
    count: Option<u64>,
    row: Row,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if let Some(role) = arguments.role {
        return run_role(role);
    }
    let known: &[&str] = if arguments.broker { &brokers::NAMES } else { &peers::NAMES };
    if let Some(unknown) = arguments.only.iter().find(|name| !known.contains(&name.as_str())) {
        eprintln!("there is no {unknown}; there are {}", known.join(", "));
        return ExitCode::from(2);
    }
    let names =
        known.iter().filter(|name| arguments.only.is_empty() || arguments.only.iter().any(|only| only == *name));
    let names: Vec<&str> = names.copied().collect();
    let mut courses =
        if arguments.broker { through(&names, &arguments.places) } else { direct(&names, arguments.mixed) };
    let mut entries: Vec<Entry> = Vec::new();
    for &size in &arguments.sizes {
        entries.extend(courses.iter().enumerate().map(|(course, named)| Entry {
            course,
            count: arguments.count,
            row: Row { name: named.name(), size, samples: Vec::new() },
        }));
    }
    let failed = run(&arguments, &mut courses, &mut entries);
    if arguments.format != Format::Json {
        let base = arguments.base.clone().map(|base| if arguments.broker { base } else { format!("{base} -> {base}") });
        let base = base.or_else(|| courses.first().map(Course::name)).unwrap_or_default();
        let rows: Vec<Row> = entries.into_iter().map(|entry| entry.row).collect();
        let mut text = String::new();
        table::write(&mut text, arguments.format, &rows, &base).expect("a string takes all");
        let (reps, credit) = (arguments.reps, arguments.credit);
        println!(
            "medians of {reps} interleaved runs, ratios with their least and most; credit {credit}; base: {base}\n\n{text}"
        );
    }
    if failed || courses.is_empty() { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

/// Runs everything once in each repetition, and answers whether anything failed.
fn run(arguments: &Arguments, courses: &mut [Course], entries: &mut [Entry]) -> bool {
    let limit = Duration::from_secs(arguments.limit);
    let time = Duration::try_from_secs_f64(arguments.seconds).unwrap_or(limit).min(limit / 4);
    let mut failed = false;
    for repetition in 0..arguments.reps {
        for Entry { course, count, row } in entries.iter_mut() {
            let course = &mut courses[*course];
            let load = |count| Load { count, size: row.size, credit: arguments.credit };
            let found = count.map_or_else(|| course.count_for(time, load(0), limit), Ok);
            let sample = found.and_then(|found| course.run(load(*count.insert(found)), limit));
            let sample = sample
                .inspect_err(|error| {
                    eprintln!("failed: {}, {} bytes: {error}", row.name, row.size);
                    failed = true;
                })
                .ok();
            if let (Some(sample), Format::Json) = (sample, arguments.format) {
                let line = serde_json::json!({
                    "repetition": repetition, "name": row.name, "size": row.size, "count": count, "sample": sample,
                });
                println!("{line}");
            }
            row.samples.push(sample);
        }
    }
    failed
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

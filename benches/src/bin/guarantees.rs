//! What each guarantee costs our client, through the embedded broker, interleaved in one run.

use std::error::Error;
use std::process::ExitCode;
use std::time::Duration;

use benches::guarantees::{self, ALL, BASE, Embedded, Terms};
use benches::measure::Report;
use benches::peers;
use benches::run::{Course, Load};
use benches::table::{self, Format, Row};
use clap::Parser;

/// Sends and receives on the terms of each guarantee, and prints rate and CPU time a message of both clients.
#[derive(Debug, Parser)]
struct Arguments {
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
    /// The most messages on the way to the receiver.
    #[arg(long, default_value_t = 500)]
    credit: u32,
    /// The most messages in the broker's queue.
    #[arg(long, default_value_t = 1000)]
    queue: usize,
    /// Seconds after which a run has failed.
    #[arg(long, default_value_t = 60)]
    limit: u64,
    /// How the result is written.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
    #[command(subcommand)]
    role: Option<Role>,
}

/// One end, as the run starts it.
#[derive(Debug, clap::Subcommand)]
enum Role {
    /// Receives COUNT messages of ADDRESS from the broker at PORT, with CREDIT at once.
    Recv { terms: String, port: u16, count: u64, credit: u32, address: String },
    /// Sends COUNT messages of SIZE bytes to ADDRESS of the broker at PORT.
    Send { terms: String, port: u16, count: u64, size: usize, address: String },
}

fn run_role(role: Role) -> Result<Report, Box<dyn Error>> {
    let terms = |name: &str| Terms::find(name).ok_or_else(|| format!("there are no terms {name}"));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    match role {
        Role::Recv { terms: name, port, count, credit, address } => {
            runtime.block_on(guarantees::receive(terms(&name)?, port, count, credit, &address))
        }
        Role::Send { terms: name, port, count, size, address } => {
            runtime.block_on(guarantees::send(terms(&name)?, port, count, size, &address))
        }
    }
}

fn main() -> ExitCode {
    let mut arguments = Arguments::parse();
    let result = match arguments.role.take() {
        Some(role) => run_role(role).map(|report| {
            println!("{}", serde_json::json!(report));
            ExitCode::SUCCESS
        }),
        None => compare(&arguments),
    };
    result.unwrap_or_else(|error| {
        eprintln!("{error}");
        ExitCode::FAILURE
    })
}

fn compare(arguments: &Arguments) -> Result<ExitCode, Box<dyn Error>> {
    let broker = Embedded::start(arguments.queue)?;
    let client = peers::postroad()?;
    let course =
        |terms: Terms| Course::Guaranteed { terms: terms.name, client: client.clone(), port: broker.port, runs: 0 };
    let mut courses = ALL.map(course);
    let limit = Duration::from_secs(arguments.limit);
    let time = Duration::try_from_secs_f64(arguments.seconds).unwrap_or(limit).min(limit / 4);
    let mut rows: Vec<Row> = Vec::new();
    let mut failed = false;
    for &size in &arguments.sizes {
        rows.extend(courses.iter().map(|course| Row { name: course.name(), size, samples: Vec::new() }));
    }
    let mut counts: Vec<Option<u64>> = vec![arguments.count; rows.len()];
    for repetition in 0..arguments.reps {
        for (index, (row, count)) in rows.iter_mut().zip(&mut counts).enumerate() {
            let course = &mut courses[index % ALL.len()];
            let load = |count| Load { count, size: row.size, credit: arguments.credit };
            let found = count.map_or_else(|| course.count_for(time, load(0), limit), Ok);
            let sample = found.and_then(|found| course.run(load(*count.insert(found)), limit));
            if let Err(error) = &sample {
                eprintln!("failed: {}, {} bytes: {error}", row.name, row.size);
                failed = true;
            }
            if let (Ok(sample), Format::Json) = (&sample, arguments.format) {
                let line = serde_json::json!({
                    "repetition": repetition, "name": row.name, "size": row.size, "count": count, "sample": sample,
                });
                println!("{line}");
            }
            row.samples.push(sample.ok());
        }
    }
    if arguments.format != Format::Json {
        let mut text = String::new();
        table::write(&mut text, arguments.format, &rows, BASE)?;
        let (reps, credit) = (arguments.reps, arguments.credit);
        println!(
            "medians of {reps} interleaved runs, ratios with their least and most; credit {credit}; base: {BASE}\n\n{text}"
        );
    }
    Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

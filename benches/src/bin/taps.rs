//! Transport services beside the bare transports under them, interleaved in one run.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use benches::measure::cpu_time;
use benches::taps::{Certificates, Error, Lane, median, one_way, there_and_back};
use clap::Parser;
use clap::builder::RangedU64ValueParser;
use postroad_taps::{Batch, LengthPrefix, LocalEndpoint, Preconnection, Protocol, RemoteEndpoint, Security};
use tokio::net::TcpStream;

/// Prints what a connection of transport services costs over the bare transport: ratios of CPU time a message and of
/// the median time there and back, each pair within one round.
#[derive(Debug, Parser)]
struct Arguments {
    /// Rounds; everything runs once in each.
    #[arg(long, default_value_t = 7, value_parser = RangedU64ValueParser::<usize>::new().range(1..))]
    rounds: usize,
    /// Bytes of a message, separated by commas.
    #[arg(long, value_delimiter = ',', default_value = "100,1024,65536")]
    sizes: Vec<usize>,
    /// Which transports, `batch` or `initiate`, separated by commas; all unless given.
    #[arg(long, value_delimiter = ',', value_parser = part)]
    only: Vec<String>,
    /// Bytes that a round carries at most, in mebibytes; messages are 20 000 at most.
    #[arg(long, default_value_t = 64, value_parser = RangedU64ValueParser::<usize>::new().range(1..=65_536))]
    mebibytes: usize,
}

/// One of the things that can be run alone.
fn part(name: &str) -> Result<String, String> {
    let known = Lane::ALL.map(Lane::name).into_iter().chain([BATCH, INITIATE]);
    let there_are = || format!("there are {}", known.clone().collect::<Vec<_>>().join(", "));
    if known.clone().any(|one| one == name) { Ok(name.to_owned()) } else { Err(there_are()) }
}

const BATCH: &str = "batch";
const INITIATE: &str = "initiate";

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let run = runtime.map_err(Error::from).and_then(|runtime| runtime.block_on(run(&arguments)));
    match run {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("failed: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(arguments: &Arguments) -> Result<(), Error> {
    let certificates = Certificates::new()?;
    println!(
        "{:<14} {:>7} {:>10} {:>22} {:>22}",
        "transport", "bytes", "bare us", "cpu, ours / bare", "p50, ours / bare"
    );
    let chosen = |name: &str| arguments.only.is_empty() || arguments.only.iter().any(|only| only == name);
    for lane in Lane::ALL {
        for &size in arguments.sizes.iter().filter(|_| chosen(lane.name())) {
            let size = size.min(lane.longest());
            let count = u32::try_from((arguments.mebibytes * 1024 * 1024 / size.max(1)).clamp(200, 20_000))?;
            let (mut cpu, mut p50, mut base) = (Vec::new(), Vec::new(), Vec::new());
            for _ in 0..arguments.rounds {
                // A pair of sockets stays for its life in the state that the system has brought it into, so each round has
                // pairs of its own.
                let (ours, bare) = (lane.ours(&certificates).await?, lane.bare(&certificates).await?);
                let (ours, _) = one_way(ours, size, count / 10).await?;
                let (bare, _) = one_way(bare, size, count / 10).await?;
                let (ours, ours_cost) = one_way(ours, size, count).await?;
                let (bare, bare_cost) = one_way(bare, size, count).await?;
                let (_, ours_time) = there_and_back(ours, size, 500).await?;
                let (_, bare_time) = there_and_back(bare, size, 500).await?;
                cpu.push(ours_cost.cpu.as_secs_f64() / bare_cost.cpu.as_secs_f64());
                p50.push(ours_time.as_secs_f64() / bare_time.as_secs_f64());
                base.push(bare_cost.cpu.as_secs_f64() * 1e6);
            }
            let base = median(base)[0];
            println!("{:<14} {size:>7} {base:>10.2} {:>22} {:>22}", lane.name(), shown(cpu), shown(p50));
        }
    }
    if chosen(BATCH) {
        println!("batch of 64 x 100 B over tcp, rate to one by one: {}", shown(batch(arguments.rounds).await?));
    }
    if chosen(INITIATE) {
        println!("initiate over connect, tcp, CPU:                  {}", shown(initiate(arguments.rounds).await?));
    }
    Ok(())
}

fn shown(ratios: Vec<f64>) -> String {
    let [middle, least, most] = median(ratios);
    format!("{middle:.2} ({least:.2}..{most:.2})")
}

/// How many times faster messages leave in batches of 64.
async fn batch(rounds: usize) -> Result<Vec<f64>, Error> {
    const MESSAGES: usize = 12_800;
    let framed = Preconnection::new().security(Security::Disabled).framer(LengthPrefix::new);
    let local = LocalEndpoint::address([127, 0, 0, 1]).protocol(Protocol::Tcp);
    let listener = framed.clone().local(local).listen().await?;
    let remote = RemoteEndpoint::from(listener.local_endpoint()).protocol(Protocol::Tcp);
    let client = framed.remote(remote);
    let (client, server) = tokio::join!(async { client.initiate().await }, listener.accept());
    let (client, server) = (client?, server?.ok_or("the listener was stopped")?);
    let body = bytes::Bytes::from(vec![7; 100]);
    let mut ratios = Vec::new();
    for round in 0..=rounds {
        let receive = async || {
            for _ in 0..MESSAGES {
                server.receive().await?;
            }
            Ok::<_, Error>(())
        };
        let single = async {
            let begin = Instant::now();
            for _ in 0..MESSAGES {
                client.send(body.clone()).await?;
            }
            Ok::<Duration, Error>(begin.elapsed())
        };
        let (single, ()) = tokio::try_join!(single, receive())?;
        let batched = async {
            let begin = Instant::now();
            for _ in 0..MESSAGES / 64 {
                let fill = |batch: &mut Batch| (0..64).for_each(|_| batch.send(body.clone()));
                client.batch(fill).await?;
            }
            Ok::<Duration, Error>(begin.elapsed())
        };
        let (batched, ()) = tokio::try_join!(batched, receive())?;
        if round > 0 {
            ratios.push(single.as_secs_f64() / batched.as_secs_f64());
        }
    }
    Ok(ratios)
}

/// What opening a connection costs over a plain `connect`.
async fn initiate(rounds: usize) -> Result<Vec<f64>, Error> {
    const CONNECTIONS: usize = 300;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let remote = RemoteEndpoint::from(address).protocol(Protocol::Tcp);
    let clear = Preconnection::new().security(Security::Disabled).remote(remote);
    let mut ratios = Vec::new();
    for round in 0..=rounds {
        let begin = cpu_time();
        for _ in 0..CONNECTIONS {
            let (connection, accepted) = tokio::join!(async { clear.initiate().await }, listener.accept());
            drop((connection?, accepted?));
        }
        let ours = cpu_time().saturating_sub(begin);
        let begin = cpu_time();
        for _ in 0..CONNECTIONS {
            let (connection, accepted) = tokio::join!(TcpStream::connect(address), listener.accept());
            drop((connection?, accepted?));
        }
        let bare = cpu_time().saturating_sub(begin);
        if round > 0 {
            ratios.push(ours.as_secs_f64() / bare.as_secs_f64());
        }
    }
    Ok(ratios)
}

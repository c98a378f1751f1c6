//! MSRP beside a plain tokio reader and writer of the same frames, interleaved in one run.

use std::hint::black_box;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use benches::measure::cpu_time;
use benches::taps::{Error, median};
use bytes::Bytes;
use clap::Parser as _;
use clap::builder::RangedU64ValueParser;
use postroad_msrp::connect::{DirectAcceptor, DirectConnector, Options};
use postroad_msrp::engine::Outgoing;
use postroad_msrp::session::{Incoming, OutgoingFile, ReceiveOptions, Session};
use postroad_msrp::{Event, Parser};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// Prints rates of messages, chunks and files between two ends in this process, and what they cost over a plain reader and
/// writer of the same octets.
#[derive(Debug, clap::Parser)]
struct Arguments {
    /// Rounds; everything runs once in each.
    #[arg(long, default_value_t = 7, value_parser = RangedU64ValueParser::<usize>::new().range(1..))]
    rounds: usize,
    /// Octets that a round carries at most, in mebibytes; messages are 100 000 at most.
    #[arg(long, default_value_t = 256, value_parser = RangedU64ValueParser::<usize>::new().range(1..=65_536))]
    mebibytes: usize,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    parse(arguments.rounds);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    match runtime.map_err(Error::from).and_then(|runtime| runtime.block_on(run(&arguments))) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("failed: {error}");
            ExitCode::FAILURE
        }
    }
}

/// What one way of carrying octets takes.
struct Cost {
    wall: Duration,
    cpu: Duration,
}

async fn measured<T>(what: impl Future<Output = Result<T, Error>>) -> Result<Cost, Error> {
    let (begin, cpu) = (Instant::now(), cpu_time());
    what.await?;
    Ok(Cost { wall: begin.elapsed(), cpu: cpu_time() - cpu })
}

async fn run(arguments: &Arguments) -> Result<(), Error> {
    println!(
        "{:<26} {:>22} {:>12} {:>22} {:>22}",
        "", "messages a second", "MB a second", "rate, ours / bare", "cpu, ours / bare"
    );
    for size in [100, 2048, 65_536] {
        let count = (arguments.mebibytes * 1024 * 1024 / size).clamp(100, 100_000);
        let mut rounds = Rounds::default();
        for _ in 0..arguments.rounds {
            let ours = messages(size, count).await?;
            let bare = bare(&frame(size), count).await?;
            rounds.add(&ours, &bare, count);
        }
        rounds.print(&format!("messages of {size} octets"), size);
    }
    let size = arguments.mebibytes * 1024 * 1024;
    let mut rounds = Rounds::default();
    for _ in 0..arguments.rounds {
        let ours = file(size).await?;
        let bare = bare(&vec![b'x'; 65_536], size / 65_536).await?;
        rounds.add(&ours, &bare, 1);
    }
    rounds.print(&format!("a file of {} MiB", arguments.mebibytes), size);
    Ok(())
}

#[derive(Default)]
struct Rounds {
    rate: Vec<f64>,
    wall: Vec<f64>,
    cpu: Vec<f64>,
}

impl Rounds {
    fn add(&mut self, ours: &Cost, bare: &Cost, count: usize) {
        self.rate.push(count as f64 / ours.wall.as_secs_f64());
        self.wall.push(bare.wall.as_secs_f64() / ours.wall.as_secs_f64());
        self.cpu.push(ours.cpu.as_secs_f64() / bare.cpu.as_secs_f64());
    }

    fn print(self, name: &str, size: usize) {
        let [rate, least, most] = median(self.rate);
        let shown = |ratios: Vec<f64>| {
            let [middle, least, most] = median(ratios);
            format!("{middle:.2} ({least:.2}..{most:.2})")
        };
        let rates = format!("{rate:.0} ({least:.0}..{most:.0})");
        let megabytes = rate * size as f64 / 1e6;
        println!("{name:<26} {rates:>22} {megabytes:>12.0} {:>22} {:>22}", shown(self.wall), shown(self.cpu));
    }
}

/// A frame as the engine sends it.
fn frame(size: usize) -> Vec<u8> {
    let mut frame = format!(
        "MSRP BxKw4mEN7rQh0aPqz SEND\r\nTo-Path: msrp://127.0.0.1:45678/abcdefghijklmnopqrstuvwx;tcp\r\n\
         From-Path: msrp://127.0.0.1:2855/abcdefghijklmnopqrstuvwx;tcp\r\nMessage-ID: CxKw4mEN7rQh0aPqz\r\n\
         Byte-Range: 1-{size}/{size}\r\nContent-Type: text/plain\r\n\r\n"
    )
    .into_bytes();
    frame.resize(frame.len() + size, b'x');
    frame.extend_from_slice(b"\r\n-------BxKw4mEN7rQh0aPqz$\r\n");
    frame
}

async fn sessions() -> Result<(Session, Session), Error> {
    let (acceptor, connector) = (DirectAcceptor::default(), DirectConnector::new(Options::default()));
    let expected = acceptor.prepare(None).await?;
    let (ours, theirs) = (connector.prepare(None)?, expected.path().clone());
    let (accepted, connected) = tokio::join!(expected.complete(ours.clone()), connector.complete(&ours, theirs));
    let mut receive = ReceiveOptions::default();
    receive.in_memory = 1 << 20;
    Ok((Session::new(connected?), Session::with(accepted?, receive)))
}

/// Messages one way, each of which is answered.
async fn messages(size: usize, count: usize) -> Result<Cost, Error> {
    let (alice, mut bob) = sessions().await?;
    let content = Bytes::from(vec![b'x'; size]);
    let sending = async move {
        let mut last = None;
        for _ in 0..count {
            last = Some(alice.send(Outgoing::new("text/plain", content.clone())).await?);
        }
        last.ok_or("there is at least one")?.await?;
        Ok::<_, Error>(alice)
    };
    let receiving = async move {
        for _ in 0..count {
            let Incoming::Message(_) = bob.receive().await.map_err(|end| format!("{end:?}"))? else {
                return Err("only messages were sent".into());
            };
        }
        Ok::<_, Error>(bob)
    };
    measured(async {
        let (sending, receiving) = (tokio::spawn(sending), tokio::spawn(receiving));
        let (alice, bob) = (sending.await??, receiving.await??);
        drop((alice, bob));
        Ok(())
    })
    .await
}

/// A file that is thrown away part by part.
async fn file(size: usize) -> Result<Cost, Error> {
    let (alice, mut bob) = sessions().await?;
    let receiving = async move {
        let Incoming::File(mut file) = bob.receive().await.map_err(|end| format!("{end:?}"))? else {
            return Err("a file was sent".into());
        };
        while let Some(part) = file.next_part().await? {
            black_box(part);
        }
        Ok::<_, Error>(bob)
    };
    measured(async {
        let reader = tokio::io::repeat(b'x').take(size as u64);
        let transfer = alice.send_file(OutgoingFile::new(reader, "a/b")?.with_size(size as u64))?;
        let bob = tokio::spawn(receiving).await??;
        transfer.outcome().await?;
        drop(bob);
        Ok(())
    })
    .await
}

/// The same octets one way over a socket, and as many back as responses have.
async fn bare(frame: &[u8], count: usize) -> Result<Cost, Error> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let (one, other) = tokio::join!(TcpStream::connect(listener.local_addr()?), listener.accept());
    let (one, other) = (one?, other?.0);
    one.set_nodelay(true)?;
    other.set_nodelay(true)?;
    // What is written at once is what the engine writes at once.
    let together = (256 * 1024 / frame.len()).max(1);
    let block = frame.repeat(together);
    let response = [b'r'; 190];
    let (total, length) = (frame.len() * count, frame.len());
    let (mut answers, mut out) = one.into_split();
    let (mut input, mut back) = other.into_split();
    let sending = async move {
        let mut left = total;
        while left > 0 {
            let part = left.min(block.len());
            out.write_all(&block[..part]).await?;
            left -= part;
        }
        Ok::<_, Error>(out)
    };
    let reading = async move {
        let (mut read, mut answered, mut buffer) = (0, 0, vec![0; 256 * 1024]);
        while read < total {
            let got = input.read(&mut buffer).await?;
            black_box(&buffer[..got]);
            read += got;
            let whole = read / length - answered;
            answered += whole;
            back.write_all(&response.repeat(whole)).await?;
        }
        Ok::<_, Error>((input, back))
    };
    let hearing = async move {
        let (mut left, mut buffer) = (190 * count, vec![0; 64 * 1024]);
        while left > 0 {
            left -= answers.read(&mut buffer).await?;
        }
        Ok::<_, Error>(answers)
    };
    measured(async {
        let tasks = (tokio::spawn(sending), tokio::spawn(reading), tokio::spawn(hearing));
        let ends = (tasks.0.await??, tasks.1.await??, tasks.2.await??);
        drop(ends);
        Ok(())
    })
    .await
}

/// What it takes to read frames, without a socket.
fn parse(rounds: usize) {
    for size in [100, 65_536] {
        let count = if size == 100 { 200_000 } else { 5_000 };
        let octets = Bytes::from(frame(size).repeat(64));
        let times: Vec<f64> = (0..rounds)
            .map(|_| {
                let (mut parser, begin) = (Parser::default(), cpu_time());
                let mut frames = 0;
                while frames < count {
                    parser.push(octets.clone());
                    while let Ok(Some(event)) = parser.next_event() {
                        frames += usize::from(matches!(event, Event::End(_)));
                        black_box(event);
                    }
                }
                (cpu_time() - begin).as_secs_f64() * 1e9 / frames as f64
            })
            .collect();
        let [middle, least, most] = median(times);
        let rate = size as f64 / middle;
        println!("parsing {size:>6} octets: {middle:.0} ns a frame ({least:.0}..{most:.0}), {rate:.1} GB/s of content");
    }
}

//! Messages over connections that are cut all the time: see `postroad_tests::chaos`.

use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use postroad_client::Guarantee;
use postroad_tests::chaos::{self, Doubts, Failure, Interface, Options, Report, Table, TransferReport};

/// Sends messages through an embedded broker while the connections of sender and receiver are cut, and counts what comes.
///
/// The cuts are spread over the messages: the sender waits where they are late, and nothing ends before there were as many.
/// They come in both directions, in the middle of frames too, during attach, transfer, disposition and resume; there are
/// delays, and times at which nobody is let in. At the end everything is settled and the queue emptied, without faults.
/// The last line is `sent N received N lost N repeated N cuts N`, by the numbers in the payloads.
///
/// Exit status: 0, the guarantee was kept; 1, it was broken; 2, the run did not come to its end; 64, usage.
#[derive(Debug, Parser)]
struct Arguments {
    /// Messages to send.
    #[arg(long, value_name = "N", default_value_t = 50_000, value_parser = clap::value_parser!(u64).range(1..=100_000_000))]
    messages: u64,
    /// Moves so many messages from one queue to another instead, each in a transaction. The last line is then `moved N lost
    /// N repeated N in-doubt N cuts N`, by where the messages are at the end.
    #[arg(long, value_name = "N", conflicts_with_all = ["messages", "guarantee"],
          value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    transactions: Option<u64>,
    /// Cuts to make, both ends together.
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u64).range(..=1_000_000))]
    cuts: u64,
    /// What is asked of the links.
    #[arg(long, value_name = "GUARANTEE", default_value = "at-least-once", value_parser = guarantee())]
    guarantee: Guarantee,
    /// Has a face at both ends, with its options, and not the client under it; with `container` there are no transactions.
    #[arg(long, value_name = "FACE", value_parser = face())]
    face: Option<Interface>,
    /// Fixes payloads and faults; how they fall together is up to the machine.
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// Seconds for which nothing may move.
    #[arg(long, value_name = "SECONDS", default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..))]
    patience: u64,
    /// Seconds for all of it; by default a minute, and 1 ms for each message and 100 ms for each cut.
    #[arg(long, value_name = "SECONDS")]
    limit: Option<u64>,
}

const GUARANTEES: [(&str, Guarantee); 3] = [
    ("at-most-once", Guarantee::AtMostOnce),
    ("at-least-once", Guarantee::AtLeastOnce),
    ("exactly-once", Guarantee::ExactlyOnce),
];

fn guarantee() -> impl TypedValueParser<Value = Guarantee> {
    let find = |name: String| GUARANTEES.iter().find(|(one, _)| *one == name).expect("it is one of these").1;
    PossibleValuesParser::new(GUARANTEES.map(|(name, _)| name)).map(find)
}

const FACES: [(&str, Interface); 2] = [("messaging", Interface::Messaging), ("container", Interface::Container)];

fn face() -> impl TypedValueParser<Value = Interface> {
    let find = |name: String| FACES.iter().find(|(one, _)| *one == name).expect("it is one of these").1;
    PossibleValuesParser::new(FACES.map(|(name, _)| name)).map(find)
}

fn main() -> ExitCode {
    let arguments = match postroad_tests::arguments() {
        Ok(arguments) => arguments,
        Err(code) => return code,
    };
    let Arguments { messages, transactions, cuts, guarantee, face, seed, patience, limit } = arguments;
    let messages = transactions.unwrap_or(messages);
    let usual = Duration::from_secs(60) + Duration::from_millis(messages + 100 * cuts);
    let (patience, limit) = (Duration::from_secs(patience), limit.map_or(usual, Duration::from_secs));
    let interface = face.unwrap_or(Interface::Client);
    if interface == Interface::Container && transactions.is_some() {
        eprintln!("chaos: with the face `container` there are no runs with transactions: leave one of the two out");
        return ExitCode::FAILURE;
    }
    let options = Options { messages, cuts, guarantee, interface, seed, patience, limit };
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return failed(&error.into()),
    };
    let shown = runtime.block_on(async {
        if transactions.is_some() {
            chaos::run_transfers(&options).await.map(|report| show_transfers(&report))
        } else {
            chaos::run(&options).await.map(|report| show(&report, options.guarantee))
        }
    });
    match shown {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(failure) => failed(&failure),
    }
}

/// Prints what a run has shown, and says whether the guarantee was kept.
fn show(report: &Report, guarantee: Guarantee) -> bool {
    println!("{}", Table(&report.blows));
    let breach = report.count.breach(guarantee);
    if let Some(breach) = &breach {
        tell_breach(breach, &report.odd_ones, report.count.foreign);
    }
    println!("{report}");
    breach.is_none()
}

/// The same of transactions.
fn show_transfers(report: &TransferReport) -> bool {
    println!("{}", Table(&report.blows));
    let Doubts { committed, rolled_back, .. } = report.doubts;
    println!(
        "commits in doubt: {committed} were committed, {rolled_back} were not; {} rolled back",
        report.rolled_back
    );
    let breach = report.breach();
    if let Some(breach) = &breach {
        tell_breach(breach, &report.odd_ones, report.count.foreign);
        println!("committed and undone: {:?}", report.undone);
    }
    println!("{report}");
    breach.is_none()
}

fn tell_breach(breach: &str, [lost, repeated]: &[Vec<u64>; 2], foreign: u64) {
    println!("broken by {breach}; first lost {lost:?}, first repeated {repeated:?}, {foreign} foreign");
}

fn failed(failure: &Failure) -> ExitCode {
    eprintln!("{failure}");
    ExitCode::from(2)
}

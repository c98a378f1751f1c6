//! `postroad demo`: messages through a broker, counted and timed.

use std::fmt::Write as _;
use std::time::Duration;

use postroad::address::{Address, BrokerUrl};
use postroad::broker::Broker;

use crate::args;
use crate::broker::not_started;
use crate::connect;
use crate::exit::{Exit, Failure};
use crate::failure::place;
use crate::load::{Ends, Load, MAX_COUNT, MAX_SIZE, MIN_SIZE, Measured, Shape};
use crate::numbers::{grouped, micros};
use crate::signals::Stop;
use crate::term::{OutputEnd, Talk, write_stdout};

/// Messages that have not come after so long a silence are lost.
const SILENCE: Duration = Duration::from_secs(10);

pub(crate) async fn run(args: args::Demo, talk: Talk) -> Result<Exit, Failure> {
    check(&args)?;
    let stop = Stop::listen()?;
    let (own, url) = match &args.broker {
        Some(url) => (None, connect::broker_url(url)?),
        None => {
            let broker = Broker::builder().listen("amqp://127.0.0.1:0").start().await;
            let broker = broker.map_err(|error| not_started(&error))?;
            let url = connect::broker_url(&broker.urls()[0])?;
            talk.say(1, || format!("broker listening on {url}"));
            (Some(broker), url)
        }
    };
    let measured = tokio::select! {
        measured = measure(&args, &url, &stop, talk) => measured?,
        () = stop.second() => return Ok(Exit::Interrupted),
    };
    // A broker of our own can tell whether every message was settled.
    let left = own.as_ref().and_then(|broker| {
        let name = Address::parse(&args.address).ok()?.name;
        let stats = broker.queue_stats(&name)?;
        Some((stats.ready + stats.unsettled) as u64)
    });
    let other = own.is_none().then(|| place(&url));
    if let Some(broker) = own {
        broker.shutdown(Duration::from_secs(1)).await;
    }
    let report = report(&args, other.as_deref(), &measured, left);
    match write_stdout(report.as_bytes()) {
        Ok(()) | Err(OutputEnd::ReaderGone) => {}
        Err(OutputEnd::Failed(failure)) => return Err(failure),
    }
    if stop.asked() {
        return Ok(Exit::Interrupted);
    }
    Ok(measured.exit(left.unwrap_or(0)))
}

fn check(args: &args::Demo) -> Result<(), Failure> {
    if !(1..=MAX_COUNT).contains(&args.count) {
        return Err(Failure::usage("--count", format!("from 1 to {MAX_COUNT}")));
    }
    if !(MIN_SIZE..=MAX_SIZE).contains(&args.size) {
        return Err(Failure::usage("--size", format!("from {MIN_SIZE} bytes, for number and time, to 64MiB")));
    }
    if !(1..=1_000_000).contains(&args.window) {
        return Err(Failure::usage("--window", "from 1 to 1m"));
    }
    Ok(())
}

async fn measure(args: &args::Demo, url: &BrokerUrl, stop: &Stop, talk: Talk) -> Result<Measured, Failure> {
    let load = Load {
        count: args.count,
        duration: None,
        size: args.size as usize,
        window: args.window,
        timeout: SILENCE,
        in_use: "name an empty one with --address",
    };
    let shape = Shape { senders: 1, receivers: 1, credit: u32::try_from(args.window).unwrap_or(u32::MAX) };
    let ends = Ends::through((&args.address, &args.address), url, shape, &args.connect, stop, talk).await?;
    load.run(ends, stop, talk).await
}

/// The text that the demo ends with; `other` is the broker where it is not the demo's own.
fn report(args: &args::Demo, other: Option<&str>, measured: &Measured, left: Option<u64>) -> String {
    let Measured { sent, received, duplicated, refused, elapsed, latency, .. } = measured;
    let rate = measured.rate().round() as u64;
    let broker = other.unwrap_or("a broker of its own");
    let mut text = String::new();
    let mut line = |name: &str, value: String| {
        let _ = writeln!(text, "{name:<12}{value}");
    };
    let percentile = |percent| micros(latency.value_at_quantile(percent / 100.0));
    line("messages", format!("{} of {} B through {:?} at {broker}", grouped(*sent), args.size, args.address));
    line("settled", format!("{} in {:.2} s", grouped(*received), elapsed.as_secs_f64()));
    line("rate", format!("{} messages/s", grouped(rate)));
    line("latency", format!("p50 {}, p99 {} (up to {} on their way)", percentile(50.0), percentile(99.0), args.window));
    line("lost", grouped(measured.lost()));
    line("duplicated", grouped(*duplicated));
    if *refused > 0 {
        line("refused", grouped(*refused));
    }
    if let Some(left) = left.filter(|left| *left > 0) {
        line("left over", grouped(left));
    }
    let me = program();
    let _ = write!(
        text,
        "\nThe same by hand, in two terminals:\n  \
           {me} broker\n  \
           {me} send 'demo; {{create: always}}' hello && {me} receive demo -c 1\n\
         Through another broker that speaks AMQP 1.0:\n  \
           {me} demo -b amqp://user@host:5672\n  \
           {me} send -b amqp://user@host:5672 demo hello\n\
         (the password comes from $POSTROAD_PASSWORD or --password-file)\n"
    );
    text
}

/// How this program was called, so that the commands can be copied.
fn program() -> String {
    let name = std::env::args().next().filter(|name| name.contains('/') && !name.contains(char::is_whitespace));
    name.unwrap_or_else(|| "postroad".to_owned())
}

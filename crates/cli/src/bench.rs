//! `postroad bench`: how fast messages go through a node, or from peer to peer.
//!
//! The JSON object has names that stay: `v`; what was asked for, as the options name it (`p2p`, `broker`, `address`,
//! `settle`, `size`, `credit`, `window`, `senders`, `receivers`); `sent`, `received`, `lost`, `duplicated`, `refused`,
//! `interrupted`; `seconds`, `messages_per_second`, `bytes_per_second`, `cpu_us_per_message` (null where the system
//! does not tell); and `latency_us` with `p50`, `p90`, `p99`, `p99_9`, `p99_99` and `max`.

use std::fmt::Write as _;

use hdrhistogram::Histogram;
use serde_json::{Value as Json, json};

use crate::args::{self, Output, Settle, Target};
use crate::connect::Place;
use crate::exit::{Exit, Failure};
use crate::failure::place;
use crate::load::{Ends, Load, MAX_COUNT, MAX_SIZE, MIN_SIZE, Measured, Shape};
use crate::numbers::{grouped, micros, throughput};
use crate::send::settled_as_sent;
use crate::signals::Stop;
use crate::term::{OutputEnd, Talk, write_stdout};

/// Messages where neither a count nor a time is given.
const COUNT: u64 = 1_000_000;
/// The most senders, and receivers: each has a connection.
const MAX_ENDS: u64 = 1000;
/// The most messages on their way at once.
const MAX_WINDOW: u64 = 1_000_000;
/// The percentiles that are told, with their names in JSON.
const PERCENTILES: [(&str, f64); 5] = [("p50", 50.0), ("p90", 90.0), ("p99", 99.0), ("p99_9", 99.9), ("p99_99", 99.99)];

pub(crate) async fn run(args: args::Bench, talk: Talk) -> Result<Exit, Failure> {
    check(&args)?;
    let node = node(&args)?;
    let stop = Stop::listen()?;
    let measured = tokio::select! {
        measured = measure(&args, node.as_ref(), &stop, talk) => measured?,
        () = stop.second() => return Ok(Exit::Interrupted),
    };
    let report = match args.output_format {
        Output::Text => text(&args, node.as_ref(), &measured),
        Output::Json => format!("{}\n", json(&args, node.as_ref(), &measured, stop.asked())),
    };
    match write_stdout(report.as_bytes()) {
        Ok(()) | Err(OutputEnd::ReaderGone) => {}
        Err(OutputEnd::Failed(failure)) => return Err(failure),
    }
    Ok(if stop.asked() { Exit::Interrupted } else { measured.exit(0) })
}

fn check(args: &args::Bench) -> Result<(), Failure> {
    let within = |name: &str, value: u64, least: u64, most: u64| {
        let fits = (least..=most).contains(&value);
        if fits { Ok(()) } else { Err(Failure::usage(name, format!("from {least} to {most}"))) }
    };
    within("--count", args.count.unwrap_or(COUNT), 1, MAX_COUNT)?;
    within("--size", args.size, MIN_SIZE, MAX_SIZE)?;
    within("--credit", args.credit, 1, MAX_WINDOW)?;
    within("--window", args.window, 1, MAX_WINDOW)?;
    within("--senders", args.senders, 1, MAX_ENDS)?;
    within("--receivers", args.receivers.unwrap_or(1), 1, MAX_ENDS)?;
    if args.duration.is_some_and(|time| time.is_zero()) {
        return Err(Failure::usage("--duration", "longer than nothing"));
    }
    if args.timeout.is_zero() {
        return Err(Failure::usage("--timeout", "longer than nothing"));
    }
    Ok(())
}

/// Broker and address; nothing from peer to peer.
fn node(args: &args::Bench) -> Result<Option<Place>, Failure> {
    let target = |address: &String| Target { broker: args.broker.clone(), address: address.clone() };
    args.address.as_ref().map(|address| Place::new(&target(address))).transpose()
}

fn shape(args: &args::Bench) -> Shape {
    let ends = |count: u64| usize::try_from(count).unwrap_or(usize::MAX);
    // From peer to peer each sender has a receiver.
    let receivers = if args.p2p { args.senders } else { args.receivers.unwrap_or(1) };
    let credit = u32::try_from(args.credit).unwrap_or(u32::MAX);
    Shape { senders: ends(args.senders), receivers: ends(receivers), credit }
}

async fn measure(args: &args::Bench, node: Option<&Place>, stop: &Stop, talk: Talk) -> Result<Measured, Failure> {
    let default = if args.duration.is_some() { MAX_COUNT } else { COUNT };
    let load = Load {
        count: args.count.unwrap_or(default),
        duration: args.duration,
        size: args.size as usize,
        window: args.window,
        timeout: args.timeout,
        in_use: "name an empty one, which nobody else receives from",
    };
    let address = node.map_or("bench", |node| &node.address);
    let address = match args.settle {
        Settle::Pre => settled_as_sent(address),
        Settle::AtLeast => address.to_owned(),
    };
    let ends = match node {
        Some(node) => Ends::through((&address, &address), &node.url, shape(args), &args.connect, stop, talk).await?,
        None => Ends::peer_to_peer(&address, shape(args), stop, talk).await?,
    };
    load.run(ends, stop, talk).await
}

fn settled(settle: Settle) -> &'static str {
    match settle {
        Settle::Pre => "pre",
        Settle::AtLeast => "at-least",
    }
}

/// Microseconds of processor time a message, of all threads of this process.
fn cpu(measured: &Measured) -> Option<f64> {
    let micros = measured.cpu?.as_secs_f64() * 1e6;
    (measured.received > 0).then(|| micros / measured.received as f64)
}

fn text(args: &args::Bench, node: Option<&Place>, measured: &Measured) -> String {
    let mut text = String::new();
    let mut line = |name: &str, value: String| {
        let _ = writeln!(text, "{name:<12}{value}");
    };
    let way = match node {
        Some(node) => format!("through {:?} at {}", node.address, place(&node.url)),
        None => "from peer to peer".to_owned(),
    };
    let Shape { senders, receivers, .. } = shape(args);
    line("messages", format!("{} of {} B {way}", grouped(measured.sent), args.size));
    line("ends", format!("senders {senders}, receivers {receivers}, settled {}", settled(args.settle)));
    line("received", format!("{} in {:.2} s", grouped(measured.received), measured.elapsed.as_secs_f64()));
    let rate = measured.rate();
    line("rate", format!("{} messages/s, {}", grouped(rate.round() as u64), throughput(rate * args.size as f64)));
    if let Some(cpu) = cpu(measured) {
        line("cpu", format!("{cpu:.2} us a message, all of this process"));
    }
    line("latency", format!("up to {} on their way, credit {}", grouped(args.window), grouped(args.credit)));
    for (name, percent) in PERCENTILES {
        line(&format!("  {}", name.replace('_', ".")), micros(quantile(&measured.latency, percent)));
    }
    line("  max", micros(measured.latency.max()));
    line("lost", grouped(measured.lost()));
    line("duplicated", grouped(measured.duplicated));
    if measured.refused > 0 {
        line("refused", grouped(measured.refused));
    }
    text
}

fn json(args: &args::Bench, node: Option<&Place>, measured: &Measured, interrupted: bool) -> Json {
    let Shape { senders, receivers, .. } = shape(args);
    let mut latency: serde_json::Map<String, Json> = PERCENTILES
        .iter()
        .map(|(name, percent)| ((*name).to_owned(), json!(quantile(&measured.latency, *percent))))
        .collect();
    latency.insert("max".to_owned(), json!(measured.latency.max()));
    json!({
        "v": 1,
        "p2p": node.is_none(),
        "broker": node.map(|node| place(&node.url)),
        "address": node.map(|node| &node.address),
        "settle": settled(args.settle),
        "size": args.size,
        "credit": args.credit,
        "window": args.window,
        "senders": senders,
        "receivers": receivers,
        "sent": measured.sent,
        "received": measured.received,
        "lost": measured.lost(),
        "duplicated": measured.duplicated,
        "refused": measured.refused,
        "interrupted": interrupted,
        "seconds": measured.elapsed.as_secs_f64(),
        "messages_per_second": measured.rate(),
        "bytes_per_second": measured.rate() * args.size as f64,
        "cpu_us_per_message": cpu(measured),
        "latency_us": latency,
    })
}

fn quantile(latency: &Histogram<u64>, percent: f64) -> u64 {
    latency.value_at_quantile(percent / 100.0)
}

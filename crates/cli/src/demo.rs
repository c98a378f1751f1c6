//! `postroad demo`: messages through a broker, counted and timed.

use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use indicatif::{ProgressBar, ProgressStyle};
use postroad::address::{Address, BrokerUrl};
use postroad::broker::Broker;
use postroad::messaging::{FetchError, Message, Receiver, Sender, SyncError};
use tokio::sync::Notify;

use crate::args;
use crate::broker::not_started;
use crate::connect;
use crate::exit::{Exit, Failure};
use crate::failure::{self, place};
use crate::signals::Stop;
use crate::term::{OutputEnd, Talk, write_stdout};

/// What each body begins with: run, number of the message, time of its sending; eight bytes each.
const STAMP: u64 = 24;
/// The most messages: each has a bit in memory.
const MAX_COUNT: u64 = 1_000_000_000;
/// The largest body, in bytes.
const MAX_SIZE: u64 = 64 * 1024 * 1024;
/// Messages that have not come after so long a silence are lost.
const SILENCE: Duration = Duration::from_secs(10);
/// How often the receiver looks whether the end has changed.
const GLANCE: Duration = Duration::from_millis(500);

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
    if !(STAMP..=MAX_SIZE).contains(&args.size) {
        return Err(Failure::usage("--size", format!("from {STAMP} bytes, for number and time, to 64MiB")));
    }
    if !(1..=1_000_000).contains(&args.window) {
        return Err(Failure::usage("--window", "from 1 to 1m"));
    }
    Ok(())
}

/// What came of a run.
struct Measured {
    sent: u64,
    received: u64,
    duplicated: u64,
    /// Messages that the broker did not accept.
    refused: u64,
    elapsed: Duration,
    /// In microseconds.
    latency: Histogram<u64>,
}

impl Measured {
    fn lost(&self) -> u64 {
        self.sent.saturating_sub(self.received)
    }

    /// How the demo ends, with so many messages left at the broker.
    fn exit(&self, left: u64) -> Exit {
        let complete = self.lost() == 0 && self.duplicated == 0 && self.refused == 0 && left == 0;
        if complete { Exit::Ok } else { Exit::Partial }
    }
}

/// What both ends of a run share.
struct Run {
    id: u64,
    start: Instant,
    size: usize,
    window: u64,
    /// The messages that there will be; fewer once somebody asks to finish.
    goal: AtomicU64,
    /// Messages that were received, not counting those that came again.
    received: AtomicU64,
    /// Tells the sender that there is room in the window.
    room: Notify,
}

async fn measure(args: &args::Demo, url: &BrokerUrl, stop: &Stop, talk: Talk) -> Result<Measured, Failure> {
    // Two connections, as two programs would have.
    let sending = connect::open(url, &args.connect, stop, talk).await?;
    let receiving = connect::open(url, &args.connect, stop, talk).await?;
    let session = |error| failure::session(&error);
    let link = |error| failure::link(format!("cannot use {}", args.address), &error);
    let sender = sending.session().await.map_err(session)?.sender(&args.address).await.map_err(link)?;
    let mut receiver = receiving.session().await.map_err(session)?.receiver(&args.address).await.map_err(link)?;
    receiver.set_capacity(u32::try_from(args.window).unwrap_or(u32::MAX));

    let mut id = [0; 8];
    getrandom::fill(&mut id).map_err(|error| Failure::new(Exit::Unavailable, "no random numbers", error))?;
    let run = Arc::new(Run {
        id: u64::from_be_bytes(id),
        start: Instant::now(),
        size: args.size as usize,
        window: args.window,
        goal: AtomicU64::new(args.count),
        received: AtomicU64::new(0),
        room: Notify::new(),
    });
    let bar = talk.bar().then(|| tokio::spawn(show(Arc::clone(&run), args.count)));
    let sent = tokio::spawn(send_all(Arc::clone(&run), sender, args.count, stop.clone()));
    let received = tokio::spawn(receive_all(Arc::clone(&run), receiver));
    let (sent_abort, received_abort) = (sent.abort_handle(), received.abort_handle());
    let ended = |error: tokio::task::JoinError| Failure::new(Exit::Unavailable, "the demo broke off", error);
    let both = async {
        // The first that fails ends the other, which would wait in vain.
        let received = async {
            let result = received.await.map_err(ended).and_then(|result| result);
            if result.is_err() {
                sent_abort.abort();
            }
            result
        };
        let sent = async {
            match sent.await {
                Err(error) if error.is_cancelled() => Ok(None),
                Err(error) => Err(ended(error)),
                Ok(Ok(sent)) => Ok(Some(sent)),
                Ok(Err(failure)) => {
                    received_abort.abort();
                    Err(failure)
                }
            }
        };
        tokio::join!(sent, received)
    };
    let (sent, received) = both.await;
    let elapsed = run.start.elapsed();
    if let Some(bar) = bar {
        bar.abort();
        let _ = bar.await;
    }
    let sent = sent?;
    let received = received?;
    let (sent, refused) = sent.unwrap_or_default();
    for connection in [sending, receiving] {
        if let Err(error) = connection.close().await {
            talk.say(1, || format!("a connection did not close in order: {error}"));
        }
    }
    Ok(Measured {
        sent,
        refused,
        received: received.seen.count,
        duplicated: received.duplicated,
        elapsed,
        latency: received.latency,
    })
}

/// Sends every message; gives how many, and how many the broker refused.
async fn send_all(run: Arc<Run>, sender: Sender, count: u64, stop: Stop) -> Result<(u64, u64), Failure> {
    let lost = |error: &dyn std::fmt::Display| Failure::new(Exit::Temporary, "cannot send any more", error);
    let mut sent = 0;
    while sent < count && !stop.asked() {
        while sent - run.received.load(Ordering::Acquire) >= run.window && !stop.asked() {
            tokio::select! {
                () = run.room.notified() => {}
                () = stop.first() => {}
            }
        }
        let mut body = Vec::with_capacity(run.size);
        body.extend_from_slice(&run.id.to_be_bytes());
        body.extend_from_slice(&sent.to_be_bytes());
        body.extend_from_slice(&(run.start.elapsed().as_nanos() as u64).to_be_bytes());
        body.resize(run.size, b'x');
        sender.send_async(Message::from(body)).await.map_err(|error| lost(&error))?;
        sent += 1;
    }
    run.goal.store(sent, Ordering::Release);
    match sender.sync().await {
        Ok(()) => Ok((sent, 0)),
        Err(SyncError::NotAccepted { count, .. }) => Ok((sent, count as u64)),
        Err(error) => Err(lost(&error)),
    }
}

/// What the receiver has counted.
struct Received {
    seen: Seen,
    duplicated: u64,
    latency: Histogram<u64>,
}

/// Receives and settles every message until all are here, or nothing comes any more.
async fn receive_all(run: Arc<Run>, mut receiver: Receiver) -> Result<Received, Failure> {
    let mut received = Received {
        seen: Seen::default(),
        duplicated: 0,
        // From a microsecond to an hour, to three digits; what takes longer counts as an hour.
        latency: Histogram::new_with_bounds(1, 3_600_000_000, 3).expect("constant bounds are right"),
    };
    // Often enough that a full window never waits, and seldom enough to cost nothing.
    let step = (run.window / 8).max(1);
    let mut last = Instant::now();
    loop {
        let complete = received.seen.count >= run.goal.load(Ordering::Acquire);
        // What came twice is on its way or in the queue: the last look finds it.
        let timeout = if complete { Duration::ZERO } else { GLANCE };
        let message = match receiver.fetch_timeout(timeout).await {
            Ok(message) => message,
            Err(FetchError::Empty) if complete || last.elapsed() >= SILENCE => break,
            Err(FetchError::Empty) => continue,
            Err(error) => return Err(failure::fetch("cannot receive any more", &error)),
        };
        let (number, sent_at) = stamp(&message, run.id).ok_or_else(|| {
            Failure::new(Exit::Data, "the demo's node is in use", "it holds messages of others")
                .hint("name an empty one with --address".to_owned())
        })?;
        let latency = (run.start.elapsed().as_nanos() as u64).saturating_sub(sent_at);
        let accepted = receiver.accept(&message);
        accepted.map_err(|error| failure::link("cannot settle any more", &error))?;
        last = Instant::now();
        if !received.seen.insert(number) {
            received.duplicated += 1;
            continue;
        }
        received.latency.saturating_record(latency / 1000);
        let count = received.seen.count;
        run.received.store(count, Ordering::Release);
        if count.is_multiple_of(step) {
            run.room.notify_one();
        }
    }
    // The broker has the last outcomes once it has answered the close.
    receiver.close().await.map_err(|error| failure::link("cannot settle any more", &error))?;
    Ok(received)
}

/// Number and time of a message of this run.
fn stamp(message: &Message, run: u64) -> Option<(u64, u64)> {
    let body = message.bytes()?;
    let word = |at: usize| Some(u64::from_be_bytes(body.get(at..at + 8)?.try_into().ok()?));
    let number = word(8)?;
    (word(0)? == run && number < MAX_COUNT).then_some((number, word(16)?))
}

/// The numbers that have come, a bit each.
#[derive(Debug, Default)]
struct Seen {
    bits: Vec<u64>,
    count: u64,
}

impl Seen {
    /// Adds a number below [`MAX_COUNT`], and says whether it is new.
    fn insert(&mut self, number: u64) -> bool {
        let (word, bit) = ((number / 64) as usize, 1 << (number % 64));
        if self.bits.len() <= word {
            self.bits.resize(word + 1, 0);
        }
        let new = self.bits[word] & bit == 0;
        self.bits[word] |= bit;
        self.count += u64::from(new);
        new
    }
}

async fn show(run: Arc<Run>, count: u64) {
    const STYLE: &str = "{bar:40} {human_pos} of {human_len} messages, {per_sec}, {eta} to go";
    let bar = ProgressBar::new(count);
    if let Ok(style) = ProgressStyle::with_template(STYLE) {
        bar.set_style(style);
    }
    // Aborted with the run; the line is taken away then.
    let bar = Cleared(bar);
    loop {
        bar.0.set_position(run.received.load(Ordering::Relaxed));
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

struct Cleared(ProgressBar);

impl Drop for Cleared {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}

/// The text that the demo ends with; `other` is the broker where it is not the demo's own.
fn report(args: &args::Demo, other: Option<&str>, measured: &Measured, left: Option<u64>) -> String {
    let Measured { sent, received, duplicated, refused, elapsed, latency } = measured;
    let rate = (*received as f64 / elapsed.as_secs_f64()).round() as u64;
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

/// A number with its thousands apart: `100 000`.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(' ');
        }
        text.push(digit);
    }
    text
}

fn micros(micros: u64) -> String {
    match micros {
        0..1_000 => format!("{micros} us"),
        1_000..1_000_000 => format!("{:.2} ms", micros as f64 / 1e3),
        _ => format!("{:.2} s", micros as f64 / 1e6),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_that_come_again_are_found() {
        let mut seen = Seen::default();
        assert!([0, 63, 64, 1000].into_iter().all(|number| seen.insert(number)));
        assert!(!seen.insert(64));
        assert_eq!(seen.count, 4);
    }

    #[test]
    fn whatever_is_wrong_shows_in_the_exit_code() {
        let latency = Histogram::new(3).unwrap();
        let good = || Measured {
            sent: 2,
            received: 2,
            duplicated: 0,
            refused: 0,
            elapsed: Duration::from_secs(1),
            latency: latency.clone(),
        };
        assert_eq!(good().exit(0), Exit::Ok);
        assert_eq!(good().exit(1), Exit::Partial);
        assert_eq!(Measured { received: 1, ..good() }.exit(0), Exit::Partial);
        assert_eq!(Measured { duplicated: 1, ..good() }.exit(0), Exit::Partial);
        assert_eq!(Measured { refused: 1, ..good() }.exit(0), Exit::Partial);
    }

    #[test]
    fn numbers_for_people() {
        assert_eq!([0, 999, 1000, 100_000, 1_234_567].map(grouped), ["0", "999", "1 000", "100 000", "1 234 567"]);
        assert_eq!([5, 1500, 2_000_000].map(micros), ["5 us", "1.50 ms", "2.00 s"]);
    }

    #[test]
    fn a_message_of_others_has_no_stamp() {
        let body = |run: u64, number: u64| [run.to_be_bytes(), number.to_be_bytes(), 7_u64.to_be_bytes()].concat();
        assert_eq!(stamp(&Message::from(body(1, 2)), 1), Some((2, 7)));
        assert_eq!(stamp(&Message::from(body(1, 2)), 2), None);
        assert_eq!(stamp(&Message::from(body(1, MAX_COUNT)), 1), None);
        assert_eq!(stamp(&Message::from(body(1, 2)[..23].to_vec()), 1), None);
        assert_eq!(stamp(&Message::from("text"), 1), None);
    }
}

//! `postroad send`.

use std::ffi::OsString;
use std::time::Duration;

use postroad::address::Address;
use postroad::messaging::types::{Body, Bytes};
use postroad::messaging::{Message, SendError, Sender, SyncError};
use tokio::io::{AsyncBufRead, AsyncBufReadExt as _, AsyncReadExt as _, BufReader, Stdin};
use tokio::time::Instant;

use crate::args::{self, Settle};
use crate::connect::{self, Place};
use crate::exit::{Exit, Failure, one_line};
use crate::failure;
use crate::signals::Stop;
use crate::term::Talk;

/// Why a peer that is there may take nothing.
const NO_CREDIT: &str =
    "the peer gives no credit: a queue may be full, and a router takes messages only while somebody receives them";
/// Up to so many messages are sent one by one, so that each that fails can be named.
const ONE_BY_ONE: u64 = 100;
/// Of more, so many are on their way before their outcomes are awaited.
const BATCH: u64 = 1000;
/// The longest line, in bytes: input without line feeds must not fill the memory.
const MAX_LINE: u64 = 64 * 1024 * 1024;

pub(crate) async fn run(args: args::Send, talk: Talk) -> Result<Exit, Failure> {
    let mut bodies = Bodies::new(&args)?;
    let place = Place::new(&args.target)?;
    let address = if args.settle == Settle::Pre { settled_as_sent(&place.address) } else { place.address.clone() };
    let template = template(&args);
    let stop = Stop::listen()?;
    let deadline = args.timeout.map(|timeout| (timeout, Instant::now() + timeout));

    let connection = connect::open(&place.url, &args.connect, &stop, talk).await?;
    let session = connection.session().await.map_err(|error| failure::session(&error))?;
    let what = format!("cannot send to {}", place.address);
    let sender = session.sender(&address).await.map_err(|error| failure::link(&what, &error))?;

    let mut sending = Sending { sender: &sender, stop: &stop, talk, what, sent: 0, accepted: 0, unanswered: 0 };
    let sent = tokio::select! {
        sent = sending.all(&mut bodies, &template) => sent,
        timeout = over(deadline) => Err(late(timeout, sender.unsettled(), &place.address)),
        () = stop.second() => Err(Failure::new(Exit::Interrupted, "interrupted", "not every outcome is known")),
    };
    let (sent_count, accepted) = (sending.sent, sending.accepted);
    if sent.is_err() || talk.at(1) {
        talk.say(0, || format!("{accepted} of {sent_count} messages sent were accepted"));
    }
    sent?;
    // The messages have their outcomes: an error from here on takes nothing back.
    if let Err(error) = connection.close().await {
        talk.say(1, || format!("the connection did not close in order: {error}"));
    }
    if stop.asked() {
        return Ok(Exit::Interrupted);
    }
    Ok(if accepted == sent_count { Exit::Ok } else { Exit::Partial })
}

/// What is known when the time is over, with so many messages on their way.
fn late(timeout: Duration, unsettled: usize, address: &str) -> Failure {
    let what = format!("cannot send to {address}");
    match unsettled {
        // What waits is waiting for credit.
        0 => Failure::new(Exit::Partial, what, format!("not done within {timeout:?}")).hint(NO_CREDIT.to_owned()),
        // A broker may hold an outcome back while its queue is nearly full.
        _ => Failure::new(
            Exit::Partial,
            what,
            format!(
                "not done within {timeout:?}, and {unsettled} of the messages may have arrived without an answer yet"
            ),
        ),
    }
}

async fn over(deadline: Option<(Duration, Instant)>) -> Duration {
    match deadline {
        Some((timeout, at)) => {
            tokio::time::sleep_until(at).await;
            timeout
        }
        None => std::future::pending().await,
    }
}

/// Messages on their way, and what became of them.
struct Sending<'a> {
    sender: &'a Sender,
    stop: &'a Stop,
    talk: Talk,
    what: String,
    sent: u64,
    accepted: u64,
    /// Those at the end of `sent` that have no outcome yet.
    unanswered: u64,
}

impl Sending<'_> {
    async fn all(&mut self, bodies: &mut Bodies, template: &Message) -> Result<(), Failure> {
        let one_by_one = bodies.known().is_some_and(|count| count <= ONE_BY_ONE);
        loop {
            let body = tokio::select! {
                body = bodies.next() => body?,
                () = self.stop.first() => None,
            };
            let Some(body) = body else { break };
            let mut message = template.clone();
            message.set_body(body);
            if one_by_one {
                let result = self.sender.send(message).await;
                self.sent += 1;
                self.outcome(result)?;
            } else {
                let result = self.sender.send_async(message).await;
                self.sent += 1;
                match result {
                    Ok(()) => self.unanswered += 1,
                    Err(error) => self.outcome(Err(error))?,
                }
                if self.unanswered >= BATCH || !bodies.ready() {
                    self.sync().await?;
                }
            }
        }
        self.sync().await
    }

    /// Takes down what became of the last message.
    fn outcome(&mut self, result: Result<(), SendError>) -> Result<(), Failure> {
        let number = self.sent;
        match result {
            Ok(()) => {
                self.accepted += 1;
                self.talk.say(2, || format!("message {number}: accepted"));
                Ok(())
            }
            Err(error @ (SendError::NotSent(_) | SendError::InDoubt(_))) => {
                let hint = error.hint();
                Err(Failure::new(failure::send_exit(&error), self.what.as_str(), format!("message {number}: {error}"))
                    .hint(hint))
            }
            Err(error) => {
                let hint = error.hint().map(|hint| format!(" ({hint})")).unwrap_or_default();
                eprintln!("postroad: message {number} was not accepted: {}{hint}", one_line(&error.to_string()));
                Ok(())
            }
        }
    }

    /// Waits for the outcomes of all that is on its way.
    async fn sync(&mut self) -> Result<(), Failure> {
        if self.unanswered == 0 {
            return Ok(());
        }
        let result = self.sender.sync().await;
        let (first, last) = (self.sent + 1 - self.unanswered, self.sent);
        let count = std::mem::take(&mut self.unanswered);
        match result {
            Ok(()) => {
                self.accepted += count;
                self.talk.say(2, || format!("messages {first} to {last}: accepted"));
                Ok(())
            }
            Err(SyncError::NotAccepted { count: refused, first: reason }) => {
                self.accepted += count.saturating_sub(refused as u64);
                let hint = reason.hint().map(|hint| format!(" ({hint})")).unwrap_or_default();
                let reason = one_line(&reason.to_string());
                eprintln!(
                    "postroad: {refused} of messages {first} to {last} were not accepted, the first: {reason}{hint}"
                );
                Ok(())
            }
            Err(SyncError::InDoubt { count: in_doubt, error }) => {
                self.accepted += count.saturating_sub(in_doubt as u64);
                Err(failure::link(format!("{}: {in_doubt} messages in doubt", self.what), &error))
            }
            Err(error) => Err(Failure::new(Exit::Partial, self.what.as_str(), error)),
        }
    }
}

/// Where the bodies come from.
#[derive(Debug)]
enum Bodies {
    Given { bodies: Vec<Body>, next: u64, count: u64 },
    Lines { input: BufReader<Stdin>, left: u64 },
}

impl Bodies {
    fn new(args: &args::Send) -> Result<Self, Failure> {
        if args.lines {
            let input = BufReader::with_capacity(64 * 1024, tokio::io::stdin());
            return Ok(Self::Lines { input, left: args.count.unwrap_or(u64::MAX) });
        }
        let bodies = match args.size {
            Some(size) => vec![Body::Data(sized(size)?)],
            None => args.bodies.iter().map(given).collect(),
        };
        if bodies.is_empty() {
            return Err(Failure::usage("nothing to send", "no BODY, --lines or --size")
                .hint("postroad send ADDRESS hello; '' is an empty body".to_owned()));
        }
        let count = args.count.unwrap_or(1).saturating_mul(bodies.len() as u64);
        Ok(Self::Given { bodies, next: 0, count })
    }

    /// How many there are, where that is known.
    fn known(&self) -> Option<u64> {
        match self {
            Self::Given { count, .. } => Some(*count),
            Self::Lines { .. } => None,
        }
    }

    /// Whether the next one can be had without waiting, as far as that is known.
    fn ready(&self) -> bool {
        match self {
            Self::Given { .. } => true,
            Self::Lines { input, .. } => input.buffer().contains(&b'\n'),
        }
    }

    async fn next(&mut self) -> Result<Option<Body>, Failure> {
        match self {
            Self::Given { bodies, next, count } => {
                if *next == *count {
                    return Ok(None);
                }
                let body = bodies[(*next % bodies.len() as u64) as usize].clone();
                *next += 1;
                Ok(Some(body))
            }
            Self::Lines { left: 0, .. } => Ok(None),
            Self::Lines { input, left } => {
                let line = read_line(input).await?;
                *left -= u64::from(line.is_some());
                Ok(line.map(text_or_data))
            }
        }
    }
}

/// Reads a line without its end; `None` at the end of the input.
async fn read_line(input: &mut (impl AsyncBufRead + Unpin)) -> Result<Option<Vec<u8>>, Failure> {
    let mut line = Vec::new();
    let read = input.take(MAX_LINE + 1).read_until(b'\n', &mut line).await;
    read.map_err(|error| Failure::new(Exit::Data, "cannot read the standard input", error))?;
    if line.is_empty() {
        return Ok(None);
    }
    if line.last() == Some(&b'\n') {
        line.pop();
        if line.last() == Some(&b'\r') {
            line.pop();
        }
    } else if line.len() as u64 > MAX_LINE {
        return Err(Failure::new(Exit::Data, "cannot send", format!("a line of more than {MAX_LINE} bytes")));
    }
    Ok(Some(line))
}

fn given(body: &OsString) -> Body {
    text_or_data(body.as_encoded_bytes().to_vec())
}

/// Text is sent as a string, which every client shows as text; what is no text as data.
fn text_or_data(bytes: Vec<u8>) -> Body {
    match String::from_utf8(bytes) {
        Ok(text) => text.into(),
        Err(error) => error.into_bytes().into(),
    }
}

fn sized(size: u64) -> Result<Bytes, Failure> {
    const MAX: u64 = 1 << 30;
    if size > MAX {
        return Err(Failure::usage("--size", "at most 1GiB"));
    }
    Ok(vec![b'x'; size as usize].into())
}

/// The message without its body.
fn template(args: &args::Send) -> Message {
    let mut message = Message::new();
    for property in &args.properties {
        message.set_property(property.name.as_str(), property.value.clone());
    }
    if let Some(id) = &args.id {
        message.set_id(id.as_str());
    }
    if let Some(id) = &args.correlation_id {
        message.set_correlation_id(id.as_str());
    }
    if let Some(address) = &args.reply_to {
        message.set_reply_to(address.clone());
    }
    if let Some(subject) = &args.subject {
        message.set_subject(subject.clone());
    }
    if let Some(ttl) = args.ttl {
        message.set_ttl(ttl);
    }
    if let Some(priority) = args.priority {
        message.set_priority(priority);
    }
    if args.durable {
        message.set_durable(true);
    }
    if let Some(content_type) = &args.content_type {
        message.set_content_type(content_type.clone());
    }
    if let Some(user) = &args.user_id {
        message.set_user_id(user.clone().into_bytes());
    }
    if let Some(group) = &args.group_id {
        message.set_group_id(group.clone());
    }
    message
}

/// The address with `link: {reliability: unreliable}`. A text that is no address stays as it is: who uses it says so.
pub(crate) fn settled_as_sent(text: &str) -> String {
    let Ok(mut address) = Address::parse(text) else { return text.to_owned() };
    let mut options = address.options.take().unwrap_or_default();
    let mut link = match options.get("link") {
        None => Default::default(),
        Some(link) => match link.as_map() {
            Some(link) => link.clone(),
            None => return text.to_owned(),
        },
    };
    link.insert("reliability", "unreliable");
    options.insert("link", link);
    address.options = Some(options);
    address.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settled_as_sent_keeps_the_rest() {
        assert_eq!(settled_as_sent("q"), "q; {link: {reliability: unreliable}}");
        assert_eq!(
            settled_as_sent("q/s; {create: always, link: {name: l, reliability: at-least-once}}"),
            "q/s; {create: always, link: {name: l, reliability: unreliable}}"
        );
        assert_eq!(settled_as_sent("q; {"), "q; {");
    }

    #[tokio::test]
    async fn lines() {
        let mut input: &[u8] = b"one\r\n\ntwo\n\xff\nlast";
        let mut lines = Vec::new();
        while let Some(line) = read_line(&mut input).await.unwrap() {
            lines.push(line);
        }
        assert_eq!(lines, [&b"one"[..], b"", b"two", b"\xff", b"last"]);
    }
}

//! `postroad receive`.

use std::io::{self, IsTerminal as _};

use postroad::address::Address;
use postroad::messaging::{FetchError, Message, Receiver};

use crate::args;
use crate::connect::{self, Place};
use crate::exit::{Exit, Failure, one_line};
use crate::failure;
use crate::format::Format;
use crate::json;
use crate::signals::Stop;
use crate::term::{OutputEnd, Talk, write_stdout};
use crate::text;

/// Messages that are taken ahead of being printed.
const AHEAD: u32 = 500;
/// Output is written when it has grown to so many bytes, or nothing more is there.
const FLUSH: usize = 64 * 1024;

pub(crate) async fn run(args: args::Receive, talk: Talk) -> Result<Exit, Failure> {
    let place = Place::new(&args.target)?;
    let address = if args.browse { browsing(&place.address) } else { place.address.clone() };
    let print = Print::new(&args);
    let stop = Stop::listen()?;

    let connection = connect::open(&place.url, &args.connect, &stop, talk).await?;
    let session = connection.session().await.map_err(|error| failure::session(&error))?;
    let what = format!("cannot receive from {}", place.address);
    let receiver = session.receiver(&address).await.map_err(|error| failure::link(&what, &error))?;

    let mut receiving =
        Receiving { receiver, print, what, out: Vec::new(), written: Vec::new(), received: 0, unreadable: 0 };
    let end = tokio::select! {
        end = receiving.all(&args, &stop) => end,
        () = stop.second() => return Ok(Exit::Interrupted),
    };
    // What was printed before the end is settled, whatever the end was.
    let end = match receiving.settle() {
        Ok(()) => end,
        Err(error) => Err(error),
    };
    let received = receiving.received;
    if talk.at(1) || (talk.at(0) && stop.asked()) {
        talk.say(0, || format!("received {received} messages"));
    }
    let end = match end {
        Ok(end) => end,
        Err(OutputEnd::ReaderGone) => End::Done,
        Err(OutputEnd::Failed(failure)) => return Err(failure),
    };
    let unreadable = receiving.unreadable;
    // Closing sends what is settled.
    let closed = match receiving.receiver.close().await {
        Ok(()) => connection.close().await.map_err(|error| error.to_string()),
        Err(error) => Err(error.to_string()),
    };
    if let Err(error) = closed {
        talk.say(0, || format!("postroad: the last messages may come again: {}", one_line(&error)));
    }
    Ok(match end {
        End::Stopped => Exit::Interrupted,
        End::Empty if received == 0 || args.count.is_some() => {
            talk.say(0, || match args.count {
                Some(count) => format!("{received} of {count} messages came in time"),
                None => "no message came in time".to_owned(),
            });
            Exit::Empty
        }
        _ if unreadable > 0 => Exit::Partial,
        _ => Exit::Ok,
    })
}

/// Why receiving ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// All that was wanted is here, or nobody reads any more.
    Done,
    /// No message came in time.
    Empty,
    /// A signal came.
    Stopped,
}

struct Receiving {
    receiver: Receiver,
    print: Print,
    what: String,
    /// What is printed of `written`, not written yet.
    out: Vec<u8>,
    /// Messages that are settled once `out` is written.
    written: Vec<Message>,
    received: u64,
    unreadable: u64,
}

impl Receiving {
    async fn all(&mut self, args: &args::Receive, stop: &Stop) -> Result<End, OutputEnd> {
        let wanted = args.count.unwrap_or(u64::MAX);
        while self.received < wanted {
            // One is asked for by fetching: no message is taken that will not be printed.
            let ahead = u32::try_from(wanted - self.received - 1).unwrap_or(AHEAD).min(AHEAD);
            if self.receiver.capacity() != ahead {
                self.receiver.set_capacity(ahead);
            }
            if self.out.len() >= FLUSH || self.receiver.available() == 0 {
                self.settle()?;
            }
            let fetched = tokio::select! {
                fetched = fetch(&self.receiver, args.timeout) => fetched,
                () = stop.first() => return Ok(End::Stopped),
            };
            match fetched {
                Ok(message) => {
                    self.print.push(&message, &mut self.out);
                    self.written.push(message);
                    self.received += 1;
                }
                Err(FetchError::Empty) => return Ok(End::Empty),
                Err(error @ FetchError::Malformed(_)) => {
                    eprintln!("postroad: {}: {}", self.what, one_line(&error.to_string()));
                    self.unreadable += 1;
                }
                Err(error) => return Err(OutputEnd::Failed(failure::fetch(self.what.as_str(), &error))),
            }
        }
        Ok(End::Done)
    }

    /// Writes what is printed, then tells the broker that its messages are processed.
    fn settle(&mut self) -> Result<(), OutputEnd> {
        if !self.out.is_empty() {
            let out = std::mem::take(&mut self.out);
            if let Err(end) = write_stdout(&out) {
                // They were not printed, so they go back when the link closes.
                self.received -= self.written.len() as u64;
                self.written.clear();
                return Err(end);
            }
            self.out = out;
            self.out.clear();
        }
        for message in self.written.drain(..) {
            let settled = self.receiver.accept(&message);
            settled.map_err(|error| OutputEnd::Failed(failure::link(self.what.as_str(), &error)))?;
        }
        Ok(())
    }
}

async fn fetch(receiver: &Receiver, timeout: Option<std::time::Duration>) -> Result<Message, FetchError> {
    match timeout {
        Some(timeout) => receiver.fetch_timeout(timeout).await,
        None => receiver.fetch().await,
    }
}

/// How a message is printed.
#[derive(Debug)]
struct Print {
    how: How,
    /// Whether the output goes to a terminal, which messages must not steer.
    terminal: bool,
}

#[derive(Debug)]
enum How {
    Bodies,
    Raw,
    Json,
    Format(Format),
}

impl Print {
    fn new(args: &args::Receive) -> Self {
        let how = match &args.format {
            Some(format) => How::Format(format.clone()),
            None if args.json => How::Json,
            None if args.raw => How::Raw,
            None => How::Bodies,
        };
        Self { how, terminal: io::stdout().is_terminal() }
    }

    fn push(&self, message: &Message, out: &mut Vec<u8>) {
        match &self.how {
            How::Raw => return out.extend_from_slice(&text::body(message)),
            How::Bodies => text::push_escaped(&text::body(message), self.terminal, out),
            How::Json => text::push_escaped(json::message(message).to_string().as_bytes(), self.terminal, out),
            How::Format(format) => format.push(message, self.terminal, out),
        }
        out.push(b'\n');
    }
}

/// The address with `mode: browse`. A text that is no address stays as it is: who uses it says so.
fn browsing(text: &str) -> String {
    let Ok(mut address) = Address::parse(text) else { return text.to_owned() };
    let mut options = address.options.take().unwrap_or_default();
    options.insert("mode", "browse");
    address.options = Some(options);
    address.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn browsing_keeps_the_rest() {
        assert_eq!(browsing("q"), "q; {mode: browse}");
        assert_eq!(browsing("q/s; {mode: consume, create: always}"), "q/s; {mode: browse, create: always}");
        assert_eq!(browsing("q; {"), "q; {");
    }
}

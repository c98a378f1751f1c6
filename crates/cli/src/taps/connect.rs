//! `postroad taps connect`.

use std::cell::Cell;
use std::future::IntoFuture as _;
use std::pin::pin;
use std::time::Duration;

use postroad::taps::{Connection, ProtocolStack, Receive, ReceiveError, SelectionProperty};

use super::input::{Input, Next};
use super::output::Output;
use super::target::{self, Target};
use super::{dry_run, lost, not_established, not_received, not_sent, wish};
use crate::args::TapsConnect;
use crate::exit::{Exit, Failure};
use crate::signals::Stop;
use crate::term::{OutputEnd, Talk};

/// How many bytes of a stream are printed at once.
const PIECE: usize = 64 * 1024;
/// How long the peer may take to read the rest when everything is over.
const CLOSING: Duration = Duration::from_secs(5);

pub(super) async fn run(args: TapsConnect, talk: Talk) -> Result<Exit, Failure> {
    let target = Target::parse(&args.target)?;
    let security = wish::client_security(&args.wish.security, &target, args.server_name.as_deref(), args.insecure)?;
    let remote = wish::remote(&target, &args.wish.selection)?;
    let mut preconnection = wish::preconnection(&args.wish, security)?.remote(remote);
    if let Some(local) = &args.local {
        preconnection = preconnection.local(target::local(local)?);
    }
    if args.wish.dry_run {
        return dry_run(&preconnection, &args.target).await;
    }
    let stop = Stop::listen()?;
    let connection = tokio::select! {
        opened = preconnection.initiate().timeout(args.connect_timeout).into_future() => {
            opened.map_err(|error| not_established(&args.target, &error))?
        }
        () = stop.first() => return Err(Failure::new(Exit::Interrupted, "interrupted", "not connected yet")),
    };
    talk.say(1, || match (connection.remote_endpoint(), connection.protocol_stack()) {
        (Some(remote), Some(stack)) => format!("connected to {remote} over {stack}"),
        _ => "connected".to_owned(),
    });
    let output = Output::new(&args.wish, talk).of(&connection);
    let talking = Talking { connection: &connection, args: &args, output, received: Cell::new(0) };
    match talking.run(&stop).await {
        Ok(exit) => {
            // What is left of the peer's is of no use; a peer that does not read is not waited for.
            let closed = tokio::time::timeout(CLOSING, connection.close()).await;
            if let Ok(Err(error)) = closed {
                return Err(lost(&args.target, &error));
            }
            match output.tell("closed", || ("received", talking.received.get().into())) {
                Ok(()) | Err(OutputEnd::ReaderGone) => Ok(exit),
                Err(OutputEnd::Failed(failure)) => Err(failure),
            }
        }
        Err(OutputEnd::ReaderGone) => Ok(Exit::Ok),
        Err(OutputEnd::Failed(failure)) => Err(failure),
    }
}

struct Talking<'a> {
    connection: &'a Connection,
    args: &'a TapsConnect,
    output: Output,
    received: Cell<u64>,
}

/// Why nothing more is received.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// As many messages came as were asked for.
    Count,
    /// The peer sends nothing more.
    Peer,
    /// No message came in time.
    Silence,
}

impl Talking<'_> {
    async fn run(&self, stop: &Stop) -> Result<Exit, OutputEnd> {
        self.output.ready(self.connection)?;
        let (connection, output, args) = (self.connection, self.output, self.args);
        let input = Input::new(&args.wish.message, connection.preserves_boundaries());
        let given = input.is_given();
        let mut sending = pin!(send(connection, output, input, &args.target));
        let mut receiving = pin!(self.receive());
        let (mut sent, mut end) = (false, None);
        let interrupted = loop {
            if sent && end.is_some() {
                break false;
            }
            tokio::select! {
                told = &mut sending, if !sent => {
                    sent = true;
                    // Nobody knows when the peer has answered.
                    if !told? && args.wish.count.is_none() {
                        break false;
                    }
                }
                ended = &mut receiving, if end.is_none() => {
                    end = Some(ended?);
                    if !given && end != Some(End::Peer) {
                        break false;
                    }
                }
                () = stop.first() => break true,
            }
        };
        let missing = args.wish.count.is_some_and(|count| self.received.get() < count);
        let silent = end == Some(End::Silence) && self.received.get() == 0;
        Ok(match interrupted {
            true => Exit::Interrupted,
            false if missing || silent => Exit::Empty,
            false => Exit::Ok,
        })
    }

    async fn receive(&self) -> Result<End, OutputEnd> {
        let messages = self.connection.preserves_boundaries();
        let want = if messages { Receive::complete() } else { Receive::min_incomplete(1).max(PIECE) };
        loop {
            if self.args.wish.count.is_some_and(|count| self.received.get() >= count) {
                return Ok(End::Count);
            }
            let received = match self.args.wish.timeout {
                None => self.connection.receive_with(want).await,
                Some(time) => match tokio::time::timeout(time, self.connection.receive_with(want)).await {
                    Ok(received) => received,
                    Err(_) => return Ok(End::Silence),
                },
            };
            match received {
                // A stream that ends.
                Ok(message) if !messages && message.is_empty() => {}
                Ok(message) => {
                    self.output.received(&message)?;
                    let whole = message.end_of_message || !messages;
                    self.received.set(self.received.get() + u64::from(whole));
                }
                Err(ReceiveError::Closed) => return Ok(End::Peer),
                Err(error) => return Err(OutputEnd::Failed(not_received(&self.args.target, &error))),
            }
        }
    }
}

/// Sends everything; gives whether the peer knows that nothing more comes.
async fn send(connection: &Connection, output: Output, mut input: Input, target: &str) -> Result<bool, OutputEnd> {
    let failed = |failure| OutputEnd::Failed(failure);
    loop {
        let (message, last) = match input.next().await.map_err(failed)? {
            Next::Send(message) => (message, false),
            Next::SendLast(message) => (message, can_end(connection)),
            Next::End => return Ok(false),
        };
        let length = message.len();
        let message = if last { message.last() } else { message };
        if length > 0 || last || connection.preserves_boundaries() {
            connection.send(message).await.map_err(|error| failed(not_sent(target, &error)))?;
        }
        if length > 0 || connection.preserves_boundaries() {
            output.tell("sent", || ("length", length.into()))?;
        }
        if last {
            return Ok(true);
        }
    }
}

/// Whether one direction can end by itself.
fn can_end(connection: &Connection) -> bool {
    let whole = matches!(connection.protocol_stack(), Some(ProtocolStack::WebSocket | ProtocolStack::SecureWebSocket));
    !whole && connection.properties().has(SelectionProperty::Reliability)
}

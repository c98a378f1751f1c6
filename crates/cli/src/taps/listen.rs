//! `postroad taps listen`.

use std::sync::Arc;
use std::time::Duration;

use postroad::taps::{Connection, Incoming, ListenError, Listener, Message, ProtocolStack, Receive, ReceiveError};
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::output::Output;
use super::target::Target;
use super::{candidates_hint, dry_run, not_received, not_sent, wish};
use crate::args::TapsListen;
use crate::broker::write_ready_file;
use crate::exit::{Exit, Failure, one_line};
use crate::signals::Stop;
use crate::term::{OutputEnd, Talk};

/// How many bytes of a stream are taken at once.
const PIECE: usize = 64 * 1024;
/// How long clients may take to read the rest when everything is over.
const CLOSING: Duration = Duration::from_secs(5);
/// The most clients at once: one more waits in the system's queue, or until one is forgotten.
const MAX_CLIENTS: usize = 1000;

pub(super) async fn run(args: TapsListen, talk: Talk) -> Result<Exit, Failure> {
    let target = Target::parse(&args.target)?;
    let selection = &args.wish.selection;
    if args.wish.dry_run {
        // A client of this listener needs no certificate.
        let security = wish::client_security(&args.wish.security, &target, None, false)?;
        let remote = wish::remote(&target, selection)?;
        return dry_run(&wish::preconnection(&args.wish, security)?.remote(remote), &args.target).await;
    }
    let security = wish::server_security(&args.wish.security, &target)?;
    let local = wish::local(&target, selection)?;
    let preconnection = wish::preconnection(&args.wish, security)?.local(local);
    let stop = Stop::listen()?;
    let listener = preconnection.listen().await.map_err(|error| not_listening(&args.target, &error))?;
    let addresses: Vec<String> = listener.local_endpoints().iter().map(ToString::to_string).collect();
    for address in &addresses {
        talk.say(0, || format!("listening on {address}"));
    }
    if let Some(path) = &args.ready_file {
        write_ready_file(path, &addresses)?;
    }
    let output = Output::new(&args.wish, talk);
    let serving =
        Arc::new(Serving { args, talk, output, received: watch::Sender::new(0), over: watch::Sender::new(None) });
    let mut clients = JoinSet::new();
    let mut exit = serving.run(&listener, &mut clients, &stop).await;
    // Those that are there may still read what was sent to them.
    listener.stop();
    serving.over.send_modify(|over| {
        over.get_or_insert(Ok(()));
    });
    let all = async { while clients.join_next().await.is_some() {} };
    tokio::select! {
        () = all => {}
        () = tokio::time::sleep(CLOSING) => {}
        () = stop.second() => {}
    }
    if let Some(Err(failure)) = serving.over.borrow().clone() {
        exit = Err(failure);
    }
    exit
}

/// What the connections have in common.
struct Serving {
    args: TapsListen,
    talk: Talk,
    output: Output,
    received: watch::Sender<u64>,
    /// Set when everything is over; what went wrong with the output.
    over: watch::Sender<Option<Result<(), Failure>>>,
}

impl Serving {
    async fn run(
        self: &Arc<Self>,
        listener: &Listener,
        clients: &mut JoinSet<()>,
        stop: &Stop,
    ) -> Result<Exit, Failure> {
        let wanted = self.args.wish.count.unwrap_or(u64::MAX);
        let mut received = self.received.subscribe();
        let mut over = self.over.subscribe();
        loop {
            let came = *received.borrow_and_update();
            if came >= wanted {
                return Ok(Exit::Ok);
            }
            tokio::select! {
                incoming = listener.incoming(), if clients.len() < MAX_CLIENTS => match incoming {
                    Ok(Some(incoming)) => drop(clients.spawn(Arc::clone(self).serve(incoming))),
                    Ok(None) => return Ok(Exit::Ok),
                    Err(error) => self.talk.say(0, || format!("postroad: {}", one_line(&error.to_string()))),
                },
                Some(_) = clients.join_next() => {}
                changed = received.changed() => debug_assert!(changed.is_ok(), "the sender is ours"),
                _ = over.wait_for(Option::is_some) => return Ok(Exit::Ok),
                () = silence(self.args.wish.timeout) => {
                    return Ok(if came == 0 || self.args.wish.count.is_some() { Exit::Empty } else { Exit::Ok });
                }
                () = stop.first() => return Ok(match self.args.wish.count {
                    Some(_) => Exit::Interrupted,
                    None => Exit::Ok,
                }),
            }
        }
    }

    /// Serves one client; what goes wrong with it is no fault of the others.
    async fn serve(self: Arc<Self>, incoming: Incoming) {
        let peer = incoming.remote_endpoint().to_string();
        match self.talk_with(incoming, &peer).await {
            Ok(()) => {}
            Err(OutputEnd::ReaderGone) => drop(self.over.send_replace(Some(Ok(())))),
            Err(OutputEnd::Failed(failure)) if failure.exit == Exit::Output => {
                self.over.send_replace(Some(Err(failure)));
            }
            Err(OutputEnd::Failed(failure)) => self.talk.say(0, || format!("postroad: {failure}")),
        }
    }

    async fn talk_with(&self, incoming: Incoming, peer: &str) -> Result<(), OutputEnd> {
        let connection = incoming.establish().await.map_err(|error| {
            OutputEnd::Failed(Failure::new(Exit::Protocol, format!("no connection with {peer}"), error))
        })?;
        self.talk.say(1, || format!("connection with {peer}"));
        let output = self.output.of(&connection);
        output.ready(&connection)?;
        let mut over = self.over.subscribe();
        let talked = tokio::select! {
            talked = self.exchange(&connection, output, peer) => talked,
            _ = over.wait_for(Option::is_some) => Ok(()),
        };
        // Its failure, if any, has been told by what was sent or received.
        let _ = tokio::time::timeout(CLOSING, connection.close()).await;
        talked?;
        output.tell("closed", || ("remote", peer.into()))
    }

    async fn exchange(&self, connection: &Connection, output: Output, peer: &str) -> Result<(), OutputEnd> {
        let messages = connection.preserves_boundaries();
        let want = if messages { Receive::complete() } else { Receive::min_incomplete(1).max(PIECE) };
        for text in &self.args.wish.message {
            self.send(connection, Message::new(text.clone()), peer).await?;
        }
        let quiet = is_endless(connection.protocol_stack()).then_some(self.args.forget_after);
        loop {
            let received = tokio::select! {
                received = connection.receive_with(want) => received,
                () = silence(quiet) => return Ok(()),
            };
            let message = match received {
                Ok(message) if !messages && message.is_empty() => continue,
                Ok(message) => message,
                Err(ReceiveError::Closed) => return Ok(()),
                Err(error) => return Err(OutputEnd::Failed(not_received(peer, &error))),
            };
            if !self.args.echo || self.args.wish.json {
                output.received(&message)?;
            }
            let whole = message.end_of_message || !messages;
            if self.args.echo {
                self.send(connection, Message::new(message.data), peer).await?;
            }
            if whole {
                self.received.send_modify(|received| *received += 1);
            }
        }
    }

    async fn send(&self, connection: &Connection, message: Message, peer: &str) -> Result<(), OutputEnd> {
        let length = message.len();
        connection.send(message).await.map_err(|error| OutputEnd::Failed(not_sent(peer, &error)))?;
        self.output.tell("sent", || ("length", length.into()))
    }
}

/// Whether a peer has no way to say that nothing more comes.
fn is_endless(stack: Option<ProtocolStack>) -> bool {
    matches!(stack, Some(ProtocolStack::Udp | ProtocolStack::UdpLite | ProtocolStack::UnixDatagram))
}

async fn silence(time: Option<Duration>) {
    match time {
        Some(time) => tokio::time::sleep(time).await,
        None => std::future::pending().await,
    }
}

fn not_listening(target: &str, error: &ListenError) -> Failure {
    let exit = match error {
        ListenError::ResolutionFailed { .. } => Exit::NoHost,
        ListenError::InvalidConfiguration(_) => Exit::Data,
        ListenError::PolicyProhibited { .. } => Exit::Denied,
        _ => Exit::Unavailable,
    };
    let what = format!("cannot listen on {target}");
    match error {
        ListenError::Failed { kind, .. } => Failure::new(exit, what, kind),
        ListenError::NoCandidates { rejected, .. } => {
            Failure::new(exit, what, error).hint(candidates_hint(rejected).to_owned())
        }
        error => Failure::new(exit, what, error),
    }
}

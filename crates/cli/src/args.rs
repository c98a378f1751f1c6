//! The command line: every command, option and help text.

mod address;
mod bench;
mod decode;
mod taps;

use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgAction, Args, Parser, Subcommand, ValueEnum};
use postroad::broker::Overflow;

pub(crate) use self::address::{Address, AddressCommand, Explain, Grammar};
pub(crate) use self::bench::{Bench, Output};
pub(crate) use self::decode::Decode;
pub(crate) use self::taps::{
    Framing, Taps, TapsCommand, TapsConnect, TapsListen, TapsProfile, TapsSecurity, TapsSelection, TapsWish,
};
use crate::format::{self, Format};
use crate::value::{self, Property, Scoped};

/// Sends and receives messages over AMQP 1.0, and runs a small broker for them.
#[derive(Debug, Parser)]
#[command(name = "postroad", version, max_term_width = 110, after_help = TRY)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,

    /// Tells more on stderr: what was done, and with -vv every message.
    #[arg(short, long, global = true, action = ArgAction::Count, conflicts_with = "quiet", display_order = 900)]
    pub(crate) verbose: u8,

    /// Tells nothing on stderr but what went wrong.
    #[arg(short, long, global = true, display_order = 901)]
    pub(crate) quiet: bool,
}

const TRY: &str = "\
To see it work:       postroad demo
By hand, in a second terminal beside `postroad broker`:
                      postroad send orders hello
                      postroad receive orders -c 1

Exit codes: 0 done; 1 some messages failed; 2 fewer messages than asked for came in time; 64 wrong usage;
65 bad address, input file or bytes; 68 unknown host; 69 peer or node not available; 73 output cannot be written;
75 connection lost; 76 the peer speaks another protocol; 77 not trusted: user, password, certificate, permission;
130 interrupted.

POSTROAD_TRACE_FRM=1 in the environment, or PN_TRACE_FRM=1, prints every frame on stderr.";

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Shows messages being sent, received and settled through a broker that it starts itself.
    Demo(Box<Demo>),
    /// Runs a broker that keeps its queues in memory.
    Broker(Box<Broker>),
    /// Sends messages to a node of a broker.
    Send(Box<Send>),
    /// Receives messages from a node of a broker and prints them.
    #[command(alias = "recv", after_help = receive_help())]
    Receive(Box<Receive>),
    /// Measures how fast messages go through a node of a broker, or from peer to peer.
    Bench(Box<Bench>),
    /// Opens connections of transport services, and tells what is selected and why.
    Taps(Taps),
    /// Shows what bytes of AMQP 1.0 say: protocol headers, frames, messages.
    Decode(Decode),
    /// Tells what an address string says, and what a broker will be asked.
    Address(Address),
}

#[derive(Debug, Args)]
#[command(after_help = "\
Starts a broker on a free port of this machine, sends messages through a queue of it on one connection, receives and \
settles each on another, and checks that none was lost or came twice.\n\n\
Prints the rate, the latency from before the send until the message was received (p50: half were faster, p99: 99 of \
100 were), and the commands that do the same by hand. Exits 1 when a message was lost or came twice.")]
pub(crate) struct Demo {
    /// How many messages: 5000, 100k, 1m.
    #[arg(short, long, value_name = "N", default_value = "100k", value_parser = value::count)]
    pub(crate) count: u64,

    /// The size of each body: 100, 64KiB.
    #[arg(short, long, default_value = "100", value_parser = value::size)]
    pub(crate) size: u64,

    /// Messages on their way at once: more bring a higher rate, and a longer wait for each.
    #[arg(short, long, value_name = "N", default_value = "1000", value_parser = value::count)]
    pub(crate) window: u64,

    /// The node that they go through, made if need be; it should be empty.
    #[arg(long, value_name = "ADDRESS", default_value = "demo; {create: always}")]
    pub(crate) address: String,

    /// Uses this broker instead of one of its own, such as amqp://user@rabbit.example:5672.
    #[arg(short, long, value_name = "URL")]
    pub(crate) broker: Option<String>,

    #[command(flatten)]
    pub(crate) connect: Connect,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Runs until Ctrl-C or SIGTERM. Then clients get a few seconds to finish; a second Ctrl-C stops at once. What is in the \
queues then is gone.\n\n\
Examples:\n  \
  postroad broker\n  \
  postroad broker -l amqp://127.0.0.1:0 --ready-file broker.url --queue orders --no-auto-create\n  \
  postroad broker -l amqps://0.0.0.0:5671 --cert chain.pem --key key.pem --users users.txt\n  \
  postroad broker -l amqp+unix://%2Frun%2Fbroker.sock -l amqpws://127.0.0.1:8080")]
pub(crate) struct Broker {
    /// Where to listen: amqp:// or amqps:// for TCP, amqpws:// or amqpwss:// for WebSocket, amqp+unix:// for a Unix socket,
    /// whose path has %2F in the place of each /. Port 0 picks a free one. Can be given again. Only this machine is served by
    /// default.
    #[arg(short, long, value_name = "URL", default_value = "amqp://127.0.0.1:5672")]
    pub(crate) listen: Vec<String>,

    /// Makes a queue at the start. Can be given again.
    #[arg(long, value_name = "NAME")]
    pub(crate) queue: Vec<String>,

    /// Makes a topic at the start: every subscriber gets every message. Can be given again.
    #[arg(long, value_name = "NAME")]
    pub(crate) topic: Vec<String>,

    /// What topics do when a subscriber is slow: hold-back makes senders wait for it, drop-oldest drops its oldest
    /// messages. With NAME= in front it is for one topic, which is made at the start.
    #[arg(long, value_name = "[NAME=]POLICY", default_value = "hold-back", value_parser = value::scoped_overflow)]
    pub(crate) topic_overflow: Vec<Scoped<Overflow>>,

    /// Where messages go that are rejected, expire, or fail too often; without it they are dropped. With NAME= in front
    /// it is for one queue, which is made at the start, or topic.
    #[arg(long, value_name = "[NAME=]NODE", value_parser = value::scoped_node)]
    pub(crate) dead_letter: Vec<Scoped<String>>,

    /// How many deliveries of a message may fail before nobody gets it any more. With NAME= as above.
    #[arg(long, value_name = "[NAME=]N", value_parser = value::scoped_count)]
    pub(crate) max_deliveries: Vec<Scoped<u32>>,

    /// Refuses names that nobody declared, instead of making a queue of them.
    #[arg(long)]
    pub(crate) no_auto_create: bool,

    /// Writes the URLs to this file, one a line, as soon as it listens.
    #[arg(long, value_name = "FILE")]
    pub(crate) ready_file: Option<PathBuf>,

    /// Lets only these users in: a file with `name:password` or `name:SCRAM-SHA-256$..` on each line.
    #[arg(long, value_name = "FILE")]
    pub(crate) users: Option<PathBuf>,

    /// The certificate chain for amqps:// and amqpwss:// listeners, and for clients that ask for TLS on others
    /// (--tls-header), in PEM.
    #[arg(long, value_name = "PEM", requires = "key")]
    pub(crate) cert: Option<PathBuf>,

    /// The private key of the certificate, in PEM.
    #[arg(long, value_name = "PEM", requires = "cert")]
    pub(crate) key: Option<PathBuf>,

    /// Takes passwords as plain text without TLS too, where anyone on the way can read them.
    #[arg(long)]
    pub(crate) allow_insecure_mechs: bool,

    /// How long clients may take to finish when the broker is stopped.
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = value::duration)]
    pub(crate) grace: Duration,

    /// How long a transaction may last before it is rolled back.
    #[arg(long, value_name = "TIME", default_value = "5m", value_parser = value::duration)]
    pub(crate) transaction_timeout: Duration,

    /// How long a link is kept at most for a client that asks for that and is gone.
    #[arg(long, value_name = "TIME", default_value = "10m", value_parser = value::duration)]
    pub(crate) max_link_timeout: Duration,

    #[command(flatten)]
    pub(crate) limits: Limits,
}

/// What a broker takes before it says no.
#[derive(Debug, Args)]
#[command(next_help_heading = "Limits")]
pub(crate) struct Limits {
    /// The most clients at once (10k). One more is closed with an error, as with the next two.
    #[arg(long, value_name = "N", value_parser = value::count)]
    pub(crate) max_connections: Option<u64>,

    /// The most clients at once from one IP address [no limit].
    #[arg(long, value_name = "N", value_parser = value::count)]
    pub(crate) max_connections_per_address: Option<u64>,

    /// The most connections at once of one user [no limit].
    #[arg(long, value_name = "N", value_parser = value::count)]
    pub(crate) max_connections_per_user: Option<u64>,

    /// The most sessions of a client (256).
    #[arg(long, value_name = "N", value_parser = value::count)]
    pub(crate) max_sessions: Option<u64>,

    /// The most senders and receivers of a client (1024).
    #[arg(long, value_name = "N", value_parser = value::count)]
    pub(crate) max_links: Option<u64>,

    /// The most senders and receivers on one session (1024).
    #[arg(long, value_name = "N", value_parser = value::count)]
    pub(crate) max_links_per_session: Option<u64>,

    /// The most senders and receivers that are kept for clients that are gone, or would be (10k).
    #[arg(long, value_name = "N", value_parser = value::count)]
    pub(crate) max_resumable_links: Option<u64>,

    /// The most of them of one user (1024).
    #[arg(long, value_name = "N", value_parser = value::count)]
    pub(crate) max_resumable_links_per_user: Option<u64>,

    /// The most queues and topics (10k).
    #[arg(long, value_name = "N", value_parser = value::count)]
    pub(crate) max_nodes: Option<u64>,

    /// The most messages in a queue (1m); near it senders have to wait.
    #[arg(long, value_name = "N", value_parser = value::count)]
    pub(crate) max_queue_messages: Option<u64>,

    /// The most bytes of messages in a queue (256MiB).
    #[arg(long, value_name = "SIZE", value_parser = value::size)]
    pub(crate) max_queue_bytes: Option<u64>,

    /// The most bytes of messages in all queues and topics (1GiB).
    #[arg(long, value_name = "SIZE", value_parser = value::size)]
    pub(crate) max_total_bytes: Option<u64>,

    /// The most subscribers of a topic (10k).
    #[arg(long, value_name = "N", value_parser = value::count)]
    pub(crate) max_subscriptions: Option<u64>,

    /// The most messages that a topic keeps for one subscriber (10k); --topic-overflow says what happens then.
    #[arg(long, value_name = "N", value_parser = value::count)]
    pub(crate) max_subscription_messages: Option<u64>,

    /// The most bytes that a topic keeps for one subscriber (64MiB).
    #[arg(long, value_name = "SIZE", value_parser = value::size)]
    pub(crate) max_subscription_bytes: Option<u64>,

    /// The most open transactions of a client (256).
    #[arg(long, value_name = "N", value_parser = value::count)]
    pub(crate) max_transactions: Option<u64>,

    /// The most bytes of messages that wait for the commits of a client (64MiB).
    #[arg(long, value_name = "SIZE", value_parser = value::size)]
    pub(crate) max_transaction_bytes: Option<u64>,

    /// The largest message (16MiB); a sender of a larger one loses its link.
    #[arg(long, value_name = "SIZE", value_parser = value::size)]
    pub(crate) max_message_size: Option<u64>,

    /// The largest frame, 512 bytes at least (64KiB).
    #[arg(long, value_name = "SIZE", value_parser = frame_size)]
    pub(crate) max_frame_size: Option<u32>,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Waits until each message is accepted, and prints nothing when all were. Those that were not are named on stderr.\n\n\
Examples:\n  \
  postroad send orders hello\n  \
  postroad send 'orders; {create: always}' one two three\n  \
  seq 1000 | postroad send orders --lines\n  \
  postroad send -b amqps://shop@mq.example orders/eu hello -P color=red -P size:int=5\n  \
  postroad send amqp://127.0.0.1:5672/orders hello")]
pub(crate) struct Send {
    #[command(flatten)]
    pub(crate) target: Target,

    /// The content of a message each. Text is sent as a string.
    #[arg(value_name = "BODY", conflicts_with_all = ["lines", "size"])]
    pub(crate) bodies: Vec<std::ffi::OsString>,

    /// Sends each line of the standard input as a message.
    #[arg(long, conflicts_with = "size")]
    pub(crate) lines: bool,

    /// Sends the bodies N times over; with --lines, at most N lines.
    #[arg(short, long, value_name = "N", value_parser = value::count)]
    pub(crate) count: Option<u64>,

    /// Sends bodies of this many bytes: 100, 64KiB.
    #[arg(long, value_parser = value::size)]
    pub(crate) size: Option<u64>,

    /// An application property: color=red, or with a type, size:int=5. Can be given again.
    #[arg(short = 'P', long = "property", value_name = "NAME[:TYPE]=VALUE")]
    pub(crate) properties: Vec<Property>,

    /// Names the message.
    #[arg(long, value_name = "TEXT")]
    pub(crate) id: Option<String>,

    /// The message that this one belongs to.
    #[arg(long, value_name = "TEXT")]
    pub(crate) correlation_id: Option<String>,

    /// The address where replies should go.
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) reply_to: Option<String>,

    /// What the message is about.
    #[arg(long, value_name = "TEXT")]
    pub(crate) subject: Option<String>,

    /// How long the message is of use: 10s, 1h.
    #[arg(long, value_name = "TIME", value_parser = value::duration)]
    pub(crate) ttl: Option<Duration>,

    /// 0 to 9, up to 255; higher is sooner. Without it a message has 4.
    #[arg(long, value_name = "N")]
    pub(crate) priority: Option<u8>,

    /// Asks that the message survive a restart of the broker.
    #[arg(long)]
    pub(crate) durable: bool,

    /// The media type of the body, such as application/json.
    #[arg(long, value_name = "TYPE", value_parser = ascii)]
    pub(crate) content_type: Option<String>,

    /// The user who made the message. Brokers may insist that it is the one who logged in.
    #[arg(long, value_name = "NAME")]
    pub(crate) user_id: Option<String>,

    /// The group that the message is part of.
    #[arg(long, value_name = "TEXT")]
    pub(crate) group_id: Option<String>,

    /// When a message counts as sent: at-least, when the broker has accepted it (it arrives at least once), or pre, as
    /// soon as it is handed over (it arrives at most once).
    #[arg(long, value_enum, value_name = "WHEN", default_value = "at-least")]
    pub(crate) settle: Settle,

    /// Gives up after this time, and says what is not known to have arrived.
    #[arg(long, value_name = "TIME", value_parser = value::duration)]
    pub(crate) timeout: Option<Duration>,

    #[command(flatten)]
    pub(crate) connect: Connect,
}

/// When a message counts as sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Settle {
    Pre,
    AtLeast,
}

#[derive(Debug, Args)]
pub(crate) struct Receive {
    #[command(flatten)]
    pub(crate) target: Target,

    /// Ends after N messages.
    #[arg(short, long, value_name = "N", value_parser = value::count)]
    pub(crate) count: Option<u64>,

    /// Ends when this time has passed without a message: 10s, 500ms; 0 takes what is there. Exits 2 when fewer than -c
    /// came, or none.
    #[arg(long, visible_short_alias = 'W', value_name = "TIME", value_parser = value::duration)]
    pub(crate) timeout: Option<Duration>,

    /// Prints each message as a JSON object on one line, with all its properties.
    #[arg(long, group = "how")]
    pub(crate) json: bool,

    /// Prints each message as FORMAT says, see below.
    #[arg(short, long, group = "how")]
    pub(crate) format: Option<Format>,

    /// Writes each body as it is, without a line feed.
    #[arg(long, group = "how")]
    pub(crate) raw: bool,

    /// Leaves the messages in the queue.
    #[arg(long)]
    pub(crate) browse: bool,

    #[command(flatten)]
    pub(crate) connect: Connect,
}

fn receive_help() -> String {
    let about = "\
Prints each body on a line of its own; bytes that are no text are escaped. A message is settled once it is written. \
Without -c and --timeout it goes on until Ctrl-C.";
    format!("{about}\n\n{}", format::HELP)
}

/// Which node of which broker.
#[derive(Debug, Args)]
pub(crate) struct Target {
    /// The broker.
    // As text, so that no message of the parser shows a password in it.
    #[arg(
        short,
        long,
        value_name = "URL",
        env = "POSTROAD_URL",
        hide_env_values = true,
        default_value = "amqp://127.0.0.1:5672"
    )]
    pub(crate) broker: String,

    /// The node: a name such as orders, an address string such as 'orders; {create: always}', or a URL of broker and
    /// node such as amqp://localhost/orders.
    #[arg(value_name = "ADDRESS")]
    pub(crate) address: String,
}

/// How to reach a broker.
#[derive(Debug, Args, Default)]
#[command(next_help_heading = "Connection")]
pub(crate) struct Connect {
    /// The user to log in as; the one in the URL by default.
    #[arg(long, value_name = "NAME")]
    pub(crate) user: Option<String>,

    /// Reads the password from the first line of a file. Otherwise $POSTROAD_PASSWORD is used.
    #[arg(long, value_name = "FILE")]
    pub(crate) password_file: Option<PathBuf>,

    /// Reads a bearer token (OAuth 2) from the first line of a file and logs in with it, over TLS. Otherwise $POSTROAD_TOKEN is
    /// used; a token counts before a password.
    #[arg(long, value_name = "FILE", conflicts_with = "password_file")]
    pub(crate) token_file: Option<PathBuf>,

    /// Asks for TLS by AMQP's own header, on an amqp:// port that begins in clear text. Nothing else is said without TLS.
    #[arg(long)]
    pub(crate) tls_header: bool,

    /// Trusts the authorities in this PEM file, instead of those of the system.
    #[arg(long, value_name = "PEM")]
    pub(crate) ca: Option<PathBuf>,

    /// Shows this certificate to the broker, in PEM.
    #[arg(long, value_name = "PEM", requires = "client_key")]
    pub(crate) client_cert: Option<PathBuf>,

    /// The private key of the client certificate, in PEM.
    #[arg(long, value_name = "PEM", requires = "client_cert")]
    pub(crate) client_key: Option<PathBuf>,

    /// The ways to log in that may be used, such as SCRAM-SHA-256,PLAIN.
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    pub(crate) sasl_mechanisms: Vec<String>,

    /// Shows the password or token even to a broker without TLS.
    #[arg(long)]
    pub(crate) allow_insecure_mechs: bool,

    /// Silence after which the broker counts as dead.
    #[arg(long, value_name = "TIME", value_parser = value::duration)]
    pub(crate) heartbeat: Option<Duration>,

    /// The largest frame to take, 512 bytes at least.
    #[arg(long, value_name = "SIZE", value_parser = frame_size)]
    pub(crate) max_frame_size: Option<u32>,

    /// How long connecting and logging in may take.
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = value::duration)]
    pub(crate) connect_timeout: Duration,
}

fn frame_size(text: &str) -> Result<u32, String> {
    // AMQP 1.0 part 2, 2.7.1.
    u32::try_from(value::size(text)?)
        .ok()
        .filter(|size| *size >= 512)
        .ok_or_else(|| "from 512 bytes to 4 GiB".to_owned())
}

fn ascii(text: &str) -> Result<String, String> {
    if text.is_ascii() { Ok(text.to_owned()) } else { Err("only ASCII, as in text/plain".to_owned()) }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }
}

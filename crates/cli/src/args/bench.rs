//! The options of `postroad bench`.

use std::time::Duration;

use clap::{Args, ValueEnum};

use super::{Connect, Settle};
use crate::value;

#[derive(Debug, Args)]
#[command(after_help = "\
Sends numbered messages and receives them, each end on a connection of its own, all in this process. Ends after --count \
messages or --duration, whichever is first, and without either after 1m messages. Ctrl-C ends it with what was measured.\n\n\
The rate counts from the start to the last message. The latency is that from before the send until the message was \
received: what waits for --window is not sent yet, and a larger window means a longer wait behind others. The processor \
time is that of this process: both ends, without the broker.\n\n\
Exits 1 when a message was lost, came twice or was refused.\n\n\
Examples:\n  \
  postroad bench --p2p\n  \
  postroad bench 'bench; {create: always}' --duration 10s\n  \
  postroad bench -b amqp://user@rabbit.example bench -c 100k --size 1KiB --output-format json")]
pub(crate) struct Bench {
    /// The node, which should be empty: a name, an address string, or a URL of broker and node.
    #[arg(value_name = "ADDRESS", required_unless_present = "p2p", conflicts_with = "p2p")]
    pub(crate) address: Option<String>,

    /// Sends to receivers in this process over the loopback, without a broker.
    // Each by itself, so that the error names the one that was given.
    #[arg(long, conflicts_with_all = ["user", "password_file", "token_file", "tls_header", "ca", "client_cert",
        "client_key", "sasl_mechanisms", "allow_insecure_mechs", "heartbeat", "max_frame_size"])]
    pub(crate) p2p: bool,

    /// The broker.
    #[arg(
        short,
        long,
        value_name = "URL",
        env = "POSTROAD_URL",
        hide_env_values = true,
        default_value = "amqp://127.0.0.1:5672"
    )]
    pub(crate) broker: String,

    /// How many messages: 5000, 100k, 1m.
    #[arg(short, long, value_name = "N", value_parser = value::count)]
    pub(crate) count: Option<u64>,

    /// How long to send: 10s, 1m.
    #[arg(short, long, value_name = "TIME", value_parser = value::duration)]
    pub(crate) duration: Option<Duration>,

    /// The size of each body: 100, 64KiB.
    #[arg(short, long, default_value = "100", value_parser = value::size)]
    pub(crate) size: u64,

    /// Messages on their way at once: more bring a higher rate, and a longer wait for each.
    #[arg(short, long, value_name = "N", default_value = "1000", value_parser = value::count)]
    pub(crate) window: u64,

    /// Messages that each receiver takes ahead.
    #[arg(long, visible_alias = "prefetch", value_name = "N", default_value = "1000", value_parser = value::count)]
    pub(crate) credit: u64,

    /// How many send.
    #[arg(long, value_name = "N", default_value = "1", value_parser = value::count)]
    pub(crate) senders: u64,

    /// How many receive, 1 by default. From peer to peer each sender has a receiver.
    #[arg(long, value_name = "N", value_parser = value::count, conflicts_with = "p2p")]
    pub(crate) receivers: Option<u64>,

    /// When a message counts as sent: at-least, when it was accepted, or pre, as soon as it is handed over.
    #[arg(long, value_enum, value_name = "WHEN", default_value = "at-least")]
    pub(crate) settle: Settle,

    /// Silence after which what has not come is lost.
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = value::duration)]
    pub(crate) timeout: Duration,

    /// How the result is printed: as lines, or as one JSON object.
    #[arg(long, value_enum, value_name = "FORMAT", default_value = "text")]
    pub(crate) output_format: Output,

    #[command(flatten)]
    pub(crate) connect: Connect,
}

/// How a result is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Output {
    Text,
    Json,
}

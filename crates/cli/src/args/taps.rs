//! The options of `postroad taps`.

use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum};
use postroad::taps::Protocol;

use crate::value;

#[derive(Debug, Args)]
pub(crate) struct Taps {
    #[command(subcommand)]
    pub(crate) command: TapsCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum TapsCommand {
    /// Connects, sends messages, and prints those that come back.
    Connect(Box<TapsConnect>),
    /// Waits for connections, and prints or echoes what they send.
    Listen(Box<TapsListen>),
}

const TARGETS: &str = "\
Targets: host:port, [::1]:port, unix:/path, unix:@abstract-name, ws://host:port/path, wss://host:port/path, and \
tcp://, tls://, udp://, udp-lite://, mptcp:// or quic:// in front of host:port for one protocol.\n\
At unix: there are streams; --profile reliable-message takes packets, and --profile unreliable-datagram datagrams.\n\
Properties have the names of RFC 9622 (connTimeout) or those of its drafts (conn-timeout), in any case.";

#[derive(Debug, Args)]
#[command(after_help = format!("\
Without --message, each line of the standard input is a message; without a framer on a stream, its bytes go as they are. \
Ends when everything was sent and the peer has ended, or after -c answers. Where the end of the input cannot be told to \
the peer (--framer with lines of the input, datagrams), it ends when everything was sent, unless -c says how many answers \
to wait for.\n\n\
{TARGETS}\n\n\
Examples:\n  \
  postroad taps connect localhost:7000 --message hello\n  \
  postroad taps connect localhost:7000 --framer length --message one --message two -c 2\n  \
  postroad taps connect example.com:443 --tls --alpn http/1.1 --dry-run\n  \
  postroad taps connect 127.0.0.1:7000 --profile unreliable-datagram --message ping -c 1"))]
pub(crate) struct TapsConnect {
    /// Whom to reach, see below.
    #[arg(value_name = "TARGET")]
    pub(crate) target: String,

    /// Where to start from: an address, with a port if need be, or unix:/path for Unix datagrams.
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) local: Option<String>,

    /// Names the peer that TLS verifies, where it is not the host of TARGET.
    #[arg(long, value_name = "NAME")]
    pub(crate) server_name: Option<String>,

    /// Trusts whatever certificate the peer shows: anyone on the way can read and change everything.
    #[arg(long)]
    pub(crate) insecure: bool,

    /// How long connecting may take.
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = value::duration)]
    pub(crate) connect_timeout: Duration,

    #[command(flatten)]
    pub(crate) wish: TapsWish,
}

#[derive(Debug, Args)]
#[command(after_help = format!("\
Runs until Ctrl-C or SIGTERM, or until -c messages have come. Port 0 picks a free one.\n\n\
{TARGETS}\n\n\
Examples:\n  \
  postroad taps listen 127.0.0.1:7000 --echo\n  \
  postroad taps listen 127.0.0.1:0 --framer length --ready-file port.txt -c 2\n  \
  postroad taps listen 127.0.0.1:7443 --tls --cert chain.pem --key key.pem --echo"))]
pub(crate) struct TapsListen {
    /// Where to listen, see below.
    #[arg(value_name = "TARGET")]
    pub(crate) target: String,

    /// Sends each message back, and prints none.
    #[arg(long)]
    pub(crate) echo: bool,

    /// Forgets a peer over UDP, UDP-Lite or Unix datagrams when it has been quiet for this long: it cannot say good bye.
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = value::duration)]
    pub(crate) forget_after: Duration,

    /// Writes where it listens to this file, one address a line, as soon as it does.
    #[arg(long, value_name = "FILE")]
    pub(crate) ready_file: Option<PathBuf>,

    #[command(flatten)]
    pub(crate) wish: TapsWish,
}

/// What the two have in common.
#[derive(Debug, Args)]
pub(crate) struct TapsWish {
    /// Sends this message, when a connection is there. Can be given again.
    #[arg(short, long, value_name = "TEXT")]
    pub(crate) message: Vec<String>,

    /// Ends after N messages received; exits 2 when fewer came.
    #[arg(short, long, value_name = "N", value_parser = value::count)]
    pub(crate) count: Option<u64>,

    /// Ends when this time has passed without a message.
    #[arg(long, value_name = "TIME", value_parser = value::duration)]
    pub(crate) timeout: Option<Duration>,

    /// Tells what happens, messages included, as JSON objects, one a line.
    #[arg(long)]
    pub(crate) json: bool,

    /// Prints the properties of each connection once it is there.
    #[arg(long)]
    pub(crate) properties: bool,

    /// Opens nothing: prints what would be tried, in order with the rank, and what would not, and why. For a listener it
    /// is what a client with these options would try.
    #[arg(long)]
    pub(crate) dry_run: bool,

    /// How messages are kept apart: length (4 bytes in front), tlv, line, fixed:N (N bytes each) or none.
    #[arg(long, value_name = "FRAMER", default_value = "none")]
    pub(crate) framer: Framing,

    #[command(flatten)]
    pub(crate) selection: TapsSelection,

    #[command(flatten)]
    pub(crate) security: TapsSecurity,
}

/// What is chosen by.
#[derive(Debug, Args)]
#[command(next_help_heading = "Selection")]
pub(crate) struct TapsSelection {
    /// Begins with the properties of a profile.
    #[arg(long, value_enum, value_name = "NAME")]
    pub(crate) profile: Option<TapsProfile>,

    /// Selects only what has the property. This and the next three can be given again.
    #[arg(long, value_name = "PROPERTY")]
    pub(crate) require: Vec<String>,

    /// Selects what has the property before what has it not.
    #[arg(long, value_name = "PROPERTY")]
    pub(crate) prefer: Vec<String>,

    /// Selects what has the property only when nothing else is left.
    #[arg(long, value_name = "PROPERTY")]
    pub(crate) avoid: Vec<String>,

    /// Never selects what has the property.
    #[arg(long, value_name = "PROPERTY")]
    pub(crate) prohibit: Vec<String>,

    /// Sets any property: connTimeout=30, multipath=active, interface=eth0=require. Can be given again.
    #[arg(long, value_name = "NAME=VALUE")]
    pub(crate) set: Vec<String>,

    /// Takes only this protocol: tcp, mptcp, udp, udp-lite, quic, unix or websocket.
    #[arg(long, value_name = "NAME")]
    pub(crate) protocol: Option<Protocol>,

    /// Goes over this interface only.
    #[arg(long, value_name = "NAME")]
    pub(crate) interface: Option<String>,
}

/// Who is trusted, and what is shown.
#[derive(Debug, Args)]
#[command(next_help_heading = "Security")]
pub(crate) struct TapsSecurity {
    /// Protects connections by TLS; without it they are in clear text, unless the target says otherwise.
    #[arg(long)]
    pub(crate) tls: bool,

    /// Trusts the authorities in this PEM file, instead of those of the system. A listener asks for certificates of them.
    #[arg(long, value_name = "PEM")]
    pub(crate) ca: Option<PathBuf>,

    /// Shows this certificate chain, in PEM; a listener needs one.
    #[arg(long, value_name = "PEM", requires = "key")]
    pub(crate) cert: Option<PathBuf>,

    /// The private key of the certificate, in PEM.
    #[arg(long, value_name = "PEM", requires = "cert")]
    pub(crate) key: Option<PathBuf>,

    /// A protocol to agree on inside TLS, such as h2. Can be given again, the best first.
    #[arg(long, value_name = "NAME")]
    pub(crate) alpn: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum TapsProfile {
    ReliableInorderStream,
    ReliableMessage,
    UnreliableDatagram,
}

/// How messages are kept apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Framing {
    None,
    Length,
    Tlv,
    Line,
    Fixed(usize),
}

impl FromStr for Framing {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let fixed = |length: &str| length.parse().ok().filter(|length| (1..=MAX_FIXED).contains(length));
        Ok(match text {
            "none" => Self::None,
            "length" => Self::Length,
            "tlv" => Self::Tlv,
            "line" => Self::Line,
            _ => match text.strip_prefix("fixed:").and_then(fixed) {
                Some(length) => Self::Fixed(length),
                None => return Err(format!("write length, tlv, line, none, or fixed:N with N from 1 to {MAX_FIXED}")),
            },
        })
    }
}

/// The longest message of one length, in bytes.
const MAX_FIXED: usize = 16 * 1024 * 1024;

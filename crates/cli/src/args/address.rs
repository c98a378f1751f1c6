//! The options of `postroad address`.

use clap::{Args, Subcommand, ValueEnum};

#[derive(Debug, Args)]
pub(crate) struct Address {
    #[command(subcommand)]
    pub(crate) command: AddressCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum AddressCommand {
    /// Shows name, subject and options of an address, its normal form, and what is sent on AMQP 1.0. No broker is asked.
    Explain(Explain),
}

#[derive(Debug, Args)]
#[command(after_help = "\
Without --sender and --receiver both are told. Where an address is wrong, stderr shows the place and what to write instead, \
and the exit code is 65.\n\n\
Examples:\n  \
  postroad address explain 'orders/eu; {create: always, node: {durable: True}}'\n  \
  postroad address explain --strict 'my queue'\n  \
  postroad address explain --dialect cpp --receiver 'prices; {link: {selector: price}}'")]
pub(crate) struct Explain {
    /// The address string, or a URL of broker and node such as amqp://localhost/orders.
    #[arg(value_name = "ADDRESS", allow_hyphen_values = true)]
    pub(crate) address: String,

    /// Tells only what a sender asks.
    #[arg(long, conflicts_with = "receiver")]
    pub(crate) sender: bool,

    /// Tells only what a receiver asks.
    #[arg(long)]
    pub(crate) receiver: bool,

    /// Whose grammar to read it by: that of the Python client or that of the C++ client.
    #[arg(long, value_enum, value_name = "NAME", default_value = "python")]
    pub(crate) dialect: Grammar,

    /// Refuses what is read otherwise than it seems to be meant, such as a blank that vanishes.
    #[arg(long)]
    pub(crate) strict: bool,

    /// Prints an object.
    #[arg(long)]
    pub(crate) json: bool,
}

/// Whose grammar.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Grammar {
    Python,
    Cpp,
}

//! The options of `postroad decode`.

use clap::Args;

#[derive(Debug, Args)]
#[command(after_help = "\
Prints a line for each protocol header and frame, in the form of Proton's PN_TRACE_FRM. Bytes that are no frames may be \
the sections of a message. With -v each field is shown with the bytes that it takes. What a client answers in SASL is \
left out, but for ANONYMOUS.\n\n\
Where the bytes are wrong, stderr shows the place, and the exit code is 65.\n\n\
Examples:\n  \
  postroad decode 41 4d 51 50 00 01 00 00\n  \
  postroad decode -v 0000000c02000000:00531845\n  \
  postroad decode - < captured.bin")]
pub(crate) struct Decode {
    /// Hexadecimal digits; blanks, colons, commas and 0x may stand between bytes. A single - reads the standard input:
    /// such digits, or the bytes themselves.
    #[arg(value_name = "HEX", required = true)]
    pub(crate) hex: Vec<String>,

    /// Prints an object on a line for each header, frame or message.
    #[arg(long)]
    pub(crate) json: bool,
}

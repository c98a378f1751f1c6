//! Session descriptions (SDP) of MSRP sessions: what two ends tell each other before they connect (RFC 4975 8), who of
//! them connects (RFC 6135), and where to when something in between has other addresses (RFC 6714). Nothing is looked
//! up, and nothing is connected to here.

mod error;
mod file;
mod file_range;
mod hash;
mod line;
mod media;
mod read;
mod role;
mod session;
mod token;

pub use error::{SdpError, SdpErrorKind};
pub use file::{FileAttributes, FileDate, FileSelector};
pub use file_range::FileRange;
pub use hash::{FileHash, Fingerprint, HashFunction};
pub use line::{Attribute, Connection, Line, Word};
pub use media::{Direction, MediaDescription, Protocol, Setup};
pub use role::{AnswerPlan, CemaFallback, LocalEnd, Role, Roles, SessionMatch, Target, answer_setup, offer_setup};
pub use session::{Media, Origin, OtherMedia, SessionDescription};
pub use token::{FormatEntry, Token};

/// How long a line may be, in octets: a peer that sends no line end costs no more than this.
pub const MAX_LINE: usize = 8192;
/// How many lines a section may have, and how many of them are kept: each costs an allocation.
pub const MAX_LINES: usize = 256;
/// How many media a session may have: each repeats what the session says, so that a short text may cost much.
pub const MAX_MEDIA: usize = 64;
/// How many fingerprints or hashes are read of one section: each is compared with each certificate.
pub const MAX_HASHES: usize = 8;
/// How many media types or tokens one attribute may list: each message is compared with all of them.
pub const MAX_TYPES: usize = 256;
/// How long the name, the type or a date of a file may be, in octets: a name goes on to the file system.
pub const MAX_FILE_TEXT: usize = 1024;
/// How long a path may be, in octets.
pub const MAX_PATH: usize = 7168;

#[cfg(test)]
mod tests;

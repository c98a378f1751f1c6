//! MSRP, the Message Session Relay Protocol (RFC 4975): text, files and anything else that has a media type, in sessions
//! that two parties agree on elsewhere, as by SIP and SDP, directly or over relays (RFC 4976).

pub mod assembly;
mod byte_range;
mod code;
pub mod content;
pub mod digest;
pub mod engine;
mod flag;
#[cfg(any(test, feature = "fuzzing"))]
#[doc(hidden)]
pub mod fuzz;
mod head;
mod ident;
mod message_id;
mod name;
#[cfg(feature = "net")]
mod net;
mod parser;
mod ranges;
pub mod registration;
pub mod relay;
mod report;
mod said;
pub mod sdp;
#[cfg(test)]
mod testing;
mod uri;

pub use byte_range::{ByteRange, ByteRangeError, ByteRangeErrorKind};
pub use code::{Code, Status, StatusError};
pub use flag::Flag;
pub use head::{Head, HeadFault, Method};
pub use ident::{IdentError, TransactionId};
pub use message_id::MessageId;
pub use name::HeaderName;
#[cfg(feature = "net")]
pub use net::{connect, session, transport};
pub use parser::{Event, Limits, ParseError, Parser};
pub use ranges::{RangeSet, RangesFull};
pub use report::{FailureReport, ReportError};
pub use uri::{DEFAULT_PORT, Host, Path, PathError, Scheme, Transport, Uri, UriError, UriErrorKind};

//! MSRP, the Message Session Relay Protocol (RFC 4975): text, files and anything else that has a media type, in sessions
//! that two parties agree on elsewhere, as by SIP and SDP, directly or over relays (RFC 4976).

mod flag;
#[cfg(any(test, feature = "fuzzing"))]
#[doc(hidden)]
pub mod fuzz;
mod head;
mod ident;
mod name;
mod parser;
pub mod sdp;
mod uri;

pub use flag::Flag;
pub use head::{Head, HeadFault, Method};
pub use ident::{IdentError, TransactionId};
pub use name::HeaderName;
pub use parser::{Event, Limits, ParseError, Parser};
pub use uri::{DEFAULT_PORT, Host, Path, PathError, Scheme, Transport, Uri, UriError, UriErrorKind};

//! MSRP, the Message Session Relay Protocol (RFC 4975): text, files and anything else that has a media type, in sessions
//! that two parties agree on elsewhere, as by SIP and SDP, directly or over relays (RFC 4976).

mod uri;

pub use uri::{DEFAULT_PORT, Host, Path, PathError, Scheme, Transport, Uri, UriError, UriErrorKind};

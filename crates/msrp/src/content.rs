//! What messages carry: media types and which of them an end takes, the formats that come with MSRP, and nicknames.
//!
//! Deterministic, without sockets; time is an argument. Bodies are slices of what arrived.

mod date_time;
mod media_type;
mod mime;
mod multipart;
mod nickname;
mod quoted;

pub use date_time::{DateTime, DateTimeError};
pub use media_type::{MediaType, MediaTypeError, MediaTypeErrorKind};
pub use mime::{HeadErrorKind, MAX_HEAD, MAX_HEADERS, MAX_LINE, MimeHeader};
pub use multipart::{Multipart, MultipartError, Part};
pub use nickname::{Nickname, NicknameError, UseNickname};

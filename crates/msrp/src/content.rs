//! What messages carry: media types and which of them an end takes, the formats that come with MSRP, and nicknames.
//!
//! Deterministic, without sockets; time is an argument. Bodies are slices of what arrived.

mod accept;
mod composing;
mod cpim;
mod date_time;
mod imdn;
mod media_type;
mod mime;
mod multipart;
mod nickname;
mod quoted;
mod xml;

pub use accept::{AcceptEntry, AcceptTypes, AcceptTypesError, Acceptance, NotAccepted};
pub use composing::{Composer, ComposerWatch, ComposingState, IsComposing, IsComposingError};
pub use cpim::{Address, CPIM_NAMESPACE, Cpim, CpimBuilder, CpimError, CpimErrorKind, CpimHeader, Subject};
pub use date_time::{DateTime, DateTimeError};
pub use imdn::{
    DeliveryStatus, DisplayStatus, Disposition, DispositionRequest, IMDN_NAMESPACE, Imdn, ImdnError, ImdnHeaders,
    Notification, ProcessingStatus,
};
pub use media_type::{MediaType, MediaTypeError, MediaTypeErrorKind};
pub use mime::{HeadErrorKind, MAX_HEAD, MAX_HEADERS, MAX_LINE, MimeHeader};
pub use multipart::{Multipart, MultipartError, Part};
pub use nickname::{Nickname, NicknameError, UseNickname};
pub use xml::{MAX_XML, MAX_XML_ATTRIBUTES, MAX_XML_DEPTH, MAX_XML_NAMESPACES, XmlError, XmlErrorKind};

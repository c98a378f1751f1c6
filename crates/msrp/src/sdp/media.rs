//! The description of one MSRP session: a section that begins with `m=message`.

use std::fmt;
use std::str::FromStr;

use super::error::wrong;
use super::file_range::number;
use super::read::{Level, RawLine, keep, sections};
use super::token::list;
use super::{
    Attribute, Connection, FileAttributes, FileSelector, Fingerprint, FormatEntry, Line, MAX_PATH, SdpError,
    SdpErrorKind, Token,
};
use crate::{Path, PathError};

/// What one end says of its end of a session (RFC 4975 8).
///
/// It is read out of a whole session description, with what that says for all media; it is written as a section.
///
/// ```
/// use postroad_msrp::sdp::MediaDescription;
///
/// let offer = "v=0\r\no=alice 1 1 IN IP4 alice.example.com\r\ns=-\r\nc=IN IP4 alice.example.com\r\nt=0 0\r\n\
///     m=message 7394 TCP/MSRP *\r\na=accept-types:message/cpim text/plain\r\n\
///     a=path:msrp://alice.example.com:7394/2s93i93idj;tcp\r\n";
/// let media: MediaDescription = offer.parse()?;
/// assert_eq!((media.port, media.accept_types.len()), (7394, 2));
/// assert_eq!(media.path.unwrap().last().session_id(), Some("2s93i93idj"));
/// # Ok::<_, postroad_msrp::sdp::SdpError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct MediaDescription {
    /// The port of the `m=` line; 0 where the session is not wanted, 9 where the end does not wait.
    pub port: u16,
    /// Whether the next hop is reached over TLS.
    pub protocol: Protocol,
    /// The `c=` line, its own or that of the whole description.
    pub connection: Option<Connection>,
    /// The way to the end; always there but where the port is 0.
    pub path: Option<Path>,
    /// Which types may be sent.
    pub accept_types: Vec<FormatEntry>,
    /// Which types may be sent inside of others only.
    pub accept_wrapped_types: Vec<FormatEntry>,
    /// How many octets a message should have at most: a hint (RFC 4975 8.6).
    pub max_size: Option<u64>,
    /// Who connects.
    pub setup: Option<Setup>,
    /// Whether the end connects to the `c=` and `m=` line (RFC 6714).
    pub msrp_cema: bool,
    /// What a chat room has (RFC 7701 8), where it is one.
    pub chatroom: Option<Vec<Token>>,
    /// Who may send; both where it is not said.
    pub direction: Option<Direction>,
    /// By what the certificate is known.
    pub fingerprints: Vec<Fingerprint>,
    /// The file, where one is to be transferred.
    pub file: FileAttributes,
    /// Further lines: `i=`, `b=`, `k=`.
    pub lines: Vec<Line>,
    /// Further attributes, in their order.
    pub attributes: Vec<Attribute>,
}

/// The protocol of an `m=` line. WebSocket has none of its own: it is `TCP/TLS/MSRP` (RFC 7977 5.2.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Protocol {
    /// `TCP/MSRP`.
    Tcp,
    /// `TCP/TLS/MSRP`.
    Tls,
}

/// Who connects to whom (RFC 4145 4). `holdconn` is none of them: it is never sent, and read as nothing
/// (RFC 6135 4.2.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Setup {
    /// This end connects.
    Active,
    /// This end waits; never offered (RFC 6135 4.2.2).
    Passive,
    /// As the other end likes.
    ActPass,
}

/// Who sends messages (RFC 4975 8.9).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Direction {
    /// Both.
    #[default]
    SendRecv,
    /// This end only.
    SendOnly,
    /// The other end only.
    RecvOnly,
    /// Nobody.
    Inactive,
}

impl MediaDescription {
    /// Of an end that this is the way to, with the `c=` and `m=` line that belong to it: the host and the port of the
    /// first URI, as RFC 4976 and RFC 6714 4.2 have it behind a relay.
    ///
    /// # Errors
    /// The URI has no port (RFC 4975 8.2), or the path is longer than [`MAX_PATH`].
    pub fn new(path: Path, accept_types: Vec<FormatEntry>) -> Result<Self, SdpError> {
        let (first, is_long) = (path.first(), path.to_string().len() > MAX_PATH);
        let port = first.port().filter(|_| !is_long).ok_or_else(|| wrong(SdpErrorKind::Path))?;
        let protocol = if first.is_secure() { Protocol::Tls } else { Protocol::Tcp };
        let connection = Some(first.host().clone().into());
        Ok(Self { connection, path: Some(path), accept_types, ..Self::empty(port, protocol) })
    }

    /// The offer to send a file.
    #[must_use]
    pub fn push(self, file: FileAttributes) -> Self {
        Self { direction: Some(Direction::SendOnly), file, ..self }
    }

    /// The offer to take a file.
    #[must_use]
    pub fn pull(self, file: FileAttributes) -> Self {
        Self { direction: Some(Direction::RecvOnly), file, ..self }
    }

    /// The answer to the offer of a file: the same transfer, seen from the other end (RFC 5547 8.2.2 and 8.3.2).
    #[must_use]
    pub fn answer_file(self, offer: &Self) -> Self {
        let FileAttributes { selector, transfer_id, range, .. } = offer.file.clone();
        let file = FileAttributes { selector, transfer_id, range, ..FileAttributes::default() };
        Self { direction: Some(offer.direction().reversed()), file, ..self }
    }

    /// The answer that refuses an offer: port 0.
    #[must_use]
    pub fn reject(offer: &Self) -> Self {
        let (connection, path) = (offer.connection.clone(), offer.path.clone());
        Self { connection, path, accept_types: offer.accept_types.clone(), ..Self::empty(0, offer.protocol) }
    }

    /// The session with this number among those of MSRP, from 0, of a whole description or of a part of one.
    ///
    /// # Errors
    /// What is not written as it has to be, in the session's lines or in those of this media.
    pub fn find(text: &str, number: usize) -> Result<Self, SdpError> {
        let (session, media) = sections(text)?;
        let mut level = Level::default();
        for line in &session {
            level.take(line)?;
        }
        let found = media.iter().filter(|section| is_msrp(&section[0])).nth(number);
        let found = found.ok_or_else(|| SdpError::new(SdpErrorKind::Missing, text.len()))?;
        Self::read(found, &level)
    }

    /// Who sends, where it is not said too.
    #[must_use]
    pub fn direction(&self) -> Direction {
        self.direction.unwrap_or_default()
    }

    /// Whether the session is not wanted.
    #[must_use]
    pub fn is_rejected(&self) -> bool {
        self.port == 0
    }

    /// Whether the chat room takes nicknames (RFC 7701 8).
    #[must_use]
    pub fn has_nicknames(&self) -> bool {
        self.has_room_token("nickname")
    }

    /// Whether the chat room takes messages to one participant (RFC 7701 8).
    #[must_use]
    pub fn has_private_messages(&self) -> bool {
        self.has_room_token("private-messages")
    }

    fn has_room_token(&self, token: &str) -> bool {
        self.chatroom.iter().flatten().any(|it| it.as_str() == token)
    }

    fn empty(port: u16, protocol: Protocol) -> Self {
        Self {
            port,
            protocol,
            connection: None,
            path: None,
            accept_types: Vec::new(),
            accept_wrapped_types: Vec::new(),
            max_size: None,
            setup: None,
            msrp_cema: false,
            chatroom: None,
            direction: None,
            fingerprints: Vec::new(),
            file: FileAttributes::default(),
            lines: Vec::new(),
            attributes: Vec::new(),
        }
    }

    pub(super) fn read(section: &[RawLine<'_>], session: &Level) -> Result<Self, SdpError> {
        let (head, lines) = section.split_first().expect("a section begins with its media line");
        let (port, protocol) = head_of(head).ok_or_else(|| head.wrong(SdpErrorKind::Media))?;
        let mut media = Self::empty(port, protocol);
        let mut level = Level::default();
        for line in lines {
            if !level.take(line)? && !media.take(line)? {
                let kept = match line.letter {
                    'a' => keep(&mut media.attributes, line.to_attribute()?),
                    'i' | 'b' | 'k' => keep(&mut media.lines, line.to_line()?),
                    _ => Err(wrong(SdpErrorKind::Line)),
                };
                kept.map_err(|error| line.wrong(error.kind().clone()))?;
            }
        }
        if media.path.is_none() && !media.is_rejected() {
            return Err(head.wrong(SdpErrorKind::Path));
        }
        media.lines.sort_by_key(|line| "ibk".find(line.letter()));
        level.inherit(session);
        let Level { connection, setup, direction, fingerprints } = level;
        Ok(Self { connection, setup, direction, fingerprints, ..media })
    }

    /// Takes an attribute that has a meaning; whether it has one.
    fn take(&mut self, line: &RawLine<'_>) -> Result<bool, SdpError> {
        let ('a', (name, value)) = (line.letter, line.attribute()) else { return Ok(false) };
        let located = |error: SdpError| line.wrong(error.kind().clone());
        let file = &mut self.file;
        match (name, value) {
            ("path", Some(path)) => {
                let path: Path = path.parse().map_err(|_: PathError| line.wrong(SdpErrorKind::Path))?;
                if path.to_string().len() > MAX_PATH {
                    return Err(line.wrong(SdpErrorKind::Long));
                }
                line.once(&mut self.path, path)?;
            }
            ("accept-types" | "accept-wrapped-types", Some(types)) => {
                let is_root = name == "accept-types";
                let list_of = if is_root { &mut self.accept_types } else { &mut self.accept_wrapped_types };
                if !list_of.is_empty() {
                    return Err(line.wrong(SdpErrorKind::Repeated));
                }
                *list_of = list(types).map_err(located)?;
            }
            ("max-size", Some(size)) => line.once(&mut self.max_size, number(size.trim()).map_err(located)?)?,
            ("msrp-cema", None) => self.msrp_cema = true,
            ("chatroom", tokens) => {
                line.once(&mut self.chatroom, list(tokens.unwrap_or_default()).map_err(located)?)?
            }
            ("file-selector", selector) => {
                line.once(&mut file.selector, line.parse::<FileSelector>(selector.unwrap_or_default())?)?;
            }
            ("file-transfer-id", Some(id)) => line.once(&mut file.transfer_id, line.parse(id)?)?,
            ("file-disposition", Some(disposition)) => line.once(&mut file.disposition, line.parse(disposition)?)?,
            ("file-date", Some(date)) => line.once(&mut file.date, line.parse(date)?)?,
            ("file-icon", Some(icon)) => {
                let id = icon.trim().strip_prefix("cid:").ok_or_else(|| line.wrong(SdpErrorKind::Token))?;
                line.once(&mut file.icon, line.parse(id)?)?;
            }
            ("file-range", Some(range)) => line.once(&mut file.range, line.parse(range)?)?,
            // RFC 6135 4.4: never sent, and ignored when it comes.
            ("connection", _) => {}
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// Writes the section without what the session says already.
    pub(super) fn write(&self, f: &mut fmt::Formatter<'_>, session: &Level) -> fmt::Result {
        write!(f, "m=message {} {} *\r\n", self.port, self.protocol)?;
        let (titles, others) = self.lines.split_at(self.lines.partition_point(|line| line.letter() == 'i'));
        titles.iter().try_for_each(|line| line_of(f, "", Some(line)))?;
        line_of(f, "c=", self.connection.as_ref().filter(|own| session.connection.as_ref() != Some(*own)))?;
        others.iter().try_for_each(|line| line_of(f, "", Some(line)))?;
        line_of(f, "a=", self.direction.filter(|own| session.direction != Some(*own)))?;
        list_of(f, "accept-types", &self.accept_types)?;
        list_of(f, "accept-wrapped-types", &self.accept_wrapped_types)?;
        line_of(f, "a=max-size:", self.max_size)?;
        line_of(f, "a=path:", self.path.as_ref())?;
        line_of(f, "a=setup:", self.setup.filter(|own| session.setup != Some(*own)))?;
        line_of(f, "a=", self.msrp_cema.then_some("msrp-cema"))?;
        match self.chatroom.as_deref() {
            Some([]) => f.write_str("a=chatroom\r\n")?,
            Some(tokens) => list_of(f, "chatroom", tokens)?,
            None => {}
        }
        let own_fingerprints = self.fingerprints.iter().filter(|_| session.fingerprints != self.fingerprints);
        own_fingerprints.into_iter().try_for_each(|one| line_of(f, "a=fingerprint:", Some(one)))?;
        let file = &self.file;
        match &file.selector {
            Some(selector) if selector.is_empty() => f.write_str("a=file-selector\r\n")?,
            selector => line_of(f, "a=file-selector:", selector.as_ref())?,
        }
        line_of(f, "a=file-transfer-id:", file.transfer_id.as_ref())?;
        line_of(f, "a=file-disposition:", file.disposition.as_ref())?;
        line_of(f, "a=file-date:", file.date.as_ref())?;
        line_of(f, "a=file-icon:cid:", file.icon.as_ref())?;
        line_of(f, "a=file-range:", file.range)?;
        self.attributes.iter().try_for_each(|attribute| line_of(f, "a=", Some(attribute)))
    }
}

impl fmt::Display for MediaDescription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write(f, &Level::default())
    }
}

impl FromStr for MediaDescription {
    type Err = SdpError;

    fn from_str(text: &str) -> Result<Self, SdpError> {
        Self::find(text, 0)
    }
}

impl Direction {
    /// What the other end says to it.
    #[must_use]
    pub fn reversed(self) -> Self {
        match self {
            Self::SendOnly => Self::RecvOnly,
            Self::RecvOnly => Self::SendOnly,
            other => other,
        }
    }
}

/// Texts and their values, both ways.
macro_rules! words {
    ($type:ident, $error:ident, $($word:literal => $value:ident),+) => {
        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(match self { $(Self::$value => $word),+ })
            }
        }

        impl FromStr for $type {
            type Err = SdpError;

            fn from_str(text: &str) -> Result<Self, SdpError> {
                $(if text.eq_ignore_ascii_case($word) { return Ok(Self::$value); })+
                Err(wrong(SdpErrorKind::$error))
            }
        }
    };
}

words!(Protocol, Media, "TCP/MSRP" => Tcp, "TCP/TLS/MSRP" => Tls);
words!(Setup, Setup, "active" => Active, "passive" => Passive, "actpass" => ActPass);
words!(Direction, Token, "sendrecv" => SendRecv, "sendonly" => SendOnly, "recvonly" => RecvOnly,
    "inactive" => Inactive);

/// Whether a media line is one of MSRP.
pub(super) fn is_msrp(line: &RawLine<'_>) -> bool {
    let mut words = line.value.split_ascii_whitespace();
    let is_message = words.next().is_some_and(|media| media.eq_ignore_ascii_case("message"));
    is_message && words.nth(1).is_some_and(|protocol| protocol.parse::<Protocol>().is_ok())
}

fn head_of(line: &RawLine<'_>) -> Option<(u16, Protocol)> {
    let mut words = line.value.split_ascii_whitespace().skip(1);
    let port = words.next().and_then(|port| number(port).ok()).and_then(|port| u16::try_from(port).ok())?;
    Some((port, words.next()?.parse().ok()?))
}

pub(super) fn line_of(f: &mut fmt::Formatter<'_>, label: &str, value: Option<impl fmt::Display>) -> fmt::Result {
    value.map_or(Ok(()), |value| write!(f, "{label}{value}\r\n"))
}

fn list_of(f: &mut fmt::Formatter<'_>, name: &str, values: &[impl fmt::Display]) -> fmt::Result {
    for (place, value) in values.iter().enumerate() {
        if place == 0 {
            write!(f, "a={name}:{value}")?;
        } else {
            write!(f, " {value}")?;
        }
    }
    if values.is_empty() { Ok(()) } else { f.write_str("\r\n") }
}

//! MSRP URIs (RFC 4975 6) and the paths that are made of them.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::num::NonZeroU16;
use std::str::FromStr;

mod host;
mod path;

pub use host::Host;
pub use path::{Path, PathError};

/// A URI that names an end of a session, or a relay: `msrps://host.example.com:2855/s8d9fa;tcp`.
///
/// Two URIs are equal as RFC 4975 6.1 has it: addresses by their value, names without regard to case, the session id to
/// the letter, without user and parameters. [`Display`](fmt::Display) keeps what does not count.
///
/// ```
/// use postroad_msrp::Uri;
///
/// let uri: Uri = "msrps://alice@Host.example.com:2855/s8d9fa;tcp;x=1".parse()?;
/// assert_eq!((uri.host().to_string().as_str(), uri.port()), ("Host.example.com", Some(2855)));
/// assert_eq!(uri, "MSRPS://host.example.com:2855/s8d9fa;TCP".parse::<Uri>()?);
/// assert_eq!(uri.to_string(), "msrps://alice@Host.example.com:2855/s8d9fa;tcp;x=1");
/// # Ok::<_, postroad_msrp::UriError>(())
/// ```
#[doc(alias = "URI")]
#[derive(Debug, Clone)]
pub struct Uri {
    scheme: Scheme,
    user: Option<String>,
    host: Host,
    port: Option<NonZeroU16>,
    session_id: Option<String>,
    transport: Transport,
    parameters: Vec<(String, Option<String>)>,
}

/// Whether the hop that a URI names is reached over TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Scheme {
    /// In clear text.
    #[default]
    Msrp,
    /// Over TLS, in any case.
    Msrps,
}

/// What a URI says that its hop is reached over. One that is not known is legal where one does not connect to it
/// (RFC 7977 5.2.2).
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Transport {
    /// TCP, and TLS over it.
    #[default]
    Tcp,
    /// WebSocket (RFC 7977).
    Ws,
    /// Another one, in lower case; it is parsed.
    #[non_exhaustive]
    Other(Box<str>),
}

/// The port of relays that DNS does not tell of (RFC 4976 10.3, IANA).
pub const DEFAULT_PORT: u16 = 2855;

impl Uri {
    /// The URI of a host: over TCP in clear text, without port and session.
    #[must_use]
    pub fn new(host: impl Into<Host>) -> Self {
        Self {
            scheme: Scheme::Msrp,
            user: None,
            host: host.into(),
            port: None,
            session_id: None,
            transport: Transport::Tcp,
            parameters: Vec::new(),
        }
    }

    /// Over TLS or not.
    #[doc(alias = "use_tls")]
    #[must_use]
    pub fn with_scheme(mut self, scheme: Scheme) -> Self {
        self.scheme = scheme;
        self
    }

    /// With a port; 0 stands for none.
    #[must_use]
    pub fn with_port(mut self, port: u16) -> Self {
        self.port = NonZeroU16::new(port);
        self
    }

    /// With the name of a transport.
    #[must_use]
    pub fn with_transport(mut self, transport: Transport) -> Self {
        self.transport = transport;
        self
    }

    /// With a session id.
    ///
    /// # Errors
    /// A character that no session id has, or none at all.
    pub fn with_session_id(mut self, id: impl Into<String>) -> Result<Self, UriError> {
        let id = id.into();
        check(&id, 0, is_session, UriErrorKind::SessionId)?;
        self.session_id = Some(id);
        Ok(self)
    }

    /// With a user, whom nobody compares.
    ///
    /// # Errors
    /// A character that has to be percent-encoded, or a password.
    pub fn with_user(mut self, user: impl Into<String>) -> Result<Self, UriError> {
        let user = user.into();
        check_user(&user, 0)?;
        self.user = Some(user);
        Ok(self)
    }

    /// With a further parameter behind the transport.
    ///
    /// # Errors
    /// A name or a value that is no token.
    pub fn with_parameter(mut self, name: impl Into<String>, value: Option<String>) -> Result<Self, UriError> {
        let name = name.into();
        check(&name, 0, is_token, UriErrorKind::Parameter)?;
        if let Some(value) = &value {
            check(value, 0, is_token, UriErrorKind::Parameter)?;
        }
        self.parameters.push((name, value));
        Ok(self)
    }

    /// Whether it is `msrp:` or `msrps:`.
    #[must_use]
    pub fn scheme(&self) -> Scheme {
        self.scheme
    }

    /// Whether the hop is reached over TLS.
    #[doc(alias = "use_tls")]
    #[must_use]
    pub fn is_secure(&self) -> bool {
        self.scheme == Scheme::Msrps
    }

    /// The user, as it was written.
    #[must_use]
    pub fn user(&self) -> Option<&str> {
        self.user.as_deref()
    }

    /// The address or the name of the host.
    #[must_use]
    pub fn host(&self) -> &Host {
        &self.host
    }

    /// The port, from 1 on.
    #[must_use]
    pub fn port(&self) -> Option<u16> {
        self.port.map(NonZeroU16::get)
    }

    /// The id of the session; a relay that is to be authenticated at has none.
    #[must_use]
    pub fn session_id(&self) -> Option<&str> {
        self.session_id.as_deref()
    }

    /// The transport.
    #[must_use]
    pub fn transport(&self) -> &Transport {
        &self.transport
    }

    /// The parameters behind the transport, in their order.
    pub fn parameters(&self) -> impl ExactSizeIterator<Item = (&str, Option<&str>)> {
        self.parameters.iter().map(|(name, value)| (name.as_str(), value.as_deref()))
    }

    /// Whether two URIs have one session id, whatever their hosts are: what is left of the comparison where something in
    /// between rewrites addresses.
    #[doc(alias = "sessmatch")]
    #[must_use]
    pub fn is_session_of(&self, other: &Self) -> bool {
        self.session_id.is_some() && self.session_id == other.session_id
    }
}

impl PartialEq for Uri {
    fn eq(&self, other: &Self) -> bool {
        self.scheme == other.scheme
            && self.host == other.host
            && self.port == other.port
            && self.session_id == other.session_id
            && self.transport == other.transport
    }
}

impl Eq for Uri {}

impl Hash for Uri {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.scheme.hash(state);
        self.host.hash(state);
        self.port.hash(state);
        self.session_id.hash(state);
        self.transport.hash(state);
    }
}

impl fmt::Display for Uri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://", self.scheme)?;
        if let Some(user) = &self.user {
            write!(f, "{user}@")?;
        }
        write!(f, "{}", self.host)?;
        if let Some(port) = self.port {
            write!(f, ":{port}")?;
        }
        if let Some(id) = &self.session_id {
            write!(f, "/{id}")?;
        }
        write!(f, ";{}", self.transport)?;
        for (name, value) in &self.parameters {
            write!(f, ";{name}")?;
            if let Some(value) = value {
                write!(f, "={value}")?;
            }
        }
        Ok(())
    }
}

impl FromStr for Uri {
    type Err = UriError;

    fn from_str(text: &str) -> Result<Self, UriError> {
        if let Some(offset) = text.bytes().position(|byte| !byte.is_ascii_graphic()) {
            return Err(UriError::new(UriErrorKind::Character, offset));
        }
        let Some((scheme, rest)) = text.split_once("://") else { return Err(UriError::new(UriErrorKind::Scheme, 0)) };
        let scheme = match scheme {
            _ if scheme.eq_ignore_ascii_case("msrp") => Scheme::Msrp,
            _ if scheme.eq_ignore_ascii_case("msrps") => Scheme::Msrps,
            _ => return Err(UriError::new(UriErrorKind::Scheme, 0)),
        };
        let at = |part: &str| part.as_ptr().addr() - text.as_ptr().addr();
        // A session id may hold slashes, and nothing of it a semicolon.
        let Some((before, parameters)) = rest.split_once(';') else {
            return Err(UriError::new(UriErrorKind::Transport, text.len()));
        };
        let (authority, session_id) = match before.split_once('/') {
            Some((authority, id)) => {
                check(id, at(id), is_session, UriErrorKind::SessionId)?;
                (authority, Some(id.to_owned()))
            }
            None => (before, None),
        };
        let (user, place) = match authority.rsplit_once('@') {
            Some((user, place)) => {
                check_user(user, at(user))?;
                (Some(user.to_owned()), place)
            }
            None => (None, authority),
        };
        let (host, port) = host_and_port(place, at(place))?;
        let mut parameters = parameters.split(';');
        let named = parameters.next().unwrap_or_default();
        let parameters = parameters.map(|parameter| {
            let (name, value) = match parameter.split_once('=') {
                Some((name, value)) => (name, Some(value)),
                None => (parameter, None),
            };
            for part in [Some(name), value].into_iter().flatten() {
                check(part, at(part), is_token, UriErrorKind::Parameter)?;
            }
            Ok((name.to_owned(), value.map(str::to_owned)))
        });
        Ok(Self {
            scheme,
            user,
            host,
            port,
            session_id,
            transport: named.parse().map_err(|error: UriError| error.further(at(named)))?,
            parameters: parameters.collect::<Result<_, UriError>>()?,
        })
    }
}

impl fmt::Display for Scheme {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Msrp => "msrp",
            Self::Msrps => "msrps",
        })
    }
}

impl fmt::Display for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tcp => "tcp",
            Self::Ws => "ws",
            Self::Other(name) => name,
        })
    }
}

impl FromStr for Transport {
    type Err = UriError;

    fn from_str(name: &str) -> Result<Self, UriError> {
        check(name, 0, |byte| byte.is_ascii_alphanumeric(), UriErrorKind::Transport)?;
        Ok(match name.to_ascii_lowercase().as_str() {
            "tcp" => Self::Tcp,
            "ws" => Self::Ws,
            name => Self::Other(name.into()),
        })
    }
}

/// Why a text is no MSRP URI, and where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{kind} at offset {offset}")]
pub struct UriError {
    kind: UriErrorKind,
    offset: usize,
}

/// What is wrong with a text that is no MSRP URI.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum UriErrorKind {
    /// It begins with neither `msrp://` nor `msrps://`.
    #[error("a URI of MSRP begins with msrp:// or msrps://")]
    Scheme,
    /// A space, a control character, or one that is not ASCII.
    #[error("a character that no URI has")]
    Character,
    /// The user has a character that has to be percent-encoded, or is empty.
    #[error("no user")]
    User,
    /// There is a password, which an MSRP URI never has (RFC 4975 6).
    #[error("a password, which no URI of MSRP has")]
    Password,
    /// The host is missing, or is neither a name nor an address.
    #[error("no host")]
    Host,
    /// The port is not a number from 1 to 65535.
    #[error("no port from 1 to 65535")]
    Port,
    /// An address stands without a port, which only a name may (RFC 4975 6).
    #[error("an address needs a port")]
    PortMissing,
    /// A session id is empty, or has a character that it may not have.
    #[error("no session id")]
    SessionId,
    /// The transport is missing, as in `;tcp`.
    #[error("no transport, as in `;tcp`")]
    Transport,
    /// A parameter behind the transport is no token.
    #[error("a parameter that is no token")]
    Parameter,
}

impl UriError {
    fn new(kind: UriErrorKind, offset: usize) -> Self {
        Self { kind, offset }
    }

    fn further(self, by: usize) -> Self {
        Self { offset: self.offset + by, ..self }
    }

    /// What is wrong.
    #[must_use]
    pub fn kind(&self) -> UriErrorKind {
        self.kind
    }

    /// Where, in bytes from the beginning of the text.
    #[must_use]
    pub fn offset(&self) -> usize {
        self.offset
    }

    /// What to write instead, where that can be said.
    #[must_use]
    pub fn hint(&self) -> Option<&'static str> {
        Some(match self.kind {
            UriErrorKind::Scheme | UriErrorKind::Transport => "write it like msrp://host.example.com:2855/session;tcp",
            UriErrorKind::Character | UriErrorKind::User => "percent-encode it",
            UriErrorKind::Password => "leave the password out: relays are given it by AUTH",
            UriErrorKind::PortMissing => "add the port, as in :2855",
            UriErrorKind::SessionId => "a session id has letters, digits and any of - . _ ~ + = /",
            UriErrorKind::Host => "addresses of IPv6 stand in brackets",
            UriErrorKind::Port | UriErrorKind::Parameter => return None,
        })
    }
}

fn host_and_port(place: &str, offset: usize) -> Result<(Host, Option<NonZeroU16>), UriError> {
    let (host, port) = match place.strip_prefix('[') {
        Some(rest) => {
            let Some((address, port)) = rest.split_once(']') else {
                return Err(UriError::new(UriErrorKind::Host, offset));
            };
            let address = address.parse::<Ipv6Addr>().map_err(|_| UriError::new(UriErrorKind::Host, offset + 1))?;
            let port = match port.strip_prefix(':') {
                Some(port) => Some(port),
                None if port.is_empty() => None,
                None => return Err(UriError::new(UriErrorKind::Port, offset + place.len() - port.len())),
            };
            (Host::Ip(address.into()), port)
        }
        None => {
            let (name, port) = match place.split_once(':') {
                Some((name, port)) => (name, Some(port)),
                None => (place, None),
            };
            let host = match name.parse::<Ipv4Addr>() {
                Ok(address) => Host::Ip(IpAddr::V4(address)),
                Err(_) => Host::name(name).map_err(|error| error.further(offset))?,
            };
            (host, port)
        }
    };
    let wrong = || UriError::new(UriErrorKind::Port, offset + place.len() - port.map_or(0, str::len));
    let port = match port {
        Some(port) if port.bytes().all(|byte| byte.is_ascii_digit()) => Some(port.parse().map_err(|_| wrong())?),
        Some(_) => return Err(wrong()),
        None => None,
    };
    if port.is_none() && matches!(host, Host::Ip(_)) {
        return Err(UriError::new(UriErrorKind::PortMissing, offset + place.len()));
    }
    Ok((host, port))
}

/// Checks that a part of a URI is not empty and has the characters that it may have.
fn check(part: &str, offset: usize, may: impl Fn(u8) -> bool, kind: UriErrorKind) -> Result<(), UriError> {
    match part.bytes().position(|byte| !may(byte)) {
        Some(place) => Err(UriError::new(kind, offset + place)),
        None if part.is_empty() => Err(UriError::new(kind, offset)),
        None => Ok(()),
    }
}

fn check_user(user: &str, offset: usize) -> Result<(), UriError> {
    if let Some(colon) = user.find(':') {
        return Err(UriError::new(UriErrorKind::Password, offset + colon));
    }
    check(user, offset, |byte| is_unreserved(byte) || is_sub_delim(byte) || byte == b'%', UriErrorKind::User)?;
    host::check_escapes(user).map_err(|place| UriError::new(UriErrorKind::User, offset + place))
}

fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~".contains(&byte)
}

fn is_sub_delim(byte: u8) -> bool {
    // Without the semicolon, behind which the transport begins.
    b"!$&'()*+,=".contains(&byte)
}

fn is_session(byte: u8) -> bool {
    is_unreserved(byte) || b"+=/".contains(&byte)
}

/// `token` of RFC 4975 9.
pub(crate) fn is_token(byte: u8) -> bool {
    TOKEN[usize::from(byte)]
}

/// Looked up, for each octet of each header's name is asked for.
static TOKEN: [bool; 256] = {
    let (mut table, others) = ([false; 256], b"\"(),/:;<=>?@[\\]");
    let mut byte = 0x21_u8;
    while byte < 0x7f {
        table[byte as usize] = true;
        byte += 1;
    }
    let mut place = 0;
    while place < others.len() {
        table[others[place] as usize] = false;
        place += 1;
    }
    table
};

#[cfg(test)]
mod tests;

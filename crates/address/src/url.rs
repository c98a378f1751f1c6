//! Where a broker is and who asks: `amqps://user:password@host:port/address?key=value`.

use std::{
    fmt::{self, Write},
    net::Ipv6Addr,
    str::FromStr,
};

use crate::{
    Scheme,
    percent::{decode, encode},
    url_error::{UrlError, UrlPart},
};

/// The longest text that is read as a broker URL, in bytes: a full address whose every character is percent-encoded.
///
/// URLs come from the command line and, in lists for failover, from peers; reading one copies its parts.
pub const MAX_URL_LEN: usize = 3 * crate::MAX_ADDRESS_LEN + 4096;

/// The key of the pair that names the resource of a WebSocket: `amqpws://host/address?websocket_resource=/amqp`.
pub const WEBSOCKET_RESOURCE: &str = "websocket_resource";

/// The longest path or abstract name of a Unix socket, in bytes: the system's structure has room for 108 with a zero byte.
const MAX_SOCKET_LEN: usize = 107;

/// Says where a broker is: scheme, user, host, port, and perhaps the address of a node there.
///
/// Read forms, the first being the usual one:
///
/// | form | known from |
/// |---|---|
/// | `amqp://user:password@host:port/address?key=value` | RFC 3986; each part is percent-decoded |
/// | `host`, `host:port`, `[::1]:5672` | everywhere; the scheme is `amqp` |
/// | `amqps://user/password@host:port` | Qpid's Python client; nothing is decoded and nothing may follow the port |
/// | `amqp:user/password@tcp:host:port`, `ssl:host` | Qpid's C++ client and `amq.failover`; `ssl:` means `amqps` |
/// | `//host:port/address`, `host:amqps` | Proton, which takes the names of the two services for their ports |
/// | `amqpws://host:port/address`, `amqpwss://` | WebSocket, as Qpid JMS spells it; `amqp+ws`, `amqp+wss`, `ws` and `wss` mean the same |
/// | `amqp+unix://%2Frun%2Fbroker.sock/address` | a Unix socket, whose path stands percent-encoded in the place of the host |
/// | `amqp+unix://%40name/address`, `amqp+unix://@name` | a Unix socket in the abstract namespace of Linux |
///
/// The path is the address of a node in every scheme. The resource that the handshake of a WebSocket asks for is no part of
/// the path: whoever connects takes it from [`WEBSOCKET_RESOURCE`] among the pairs, or from an option. Since a plain `ws`
/// URL means the resource by its path everywhere else, one with a path is refused.
///
/// Because of the third form, an `@` in an address has to be written `%40` (as `Display` does). A `#` begins no fragment
/// but belongs to the part it stands in, so `amqp://host/prices/eu.#` does what it says.
///
/// `Display` writes the first form with the password, so that the text can be read back; [`redacted`](Self::redacted) and
/// `Debug` hide it.
///
/// ```
/// use postroad_address::BrokerUrl;
///
/// let url: BrokerUrl = "amqps://guest:secret@[::1]/orders".parse()?;
/// assert_eq!((url.host(), url.port(), url.path()), ("::1", 5671, Some("orders")));
/// assert_eq!(url.redacted().to_string(), "amqps://guest:***@[::1]/orders");
/// # Ok::<(), postroad_address::UrlError>(())
/// ```
#[doc(alias = "URL")]
#[derive(Clone, PartialEq, Eq)]
pub struct BrokerUrl {
    scheme: Scheme,
    user: Option<String>,
    password: Option<String>,
    host: String,
    port: Option<u16>,
    path: Option<String>,
    query: Vec<(String, String)>,
}

impl BrokerUrl {
    /// Makes the URL of a host at the scheme's own port; with [`Scheme::AmqpUnix`], of the socket at a path or of `@name`.
    ///
    /// # Errors
    /// [`UrlError::BadHost`] when the text is no host name, IPv4 address or IPv6 address (with or without brackets), and
    /// [`UrlError::BadSocket`] when it is no place of a socket.
    pub fn new(scheme: Scheme, host: &str) -> Result<Self, UrlError> {
        if scheme == Scheme::AmqpUnix {
            return Self::of_socket(host.to_owned());
        }
        let host = match host.parse::<Ipv6Addr>() {
            Ok(_) => host,
            Err(_) => checked_host(host)?,
        };
        Ok(Self::at(scheme, host, None))
    }

    /// Reads a URL in any of the forms above.
    ///
    /// # Errors
    /// Whatever makes the text no URL; an error never shows a password.
    pub fn parse(text: &str) -> Result<Self, UrlError> {
        if text.len() > MAX_URL_LEN {
            return Err(UrlError::TooLong { len: text.len() });
        }
        let text = text.trim_matches(|c: char| c.is_ascii_whitespace());
        if text.is_empty() {
            return Err(UrlError::MissingHost);
        }
        let (scheme, rest, bare_ws) = match split_scheme(text) {
            Some((name, rest)) => match Scheme::from_name(name) {
                Some(scheme) => (Some(scheme), rest, name.len() <= "wss".len()),
                None => {
                    return Err(UrlError::UnknownScheme { scheme: name.to_owned() });
                }
            },
            None => match text.strip_prefix("//") {
                Some(rest) => (Some(Scheme::Amqp), rest, false),
                None => (None, strip_cpp_scheme(text), false),
            },
        };
        let cpp = scheme.is_none() && rest.len() < text.len();
        if scheme != Some(Scheme::AmqpUnix)
            && let Some(url) = qpid_form(scheme, rest, cpp)?
        {
            return Ok(url);
        }
        let (authority, rest) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
        let (userinfo, location) = match authority.rsplit_once('@') {
            Some((userinfo, location)) => (Some(userinfo), location),
            None => (None, authority),
        };
        // The `@` of an abstract name parts nothing from it.
        let (userinfo, location) = match (scheme, userinfo) {
            (Some(Scheme::AmqpUnix), Some("")) => (None, authority),
            _ => (userinfo, location),
        };
        let mut url = match location_of(scheme, location) {
            // A raw slash in the password ends the authority too early; say so without showing any of it.
            Err(_) if userinfo.is_none() && rest.contains('@') => {
                return Err(UrlError::RawCharacterInPassword);
            }
            other => other?,
        };
        if let Some(userinfo) = userinfo {
            let (user, password) = match userinfo.split_once(':') {
                Some((user, password)) => (user, Some(password)),
                None => (userinfo, None),
            };
            url.user = Some(decode(user, UrlPart::User)?);
            url.password = password.map(|password| decode(password, UrlPart::Password)).transpose()?;
        }
        let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
        let path = path.strip_prefix('/').unwrap_or(path);
        if !path.is_empty() {
            if bare_ws {
                return Err(UrlError::AmbiguousPath);
            }
            url.path = Some(decode(path, UrlPart::Path)?);
        }
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            url.query.push((decode(key, UrlPart::Query)?, decode(value, UrlPart::Query)?));
        }
        Ok(url)
    }

    /// Reads URLs parted by commas, as in `amq.failover` and the C++ client: `amqp:tcp:one:5672,tcp:two:5672`.
    ///
    /// A user that only the first one names counts for all of them, as in the original. A comma inside one is `%2C`.
    ///
    /// # Errors
    /// What is wrong with the first one that is no URL.
    pub fn parse_list(text: &str) -> Result<Vec<Self>, UrlError> {
        if text.len() > MAX_URL_LEN {
            return Err(UrlError::TooLong { len: text.len() });
        }
        let mut urls: Vec<Self> = Vec::new();
        for part in text.split(',') {
            let mut url = Self::parse(part)?;
            if let Some(first) = urls.first().filter(|_| url.user.is_none()) {
                url.user.clone_from(&first.user);
                url.password.clone_from(&first.password);
            }
            urls.push(url);
        }
        Ok(urls)
    }

    /// Returns what the broker is reached over, and how the connection is secured.
    pub fn scheme(&self) -> Scheme {
        self.scheme
    }

    /// Returns the name to log in with.
    pub fn user(&self) -> Option<&str> {
        self.user.as_deref()
    }

    /// Returns the password to log in with.
    pub fn password(&self) -> Option<&str> {
        self.password.as_deref()
    }

    /// Returns the host name or address; an IPv6 address comes without brackets. With [`Scheme::AmqpUnix`] it is the path of
    /// the socket, which begins with `/`, or `@` and the name of an abstract one.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// Returns the port, the scheme's own when the text has none. 0 is a port too: a listener may ask for a free one. It is
    /// always 0 with [`Scheme::AmqpUnix`].
    pub fn port(&self) -> u16 {
        self.port.unwrap_or_else(|| self.scheme.default_port())
    }

    /// Returns the port that the text has.
    pub fn explicit_port(&self) -> Option<u16> {
        self.port
    }

    /// Returns the text behind the host, without its first slash: the address of a node.
    pub fn path(&self) -> Option<&str> {
        self.path.as_deref()
    }

    /// Returns the pairs behind the question mark, in order; a key without `=` has an empty value.
    pub fn query(&self) -> &[(String, String)] {
        &self.query
    }

    /// Returns the value of [`WEBSOCKET_RESOURCE`] among the pairs.
    pub fn websocket_resource(&self) -> Option<&str> {
        self.query.iter().find(|(key, _)| key == WEBSOCKET_RESOURCE).map(|(_, value)| value.as_str())
    }

    /// Has the same host reached over TLS, or without it: `amqps` for `amqp`, `amqpwss` for `amqpws`. The port follows, unless
    /// the URL says one. A Unix socket stays as it is.
    #[must_use]
    pub fn with_tls(mut self, tls: bool) -> Self {
        self.scheme = match (self.scheme, tls) {
            (Scheme::Amqp | Scheme::Amqps, true) => Scheme::Amqps,
            (Scheme::Amqp | Scheme::Amqps, false) => Scheme::Amqp,
            (Scheme::AmqpWs | Scheme::AmqpWss, true) => Scheme::AmqpWss,
            (Scheme::AmqpWs | Scheme::AmqpWss, false) => Scheme::AmqpWs,
            (Scheme::AmqpUnix, _) => Scheme::AmqpUnix,
        };
        self
    }

    /// Sets the port, for instance the one that a listener got. A Unix socket has none and gets none.
    #[must_use]
    pub fn with_port(mut self, port: u16) -> Self {
        self.port = (self.scheme != Scheme::AmqpUnix).then_some(port);
        self
    }

    /// Sets the path; an empty one is none.
    #[must_use]
    pub fn with_path(mut self, path: impl Into<String>) -> Self {
        self.path = Some(path.into()).filter(|path| !path.is_empty());
        self
    }

    /// Returns a view that prints `***` for the password.
    pub fn redacted(&self) -> impl fmt::Display + '_ {
        Redacted(self)
    }

    fn at(scheme: Scheme, host: &str, port: Option<u16>) -> Self {
        let host = host.trim_start_matches('[').trim_end_matches(']');
        // RFC 6874 writes the zone's percent sign as %25; the host itself has the plain one.
        let host = match host.split_once("%25") {
            Some((address, zone)) if !zone.is_empty() => format!("{address}%{zone}"),
            _ => host.to_owned(),
        };
        Self { scheme, user: None, password: None, host, port, path: None, query: Vec::new() }
    }

    fn of_socket(place: String) -> Result<Self, UrlError> {
        if place.is_empty() {
            return Err(UrlError::MissingSocket);
        }
        // A relative path would mean another socket to each process; an abstract name may hold any byte.
        let possible = match place.strip_prefix('@') {
            Some(name) => (1..=MAX_SOCKET_LEN).contains(&name.len()),
            None => place.starts_with('/') && place.len() <= MAX_SOCKET_LEN && !place.contains('\0'),
        };
        if !possible {
            return Err(UrlError::BadSocket { path: place.chars().take(MAX_SOCKET_LEN).collect() });
        }
        let scheme = Scheme::AmqpUnix;
        Ok(Self { scheme, user: None, password: None, host: place, port: None, path: None, query: Vec::new() })
    }

    fn write(
        &self,
        f: &mut fmt::Formatter<'_>,
        password: impl Fn(&str, &mut fmt::Formatter<'_>) -> fmt::Result,
    ) -> fmt::Result {
        write!(f, "{}://", self.scheme)?;
        if let Some(user) = &self.user {
            encode(user, UrlPart::User, f)?;
            if let Some(text) = &self.password {
                f.write_char(':')?;
                password(text, f)?;
            }
            f.write_char('@')?;
        }
        match self.scheme {
            Scheme::AmqpUnix => encode(&self.host, UrlPart::Socket, f)?,
            _ if self.host.contains(':') => write!(f, "[{}]", self.host.replacen('%', "%25", 1))?,
            _ => f.write_str(&self.host)?,
        }
        if let Some(port) = self.port {
            write!(f, ":{port}")?;
        }
        if let Some(path) = &self.path {
            f.write_char('/')?;
            encode(path, UrlPart::Path, f)?;
        }
        for (at, (key, value)) in self.query.iter().enumerate() {
            f.write_char(if at == 0 { '?' } else { '&' })?;
            encode(key, UrlPart::Query, f)?;
            f.write_char('=')?;
            encode(value, UrlPart::Query, f)?;
        }
        Ok(())
    }
}

/// Splits what a person gives as an address: a plain address string, or a URL whose path is the address.
///
/// Only a text that begins with a scheme and `://` is a URL, so a plain `host/queue` or `a:b` stays an address. An address
/// that looks like a URL can be quoted: `'amqp://x'`.
///
/// ```
/// use postroad_address::split_address;
///
/// let (url, address) = split_address("amqp://localhost/orders;%20%7Bcreate:%20always%7D")?;
/// assert_eq!(url.unwrap().host(), "localhost");
/// assert_eq!(address, "orders; {create: always}");
/// assert_eq!(split_address("orders/eu")?, (None, "orders/eu".to_owned()));
/// # Ok::<(), postroad_address::UrlError>(())
/// ```
///
/// # Errors
/// As [`BrokerUrl::parse`], and [`UrlError::MissingAddress`] for a URL without a path.
pub fn split_address(text: &str) -> Result<(Option<BrokerUrl>, String), UrlError> {
    if split_scheme(text.trim_start()).is_none() {
        return Ok((None, text.to_owned()));
    }
    let url = BrokerUrl::parse(text)?;
    match url.path().map(str::to_owned) {
        Some(address) => Ok((Some(url), address)),
        None => Err(UrlError::MissingAddress),
    }
}

/// Splits off `scheme://` (RFC 3986 3.1).
fn split_scheme(text: &str) -> Option<(&str, &str)> {
    let (name, rest) = text.split_once("://")?;
    let letters = |c: char| c.is_ascii_alphanumeric() || "+-.".contains(c);
    (name.starts_with(|c: char| c.is_ascii_alphabetic()) && name.chars().all(letters)).then_some((name, rest))
}

/// The C++ client's `amqp:`, unless it is a host of that name with a port.
fn strip_cpp_scheme(text: &str) -> &str {
    strip_tag(text, "amqp:").unwrap_or(text)
}

fn strip_tag<'a>(text: &'a str, tag: &str) -> Option<&'a str> {
    let rest = text.strip_prefix(tag)?;
    let mut host = rest.split(['/', '?']).next().unwrap_or_default().bytes();
    (!host.all(|b| b.is_ascii_digit())).then_some(rest)
}

/// `user/password@host[:port]` with nothing behind it. A colon before the slash makes it another form. Behind the C++ client's
/// `amqp:` there are no paths, so that the password may have any character but `@`.
fn qpid_form(scheme: Option<Scheme>, text: &str, cpp: bool) -> Result<Option<BrokerUrl>, UrlError> {
    let Some((userinfo, location)) = text.split_once('@') else {
        return Ok(None);
    };
    let Some((user, password)) = userinfo.split_once('/') else {
        return Ok(None);
    };
    let plain = |part: &str| !part.is_empty() && !part.contains([':', '/', '?', '[']);
    if !plain(user) || password.is_empty() || !(cpp || plain(password)) || location.contains(['/', '?', '@']) {
        return Ok(None);
    }
    let mut url = location_of(scheme, location)?;
    url.user = Some(user.to_owned());
    url.password = Some(password.to_owned());
    Ok(Some(url))
}

/// `host[:port]`, or without a scheme `[tcp:|ssl:]host[:port]`.
fn location_of(scheme: Option<Scheme>, text: &str) -> Result<BrokerUrl, UrlError> {
    let (scheme, text) = match scheme {
        Some(Scheme::AmqpUnix) if text.contains(':') => return Err(UrlError::PortOfSocket),
        Some(Scheme::AmqpUnix) => return BrokerUrl::of_socket(decode(text, UrlPart::Socket)?),
        Some(scheme) => (scheme, text),
        None => strip_transport(text)?,
    };
    let colons = text.matches(':').count();
    let end = match text.strip_prefix('[') {
        Some(inside) => inside.find(']').map_or(text.len(), |end| end + 2),
        None if colons > 1 => text.len(), // an IPv6 address without brackets
        None => text.find(':').unwrap_or(text.len()),
    };
    let (host, port) = text.split_at(end);
    let host = checked_host(host)?;
    if port.is_empty() {
        return Ok(BrokerUrl::at(scheme, host, None));
    }
    let digits = port.strip_prefix(':').unwrap_or(port);
    // Proton has the names of services too.
    if let Some(named @ (Scheme::Amqp | Scheme::Amqps)) = Scheme::from_name(digits) {
        return Ok(BrokerUrl::at(scheme, host, Some(named.default_port())));
    }
    // `parse` alone would take a plus sign.
    match digits.parse() {
        Ok(number) if digits.bytes().all(|b| b.is_ascii_digit()) => Ok(BrokerUrl::at(scheme, host, Some(number))),
        _ => Err(UrlError::BadPort { port: digits.to_owned() }),
    }
}

/// The C++ client's transport in front of a host.
fn strip_transport(text: &str) -> Result<(Scheme, &str), UrlError> {
    if let Some(rest) = strip_tag(text, "tcp:") {
        Ok((Scheme::Amqp, rest))
    } else if let Some(rest) = strip_tag(text, "ssl:") {
        Ok((Scheme::Amqps, rest))
    } else if strip_tag(text, "rdma:").is_some() {
        Err(UrlError::UnsupportedTransport { transport: "rdma" })
    } else {
        Ok((Scheme::Amqp, text))
    }
}

/// A host name, an IPv4 address, or an IPv6 address in brackets, with a zone where it has one (RFC 6874).
fn checked_host(host: &str) -> Result<&str, UrlError> {
    let bad = || UrlError::BadHost { host: host.to_owned() };
    if host.is_empty() {
        return Err(UrlError::MissingHost);
    }
    let valid = if host.starts_with('[') {
        let inside = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).ok_or_else(bad)?;
        let (address, zone) = inside.split_once('%').unwrap_or((inside, "0"));
        let zone_ok = !zone.is_empty() && zone.chars().all(|c| c.is_ascii_alphanumeric() || "._~-".contains(c));
        zone_ok && address.parse::<Ipv6Addr>().is_ok()
    } else {
        host.chars().all(|c| c.is_alphanumeric() || "._~-".contains(c))
    };
    if valid { Ok(host) } else { Err(bad()) }
}

impl FromStr for BrokerUrl {
    type Err = UrlError;

    fn from_str(text: &str) -> Result<Self, UrlError> {
        Self::parse(text)
    }
}

impl fmt::Display for BrokerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write(f, |password, f| encode(password, UrlPart::Password, f))
    }
}

impl fmt::Debug for BrokerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "BrokerUrl({})", self.redacted())
    }
}

struct Redacted<'a>(&'a BrokerUrl);

impl fmt::Display for Redacted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.write(f, |_, f| f.write_str("***"))
    }
}

//! How a client comes to be reached over relays (RFC 4976 5.1): it asks each of them with `AUTH`, proves who it is, and is
//! given URIs for one session, which it renews before they expire.
//!
//! Nothing here reads a socket, a clock or random bits. A [`Registration`] asks over an engine's
//! [`Connection`], which its owner drives; [`Lookup`] tells what to ask DNS for, and what to make of it.

use std::fmt;
use std::time::{Duration, Instant};

use crate::digest::Client;
use crate::engine::{Connection, Event, Request, RequestKey};
use crate::{Code, Head, HeaderName, Method, Path};

mod error;
mod hop;
mod locate;
mod options;
mod outcome;
mod use_path;

pub use error::{RegistrationError, RegistrationErrorKind, UsePathError};
pub use locate::{LocateError, Lookup, MAX_RECORDS, Place, Service, SrvRecord};
pub use options::{OptionsError, RegistrationOptions, Relay};
pub use outcome::Outcome;
pub use use_path::{path_for_sdp, to_path};

use RegistrationErrorKind as Kind;
use hop::{Hop, seconds};

/// For how many seconds a URI is asked for unless said otherwise: an hour, for which RFC 4976 5.4 has a client keep the
/// connection to its relay. A relay need not let a URI end that was asked for without a time (RFC 4976 6.3).
pub const DEFAULT_EXPIRES: u32 = 3600;

/// The most seconds that are asked for, and for which a URI is taken to be good, whatever a relay says: a week. A relay could
/// otherwise name a time that no clock reaches, and have a URI that somebody has overheard be good for ever.
pub const MAX_EXPIRES: u32 = 7 * 86_400;

/// How many times `AUTH` is sent to a relay for one login: a relay that asks for something else each time would otherwise keep a
/// client asking for ever. Seven have a use: one without proof, two for nonces that are stale, two in the other form of the
/// proof, two for the time.
pub const MAX_REQUESTS: u32 = 8;

/// How many times another interval is tried that a relay has named in a 423, for one login: a relay could otherwise name
/// others for ever.
pub const MAX_INTERVALS: u32 = 2;

/// How long before its end a URI is renewed at least, where it is good for that long: a request and two more that are not
/// answered for 30 s.
const MARGIN: Duration = Duration::from_secs(90);

/// A renewal that was not answered is tried again while there is that much time.
const RETRY: Duration = Duration::from_secs(1);

/// One `Use-Path` for one session, at one relay or through a chain of them; one URI is never for two sessions (RFC 4976 5.1),
/// so that each session has a registration, and a connection may have many.
///
/// Its owner hands it the connection's events and calls [`handle_timeout`](Self::handle_timeout) when
/// [`poll_timeout`](Self::poll_timeout) has come. It begins again on a new connection, since the URIs end with the
/// connection (RFC 4976 6.3). An engine ends a connection that has no session within
/// [`Config::unbound_timeout`](crate::engine::Config::unbound_timeout): where the session comes later than the registration,
/// that has to be longer.
///
/// ```
/// use std::collections::VecDeque;
/// use std::time::Instant;
///
/// use bytes::Bytes;
/// use postroad_msrp::digest::Credentials;
/// use postroad_msrp::engine::{Config, Connection};
/// use postroad_msrp::registration::{Outcome, Registration, RegistrationOptions};
///
/// let now = Instant::now();
/// let mut connection = Connection::new(Config::default(), |octets: &mut [u8]| octets.fill(7), now);
///
/// let own = "msrps://alice.example.com:9892/98cjs;tcp".parse()?;
/// let relay = "msrps://intra.example.com;tcp".parse()?;
/// let options = RegistrationOptions::new(own, relay, Credentials::new("alice", "wonderland")?);
/// let mut registration = Registration::new(options, |octets: &mut [u8]| octets.fill(7))?; // random octets
/// registration.begin(&mut connection, now)?;
///
/// # let mut frames = VecDeque::new();
/// # let length = connection.poll_transmit(now, &mut frames);
/// # connection.handle_sent(now, length);
/// # let sent = String::from_utf8(frames.into_iter().flatten().collect())?;
/// # let id = sent.split(' ').nth(1).unwrap();
/// // What it sends is answered, here without a challenge.
/// let answer = format!(
///     "MSRP {id} 200 OK\r\nTo-Path: msrps://alice.example.com:9892/98cjs;tcp\r\n\
///      From-Path: msrps://intra.example.com;tcp\r\n\
///      Use-Path: msrps://intra.example.com:9000/jui787s2f;tcp\r\nExpires: 900\r\n-------{id}$\r\n"
/// );
/// connection.handle_input(now, Bytes::from(answer));
/// while let Some(event) = connection.poll_event() {
///     if let Some(Outcome::Granted { use_path, .. }) = registration.handle_event(&event, &mut connection, now) {
///         assert_eq!(use_path.to_string(), "msrps://intra.example.com:9000/jui787s2f;tcp");
///     }
/// }
/// assert!(registration.use_path().is_some());
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
#[doc(alias = "RelayConnection")]
#[doc(alias = "ConnectorRelay")]
#[doc(alias = "AcceptorRelay")]
#[derive(Debug)]
pub struct Registration {
    options: RegistrationOptions,
    random: Random,
    hops: Vec<Hop>,
    pending: Option<Pending>,
    retry_at: Option<Instant>,
    /// What the owner knows of. It stays while it is being renewed.
    current: Option<Grant>,
}

/// A path through the relays up to one of them.
#[derive(Debug, Clone)]
struct Grant {
    use_path: Path,
    until: Instant,
}

#[derive(Debug, Clone, Copy)]
struct Pending {
    hop: usize,
    request: RequestKey,
}

impl Registration {
    /// A registration that has not begun. `random` fills octets with numbers that nobody can guess.
    ///
    /// # Errors
    /// What cannot be registered.
    pub fn new(
        options: RegistrationOptions,
        random: impl FnMut(&mut [u8]) + Send + 'static,
    ) -> Result<Self, OptionsError> {
        options.check()?;
        let client = |relay: &Relay| Client::new(relay.credentials.clone(), options.digest_uri);
        let hops = options.relays.iter().map(|relay| Hop::new(client(relay), options.expires));
        let (hops, random) = (hops.collect(), Random(Box::new(random)));
        Ok(Self { options, random, hops, pending: None, retry_at: None, current: None })
    }

    /// What was wanted.
    #[must_use]
    pub fn options(&self) -> &RegistrationOptions {
        &self.options
    }

    /// Asks the first relay, over a connection to it, and forgets what another connection had brought. Events of the other
    /// connection are not to be handed on any more.
    ///
    /// # Errors
    /// The connection is closed.
    pub fn begin(&mut self, connection: &mut Connection, now: Instant) -> Result<(), RegistrationError> {
        self.forget();
        for hop in &mut self.hops {
            hop.expires = self.options.expires;
        }
        match self.go_on(connection, now) {
            Some(Outcome::Lost(error)) => Err(error),
            _ => Ok(()),
        }
    }

    /// Takes an event of the connection; those that are not for this registration change nothing.
    pub fn handle_event(&mut self, event: &Event, connection: &mut Connection, now: Instant) -> Option<Outcome> {
        match event {
            Event::Response { request, head } => self.handle_response(*request, head, connection, now),
            Event::NoResponse { request } => self.handle_no_response(*request, connection, now),
            Event::Closed(_) => self.handle_closed(),
            _ => None,
        }
    }

    /// Takes a response; one to another's request changes nothing.
    pub fn handle_response(
        &mut self,
        request: RequestKey,
        head: &Head,
        connection: &mut Connection,
        now: Instant,
    ) -> Option<Outcome> {
        let code = head.code().and_then(Code::new)?;
        let hop = self.take_pending(request)?;
        // Codes alone count, as comments differ from relay to relay.
        let asked_again = match code {
            _ if code.is_success() => match self.granted(hop, head, now) {
                Ok(()) => return self.go_on(connection, now),
                Err(kind) => Err(kind),
            },
            Code::UNAUTHORIZED => self.hops[hop].challenged(head),
            Code::INTERVAL_OUT_OF_BOUNDS => self.hops[hop].other_interval(head),
            // A relay before it has waited for it, which is the same (RFC 4975 10.5).
            Code::TIMEOUT => self.hops[hop].unanswered(),
            Code::FORBIDDEN => Err(Kind::Forbidden),
            Code::UNKNOWN_METHOD => Err(Kind::NotRelay),
            _ => Err(Kind::Refused { code, comment: head.comment().map(str::to_owned) }),
        };
        self.again(hop, asked_again, connection, now)
    }

    /// Takes that there was no response in time; to another's request that changes nothing.
    #[doc(alias = "MSRPAuthTimeout")]
    pub fn handle_no_response(
        &mut self,
        request: RequestKey,
        connection: &mut Connection,
        now: Instant,
    ) -> Option<Outcome> {
        let hop = self.take_pending(request)?;
        let asked_again = self.hops[hop].unanswered();
        self.again(hop, asked_again, connection, now)
    }

    /// Takes that the connection has ended, and the URIs with it (RFC 4976 6.3).
    pub fn handle_closed(&mut self) -> Option<Outcome> {
        let was = self.pending.is_some() || self.current.is_some();
        let hop = self.pending.map_or(0, |pending| pending.hop);
        was.then(|| self.lost(hop, Kind::Closed))
    }

    /// When [`handle_timeout`](Self::handle_timeout) is to be called next.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        let until = self.current.as_ref()?.until;
        Some(self.refresh_at().map_or(until, |at| at.min(until)))
    }

    /// Renews what is about to end, and tells of what has ended.
    pub fn handle_timeout(&mut self, connection: &mut Connection, now: Instant) -> Option<Outcome> {
        if self.current.as_ref()?.until <= now {
            let first = |(_, hop): &(usize, &Hop)| hop.grant.as_ref().map(|grant| grant.until);
            let hop = self.pending.map(|pending| pending.hop);
            let hop = hop.or_else(|| self.hops.iter().enumerate().min_by_key(first).map(|(place, _)| place));
            return Some(self.lost(hop.unwrap_or(0), Kind::Expired));
        }
        if self.refresh_at()? > now {
            return None;
        }
        self.go_on(connection, now)
    }

    /// The way through the relays, in the order of `To-Path`; nothing before it is granted and after it is lost. The paths
    /// that are made of it are [`path_for_sdp`] and [`to_path`].
    #[must_use]
    pub fn use_path(&self) -> Option<&Path> {
        self.current.as_ref().map(|current| &current.use_path)
    }

    /// When that way ends: each relay has a time of its own, and the first one counts.
    #[must_use]
    pub fn expires_at(&self) -> Option<Instant> {
        self.current.as_ref().map(|current| current.until)
    }

    /// The request that waits for its response.
    #[must_use]
    pub fn pending(&self) -> Option<RequestKey> {
        self.pending.map(|pending| pending.request)
    }

    /// When to renew; nothing while that is being done.
    fn refresh_at(&self) -> Option<Instant> {
        if self.pending.is_some() {
            return None;
        }
        self.retry_at.or_else(|| self.hops.iter().filter_map(|hop| hop.refresh_at).min())
    }

    fn take_pending(&mut self, request: RequestKey) -> Option<usize> {
        let pending = self.pending.take_if(|pending| pending.request == request)?;
        Some(pending.hop)
    }

    /// Asks the next relay whose URI is missing or due, or tells that there is none.
    fn go_on(&mut self, connection: &mut Connection, now: Instant) -> Option<Outcome> {
        self.retry_at = None;
        let due = self.hops.iter().position(|hop| hop.refresh_at.is_none_or(|at| at <= now));
        let Some(hop) = due else { return self.all_granted() };
        let relay = &self.options.relays[hop];
        self.hops[hop].begin(|| Client::new(relay.credentials.clone(), self.options.digest_uri));
        self.again(hop, Ok(()), connection, now)
    }

    /// Asks a relay again, if there is a way to.
    fn again(
        &mut self,
        hop: usize,
        may: Result<(), Kind>,
        connection: &mut Connection,
        now: Instant,
    ) -> Option<Outcome> {
        match may.and_then(|()| self.ask(hop, connection)) {
            Ok(()) => None,
            Err(kind) => self.failed(hop, kind, now),
        }
    }

    fn ask(&mut self, hop: usize, connection: &mut Connection) -> Result<(), Kind> {
        if connection.close_reason().is_some() {
            return Err(Kind::Closed);
        }
        let relay = &self.options.relays[hop].uri;
        let to = match self.before(hop) {
            None => Path::from(relay.clone()),
            Some(before) => to_path(before, std::slice::from_ref(relay)).expect("grants leave room for two more"),
        };
        // 96 bits.
        let mut octets = [0; 12];
        (self.random.0)(&mut octets);
        let cnonce: String = octets.iter().map(|octet| format!("{octet:02x}")).collect();
        let its = &mut self.hops[hop];
        its.requests += 1;
        if its.requests > MAX_REQUESTS {
            return Err(Kind::Loop);
        }
        let mut request = Request::new(Method::Auth)?;
        if let Some(seconds) = its.expires {
            request = request.with_header(HeaderName::Expires.as_str(), &seconds.to_string())?;
        }
        // The rightmost URI of To-Path, as it is sent (RFC 4976 9.1).
        if let Some(proof) = its.client.authorize(&relay.to_string(), &cnonce)? {
            request = request.with_header(HeaderName::Authorization.as_str(), &proof.to_string())?;
        }
        let request = connection.request_along(&to, &self.options.own, &request);
        self.pending = Some(Pending { hop, request });
        Ok(())
    }

    /// The path through the relays before one (RFC 4976 5.1).
    fn before(&self, hop: usize) -> Option<&Path> {
        let before = hop.checked_sub(1)?;
        self.hops[before].grant.as_ref().map(|grant| &grant.use_path)
    }

    /// A relay has let the client in.
    fn granted(&mut self, hop: usize, head: &Head, now: Instant) -> Result<(), Kind> {
        let proved = self.hops[hop].accepted(head)?;
        if self.options.require_proof && !proved {
            return Err(Kind::Unproven);
        }
        let its = &self.hops[hop];
        let asked = its.expires.unwrap_or(DEFAULT_EXPIRES);
        // It is never for longer than was asked (RFC 4976 5.1), though a relay may say so.
        let granted = seconds(head, HeaderName::Expires).map_or(asked, |granted| match its.expires {
            Some(asked) => granted.min(asked),
            None => granted.min(MAX_EXPIRES),
        });
        if granted == 0 {
            return Err(Kind::Interval { min: None, max: Some(0) });
        }
        let use_path = use_path::read(head, self.before(hop), &self.options.own)?;
        let life = Duration::from_secs(granted.into());
        let moved = its.grant.as_ref().is_none_or(|grant| grant.use_path != use_path);
        let its = &mut self.hops[hop];
        its.grant = Some(Grant { use_path, until: now + life });
        its.refresh_at = Some(now + (life - (life / 10).max(MARGIN).min(life / 2)));
        if moved {
            // What lies behind was reached through the old one.
            for behind in &mut self.hops[hop + 1..] {
                (behind.grant, behind.refresh_at) = (None, None);
            }
        }
        Ok(())
    }

    fn all_granted(&mut self) -> Option<Outcome> {
        let use_path = self.hops.last()?.grant.as_ref()?.use_path.clone();
        let expires_at = self.hops.iter().filter_map(|hop| hop.grant.as_ref()).map(|grant| grant.until).min()?;
        let before = self.current.replace(Grant { use_path: use_path.clone(), until: expires_at });
        Some(match before {
            None => Outcome::Granted { use_path, expires_at },
            Some(before) => Outcome::Refreshed { moved: before.use_path != use_path, use_path, expires_at },
        })
    }

    /// What is granted stays as long as it may, while there is hope.
    fn failed(&mut self, hop: usize, kind: Kind, now: Instant) -> Option<Outcome> {
        let left = self.current.as_ref().map(|current| current.until.saturating_duration_since(now));
        match left {
            Some(left) if kind.is_passing() && left > RETRY => {
                self.retry_at = Some(now + left / 2);
                None
            }
            _ => Some(self.lost(hop, kind)),
        }
    }

    fn lost(&mut self, hop: usize, kind: Kind) -> Outcome {
        self.forget();
        Outcome::Lost(RegistrationError::new(&self.options.relays[hop].uri, kind))
    }

    fn forget(&mut self) {
        (self.pending, self.retry_at, self.current) = (None, None, None);
        for hop in &mut self.hops {
            (hop.grant, hop.refresh_at) = (None, None);
        }
    }
}

/// Where random octets come from.
struct Random(Source);

type Source = Box<dyn FnMut(&mut [u8]) + Send>;

impl fmt::Debug for Random {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Random")
    }
}

#[cfg(test)]
mod tests;

//! Sessions over relays (RFC 4976): the client connects to its relay, and the peer to the URI that the relay has given.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use super::{ConnectError, Options, check_local, join, local_uri, open};
use crate::digest::{Credentials, DigestError, DigestUri};
use crate::engine;
use crate::net::link::{Doorman, Shared, State};
use crate::net::random;
use crate::net::transport::{Ends, Transport};
use crate::registration::{Registration, RegistrationOptions, path_for_sdp};
use crate::{Code, Host, Path, Scheme, Uri, UriError};

/// A relay, and who one is there.
#[doc(alias = "MSRPRelaySettings")]
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct RelaySettings {
    /// The relay's URI, without a session.
    pub relay: Uri,
    /// User and password.
    pub credentials: Credentials,
    /// For how many seconds its URIs are asked for. It is renewed before it ends.
    pub expires: Option<u32>,
    /// Whether the proof of who one is names the URI: some relays want that, and others fail at it.
    pub digest_uri: DigestUri,
    /// Whether the password may be proved over a connection without TLS, where who listens can try passwords until one
    /// fits. By default not (RFC 4976 9.1).
    pub allow_clear_text: bool,
}

impl RelaySettings {
    /// The relay of a domain, over TLS on port 2855 of the host of that name.
    ///
    /// # Errors
    /// The domain is no name of a host, or the user cannot be sent.
    pub fn new(domain: &str, username: &str, password: &str) -> Result<Self, RelaySettingsError> {
        let relay = Uri::new(Host::name(domain)?).with_scheme(Scheme::Msrps);
        Ok(Self::at(relay, Credentials::new(username, password)?))
    }

    /// The relay of a URI.
    #[must_use]
    pub fn at(relay: Uri, credentials: Credentials) -> Self {
        Self { relay, credentials, expires: None, digest_uri: DigestUri::Auto, allow_clear_text: false }
    }
}

/// What of a relay's settings cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RelaySettingsError {
    /// The domain is no name of a host.
    #[error(transparent)]
    Domain(#[from] UriError),
    /// The user cannot be sent.
    #[error(transparent)]
    User(#[from] DigestError),
}

/// Who of two ends begins, where both are connected to relays: the one that is active in the session descriptions
/// (RFC 6135).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// This end sends something first.
    Active,
    /// The peer does.
    Passive,
}

/// Reaches the peer over a relay of this end's, and is reached over it.
///
/// ```no_run
/// # async fn run(theirs: postroad_msrp::Path) -> Result<(), Box<dyn std::error::Error>> {
/// use postroad_msrp::connect::{Mode, Options, RelayConnection, RelaySettings};
/// use postroad_msrp::session::Session;
///
/// let relay = RelaySettings::new("example.org", "user", "pass")?;
/// let reached = RelayConnection::new(relay, Options::default()).prepare(None).await?;
/// // `reached.path()` goes into the answer as a=path, `theirs` came with the offer.
/// let session = Session::new(reached.complete(theirs, Mode::Passive).await?);
/// # let _ = session;
/// # Ok(()) }
/// ```
#[doc(alias = "ConnectorRelay")]
#[doc(alias = "AcceptorRelay")]
#[derive(Debug, Clone)]
pub struct RelayConnection {
    relay: RelaySettings,
    options: Options,
}

/// A URI at a relay, for one session. Dropping it closes the connection to the relay, and with it the URI ends.
#[derive(Debug)]
pub struct Reached {
    options: Options,
    link: Arc<Shared>,
    ends: Ends,
    agreed: Arc<Agreed>,
    own: Uri,
    use_path: Path,
    path: Path,
}

/// Requests to a relay that wait for their responses. A relay answers what it has passed on to the next hop's queue, and one that
/// is known resets the connection of a receiver whose queue is full instead of slowing the sender down: this keeps what lies
/// there short.
const WINDOW: usize = 16;

/// Whether a session has been agreed on: a peer that comes before that waits, since its own end may know sooner.
#[derive(Debug)]
struct Agreed {
    own: Uri,
    yet: AtomicBool,
}

impl Doorman for Agreed {
    fn stranger(&self, _: &Weak<Shared>, state: &mut State, to: &Uri, _: &Path, now: Instant) {
        // Once there is a session, what asks for another one is wrong here.
        if self.yet.load(Ordering::Relaxed) || *to != self.own {
            state.engine.turn_away(Code::NO_SUCH_SESSION, now);
        }
    }
}

/// How long a connection to a relay is kept while its session is being agreed on.
const AGREEING: Duration = Duration::from_secs(3600);

impl RelayConnection {
    /// Over this relay.
    #[must_use]
    pub fn new(relay: RelaySettings, options: Options) -> Self {
        Self { relay, options }
    }

    /// Connects to the relay, proves who one is, and is given a URI there. Its path is for the session description; `local` is
    /// this end's own URI, to which only the relay sends.
    ///
    /// # Errors
    /// The relay cannot be connected to, or refuses.
    ///
    /// # Cancel safety
    /// Dropping the future closes the connection.
    pub async fn prepare(&self, local: Option<Uri>) -> Result<Reached, ConnectError> {
        let within = self.options.timeout;
        tokio::time::timeout(within, self.register(local)).await.unwrap_or(Err(ConnectError::Timeout(within)))
    }

    async fn register(&self, local: Option<Uri>) -> Result<Reached, ConnectError> {
        let RelaySettings { relay, credentials, expires, digest_uri, allow_clear_text } = self.relay.clone();
        let own = match local {
            Some(uri) => check_local(uri)?,
            // Nobody connects to it, and its scheme and transport are those of the hop to it (RFC 7977 5.2.2).
            None => {
                let host =
                    Host::name(&format!("{}.invalid", random::session_id())).expect("letters and digits are a name");
                local_uri(host, crate::DEFAULT_PORT, relay.scheme()).with_transport(relay.transport().clone())
            }
        };
        let mut wanted = RegistrationOptions::new(own.clone(), relay.clone(), credentials);
        (wanted.digest_uri, wanted.allow_clear_text) = (digest_uri, allow_clear_text);
        if expires.is_some() {
            wanted.expires = expires;
        }
        let registration =
            Registration::new(wanted, random::source()).map_err(|error| ConnectError::Relay(error.to_string()))?;
        let (stream, ends) = open(&relay, &self.options).await?;
        let config = self.options.config(relay.transport());
        let window = config.window.min(WINDOW);
        let config = engine::Config { unbound_timeout: AGREEING, window, ..config };
        let agreed = Arc::new(Agreed { own: own.clone(), yet: AtomicBool::new(false) });
        let link = Shared::start_with(stream, config, Some(agreed.clone()), None, None);
        let closes = Closes(Some(link.clone()));
        let use_path = link.register(registration).await.map_err(|error| ConnectError::Relay(error.to_string()))?;
        let path = path_for_sdp(&use_path, &own).map_err(|error| ConnectError::Relay(error.to_string()))?;
        closes.keep();
        Ok(Reached { options: self.options.clone(), link, ends, agreed, own, use_path, path })
    }
}

/// Closes a connection that nobody has got.
struct Closes(Option<Arc<Shared>>);

impl Closes {
    fn keep(mut self) {
        self.0 = None;
    }
}

impl Drop for Closes {
    fn drop(&mut self) {
        if let Some(link) = &self.0 {
            link.abandon_link();
        }
    }
}

impl Reached {
    /// The path to this end, for the session description: the relay first.
    #[doc(alias = "full_local_path")]
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Has the session with the peer of this path: sends something first, or waits for the peer to do so.
    ///
    /// # Errors
    /// The peer has not been heard of in time, or knows of no such session.
    ///
    /// # Cancel safety
    /// Dropping the future closes the connection to the relay.
    pub async fn complete(self, remote: Path, mode: Mode) -> Result<Transport, ConnectError> {
        let within = self.options.timeout;
        let relays: Vec<Uri> = self.use_path.iter().cloned().collect();
        let options = self.options.session(self.own.clone(), relays, remote.clone());
        self.agreed.yet.store(true, Ordering::Relaxed);
        let transport = join(self.link.clone(), options, self.path.clone(), remote, self.ends.clone())?;
        let bound = async {
            match mode {
                Mode::Active => transport.probe().await,
                Mode::Passive => transport.link.answered(transport.session).await.map_err(ConnectError::Session),
            }
        };
        tokio::time::timeout(within, bound).await.unwrap_or(Err(ConnectError::Timeout(within)))?;
        Ok(transport)
    }

    /// Gives the URI back.
    pub fn cleanup(self) {}
}

impl Drop for Reached {
    fn drop(&mut self) {
        // Where there is a session by now, the connection is its.
        self.link.abandon_link();
    }
}

//! The URIs that clients were given, and whom they lead to (RFC 4976 6.3).

use std::collections::{BTreeSet, HashMap};
use std::time::Instant;

use super::event::ConnectionKey;
use crate::{Host, Path, Uri};

/// How many peers of a session are remembered by the connections that they come over. One is the rule: a URI is for one session
/// (RFC 4976 5.1). Who has the URI could have any number remembered.
pub const MAX_PEERS: usize = 4;

/// A URI that was given to a client.
#[derive(Debug)]
pub(super) struct Token {
    pub(super) uri: Uri,
    pub(super) user: String,
    /// The connection over which the client has logged in.
    pub(super) connection: ConnectionKey,
    /// The relay over which it did, whose connections are all as good (RFC 4976 6.3).
    pub(super) relay: Option<Host>,
    /// The `From-Path` of its `AUTH`: the way to the client from here.
    pub(super) from: Path,
    pub(super) until: Instant,
    /// Over which connections the client's peers were heard of, the latest last.
    peers: Vec<(Uri, ConnectionKey)>,
}

impl Token {
    pub(super) fn new(
        uri: Uri,
        user: &str,
        connection: ConnectionKey,
        relay: Option<Host>,
        from: Path,
        until: Instant,
    ) -> Self {
        Self { uri, user: user.to_owned(), connection, relay, from, until, peers: Vec::new() }
    }

    /// A peer of the client's, who has the URI, sends over this connection and is to be answered over it.
    pub(super) fn learn(&mut self, peer: &Uri, connection: ConnectionKey) {
        if self.peers.last().is_some_and(|(uri, its)| uri == peer && *its == connection) {
            return;
        }
        self.peers.retain(|(uri, _)| uri != peer);
        if self.peers.len() == MAX_PEERS {
            self.peers.remove(0);
        }
        self.peers.push((peer.clone(), connection));
    }

    /// Over which connection a peer was heard of.
    pub(super) fn heard(&self, peer: &Uri) -> Option<ConnectionKey> {
        self.peers.iter().find(|(uri, _)| uri == peer).map(|(_, connection)| *connection)
    }
}

/// All of them.
#[derive(Debug, Default)]
pub(super) struct Tokens {
    by_session: HashMap<Box<str>, Token>,
    expiries: BTreeSet<(Instant, Box<str>)>,
    /// How many a user has.
    by_user: HashMap<String, usize>,
}

impl Tokens {
    pub(super) fn insert(&mut self, token: Token) {
        let session: Box<str> = token.uri.session_id().unwrap_or_default().into();
        *self.by_user.entry(token.user.clone()).or_default() += 1;
        self.expiries.insert((token.until, session.clone()));
        self.by_session.insert(session, token);
    }

    /// The one that this URI is, while it lasts.
    pub(super) fn get(&self, uri: &Uri, now: Instant) -> Option<&Token> {
        let token = self.by_session.get(uri.session_id()?)?;
        (token.uri == *uri && now < token.until).then_some(token)
    }

    pub(super) fn get_mut(&mut self, uri: &Uri) -> Option<&mut Token> {
        self.by_session.get_mut(uri.session_id()?)
    }

    /// The one that a client has over this connection for what it calls itself.
    pub(super) fn of(&self, sessions: &[Box<str>], from: &Path) -> Option<&Token> {
        sessions.iter().filter_map(|session| self.by_session.get(session)).find(|token| token.from == *from)
    }

    pub(super) fn renew(&mut self, session: &str, until: Instant) {
        if let Some(token) = self.by_session.get_mut(session) {
            self.expiries.remove(&(token.until, session.into()));
            token.until = until;
            self.expiries.insert((until, session.into()));
        }
    }

    pub(super) fn remove(&mut self, session: &str) -> Option<Token> {
        let (session, token) = self.by_session.remove_entry(session)?;
        if let Some(count) = self.by_user.get_mut(&token.user) {
            *count -= 1;
            if *count == 0 {
                self.by_user.remove(&token.user);
            }
        }
        self.expiries.remove(&(token.until, session));
        Some(token)
    }

    /// Whether a relay stands for its client, over whatever connection.
    pub(super) fn is_of_relay(&self, session: &str) -> bool {
        self.by_session.get(session).is_some_and(|token| token.relay.is_some())
    }

    /// How many a user has.
    pub(super) fn of_user(&self, user: &str) -> usize {
        self.by_user.get(user).copied().unwrap_or_default()
    }

    pub(super) fn len(&self) -> usize {
        self.by_session.len()
    }

    pub(super) fn next_expiry(&self) -> Option<Instant> {
        self.expiries.first().map(|(until, _)| *until)
    }

    /// Takes out one that is over.
    pub(super) fn expired(&mut self, now: Instant) -> Option<Token> {
        let (_, session) = self.expiries.first().filter(|(until, _)| *until <= now)?.clone();
        self.remove(&session)
    }
}

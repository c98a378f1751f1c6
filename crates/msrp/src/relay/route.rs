//! Where a request goes, and whether it may (RFC 4976 6.4).
//!
//! The relay forwards a request only where the first URI of its `To-Path` is one that was given to a client in answer to
//! `AUTH` and still lasts, and then
//!
//! - over the client's own connection, when the request does not come from the client: nowhere else, whatever the path says
//!   (RFC 4976 6.4 case 1, 9.4), or
//! - to the next URI, when it comes over the client's own connection (case 2). Where the next URI is the relay's own as well,
//!   the same holds for it.
//!
//! Only the second case has the relay connect to anybody, so that who is not logged in reaches none but the clients whose
//! URIs it was given.

use std::time::Instant;

use bytes::Bytes;

use super::Relay;
use super::event::{ConnectionKey, Event, Peer};
use super::link::{Link, behind, first_of, visited};
use super::token::Token;
use crate::{Code, Head, HeaderName, Path, Transport, Uri};

/// The paths of a request or a response, read and as they were written.
#[derive(Debug, Clone)]
pub(super) struct Paths {
    pub(super) to: Path,
    pub(super) from: Path,
    pub(super) to_text: Bytes,
    pub(super) from_text: Bytes,
}

/// Where a request goes.
#[derive(Debug)]
pub(super) struct Route {
    pub(super) dest: ConnectionKey,
    /// Its paths from here on, as header lines.
    pub(super) lines: Bytes,
    /// The URI of ours that it came to.
    pub(super) own: Bytes,
    /// Whether it is a client's own.
    pub(super) from_client: bool,
    /// Whether the next hop is another relay, as far as the path tells.
    pub(super) relayed: bool,
}

/// Why a request goes nowhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Astray {
    /// It is for another relay (RFC 4976 6.2).
    NotOurs,
    /// It is to be refused.
    Refused(Code),
}

impl Paths {
    /// Nothing where one of them cannot be read.
    pub(super) fn of(head: &Head) -> Option<Self> {
        let value = |name| head.slice(name).filter(|value| !value.is_empty());
        let (to_text, from_text) = (value(HeaderName::ToPath)?, value(HeaderName::FromPath)?);
        let path = |text: &[u8]| std::str::from_utf8(text).ok()?.parse::<Path>().ok();
        Some(Self { to: path(&to_text)?, from: path(&from_text)?, to_text, from_text })
    }

    /// The paths as header lines, with so many URIs behind.
    pub(super) fn shifted(&self, uris: usize) -> Bytes {
        let (to, from) = (behind(&self.to_text, uris), visited(&self.to_text, uris, &self.from_text));
        [b"To-Path: ", &*to, b"\r\nFrom-Path: ", &*from, b"\r\n"].concat().into()
    }
}

impl Relay {
    /// Finds the way of a request that came over this connection. A connection is asked for where there is none.
    pub(super) fn route(
        &mut self,
        source: ConnectionKey,
        paths: &Paths,
        is_auth: bool,
        now: Instant,
    ) -> Result<Route, Astray> {
        let refused = Astray::Refused(Code::NO_SUCH_SESSION);
        let (to, from) = (&paths.to, &paths.from);
        if !self.config.is_ours(to.first()) {
            return Err(Astray::NotOurs);
        }
        // What is said to go over TLS goes over it at each hop (RFC 4976 9.2).
        let over_tls = self.links.get(source.slot()).is_some_and(|link| link.peer.is_tls);
        if to.first().is_secure() && !over_tls {
            return Err(Astray::Refused(Code::FORBIDDEN));
        }
        // Both change by one at each hop, so that no way is endless.
        if to.len() + from.len() > Path::MAX {
            return Err(Astray::Refused(Code::BAD_REQUEST));
        }
        // A path to another relay may name this one as it was called when nobody was known yet (RFC 4976 5.1); the way back
        // needs the URI that the client was given then.
        let first = match to.first().session_id() {
            None if is_auth => self.given(source, from).ok_or(refused)?.uri.clone(),
            _ => to.first().clone(),
        };
        let own = if to.first().session_id().is_none() {
            Bytes::from(first.to_string())
        } else {
            Bytes::copy_from_slice(first_of(&paths.to_text))
        };
        let (mut at, mut uri) = (0, &first);
        let from_client = self.tokens.get(uri, now).is_some_and(|token| self.is_from(token, source));
        let dest = loop {
            let token = self.tokens.get(uri, now).ok_or(refused)?;
            // A relay is no far end.
            let next = to.get(at + 1).ok_or(refused)?;
            at += 1;
            if !self.is_from(token, source) || token.from.first() == next {
                let dest = self.way_to(token).ok_or(refused)?;
                if at == 1 && dest != source {
                    let peer = from.first().clone();
                    self.tokens.get_mut(&first).expect("it was there").learn(&peer, source);
                }
                break dest;
            }
            if !self.config.is_ours(next) {
                let heard = token.heard(next).filter(|key| self.links.get(key.slot()).is_some());
                break match heard.or_else(|| self.connected(next)) {
                    Some(dest) => dest,
                    None => self.connect(source, &next.clone(), now).ok_or(refused)?,
                };
            }
            uri = next;
        };
        let lines = if to.first().session_id().is_some() {
            paths.shifted(at)
        } else {
            let to_text = [&*own, &*behind(&paths.to_text, 1)].join(&b' ').into();
            Paths { to_text, ..paths.clone() }.shifted(at)
        };
        Ok(Route { dest, lines, own, from_client, relayed: to.len() - at > 1 })
    }

    /// Whether a connection is that of the client who was given a URI.
    fn is_from(&self, token: &Token, source: ConnectionKey) -> bool {
        let host = || self.links.get(source.slot()).and_then(|link| link.peer.host.as_ref());
        token.connection == source || token.relay.as_ref().is_some_and(|relay| host() == Some(relay))
    }

    /// Whether a request comes from the client to whom the URI was given that it is for.
    pub(super) fn is_own(&self, source: ConnectionKey, paths: &Paths, now: Instant) -> bool {
        self.tokens.get(paths.to.first(), now).is_some_and(|token| self.is_from(token, source))
    }

    /// The connection to the client who was given a URI.
    fn way_to(&self, token: &Token) -> Option<ConnectionKey> {
        if self.links.get(token.connection.slot()).is_some() {
            return Some(token.connection);
        }
        self.by_host.get(token.relay.as_ref()?)?.last().copied()
    }

    /// What a client was given that calls itself so.
    fn given(&self, source: ConnectionKey, from: &Path) -> Option<&Token> {
        self.tokens.of(&self.links.get(source.slot())?.sessions, from)
    }

    /// A connection that leads to this next hop.
    fn connected(&self, next: &Uri) -> Option<ConnectionKey> {
        let made = self.by_place.get(&place(next)).copied();
        made.or_else(|| self.by_host.get(next.host())?.last().copied().filter(|_| next.is_secure()))
    }

    /// Asks for a connection to a next hop.
    fn connect(&mut self, source: ConnectionKey, next: &Uri, now: Instant) -> Option<ConnectionKey> {
        // Nobody connects to who has no address, or speaks another transport (RFC 7977 5.2.2).
        if *next.transport() != Transport::Tcp || next.host().is_invalid() {
            return None;
        }
        let because = |link: &Link| link.pending.is_some() && link.place.as_ref().is_some_and(|(_, by)| *by == source);
        if self.links.len() >= self.config.connections
            || self.pending >= self.config.connecting
                && self.links.iter().filter(|(_, link)| because(link)).count() >= self.config.connecting
        {
            return None;
        }
        let uri = place(next);
        let mut link = Link::new(Peer::new(next.is_secure()), &self.config, now);
        link.place = Some((uri.clone(), source));
        link.pending = now.checked_add(self.config.connect_timeout).or(Some(now));
        link.probation = None;
        let (index, serial) = self.links.insert(link);
        let connection = ConnectionKey { index, serial };
        self.pending += 1;
        self.by_place.insert(uri.clone(), connection);
        self.events.push_back(Event::Connect { connection, uri });
        self.touch(connection);
        Some(connection)
    }
}

/// What is the same of all URIs to which one connection leads.
pub(super) fn place(uri: &Uri) -> Uri {
    Uri::new(uri.host().clone())
        .with_scheme(uri.scheme())
        .with_port(uri.port().unwrap_or_default())
        .with_transport(uri.transport().clone())
}

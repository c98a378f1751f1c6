//! Who may use the relay (RFC 4976 6.3, 9.1).

use std::time::{Duration, Instant};

use super::Relay;
use super::event::{CloseReason, ConnectionKey, Event};
use super::route::Paths;
use super::token::Token;
use crate::digest::{Authorization, Challenge, DigestErrorKind, Refusal, Request};
use crate::{Code, Head, HeaderName, Uri};

impl Relay {
    /// A client wants a URI, or to have one for longer.
    pub(super) fn log_in(&mut self, key: ConnectionKey, head: &Head, paths: &Paths, now: Instant) {
        let asked = paths.to.first();
        if !self.config.is_ours(asked) {
            return self.close(key, CloseReason::NotOurs);
        }
        let link = self.links.get_mut(key.slot()).expect("it is being read");
        // Whoever reads along has the URI, and what it is good for (RFC 4976 9.2).
        if !link.peer.is_tls && !self.config.plain_auth {
            return self.refuse(key, head, Code::FORBIDDEN);
        }
        let Some(authorization) = head.text(HeaderName::Authorization) else {
            let challenges = self.verifier.challenges(key.serial, now);
            return self.challenge(key, head, &challenges, false);
        };
        let authorization = match authorization.parse::<Authorization>() {
            Ok(authorization) => authorization,
            // Another scheme is not taken, and is asked for the right one (RFC 4976 9.1).
            Err(error) if matches!(error.kind(), DigestErrorKind::Scheme | DigestErrorKind::Algorithm) => {
                let challenges = self.verifier.challenges(key.serial, now);
                return self.challenge(key, head, &challenges, true);
            }
            Err(_) => return self.refuse(key, head, Code::BAD_REQUEST),
        };
        let Ok(uri) = std::str::from_utf8(&paths.to_text) else { return };
        let request = Request { uri, connection: key.serial };
        let login = match self.verifier.verify(&authorization, &request, &*self.users.0, now) {
            Ok(login) => login,
            Err(Refusal::Unauthorized(challenges)) => {
                // With a stale nonce, the password was right.
                let failed = !challenges.iter().any(Challenge::stale);
                return self.challenge(key, head, &challenges, failed);
            }
            Err(refusal) => {
                let code = Code::new(refusal.code()).unwrap_or(Code::FORBIDDEN);
                return self.refuse(key, head, code);
            }
        };
        let expires = match self.expires(head) {
            Ok(expires) => expires,
            Err((code, line)) => return self.refuse_with(key, head, code, &[&line]),
        };
        let until = now.checked_add(expires).unwrap_or(now);
        let uri = match self.known(key, paths, login.username(), now) {
            Some(uri) => {
                self.tokens.renew(uri.session_id().unwrap_or_default(), until);
                uri
            }
            None if asked.session_id().is_some() => return self.refuse(key, head, Code::NO_SUCH_SESSION),
            None => match self.give(key, paths, login.username(), until) {
                Some(uri) => uri,
                None => return self.refuse(key, head, Code::FORBIDDEN),
            },
        };
        // The way to here from the client, and the URI behind it (RFC 4976 5.1).
        let mut use_path = String::from("Use-Path:");
        for hop in paths.from.iter().rev().skip(1).chain([&uri]) {
            use_path.push(' ');
            use_path.push_str(&hop.to_string());
        }
        let info = format!("Authentication-Info: {}", login.info());
        let lasts = format!("Expires: {}", expires.as_secs());
        self.succeeded(key);
        let link = self.links.get_mut(key.slot()).expect("it is being read");
        (link.challenges, link.guesses) = (0, 0);
        link.answer(head, Code::OK, &[&use_path, &info, &lasts]);
        let user = login.username().to_owned();
        self.events.push_back(Event::Authenticated { connection: key, user, expires });
    }

    /// Asks a client who it is: that is a failure where it had said so.
    fn challenge(&mut self, key: ConnectionKey, head: &Head, challenges: &[Challenge], failed: bool) {
        let lines: Vec<_> = challenges.iter().map(|challenge| format!("WWW-Authenticate: {challenge}")).collect();
        let lines: Vec<_> = lines.iter().map(String::as_str).collect();
        if failed {
            return self.refuse_with(key, head, Code::UNAUTHORIZED, &lines);
        }
        let link = self.links.get_mut(key.slot()).expect("it is being read");
        link.answer(head, Code::UNAUTHORIZED, &lines);
        link.challenges += 1;
        if link.challenges > self.config.challenges && !link.is_relay() {
            self.close(key, CloseReason::Failures);
        }
    }

    /// For how long, or why not for that long, with the header that says so.
    fn expires(&self, head: &Head) -> Result<Duration, (Code, String)> {
        let (least, most) = (self.config.min_expires, self.config.max_expires);
        let Some(asked) = head.text(HeaderName::Expires) else { return Ok(self.config.expires.min(most)) };
        if asked.is_empty() || !asked.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err((Code::BAD_REQUEST, format!("Min-Expires: {}", least.as_secs())));
        }
        // More digits than a number has are more than any limit.
        let asked = Duration::from_secs(asked.parse().unwrap_or(u64::MAX));
        if asked < least {
            return Err((Code::INTERVAL_OUT_OF_BOUNDS, format!("Min-Expires: {}", least.as_secs())));
        }
        if asked > most {
            return Err((Code::INTERVAL_OUT_OF_BOUNDS, format!("Max-Expires: {}", most.as_secs())));
        }
        Ok(asked)
    }

    /// The URI that the client has already: it asks for it by name, or calls itself as it did then. For another session, it has
    /// another name of its own (RFC 4976 3.1).
    fn known(&self, key: ConnectionKey, paths: &Paths, user: &str, now: Instant) -> Option<Uri> {
        let sessions = &self.links.get(key.slot())?.sessions;
        let token = match paths.to.first().session_id() {
            Some(_) => self.tokens.get(paths.to.first(), now).filter(|token| token.connection == key)?,
            None => self.tokens.of(sessions, &paths.from)?,
        };
        (token.user == user && now < token.until).then(|| token.uri.clone())
    }

    /// Gives a client a URI of its own, unless it has as many as it may have.
    fn give(&mut self, key: ConnectionKey, paths: &Paths, user: &str, until: Instant) -> Option<Uri> {
        let link = self.links.get_mut(key.slot()).expect("it is being read");
        // A relay speaks for many, who are counted each.
        if !link.is_relay() && link.sessions.len() >= self.config.uris_per_connection
            || self.tokens.of_user(user) >= self.config.uris_per_user
        {
            return None;
        }
        let mut octets = [0; 16];
        (self.random.0)(&mut octets);
        let uri = self.config.uri(link.peer.is_tls, session_id(octets));
        link.sessions.push(uri.session_id().unwrap_or_default().into());
        // A relay that has proved who it is may come over another connection next time (RFC 4976 6.3).
        let relay = link.peer.host.clone().filter(|host| host == paths.from.first().host());
        let token = Token::new(uri.clone(), user, key, relay, paths.from.clone(), until);
        self.tokens.insert(token);
        Some(uri)
    }
}

/// A session id of 128 random bits (R21; RFC 4976 6.3 wants 64, RFC 4975 14.1 has 80).
fn session_id(octets: [u8; 16]) -> String {
    const DIGITS: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";
    let mut rest = u128::from_be_bytes(octets);
    let mut id = String::with_capacity(26);
    for _ in 0..26 {
        id.push(DIGITS[(rest & 0x1f) as usize].into());
        rest >>= 5;
    }
    id
}

//! The sessions that TLS may resume, by the name of the server (RFC 9623 9.1).

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use rustls::NamedGroup;
use rustls::client::{ClientSessionStore, Tls12ClientSessionValue, Tls13ClientSessionValue};
use rustls::pki_types::ServerName;

/// How many servers are known; the one that was heard of first makes room.
const MAX_SERVERS: usize = 256;
/// How many tickets of one server are kept: a server may send as many as it likes.
const MAX_TICKETS: usize = 8;

/// Sessions in memory. It is known beforehand whether one can be resumed, which selection wants to know.
pub(crate) struct Tickets {
    servers: Mutex<Servers>,
    most: usize,
    /// How long a session is kept; as long as its server says when absent.
    lifetime: Option<Duration>,
}

#[derive(Default)]
struct Servers {
    known: HashMap<ServerName<'static>, Server>,
    /// The oldest first.
    order: VecDeque<ServerName<'static>>,
}

#[derive(Default)]
struct Server {
    group: Option<NamedGroup>,
    tls12: Option<(Tls12ClientSessionValue, Instant)>,
    /// Each is used once, so that connections are not linked by it (RFC 8446 C.4).
    tls13: VecDeque<(Tls13ClientSessionValue, Instant)>,
}

impl Tickets {
    /// Sessions of at most so many servers, for so long.
    pub(crate) fn bounded(most: usize, lifetime: Option<Duration>) -> Self {
        Self { servers: Mutex::default(), most: most.max(1), lifetime }
    }

    pub(super) fn holds(&self, host: &str) -> bool {
        let Ok(name) = ServerName::try_from(host) else { return false };
        self.with(|servers| {
            servers.known.get(&name).is_some_and(|server| {
                let fresh = |since: &Instant| self.is_fresh(*since);
                server.tls12.as_ref().is_some_and(|(_, since)| fresh(since))
                    || server.tls13.back().is_some_and(|(_, since)| fresh(since))
            })
        })
    }

    pub(super) fn clear(&self) {
        self.with(|servers| *servers = Servers::default());
    }

    fn is_fresh(&self, since: Instant) -> bool {
        self.lifetime.is_none_or(|lifetime| since.elapsed() < lifetime)
    }

    fn with<T>(&self, look: impl FnOnce(&mut Servers) -> T) -> T {
        look(&mut self.servers.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn with_server<T>(&self, name: ServerName<'static>, change: impl FnOnce(&mut Server) -> T) -> T {
        self.with(|servers| change(servers.server(name, self.most)))
    }
}

impl Default for Tickets {
    fn default() -> Self {
        Self::bounded(MAX_SERVERS, None)
    }
}

impl Servers {
    fn server(&mut self, name: ServerName<'static>, most: usize) -> &mut Server {
        if !self.known.contains_key(&name) {
            if self.order.len() >= most
                && let Some(oldest) = self.order.pop_front()
            {
                self.known.remove(&oldest);
            }
            self.order.push_back(name.clone());
        }
        self.known.entry(name).or_default()
    }
}

impl ClientSessionStore for Tickets {
    fn set_kx_hint(&self, name: ServerName<'static>, group: NamedGroup) {
        self.with_server(name, |server| server.group = Some(group));
    }

    fn kx_hint(&self, name: &ServerName<'_>) -> Option<NamedGroup> {
        self.with(|servers| servers.known.get(name)?.group)
    }

    fn set_tls12_session(&self, name: ServerName<'static>, value: Tls12ClientSessionValue) {
        self.with_server(name, |server| server.tls12 = Some((value, Instant::now())));
    }

    fn tls12_session(&self, name: &ServerName<'_>) -> Option<Tls12ClientSessionValue> {
        let (value, since) = self.with(|servers| servers.known.get(name)?.tls12.clone())?;
        self.is_fresh(since).then_some(value)
    }

    fn remove_tls12_session(&self, name: &ServerName<'static>) {
        self.with(|servers| servers.known.get_mut(name).map(|server| server.tls12 = None));
    }

    fn insert_tls13_ticket(&self, name: ServerName<'static>, value: Tls13ClientSessionValue) {
        self.with_server(name, |server| {
            if server.tls13.len() == MAX_TICKETS {
                server.tls13.pop_front();
            }
            server.tls13.push_back((value, Instant::now()));
        });
    }

    fn take_tls13_ticket(&self, name: &ServerName<'static>) -> Option<Tls13ClientSessionValue> {
        // The newest lives longest.
        let (value, since) = self.with(|servers| servers.known.get_mut(name)?.tls13.pop_back())?;
        self.is_fresh(since).then_some(value)
    }
}

impl fmt::Debug for Tickets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tickets").field("servers", &self.with(|servers| servers.known.len())).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::sync::Arc;

    use rustls::client::Resumption;
    use rustls::{ClientConfig, ClientConnection, HandshakeKind, ServerConfig, ServerConnection};

    use super::*;
    use crate::TlsConfig;

    fn server() -> Arc<ServerConfig> {
        let key = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let pem = TlsConfig::builder().server_certificate_pem(key.cert.pem(), key.signing_key.serialize_pem());
        pem.build().unwrap().server().unwrap()
    }

    fn client(tickets: &Arc<Tickets>) -> Arc<ClientConfig> {
        let config = TlsConfig::builder().danger_accept_any_certificate().build().unwrap().client().unwrap();
        let mut config = ClientConfig::clone(&config);
        config.resumption = Resumption::store(tickets.clone());
        Arc::new(config)
    }

    /// Shakes hands over memory, and lets a byte through so that the tickets behind the handshake are read.
    fn shake(client: &Arc<ClientConfig>, server: &Arc<ServerConfig>, name: &str) -> HandshakeKind {
        let name = ServerName::try_from(name.to_owned()).unwrap();
        let mut client = ClientConnection::new(client.clone(), name).unwrap();
        let mut server = ServerConnection::new(server.clone()).unwrap();
        server.writer().write_all(b"x").unwrap();
        let mut byte = [0];
        for _ in 0..10 {
            let mut wire = Vec::new();
            while client.wants_write() {
                client.write_tls(&mut wire).unwrap();
            }
            let mut read = wire.as_slice();
            while !read.is_empty() {
                server.read_tls(&mut read).unwrap();
                server.process_new_packets().unwrap();
            }
            let mut wire = Vec::new();
            while server.wants_write() {
                server.write_tls(&mut wire).unwrap();
            }
            let mut read = wire.as_slice();
            while !read.is_empty() {
                client.read_tls(&mut read).unwrap();
                client.process_new_packets().unwrap();
            }
            if client.reader().read(&mut byte).is_ok() {
                return client.handshake_kind().unwrap();
            }
        }
        panic!("no byte came through");
    }

    #[test]
    fn a_second_handshake_resumes_the_session_of_the_first() {
        let (tickets, server) = (Arc::new(Tickets::default()), server());
        let client = client(&tickets);
        assert!(!tickets.holds("localhost"));
        assert_eq!(shake(&client, &server, "localhost"), HandshakeKind::Full);
        assert!(tickets.holds("localhost") && !tickets.holds("elsewhere"));
        assert_eq!(shake(&client, &server, "localhost"), HandshakeKind::Resumed);
        tickets.clear();
        assert!(!tickets.holds("localhost"));
        assert_eq!(shake(&client, &server, "localhost"), HandshakeKind::Full);
    }

    #[test]
    fn a_session_is_not_resumed_by_a_configuration_that_verifies_otherwise() {
        let (tickets, server) = (Arc::new(Tickets::default()), server());
        shake(&client(&tickets), &server, "localhost");
        assert!(tickets.holds("localhost"));
        assert_eq!(shake(&client(&tickets), &server, "localhost"), HandshakeKind::Full);
    }

    /// RFC 9622 6.3.6: `cachedSessionLifetimeSeconds`.
    #[test]
    fn a_session_past_its_lifetime_is_not_resumed() {
        let (tickets, server) = (Arc::new(Tickets::bounded(8, Some(Duration::ZERO))), server());
        let client = client(&tickets);
        shake(&client, &server, "localhost");
        assert!(!tickets.holds("localhost"));
        assert_eq!(shake(&client, &server, "localhost"), HandshakeKind::Full);
    }

    #[test]
    fn servers_and_tickets_are_bounded() {
        let (tickets, server) = (Arc::new(Tickets::default()), server());
        let client = client(&tickets);
        for n in 0..20 {
            shake(&client, &server, "localhost");
            let kept = tickets.with(|servers| servers.known.values().map(|server| server.tls13.len()).sum::<usize>());
            assert!(kept <= MAX_TICKETS, "{kept} after {n}");
        }
        for n in 0..1000 {
            let name = ServerName::try_from(format!("host-{n}")).unwrap();
            tickets.set_kx_hint(name, NamedGroup::X25519);
        }
        tickets.with(|servers| {
            assert_eq!((servers.known.len(), servers.order.len()), (MAX_SERVERS, MAX_SERVERS));
        });
        assert!(!tickets.holds("localhost"));
    }
}

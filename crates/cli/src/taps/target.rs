//! Targets: whom to reach or where to stand, as text.

use postroad::taps::{LocalEndpoint, Protocol, RemoteEndpoint};

use crate::exit::{Exit, Failure};

/// A target as it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Target {
    place: Place,
    pub(super) protocol: Option<Protocol>,
    /// What the scheme says of TLS: with, without, or nothing.
    pub(super) tls: Option<bool>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Place {
    Host { host: String, port: u16, resource: Option<String> },
    Path(String),
    Abstract(String),
}

impl Target {
    pub(super) fn parse(text: &str) -> Result<Self, Failure> {
        parse(text).map_err(|why| {
            let hint = "write host:port, [::1]:port, unix:/path, unix:@name or ws://host:port/path".to_owned();
            Failure::new(Exit::Data, format!("bad target `{text}`"), why).hint(hint)
        })
    }

    pub(super) fn remote(&self) -> RemoteEndpoint {
        let endpoint = match &self.place {
            Place::Host { host, port, resource } => {
                let endpoint = RemoteEndpoint::host(host).port(*port);
                match resource {
                    Some(resource) => endpoint.websocket(resource),
                    None => endpoint,
                }
            }
            Place::Path(path) => RemoteEndpoint::path(path),
            Place::Abstract(name) => RemoteEndpoint::abstract_name(name),
        };
        match self.protocol {
            Some(protocol) => endpoint.protocol(protocol),
            None => endpoint,
        }
    }

    pub(super) fn local(&self) -> LocalEndpoint {
        let endpoint = match &self.place {
            Place::Host { host, port, resource } => {
                let endpoint = LocalEndpoint::host(host).port(*port);
                match resource {
                    Some(resource) => endpoint.websocket(resource),
                    None => endpoint,
                }
            }
            Place::Path(path) => LocalEndpoint::path(path),
            Place::Abstract(name) => LocalEndpoint::abstract_name(name),
        };
        match self.protocol {
            Some(protocol) => endpoint.protocol(protocol),
            None => endpoint,
        }
    }
}

/// An address to start from, with a port or without.
pub(super) fn local(text: &str) -> Result<LocalEndpoint, Failure> {
    let bad = |why: &str| Failure::new(Exit::Data, format!("bad local address `{text}`"), why.to_owned());
    if text.starts_with("unix:") {
        return parse(text).map(|target| target.local()).map_err(|why| bad(&why));
    }
    // An address of version 6 has colons of its own.
    if text.parse::<std::net::IpAddr>().is_ok() || !text.contains(':') {
        return if text.is_empty() { Err(bad("it is empty")) } else { Ok(LocalEndpoint::host(text)) };
    }
    let (host, port) = host_port(text).map_err(|why| bad(&why))?;
    Ok(LocalEndpoint::host(host).port(port))
}

fn parse(text: &str) -> Result<Target, String> {
    if let Some(path) = text.strip_prefix("unix:") {
        let path = path.strip_prefix("//").unwrap_or(path);
        let place = match path.strip_prefix('@') {
            Some("") | None if path.len() < 2 => return Err("no name behind unix:".to_owned()),
            Some(name) => Place::Abstract(name.to_owned()),
            None => Place::Path(path.to_owned()),
        };
        return Ok(Target { place, protocol: None, tls: None });
    }
    let Some((scheme, rest)) = text.split_once("://") else {
        let (host, port) = host_port(text)?;
        return Ok(Target { place: Place::Host { host, port, resource: None }, protocol: None, tls: None });
    };
    let (protocol, tls) = match scheme.to_ascii_lowercase().as_str() {
        "tcp" => (Protocol::Tcp, None),
        "tls" => (Protocol::Tcp, Some(true)),
        "mptcp" => (Protocol::Mptcp, None),
        "udp" => (Protocol::Udp, Some(false)),
        "udp-lite" => (Protocol::UdpLite, Some(false)),
        "quic" => (Protocol::Quic, Some(true)),
        "ws" => (Protocol::WebSocket, Some(false)),
        "wss" => (Protocol::WebSocket, Some(true)),
        _ => return Err(format!("no scheme `{scheme}`: tcp, tls, mptcp, udp, udp-lite, quic, unix, ws or wss")),
    };
    let (authority, resource) = match protocol {
        Protocol::WebSocket => {
            let (authority, path) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
            let default = if tls == Some(true) { 443 } else { 80 };
            let has_port = authority.rsplit_once(']').map_or(authority, |(_, port)| port).contains(':');
            let authority = if has_port { authority.to_owned() } else { format!("{authority}:{default}") };
            (authority, Some(format!("/{}", path.strip_prefix('/').unwrap_or(path))))
        }
        _ => (rest.strip_suffix('/').unwrap_or(rest).to_owned(), None),
    };
    let (host, port) = host_port(&authority)?;
    Ok(Target { place: Place::Host { host, port, resource }, protocol: Some(protocol), tls })
}

fn host_port(text: &str) -> Result<(String, u16), String> {
    let (host, port) = text.rsplit_once(':').ok_or("no port")?;
    let host = match host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
        Some(host) => host,
        None if host.contains(':') => return Err("write an address of version 6 in brackets".to_owned()),
        None => host,
    };
    if host.is_empty() {
        return Err("no host".to_owned());
    }
    let port = port.parse().map_err(|_| format!("`{port}` is no port"))?;
    Ok((host.to_owned(), port))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(text: &str) -> (String, u16, Option<String>, Option<Protocol>, Option<bool>) {
        match parse(text).unwrap() {
            Target { place: Place::Host { host, port, resource }, protocol, tls } => {
                (host, port, resource, protocol, tls)
            }
            target => panic!("{target:?}"),
        }
    }

    #[test]
    fn hosts_ports_and_schemes() {
        let plain = |host: &str, port| (host.to_owned(), port, None, None, None);
        assert_eq!(host("example.com:443"), plain("example.com", 443));
        assert_eq!(host("[::1]:0"), plain("::1", 0));
        assert_eq!(host("[fe80::1%lo]:9"), plain("fe80::1%lo", 9));
        assert_eq!(host("tls://h:1/"), ("h".to_owned(), 1, None, Some(Protocol::Tcp), Some(true)));
        assert_eq!(host("UDP://h:1"), ("h".to_owned(), 1, None, Some(Protocol::Udp), Some(false)));
        let websocket =
            |port, path: &str, tls| ("h".to_owned(), port, Some(path.to_owned()), Some(Protocol::WebSocket), Some(tls));
        assert_eq!(host("ws://h:81/a/b?c"), websocket(81, "/a/b?c", false));
        assert_eq!(host("wss://h"), websocket(443, "/", true));
        assert_eq!(host("ws://h?c=/d"), websocket(80, "/?c=/d", false));
    }

    #[test]
    fn unix_sockets() {
        assert_eq!(parse("unix:/run/x").unwrap().place, Place::Path("/run/x".to_owned()));
        assert_eq!(parse("unix:///run/x").unwrap().place, Place::Path("/run/x".to_owned()));
        assert_eq!(parse("unix:@x").unwrap().place, Place::Abstract("x".to_owned()));
    }

    #[test]
    fn what_is_wrong_is_said() {
        let cases = [
            ("", "no port"),
            ("host", "no port"),
            (":1", "no host"),
            ("h:x", "`x` is no port"),
            ("h:70000", "is no port"),
            ("::1:5", "brackets"),
            ("unix:", "unix:"),
            ("unix:@", "unix:"),
            ("gopher://h:1", "no scheme `gopher`"),
        ];
        for (text, word) in cases {
            let why = parse(text).unwrap_err();
            assert!(why.contains(word), "{text}: {why}");
        }
    }
}

//! WebSocket (RFC 6455) over TCP, and over TLS.
//!
//! A message is a message of bytes; the application says so when it is to be text (`text` in the name space
//! `websocket` of its context), and learns it the same way. A message or frame is 16 MiB at most, the head of a
//! handshake 16 KiB. No extension is offered or taken.
//!
//! Frames and handshakes are tungstenite's. It gets a stream that is connected and protected already.

mod error;
mod handshake;
mod transport;

use std::io;
use std::sync::Arc;

use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::tungstenite::protocol::Role;

use super::http::Authority;
use super::{Acceptor, Arrival, Hosting, Leaf, Setting, Stand, tcp};
use crate::endpoint::{EndpointAddress, WebSocketResource, canonical};
use crate::error::AttemptError;
use crate::protocol::ProtocolStack;
use crate::stream::ByteStream;
use crate::tls::ServerSide;
use crate::transport::{About, BoxFuture, Established};
use handshake::Agreed;
use transport::WebSocket;

pub use error::WebSocketError;

/// What runs over TLS here (RFC 7301 6): the handshake is HTTP, whatever comes after it.
const ALPN: &[u8] = b"http/1.1";

/// Connects, protects where the stack says so, and asks for the resource.
pub(super) async fn connect(leaf: &Leaf, setting: &Setting) -> Result<Established, AttemptError> {
    let (tcp, about) = tcp::open(leaf, setting).await?;
    let secure = leaf.stack == ProtocolStack::SecureWebSocket;
    // Through a proxy, the address is the proxy's.
    let port = match &setting.proxy {
        Some(via) => Some(via.port),
        None => leaf.remote.ip().map(|address| address.port()),
    };
    let mut stream = match &setting.security {
        Some(security) if secure => security.protect_for(ALPN, tcp, about).await?,
        None if secure => return Err(AttemptError::Transport(io::ErrorKind::InvalidInput)),
        _ => ByteStream::tcp(tcp, about),
    };
    let default_port = if secure { 443 } else { 80 };
    let authority = Authority { host: &leaf.host, port: port.filter(|port| *port != default_port) };
    let resource = leaf.websocket.as_deref().cloned().unwrap_or_default();
    let agreed = handshake::initiate(&mut stream, &resource, &authority).await?;
    Ok(established(stream, Role::Client, agreed).await)
}

async fn established(stream: ByteStream, role: Role, agreed: Agreed) -> Established {
    let about = About { subprotocol: agreed.subprotocol.map(Arc::from), ..stream.about().clone() };
    Established::messages(Box::new(WebSocket::new(stream, role, agreed.rest).await), about)
}

/// A socket that listens.
#[derive(Debug)]
struct WebSocketAcceptor {
    socket: TcpListener,
    local: EndpointAddress,
    door: Arc<Door>,
}

/// What each client meets.
#[derive(Debug)]
struct Door {
    stack: ProtocolStack,
    resource: Option<Arc<WebSocketResource>>,
    security: Option<ServerSide>,
    hosting: Hosting,
}

/// Begins to listen. An endpoint without a resource lets clients ask for any.
pub(super) fn listen(stand: &Stand, hosting: &Hosting) -> io::Result<Box<dyn Acceptor>> {
    let security = match &hosting.security {
        Some(security) if stand.stack == ProtocolStack::SecureWebSocket => Some(security.clone().for_protocol(ALPN)),
        None if stand.stack == ProtocolStack::SecureWebSocket => return Err(io::ErrorKind::InvalidInput.into()),
        _ => None,
    };
    let socket = tcp::bind(stand)?;
    let local = socket.local_addr()?.into();
    let (stack, resource) = (stand.stack, stand.websocket.clone());
    let door = Arc::new(Door { stack, resource, security, hosting: hosting.clone() });
    Ok(Box::new(WebSocketAcceptor { socket, local, door }))
}

impl Door {
    async fn establish(&self, tcp: TcpStream) -> Result<Established, AttemptError> {
        tcp::first_properties(&tcp, &self.hosting.properties)?;
        let about = tcp::about(self.stack, &tcp)?;
        let mut stream = match &self.security {
            Some(security) => security.protect(tcp, about).await?,
            None => ByteStream::tcp(tcp, about),
        };
        let agreed = handshake::accept(&mut stream, self.resource.as_deref()).await?;
        Ok(established(stream, Role::Server, agreed).await)
    }
}

impl Acceptor for WebSocketAcceptor {
    fn accept(&self) -> BoxFuture<'_, io::Result<Arrival>> {
        Box::pin(async {
            let (tcp, peer) = self.socket.accept().await?;
            let door = Arc::clone(&self.door);
            Ok(Arrival { peer: canonical(peer).into(), establish: Box::pin(async move { door.establish(tcp).await }) })
        })
    }

    fn stack(&self) -> ProtocolStack {
        self.door.stack
    }

    fn local(&self) -> &EndpointAddress {
        &self.local
    }
}

//! TCP sockets that somebody else has opened.

use super::AdoptError;
use crate::error::ListenError;
use crate::listener::Listener;
use crate::preconnection::Preconnection;
use crate::protocol::ProtocolStack;
use crate::selection::Rejected;
use crate::stack::{BUILT, Hosting, tcp};
use crate::stream::ByteStream;
use crate::tls::ServerSide;

impl ByteStream {
    /// Takes over a TCP connection.
    ///
    /// # Errors
    /// It is not connected, or the system refuses it.
    pub fn from_tcp(stream: std::net::TcpStream) -> Result<Self, AdoptError> {
        stream.set_nonblocking(true)?;
        let tcp = tokio::net::TcpStream::from_std(stream)?;
        let about = tcp::about(ProtocolStack::Tcp, &tcp).map_err(|_| AdoptError::NotConnected)?;
        Ok(Self::tcp(tcp, about))
    }
}

impl Preconnection {
    /// Listens with a TCP socket that listens already, with the framers, properties and security of this preconnection;
    /// its endpoints are not asked.
    ///
    /// # Errors
    /// As for [`listen`](Self::listen), and [`ListenError::Adopt`].
    pub fn listen_on_tcp(&self, socket: std::net::TcpListener) -> Result<Listener, ListenError> {
        let secure = self.security.config().is_some();
        let stack = if secure { ProtocolStack::Tls } else { ProtocolStack::Tcp };
        if !BUILT.contains(stack) {
            let host = socket.local_addr().map_or_else(|_| String::new(), |address| address.to_string());
            return Err(ListenError::NoCandidates { host, rejected: vec![Rejected::not_built(stack)] });
        }
        socket.set_nonblocking(true).map_err(AdoptError::from)?;
        let socket = tokio::net::TcpListener::from_std(socket).map_err(AdoptError::from)?;
        let security = self.security.config().map(ServerSide::prepare).transpose()?;
        let hosting = Hosting { properties: self.properties.clone().into(), security };
        let acceptor = tcp::accept_on(socket, stack, &hosting).map_err(AdoptError::from)?;
        Ok(self.listener_over(acceptor))
    }
}

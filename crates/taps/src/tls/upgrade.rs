//! TLS over a transport that began in clear text, for protocols whose peers first agree on it.

use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::Instant;

use crate::endpoint::EndpointAddress;
use crate::error::{Attempt, AttemptError, ConfigurationError, EstablishmentError, EstablishmentErrorKind as Kind};
use crate::protocol::ProtocolStack;
use crate::stream::ByteStream;
use crate::tls::{ClientSide, ServerSide, TlsConfig};
use crate::transport::About;

/// TLS in the middle of a stream.
///
/// Whatever was said before is not protected: somebody in between may have written it, or taken words out. So nothing
/// of it should count afterwards, and a reader must not have read further than to the last byte in clear text: what it
/// has behind that is to be dropped, or the connection. What the peer has sent and nobody has read goes into the
/// handshake, which fails when it is no TLS.
impl ByteStream {
    /// Runs the handshake as the client, and verifies that the peer is `host`, unless the configuration names another.
    /// Takes as long as the peer takes: give it a timeout.
    ///
    /// # Errors
    /// A configuration that cannot be used, a stream that is protected already, and a handshake that failed. The socket
    /// is then closed.
    ///
    /// # Cancel safety
    /// Dropping the future closes the socket.
    pub async fn initiate_tls(self, config: &TlsConfig, host: &str) -> Result<Self, EstablishmentError> {
        let started = Instant::now();
        let (tcp, about) = self.into_tcp().ok_or(Kind::InvalidConfiguration(ConfigurationError::Protected))?;
        let side = ClientSide::prepare(config, host).await.map_err(Kind::from)?;
        let peer = about.remote.clone();
        side.protect(tcp, protected(about)).await.map_err(|error| failed(peer, started, error))
    }

    /// Runs the handshake as the server. Takes as long as the peer takes: give it a timeout.
    ///
    /// # Errors
    /// As for [`initiate_tls`](Self::initiate_tls); a configuration without a server certificate cannot be used.
    ///
    /// # Cancel safety
    /// Dropping the future closes the socket.
    pub async fn accept_tls(self, config: &TlsConfig) -> Result<Self, EstablishmentError> {
        let started = Instant::now();
        let (tcp, about) = self.into_tcp().ok_or(Kind::InvalidConfiguration(ConfigurationError::Protected))?;
        let side = ServerSide::prepare(config).map_err(Kind::from)?;
        let peer = about.remote.clone();
        side.protect(tcp, protected(about)).await.map_err(|error| failed(peer, started, error))
    }

    /// Reads a client's first words, and goes on under TLS where they ask for that: then the client gets `answer`, and the
    /// handshake follows. `asks` is shown what has come, up to `N` bytes; `None` wants more. A client that hangs up before
    /// that has not asked.
    ///
    /// Not a byte beyond the request is read: what a client, or somebody in between, puts behind it goes into the
    /// handshake. Takes as long as the client takes: give it a timeout.
    ///
    /// # Errors
    /// As for [`accept_tls`](Self::accept_tls), and a transport that fails. The socket is then closed.
    ///
    /// # Cancel safety
    /// Dropping the future closes the socket.
    pub async fn accept_tls_where_asked<const N: usize>(
        mut self,
        config: &TlsConfig,
        asks: impl Fn(&[u8]) -> Option<bool>,
        answer: &[u8],
    ) -> Result<FirstWords<N>, EstablishmentError> {
        let (peer, started) = (self.remote_endpoint().clone(), Instant::now());
        let lost = |error| failed(peer.clone(), started, AttemptError::from_io(&error));
        let (mut words, mut length) = ([0; N], 0);
        let asked = loop {
            if let Some(asked) = asks(&words[..length]) {
                break asked;
            }
            match self.read(&mut words[length..]).await.map_err(lost)? {
                0 => break false,
                read => length += read,
            }
        };
        if !asked {
            return Ok(FirstWords { stream: self, words, length });
        }
        self.write_all(answer).await.map_err(lost)?;
        self.flush().await.map_err(lost)?;
        Ok(FirstWords { stream: self.accept_tls(config).await?, words, length: 0 })
    }
}

/// A client that has begun to speak: [`ByteStream::accept_tls_where_asked`] makes it.
#[derive(Debug)]
pub struct FirstWords<const N: usize> {
    stream: ByteStream,
    words: [u8; N],
    length: usize,
}

impl<const N: usize> FirstWords<N> {
    /// The words that were read and are still to be understood. None where TLS has begun since: what was said in clear
    /// text counts for nothing then.
    #[must_use]
    pub fn words(&self) -> &[u8] {
        &self.words[..self.length]
    }

    /// The stream behind them.
    #[must_use]
    pub fn into_stream(self) -> ByteStream {
        self.stream
    }
}

/// The stack that TLS makes of one in clear text.
fn protected(about: About) -> About {
    let stack = match about.stack {
        ProtocolStack::Mptcp => ProtocolStack::TlsMptcp,
        _ => ProtocolStack::Tls,
    };
    About { stack, ..about }
}

fn failed(address: EndpointAddress, started: Instant, error: AttemptError) -> EstablishmentError {
    let attempt = Attempt {
        stack: ProtocolStack::Tls,
        address,
        started_after: Duration::ZERO,
        elapsed: started.elapsed(),
        error,
    };
    EstablishmentError::new(Kind::EstablishmentFailed, vec![attempt])
}

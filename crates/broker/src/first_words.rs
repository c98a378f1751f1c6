//! The first words of a client on a port that begins in clear text: they may ask for TLS (AMQP 1.0 part 5, 5.2).

use postroad_amqp::v1_0::asks_for_tls;
use postroad_codec::v1_0::ProtocolHeader;
use postroad_taps::{ByteStream, EstablishmentError, TlsConfig};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// A stream on which the engine may begin.
#[derive(Debug)]
pub(crate) struct Begun {
    pub(crate) stream: ByteStream,
    first: [u8; ProtocolHeader::LENGTH],
    length: usize,
}

/// Why a client got no further than its first words.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BeginError {
    #[error("transport failed: {0}")]
    Transport(#[from] std::io::Error),
    #[error(transparent)]
    Tls(#[from] EstablishmentError),
}

impl Begun {
    /// What the client has said, for the engine. Nothing where TLS has begun since: words in clear text count for
    /// nothing then.
    pub(crate) fn first(&self) -> &[u8] {
        &self.first[..self.length]
    }

    /// A stream of which nothing was read.
    fn at_start(stream: ByteStream) -> Self {
        Self { stream, first: [0; ProtocolHeader::LENGTH], length: 0 }
    }
}

/// Reads a client's first header, and goes on under TLS where it asks for that. Without a configuration the stream is
/// as it was: the engine knows what to answer.
///
/// # Cancel safety
/// Dropping the future closes the socket.
pub(crate) async fn begin(stream: ByteStream, tls: Option<&TlsConfig>) -> Result<Begun, BeginError> {
    let mut begun = Begun::at_start(stream);
    let Some(tls) = tls.filter(|_| begun.stream.tls_info().is_none()) else { return Ok(begun) };
    // Never beyond the header: what a client, or somebody in between, puts behind it goes into the handshake.
    let asked = loop {
        if let Some(asked) = asks_for_tls(begun.first()) {
            break asked;
        }
        match begun.stream.read(&mut begun.first[begun.length..]).await? {
            0 => break false,
            read => begun.length += read,
        }
    };
    if !asked {
        return Ok(begun);
    }
    let mut stream = begun.stream;
    stream.write_all(&ProtocolHeader::TLS.to_bytes()).await?;
    stream.flush().await?;
    Ok(Begun::at_start(stream.accept_tls(tls).await?))
}

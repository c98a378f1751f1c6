//! TLS by AMQP's own header (AMQP 1.0 part 5, 5.2), on a stream in clear text.

use postroad_amqp::v1_0::{self as amqp, asks_for_tls, tls_answer};
use postroad_codec::v1_0::ProtocolHeader;
use postroad_taps::{ByteStream, TlsConfig};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::{AcceptError, ConnectError, ConnectOptions, ConnectionError};

/// Asks the peer for TLS, and goes on under TLS or not at all.
///
/// # Cancel safety
/// Dropping the future closes the socket.
pub(crate) async fn ask_for_tls(mut stream: ByteStream, options: &ConnectOptions) -> Result<ByteStream, ConnectError> {
    exchange_headers(&mut stream).await?;
    Ok(stream.initiate_tls(&options.tls, &options.remote().host_text()).await?)
}

/// Answers a client that asks for TLS, and goes on under TLS. Whoever does not ask goes on in clear text where that is
/// allowed, with the words that were read; otherwise the answer is the header all the same (part 2, 2.2), and the end.
///
/// # Cancel safety
/// Dropping the future closes the socket.
pub(crate) async fn answer(
    stream: ByteStream,
    tls: &TlsConfig,
    allow_clear_text: bool,
) -> Result<(ByteStream, Vec<u8>), AcceptError> {
    let header = ProtocolHeader::TLS.to_bytes();
    let begun = stream.accept_tls_where_asked::<{ ProtocolHeader::LENGTH }>(tls, asks_for_tls, &header).await?;
    let first = begun.words().to_vec();
    let mut stream = begun.into_stream();
    if allow_clear_text || stream.tls_info().is_some() {
        return Ok((stream, first));
    }
    // The client may have gone; it is left in any case.
    let _ = stream.write_all(&header).await;
    let _ = stream.shutdown().await;
    Err(ConnectionError::Protocol(match ProtocolHeader::parse(&first) {
        Some(Ok(found)) => amqp::ConnectionError::ProtocolHeader { expected: ProtocolHeader::TLS, found },
        Some(Err(foreign)) => amqp::ConnectionError::ForeignProtocol(foreign),
        None => amqp::ConnectionError::Lost,
    })
    .into())
}

async fn exchange_headers(stream: &mut ByteStream) -> Result<(), ConnectionError> {
    let failed = |error| ConnectionError::of_stream(&error);
    stream.write_all(&ProtocolHeader::TLS.to_bytes()).await.map_err(failed)?;
    stream.flush().await.map_err(failed)?;
    // Not a byte beyond the header: what stands there in clear text must not be read as if it had come under TLS.
    let (mut answer, mut length) = ([0; ProtocolHeader::LENGTH], 0);
    loop {
        match stream.read(&mut answer[length..]).await.map_err(failed)? {
            0 => return Err(ConnectionError::Protocol(amqp::ConnectionError::Lost)),
            read => length += read,
        }
        if let Some(result) = tls_answer(&answer[..length]) {
            return result.map_err(ConnectionError::Protocol);
        }
    }
}

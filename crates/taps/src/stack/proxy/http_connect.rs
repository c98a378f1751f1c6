//! The method CONNECT of HTTP (RFC 9110 9.3.6), with a user name and a password (RFC 7617) or without.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use zeroize::Zeroizing;

use super::{Credentials, ProxyError, Target, lost};
use crate::error::AttemptError;
use crate::stack::http::{Authority, Head, HeadError};

/// How much of the answer is looked at in one go.
const LOOK: usize = 1024;

pub(super) async fn connect(
    tcp: &mut TcpStream,
    target: Target<'_>,
    credentials: Option<&Credentials>,
) -> Result<(), AttemptError> {
    let request = request(target, credentials)?;
    tcp.write_all(&request).await.map_err(|error| lost(&error))?;
    let head = receive(tcp).await?;
    match head.status() {
        Some(200..=299) => Ok(()),
        Some(407) => Err(ProxyError::Authentication.into()),
        Some(status) => Err(ProxyError::Http { status }.into()),
        None => Err(ProxyError::Protocol("it does not speak HTTP").into()),
    }
}

fn request(target: Target<'_>, credentials: Option<&Credentials>) -> Result<Zeroizing<Vec<u8>>, ProxyError> {
    // The name goes into a line of its own: nothing may end that.
    let name = target.host;
    if name.is_empty() || name.len() > 255 || !name.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(ProxyError::Unsendable("host name"));
    }
    let authority = Authority { host: name, port: Some(target.port) };
    let head = format!("CONNECT {authority} HTTP/1.1\r\nHost: {authority}\r\n");
    let login = credentials.map(basic).transpose()?;
    let length = head.len() + login.as_ref().map_or(0, |login| login.len()) + 64;
    // Sized beforehand: a vector that grows leaves copies behind.
    let mut request = Zeroizing::new(Vec::with_capacity(length));
    request.extend_from_slice(head.as_bytes());
    if let Some(login) = login {
        request.extend_from_slice(b"Proxy-Authorization: Basic ");
        request.extend_from_slice(login.as_bytes());
        request.extend_from_slice(b"\r\n");
    }
    request.extend_from_slice(b"\r\n");
    Ok(request)
}

fn basic(credentials: &Credentials) -> Result<Zeroizing<String>, ProxyError> {
    let (user, password) = (&credentials.user, &credentials.password);
    if user.contains(':') {
        return Err(ProxyError::Unsendable("user name"));
    }
    let mut pair = Zeroizing::new(String::with_capacity(user.len() + 1 + password.len()));
    pair.push_str(user);
    pair.push(':');
    pair.push_str(password);
    Ok(base64(pair.as_bytes()))
}

/// Text of the alphabet of RFC 4648 4. What is wiped afterwards must not pass through buffers of a library.
fn base64(bytes: &[u8]) -> Zeroizing<String> {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = Zeroizing::new(String::with_capacity(bytes.len().div_ceil(3) * 4));
    for chunk in bytes.chunks(3) {
        let word = chunk.iter().fold(0u32, |word, byte| word << 8 | u32::from(*byte)) << (8 * (3 - chunk.len()));
        for place in 0..4 {
            let index = (word >> (18 - 6 * place) & 0x3f) as usize;
            text.push(if place <= chunk.len() { char::from(ALPHABET[index]) } else { '=' });
        }
    }
    text
}

/// Reads the head of the answer, and nothing behind it: that is the target's.
async fn receive(tcp: &mut TcpStream) -> Result<Head, AttemptError> {
    let failed = |error| match error {
        HeadError::TooLong => ProxyError::HeadTooLong,
        HeadError::Malformed => ProxyError::Protocol("it does not speak HTTP"),
    };
    let (mut head, mut seen) = (Vec::new(), 0);
    loop {
        let mut look = [0; LOOK];
        let there = tcp.peek(&mut look).await.map_err(|error| lost(&error))?;
        if there == 0 {
            return Err(ProxyError::Protocol("it has hung up before it had answered").into());
        }
        head.extend_from_slice(&look[..there]);
        let end = Head::end(&head, seen).map_err(failed)?;
        // Only what belongs to the head is taken out of the socket.
        let taken = end.unwrap_or(head.len()) - (head.len() - there);
        tcp.read_exact(&mut look[..taken]).await.map_err(|error| lost(&error))?;
        if let Some(end) = end {
            return Ok(Head::parse(&head[..end]).map_err(failed)?);
        }
        seen = head.len();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_of_bytes_is_the_one_of_the_standard() {
        // RFC 4648 10.
        let pairs =
            [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foob", "Zm9vYg=="), ("foobar", "Zm9vYmFy")];
        for (bytes, text) in pairs {
            assert_eq!(*base64(bytes.as_bytes()), text);
        }
        assert_eq!(*base64(&[0xfb, 0xff]), "+/8=");
    }
}

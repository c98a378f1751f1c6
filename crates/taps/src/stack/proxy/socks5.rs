//! SOCKS5 (RFC 1928), with a user name and a password (RFC 1929) or without.

use std::net::IpAddr;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use zeroize::Zeroizing;

use super::{Credentials, ProxyError, Target, lost};
use crate::error::AttemptError;

const VERSION: u8 = 5;
/// The version of the exchange of user name and password.
const LOGIN_VERSION: u8 = 1;

const OPEN: u8 = 0x00;
const LOGIN: u8 = 0x02;
const NO_METHOD: u8 = 0xff;

const CONNECT: u8 = 1;
const IPV4: u8 = 1;
const NAME: u8 = 3;
const IPV6: u8 = 4;

pub(super) async fn connect(
    tcp: &mut TcpStream,
    target: Target<'_>,
    credentials: Option<&Credentials>,
) -> Result<(), AttemptError> {
    // What cannot be sent is found out before anything is.
    let request = request(target)?;
    let login = credentials.map(login).transpose()?;
    let greeting: &[u8] = if login.is_some() { &[VERSION, 2, OPEN, LOGIN] } else { &[VERSION, 1, OPEN] };
    write(tcp, greeting).await?;
    let [version, method] = read(tcp).await?;
    if version != VERSION {
        return Err(ProxyError::Protocol("it does not speak SOCKS5").into());
    }
    match (method, login) {
        (OPEN, _) => {}
        (LOGIN, Some(login)) => {
            write(tcp, &login).await?;
            let [version, status] = read(tcp).await?;
            if version != LOGIN_VERSION {
                return Err(ProxyError::Protocol("it does not know user names and passwords").into());
            }
            if status != 0 {
                return Err(ProxyError::Authentication.into());
            }
        }
        (NO_METHOD, _) => return Err(ProxyError::Authentication.into()),
        _ => return Err(ProxyError::Protocol("it chooses a method that was not offered").into()),
    }
    write(tcp, &request).await?;
    let [version, code, _, address] = read(tcp).await?;
    if version != VERSION {
        return Err(ProxyError::Protocol("it does not speak SOCKS5").into());
    }
    if code != 0 {
        return Err(ProxyError::Socks { code }.into());
    }
    // Where the proxy connects from is of no use, but it stands before what the target sends.
    let length = match address {
        IPV4 => 4,
        IPV6 => 16,
        NAME => {
            let [length] = read(tcp).await?;
            usize::from(length)
        }
        _ => return Err(ProxyError::Protocol("its address is of an unknown type").into()),
    };
    let mut bound = [0; 255 + 2];
    tcp.read_exact(&mut bound[..length + 2]).await.map_err(|error| lost(&error))?;
    Ok(())
}

fn request(target: Target<'_>) -> Result<Vec<u8>, ProxyError> {
    let mut request = vec![VERSION, CONNECT, 0];
    match target.host.parse() {
        Ok(IpAddr::V4(address)) => {
            request.push(IPV4);
            request.extend(address.octets());
        }
        Ok(IpAddr::V6(address)) => {
            request.push(IPV6);
            request.extend(address.octets());
        }
        Err(_) => {
            request.push(NAME);
            request.push(length(target.host, "host name")?);
            request.extend(target.host.bytes());
        }
    }
    request.extend(target.port.to_be_bytes());
    Ok(request)
}

fn login(credentials: &Credentials) -> Result<Zeroizing<Vec<u8>>, ProxyError> {
    let (user, password) = (&credentials.user, &credentials.password);
    // Sized beforehand: a vector that grows leaves copies behind.
    let mut bytes = Zeroizing::new(Vec::with_capacity(3 + user.len() + password.len()));
    bytes.extend([LOGIN_VERSION, length(user, "user name")?]);
    bytes.extend(user.bytes());
    bytes.push(length(password, "password")?);
    bytes.extend(password.bytes());
    Ok(bytes)
}

fn length(text: &str, what: &'static str) -> Result<u8, ProxyError> {
    u8::try_from(text.len()).ok().filter(|length| *length > 0).ok_or(ProxyError::Unsendable(what))
}

async fn write(tcp: &mut TcpStream, bytes: &[u8]) -> Result<(), AttemptError> {
    tcp.write_all(bytes).await.map_err(|error| lost(&error))
}

async fn read<const N: usize>(tcp: &mut TcpStream) -> Result<[u8; N], AttemptError> {
    let mut bytes = [0; N];
    tcp.read_exact(&mut bytes).await.map_err(|error| lost(&error))?;
    Ok(bytes)
}

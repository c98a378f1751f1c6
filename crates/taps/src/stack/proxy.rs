//! Proxies below TCP: SOCKS5 (RFC 1928, 1929) and the CONNECT of HTTP (RFC 9110 9.3.6).

mod error;
#[cfg(feature = "tcp")]
mod http_connect;
#[cfg(feature = "tcp")]
mod socks5;

use std::fmt;
use std::io;
use std::sync::Arc;

use zeroize::Zeroizing;

use crate::error::AttemptError;

pub use error::ProxyError;

/// A proxy that makes TCP connections for others. It gets the name of the host that is to be reached, and resolves it.
///
/// What goes through it is as safe as it was before: TLS is between the two ends, and the proxy sees what is encrypted.
/// The user name and the password go to the proxy in clear text.
///
/// ```
/// use postroad_taps::Proxy;
///
/// let proxy = Proxy::socks5("proxy.example", 1080).credentials("user", "secret");
/// assert_eq!(format!("{proxy:?}"), "Proxy(socks5://user:..@proxy.example:1080)");
/// ```
#[derive(Clone, PartialEq, Eq)]
#[must_use]
pub struct Proxy {
    kind: Kind,
    host: Arc<str>,
    port: u16,
    credentials: Option<Arc<Credentials>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Socks5,
    Http,
}

/// Wiped when the last proxy that has them is gone.
#[derive(PartialEq, Eq)]
struct Credentials {
    user: Zeroizing<String>,
    password: Zeroizing<String>,
}

/// Whom the proxy is to reach.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Target<'a> {
    /// A name or an address in text form.
    pub(crate) host: &'a str,
    pub(crate) port: u16,
}

impl Proxy {
    /// A proxy that speaks SOCKS5, usually on port 1080.
    pub fn socks5(host: impl Into<Arc<str>>, port: u16) -> Self {
        Self { kind: Kind::Socks5, host: host.into(), port, credentials: None }
    }

    /// A proxy that speaks HTTP and knows the method CONNECT.
    pub fn http(host: impl Into<Arc<str>>, port: u16) -> Self {
        Self { kind: Kind::Http, host: host.into(), port, credentials: None }
    }

    /// Sets the user name and the password.
    pub fn credentials(mut self, user: impl Into<String>, password: impl Into<String>) -> Self {
        let (user, password) = (Zeroizing::new(user.into()), Zeroizing::new(password.into()));
        self.credentials = Some(Arc::new(Credentials { user, password }));
        self
    }

    /// Where the proxy is.
    pub(crate) fn place(&self) -> (&str, u16) {
        (&self.host, self.port)
    }

    /// Has the proxy at the other end of `tcp` connect to the target. Not a byte of what the target sends is read.
    #[cfg(feature = "tcp")]
    pub(crate) async fn connect(
        &self,
        tcp: &mut tokio::net::TcpStream,
        target: Target<'_>,
    ) -> Result<(), AttemptError> {
        let credentials = self.credentials.as_deref();
        match self.kind {
            Kind::Socks5 => socks5::connect(tcp, target, credentials).await,
            Kind::Http => http_connect::connect(tcp, target, credentials).await,
        }
    }
}

/// Reads an error of a connection to a proxy.
fn lost(error: &io::Error) -> AttemptError {
    if error.kind() == io::ErrorKind::UnexpectedEof {
        return ProxyError::Protocol("it has hung up before it had answered").into();
    }
    AttemptError::from_io(error)
}

impl fmt::Display for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.kind {
            Kind::Socks5 => "socks5://",
            Kind::Http => "http://",
        })?;
        if let Some(credentials) = &self.credentials {
            write!(f, "{}:..@", &*credentials.user)?;
        }
        super::http::Authority { host: &self.host, port: Some(self.port) }.fmt(f)
    }
}

/// Without the password.
impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Proxy({self})")
    }
}

#[cfg(test)]
mod tests;

//! Why a proxy did not connect.

/// A proxy that was reached and did not make the connection.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ProxyError {
    /// What answers does not speak the protocol of the proxy: it may be another kind of server.
    #[error("what answers is no such proxy: {0}")]
    Protocol(&'static str),
    /// The proxy takes no client without a user name and a password, or not with those that were given.
    #[error("the proxy does not let this user in: are user name and password right?")]
    Authentication,
    /// The proxy has not reached the target (RFC 1928 6).
    #[error("the proxy has not reached the target: {}", socks_reason(*.code))]
    Socks {
        /// The code of the reply.
        code: u8,
    },
    /// The proxy has answered with another status than 2xx.
    #[error("the proxy has not reached the target: it answered with the HTTP status {status}")]
    Http {
        /// The status.
        status: u16,
    },
    /// The proxy's answer has a head of more than 16 KiB or 100 fields.
    #[error("the proxy's answer is too long: 16 KiB and 100 fields are allowed")]
    HeadTooLong,
    /// The name of the target, the user name or the password cannot be sent to the proxy: SOCKS5 has room for 1 to 255
    /// bytes of each, and HTTP has no `:` in a user name.
    #[error("the {0} cannot be sent to this kind of proxy")]
    Unsendable(&'static str),
}

fn socks_reason(code: u8) -> &'static str {
    match code {
        1 => "general failure",
        2 => "not allowed by its rules",
        3 => "network unreachable",
        4 => "host unreachable",
        5 => "connection refused",
        6 => "time to live expired",
        7 => "it cannot connect",
        8 => "it does not know this type of address",
        _ => "unknown reason",
    }
}

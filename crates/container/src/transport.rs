//! What carries a connection.

use postroad_client as client;
use postroad_client::sasl::User;
use postroad_client::{EndpointAddress, TlsInfo};

/// What carries a connection, and who is at the other end as far as that was shown.
#[derive(Debug, Clone)]
pub struct Transport {
    connection: client::Connection,
}

impl Transport {
    pub(crate) fn of(connection: &client::Connection) -> Self {
        Self { connection: connection.clone() }
    }

    /// Who the client of a connection that has come to an acceptor has shown to be; nothing where it has left SASL out, and
    /// where we have connected.
    #[doc(alias = "sasl")]
    #[doc(alias = "mech")]
    #[must_use]
    pub fn user(&self) -> Option<User> {
        self.connection.user()
    }

    /// The address that a connection has come from; nothing where we have connected.
    #[must_use]
    pub fn remote_endpoint(&self) -> Option<&EndpointAddress> {
        self.connection.remote_endpoint()
    }

    /// What TLS has found out of the client of a connection that has come to an acceptor; nothing without TLS, and where we
    /// have connected.
    #[doc(alias = "ssl")]
    #[must_use]
    pub fn tls_info(&self) -> Option<&TlsInfo> {
        self.connection.tls_info()
    }
}

//! The options of a connection, as its program set them.

use std::path::{Path, PathBuf};
use std::time::Duration;

use postroad_address::{BrokerUrl, Protocol, Transport};
use postroad_client::types::Value;
use postroad_client::{CapacityProfile, ConnectOptions, TlsConfig};

use crate::ConnectError;

/// The options of a connection, by the original's names. Debug shows no secret.
///
/// ```
/// use std::time::Duration;
/// use postroad_messaging::{Connection, Transport};
///
/// let builder = Connection::new("amqps://alice@broker.example")?.heartbeat(Duration::from_secs(10));
/// let settings = builder.settings();
/// assert_eq!((settings.host(), settings.port(), settings.transport()), ("broker.example", 5671, Transport::Tls));
/// assert_eq!((settings.username(), settings.heartbeat()), (Some("alice"), Some(Duration::from_secs(10))));
/// # Ok::<(), postroad_messaging::ConnectError>(())
/// ```
#[derive(Debug, Clone)]
pub struct Settings {
    pub(crate) options: ConnectOptions,
    pub(crate) heartbeat: Option<Duration>,
    pub(crate) protocol: Protocol,
    pub(crate) address_ttl: Duration,
    pub(crate) sasl_service: String,
    pub(crate) sasl_min_ssf: u16,
    pub(crate) sasl_max_ssf: Option<u16>,
    /// TLS was configured as a whole, not by files.
    pub(crate) tls: bool,
    pub(crate) ssl_keyfile: Option<PathBuf>,
    pub(crate) ssl_certfile: Option<PathBuf>,
    pub(crate) ssl_trustfile: Option<PathBuf>,
    pub(crate) ssl_skip_hostname_check: bool,
}

impl Settings {
    pub(crate) fn new(url: BrokerUrl) -> Self {
        let mut options = ConnectOptions::new(url);
        // As the original has it: reconnect is off.
        options.reconnect = None;
        Self {
            options,
            heartbeat: None,
            protocol: Protocol::Auto,
            address_ttl: Duration::from_secs(60),
            sasl_service: "qpidd".into(),
            sasl_min_ssf: 0,
            sasl_max_ssf: None,
            tls: false,
            ssl_keyfile: None,
            ssl_certfile: None,
            ssl_trustfile: None,
            ssl_skip_hostname_check: false,
        }
    }

    /// The URL of the broker that is tried first.
    #[must_use]
    pub fn url(&self) -> &BrokerUrl {
        &self.options.url
    }

    /// The broker's host.
    #[must_use]
    pub fn host(&self) -> &str {
        self.options.url.host()
    }

    /// The broker's port.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.options.url.port()
    }

    /// Whether TLS goes below.
    #[must_use]
    pub fn transport(&self) -> Transport {
        if self.options.url.scheme().is_secure() { Transport::Tls } else { Transport::Tcp }
    }

    /// The protocol that is asked for.
    #[must_use]
    pub fn protocol(&self) -> Protocol {
        self.protocol
    }

    /// The interval in which both sides show that they are alive.
    #[must_use]
    pub fn heartbeat(&self) -> Option<Duration> {
        self.heartbeat
    }

    /// The user to authenticate.
    #[must_use]
    pub fn username(&self) -> Option<&str> {
        self.options.user.as_deref().or_else(|| self.options.url.user()).filter(|user| !user.is_empty())
    }

    /// The user's password.
    #[must_use]
    pub fn password(&self) -> Option<&str> {
        self.options.password.as_deref().or_else(|| self.options.url.password())
    }

    /// The SASL mechanisms that may be used; all that fit when empty.
    #[must_use]
    pub fn sasl_mechanisms(&self) -> &[String] {
        &self.options.sasl_mechanisms
    }

    /// The name of the service for mechanisms that need one.
    #[must_use]
    pub fn sasl_service(&self) -> &str {
        &self.sasl_service
    }

    /// The least strength of what protects the connection, in bits.
    #[must_use]
    pub fn sasl_min_ssf(&self) -> u16 {
        self.sasl_min_ssf
    }

    /// The greatest strength that SASL may add, in bits.
    #[must_use]
    pub fn sasl_max_ssf(&self) -> Option<u16> {
        self.sasl_max_ssf
    }

    /// Whether a connection that is lost, or does not open, is tried again.
    #[must_use]
    pub fn reconnect(&self) -> bool {
        self.options.reconnect.is_some()
    }

    /// How long is tried; `None`: for ever.
    #[must_use]
    pub fn reconnect_timeout(&self) -> Option<Duration> {
        self.options.reconnect.as_ref()?.timeout
    }

    /// The pause after the first round of attempts; `None` where nothing is tried again.
    #[must_use]
    pub fn reconnect_interval_min(&self) -> Option<Duration> {
        Some(self.options.reconnect.as_ref()?.interval)
    }

    /// The longest pause; `None` where nothing is tried again.
    #[must_use]
    pub fn reconnect_interval_max(&self) -> Option<Duration> {
        Some(self.options.reconnect.as_ref()?.max_interval)
    }

    /// The pause where it does not grow.
    #[must_use]
    pub fn reconnect_interval(&self) -> Option<Duration> {
        self.reconnect_interval_min().filter(|pause| self.reconnect_interval_max() == Some(*pause))
    }

    /// How many attempts are made for one loss; `None`: any number.
    #[must_use]
    pub fn reconnect_limit(&self) -> Option<u32> {
        self.options.reconnect.as_ref()?.attempts
    }

    /// The other brokers that may be tried.
    #[must_use]
    pub fn reconnect_urls(&self) -> &[BrokerUrl] {
        &self.options.failover
    }

    /// Whether attempts and losses are logged.
    #[must_use]
    pub fn reconnect_log(&self) -> bool {
        self.options.reconnect_log
    }

    /// How long what was learned of an address is believed.
    #[must_use]
    pub fn address_ttl(&self) -> Duration {
        self.address_ttl
    }

    /// Whether small writes leave at once.
    #[must_use]
    pub fn tcp_nodelay(&self) -> bool {
        self.options.capacity_profile.no_delay()
    }

    /// The file with our private key.
    #[must_use]
    pub fn ssl_keyfile(&self) -> Option<&Path> {
        self.ssl_keyfile.as_deref()
    }

    /// The file with our certificate.
    #[must_use]
    pub fn ssl_certfile(&self) -> Option<&Path> {
        self.ssl_certfile.as_deref()
    }

    /// The file with the roots that the broker's certificate must lead to.
    #[must_use]
    pub fn ssl_trustfile(&self) -> Option<&Path> {
        self.ssl_trustfile.as_deref()
    }

    /// Whether the broker's certificate may be for another host.
    #[must_use]
    pub fn ssl_skip_hostname_check(&self) -> bool {
        self.ssl_skip_hostname_check
    }

    /// The properties of this client that the broker is told.
    #[must_use]
    pub fn client_properties(&self) -> &[(String, Value)] {
        &self.options.properties
    }

    /// The id of our container, which names the connection.
    #[doc(alias = "id")]
    #[must_use]
    pub fn container_id(&self) -> &str {
        &self.options.container_id
    }

    /// The options for the connection below.
    pub(crate) fn connect_options(&self) -> Result<ConnectOptions, ConnectError> {
        let mut options = self.options.clone();
        if let Some(tls) = self.tls_of_files()? {
            options.tls = tls;
        }
        options.min_strength = self.sasl_min_ssf;
        options.idle_timeout = self.heartbeat.map(|interval| interval.saturating_mul(2));
        Ok(options)
    }

    fn tls_of_files(&self) -> Result<Option<TlsConfig>, ConnectError> {
        let files = [&self.ssl_keyfile, &self.ssl_certfile, &self.ssl_trustfile];
        if files.iter().all(|file| file.is_none()) && !self.ssl_skip_hostname_check {
            return Ok(None);
        }
        if self.tls {
            return Err(ConnectError::option("ssl_trustfile", "give the files, or a whole configuration by `tls`"));
        }
        let mut tls = TlsConfig::builder();
        if let Some(roots) = &self.ssl_trustfile {
            tls = tls.roots_file(roots);
        }
        match (&self.ssl_certfile, &self.ssl_keyfile) {
            // The certificate's file may hold the key, too.
            (Some(chain), key) => tls = tls.client_certificate_files(chain, key.as_ref().unwrap_or(chain)),
            (None, Some(_)) => {
                return Err(ConnectError::option("ssl_keyfile", "a key is of no use without ssl_certfile"));
            }
            (None, None) => {}
        }
        if self.ssl_skip_hostname_check {
            tls = tls.danger_accept_any_name();
        }
        Ok(Some(tls.build()?))
    }
}

/// Whether small writes leave at once is a matter of what the network is asked for.
pub(crate) fn capacity_profile(no_delay: bool) -> CapacityProfile {
    if no_delay { CapacityProfile::Default } else { CapacityProfile::CapacitySeeking }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Connection;

    #[test]
    fn what_the_options_become_for_the_connection_below() {
        let builder = || Connection::new("amqp://localhost").unwrap();
        let options = |builder: crate::ConnectionBuilder| builder.settings().connect_options();
        assert_eq!(options(builder()).unwrap().idle_timeout, None);
        let quiet = options(builder().heartbeat(Duration::from_secs(10))).unwrap();
        assert_eq!(quiet.idle_timeout, Some(Duration::from_secs(20)), "two intervals of silence");
        // Who has no name has none.
        assert_eq!(builder().user("").settings().username(), None);
        let both = builder().tls(TlsConfig::default()).ssl_skip_hostname_check(true);
        assert!(matches!(options(both), Err(ConnectError::Option { option, .. }) if option == "ssl_trustfile"));
    }

    #[test]
    fn what_is_given_as_text_stands_behind_the_url() {
        let builder = |url: &str, text: &str| Connection::new(url).unwrap().options_text(text).unwrap();
        assert_eq!(builder("amqp://localhost:7", "{port: 8}").settings().port(), 7);
        assert_eq!(builder("amqp://localhost", "{port: 8}").settings().port(), 8);
        assert_eq!(builder("amqp://localhost", "{heartbeat: 0}").settings().heartbeat(), None);
        assert_eq!(builder("amqp://localhost", "{reconnect_limit: 0}").settings().reconnect_limit(), None);
        // Who trusts everybody needs no roots.
        let any = builder("amqps://localhost", "{ssl_verify: false}").ssl_trustfile("roots.pem");
        let error = any.settings().connect_options().unwrap_err();
        assert!(matches!(error, ConnectError::Option { option, .. } if option == "ssl_trustfile"));
    }
}

//! Options of a connection that are given as text, or one by one by name.

use std::time::Duration;

use postroad_address::{BrokerUrl, ConnectionOptions, OptionMap, OptionValue, Scheme};
use postroad_client::TlsConfig;

use crate::properties::to_value;
use crate::{ConnectError, ConnectionBuilder};

impl ConnectionBuilder {
    /// A connection whose broker, too, is named by options: `host`, `port` and `transport`.
    ///
    /// ```
    /// use postroad_messaging::{ConnectionBuilder, ConnectionOptions};
    ///
    /// let options = ConnectionOptions::parse("{host: broker.example, transport: ssl, heartbeat: 10}")?;
    /// assert_eq!(ConnectionBuilder::from_options(&options)?.settings().port(), 5671);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// When there is no host, or it is none; and as [`ConnectionBuilder::options`].
    #[doc(alias = "host")]
    #[doc(alias = "port")]
    pub fn from_options(options: &ConnectionOptions) -> Result<Self, ConnectError> {
        let host = options
            .host
            .as_deref()
            .ok_or_else(|| ConnectError::option("host", "there is no url, and no host either"))?;
        // The original takes a whole URL for a host.
        let url = match host.parse::<BrokerUrl>() {
            Ok(url) => url,
            Err(_) => BrokerUrl::new(Scheme::Amqp, host)?,
        };
        Self::new(url).options(options)
    }

    /// Sets options from a text such as `{reconnect: true, sasl-mechanisms: PLAIN}`, with the names of the original's clients,
    /// of the C++ client's strings and of Proton. What the URL says counts before host, port, user and password.
    ///
    /// ```
    /// use postroad_messaging::Connection;
    ///
    /// let builder = Connection::new("amqp://localhost")?.options_text("{reconnect: true, reconnect-limit: 5}")?;
    /// assert_eq!(builder.settings().reconnect_limit(), Some(5));
    /// let error = Connection::new("amqp://localhost")?.options_text("{reconect: true}").unwrap_err();
    /// assert_eq!(error.to_string(), "Unknown connection option reconect");
    /// # Ok::<(), postroad_messaging::ConnectError>(())
    /// ```
    ///
    /// # Errors
    /// [`ConnectError::Options`] when the text is no map, or an option is unknown or does not fit; and as
    /// [`ConnectionBuilder::options`].
    pub fn options_text(self, text: &str) -> Result<Self, ConnectError> {
        self.options(&ConnectionOptions::parse(text)?)
    }

    /// Sets one option by its name.
    ///
    /// # Errors
    /// As [`ConnectionBuilder::options_text`].
    #[doc(alias = "setOption")]
    pub fn option(self, name: &str, value: impl Into<OptionValue>) -> Result<Self, ConnectError> {
        let mut options = ConnectionOptions::default();
        options.set(name, value)?;
        self.options(&options)
    }

    /// Sets the options that are given; the others stay as they are.
    ///
    /// # Errors
    /// [`ConnectError::Option`] for an option that means nothing here: those that are about how the C++ client works inside.
    pub fn options(mut self, given: &ConnectionOptions) -> Result<Self, ConnectError> {
        refuse(given)?;
        if let Some(transport) = given.transport {
            self = self.transport(transport);
        }
        let url = &self.settings.options.url;
        if let Some(port) = given.port.filter(|_| url.explicit_port().is_none()) {
            self.settings.options.url = url.clone().with_port(port);
        }
        let url = &self.settings.options.url;
        if let Some(user) = given.username.as_deref().filter(|_| url.user().is_none()) {
            self = self.user(user);
        }
        if let Some(password) = given.password.as_deref().filter(|_| self.settings.options.url.password().is_none()) {
            self = self.password(password);
        }
        self = self.about_reconnect(given);
        self = self.about_security(given);
        if let Some(protocol) = given.protocol {
            self = self.protocol(protocol);
        }
        if let Some(host) = &given.virtual_host {
            self = self.virtual_host(host);
        }
        if let Some(id) = &given.container_id {
            self = self.container_id(id);
        }
        if let Some(timeout) = given.connect_timeout {
            self = self.connect_timeout(timeout);
        }
        if let Some(interval) = given.heartbeat {
            self.settings.heartbeat = (interval > Duration::ZERO).then_some(interval);
        }
        if let Some(yes) = given.tcp_nodelay {
            self = self.tcp_nodelay(yes);
        }
        if let Some(bytes) = given.max_frame_size {
            self = self.max_frame_size(bytes);
        }
        if let Some(ttl) = given.address_ttl {
            self = self.address_ttl(ttl);
        }
        for (name, value) in given.client_properties.as_ref().into_iter().flat_map(OptionMap::iter) {
            self = self.property(name.as_str().unwrap_or_default(), to_value(value));
        }
        Ok(self)
    }

    fn about_reconnect(mut self, given: &ConnectionOptions) -> Self {
        if let Some(timeout) = given.reconnect_timeout {
            self = self.reconnect_timeout(timeout);
        }
        if let Some(interval) = given.reconnect_interval {
            self = self.reconnect_interval(interval);
        }
        if let Some(interval) = given.reconnect_interval_min {
            self = self.reconnect_interval_min(interval);
        }
        if let Some(interval) = given.reconnect_interval_max {
            self = self.reconnect_interval_max(interval);
        }
        if let Some(attempts) = given.reconnect_limit {
            self = self.reconnect_limit(attempts);
        }
        if let Some(urls) = &given.reconnect_urls {
            self = self.reconnect_urls(urls.iter().cloned());
        }
        if let Some(log) = given.reconnect_log {
            self = self.reconnect_log(log);
        }
        // Last, as it says whether the others count at all.
        if let Some(reconnect) = given.reconnect {
            self = self.reconnect(reconnect);
        }
        self
    }

    fn about_security(mut self, given: &ConnectionOptions) -> Self {
        if let Some(mechanisms) = &given.sasl_mechanisms {
            self = self.sasl_mechanisms(mechanisms.iter().cloned());
        }
        if let Some(service) = &given.sasl_service {
            self = self.sasl_service(service);
        }
        if let Some(bits) = given.sasl_min_ssf {
            self = self.sasl_min_ssf(u16::try_from(bits).unwrap_or(u16::MAX));
        }
        if let Some(bits) = given.sasl_max_ssf {
            self = self.sasl_max_ssf(u16::try_from(bits).unwrap_or(u16::MAX));
        }
        if let Some(enabled) = given.sasl_enabled {
            self = self.sasl_enabled(enabled);
        }
        if let Some(allow) = given.sasl_allow_insecure {
            self = self.allow_insecure_mechs(allow);
        }
        if let Some(path) = &given.ssl_keyfile {
            self = self.ssl_keyfile(path);
        }
        if let Some(path) = &given.ssl_certfile {
            self = self.ssl_certfile(path);
        }
        if let Some(path) = &given.ssl_trustfile {
            self = self.ssl_trustfile(path);
        }
        if let Some(skip) = given.ssl_skip_hostname_check {
            self = self.ssl_skip_hostname_check(skip);
        }
        if given.ssl_verify == Some(false) {
            // It is asked for in so many words.
            let any = TlsConfig::builder().danger_accept_any_certificate().build();
            self = self.tls(any.unwrap_or_default());
        }
        self
    }
}

/// Refuses what would otherwise be dropped without a word.
fn refuse(given: &ConnectionOptions) -> Result<(), ConnectError> {
    let unknown_here = [
        ("max_channels", given.max_channels.is_some()),
        ("bounds", given.bounds.is_some()),
        ("locale", given.locale.is_some()),
        ("ssl_cert_name", given.ssl_cert_name.is_some()),
        ("reconnect_on_limit_exceeded", given.reconnect_on_limit_exceeded == Some(false)),
        ("address_passthrough", given.address_passthrough == Some(true)),
        ("nest_annotations", given.nest_annotations == Some(true)),
        ("set_to_on_send", given.set_to_on_send == Some(true)),
        ("disable_auto_decode", given.disable_auto_decode == Some(true)),
        ("max_delivery_attempts", given.max_delivery_attempts.is_some()),
        ("raise_rejected", given.raise_rejected == Some(false)),
        ("redelivery_timeout", given.redelivery_timeout.is_some()),
    ];
    match unknown_here.into_iter().find(|(_, asked)| *asked) {
        Some((name, _)) => Err(ConnectError::option(name, "this client has nothing for it; leave it out")),
        None => Ok(()),
    }
}

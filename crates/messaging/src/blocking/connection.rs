//! A connection to a broker.

use std::path::PathBuf;
use std::time::Duration;

use postroad_address::{BrokerUrl, ConnectionOptions, OptionValue};
use postroad_client as client;
use postroad_client::blocking::{ConnectionGuard, Runtime, Wrap, mirror};
use postroad_client::types::Value;
use postroad_client::{TlsConfig, TlsMode};

use super::Session;
use crate::{ConnectError, ConnectionError, Protocol, SessionError, Settings, Transport};

mirror! {
    /// An open connection to a broker. Clones are handles of the same connection; with the last handle, and the last
    /// session and link on it, it is closed, and whoever drops the last waits for that, for the close timeout at most.
    #[derive(Debug, Clone)]
    pub struct Connection of crate::Connection, under ConnectionGuard;

    wait fn session(&self) -> Result<Session, SessionError>;
    soon fn session_timeout(&self) = session -> Result<Session, SessionError>;
    #[doc(alias = "session")]
    wait fn session_named(&self, name: &str) -> Result<Session, SessionError>;
    #[doc(alias = "session")]
    wait fn transactional_session(&self) -> Result<Session, SessionError>;
    #[doc(alias = "session")]
    wait fn transactional_session_named(&self, name: &str) -> Result<Session, SessionError>;
    pass fn id(&self) -> String;
    wait fn close(&self) -> Result<(), ConnectionError>;
    /// When the time is over, the close goes its way all the same.
    soon fn close_timeout(&self) = close -> Result<(), ConnectionError>;
    wait fn detach(&self) -> Result<(), ConnectionError>;
    /// When the time is over, the connection is detached all the same.
    soon fn detach_timeout(&self) = detach -> Result<(), ConnectionError>;
    wait fn attach(&self) -> Result<(), ConnectError>;
    /// When the time is over, it goes on all the same.
    soon fn attach_timeout(&self) = attach -> Result<(), ConnectError>;
    #[doc(alias = "opened")]
    pass fn is_open(&self) -> bool;
    #[doc(alias = "attached")]
    pass fn is_attached(&self) -> bool;
    #[doc(alias = "get_error")]
    pass fn error(&self) -> Option<ConnectionError>;
    #[doc(alias = "options")]
    pass fn settings(&self) -> &Settings;
    pass fn auth_username(&self) -> Option<&str>;
    #[doc(alias = "set_async_exception_notify_handler")]
    pass fn on_error(&self, handler: impl Fn(&ConnectionError) + Send + Sync + 'static) -> ();
    pass fn check_error(&self) -> Result<(), ConnectionError>;
    pass fn check_closed(&self) -> Result<(), ConnectionError>;
    pass fn client(&self) -> client::blocking::Connection;
}

impl Connection {
    /// Begins a connection to the broker at a URL such as `amqps://user@host:5671`. [`ConnectionBuilder::open`] opens it.
    ///
    /// # Errors
    /// [`ConnectError::Url`] when the text is no URL.
    #[expect(clippy::new_ret_no_self, reason = "the original's constructor makes a connection that is not open")]
    pub fn new(url: &str) -> Result<ConnectionBuilder, ConnectError> {
        Ok(ConnectionBuilder::new(url.parse()?))
    }

    /// The sessions that are not over and not gone, in the order in which they were begun.
    #[must_use]
    pub fn sessions(&self) -> Vec<Session> {
        self.inner.sessions().iter().map(|session| Session::wrap(session, &self.guard)).collect()
    }

    /// Opens a connection with the default options.
    ///
    /// # Errors
    /// As [`Connection::new`] and [`ConnectionBuilder::open`].
    pub fn establish(url: &str) -> Result<Self, ConnectError> {
        Self::new(url)?.open()
    }
}

mirror! {
    /// A connection that is not open yet, with its options. Debug shows no secret.
    ///
    /// ```no_run
    /// # fn run() -> Result<(), Box<dyn std::error::Error>> {
    /// use std::time::Duration;
    /// use postroad_messaging::blocking::Connection;
    ///
    /// let connection = Connection::new("amqps://alice@broker.example")?
    ///     .password("secret")
    ///     .heartbeat(Duration::from_secs(10))
    ///     .open()?;
    /// # Ok(())
    /// # }
    /// ```
    #[derive(Debug, Clone)]
    #[must_use = "a connection is made by `open`"]
    pub struct ConnectionBuilder of crate::ConnectionBuilder, under ();

    #[doc(alias = "username")]
    with fn user(user: impl Into<String>);
    with fn password(password: impl Into<String>);
    with fn token(token: impl Into<String>);
    with fn sasl_mechanisms(mechanisms: impl IntoIterator<Item = impl Into<String>>);
    with fn sasl_service(service: impl Into<String>);
    with fn sasl_min_ssf(bits: u16);
    with fn sasl_max_ssf(bits: u16);
    with fn sasl_enabled(enabled: bool);
    with fn allow_insecure_mechs(allow: bool);
    with fn tls(tls: TlsConfig);
    with fn ssl_trustfile(path: impl Into<PathBuf>);
    with fn ssl_certfile(path: impl Into<PathBuf>);
    with fn ssl_keyfile(path: impl Into<PathBuf>);
    with fn ssl_skip_hostname_check(skip: bool);
    with fn transport(transport: Transport);
    with fn protocol(protocol: Protocol);
    with fn tcp_nodelay(yes: bool);
    with fn address_ttl(ttl: Duration);
    with fn websocket_resource(resource: impl Into<String>);
    with fn tls_mode(mode: TlsMode);
    with fn heartbeat(interval: Duration);
    with fn max_frame_size(bytes: u32);
    with fn container_id(id: impl Into<String>);
    with fn virtual_host(host: impl Into<String>);
    #[doc(alias = "timeout")]
    with fn connect_timeout(timeout: Duration);
    with fn close_timeout(timeout: Duration);
    with fn reconnect(reconnect: bool);
    with fn reconnect_log(log: bool);
    with fn reconnect_timeout(timeout: Duration);
    with fn reconnect_interval(interval: Duration);
    with fn reconnect_interval_min(interval: Duration);
    with fn reconnect_interval_max(interval: Duration);
    with fn reconnect_limit(attempts: u32);
    with fn reconnect_urls(urls: impl IntoIterator<Item = BrokerUrl>);
    pass fn settings(&self) -> &Settings;
    #[doc(alias = "client_properties")]
    with fn property(name: impl Into<String>, value: impl Into<Value>);
}

impl ConnectionBuilder {
    /// The defaults for a broker, as [`ConnectionBuilder::new`](crate::ConnectionBuilder::new) has them.
    pub fn new(url: BrokerUrl) -> Self {
        Self { inner: crate::ConnectionBuilder::new(url), guard: () }
    }

    /// A connection whose broker, too, is named by options.
    ///
    /// # Errors
    /// As [`ConnectionBuilder::from_options`](crate::ConnectionBuilder::from_options).
    pub fn from_options(options: &ConnectionOptions) -> Result<Self, ConnectError> {
        Ok(Self { inner: crate::ConnectionBuilder::from_options(options)?, guard: () })
    }

    /// Sets options from a text such as `{reconnect: true}`.
    ///
    /// # Errors
    /// As [`ConnectionBuilder::options_text`](crate::ConnectionBuilder::options_text).
    pub fn options_text(self, text: &str) -> Result<Self, ConnectError> {
        Ok(Self { inner: self.inner.options_text(text)?, guard: () })
    }

    /// Sets one option by its name.
    ///
    /// # Errors
    /// As [`ConnectionBuilder::option`](crate::ConnectionBuilder::option).
    #[doc(alias = "setOption")]
    pub fn option(self, name: &str, value: impl Into<OptionValue>) -> Result<Self, ConnectError> {
        Ok(Self { inner: self.inner.option(name, value)?, guard: () })
    }

    /// Sets the options that are given.
    ///
    /// # Errors
    /// As [`ConnectionBuilder::options`](crate::ConnectionBuilder::options).
    pub fn options(self, given: &ConnectionOptions) -> Result<Self, ConnectError> {
        Ok(Self { inner: self.inner.options(given)?, guard: () })
    }

    /// Connects, authenticates and opens. The thread that drives connections starts where it does not run yet.
    ///
    /// # Errors
    /// As [`ConnectionBuilder::open`](crate::ConnectionBuilder::open), and inside an async runtime.
    #[doc(alias = "attach")]
    pub fn open(self) -> Result<Connection, ConnectError> {
        let runtime = Runtime::shared()?;
        let inner = runtime.run(self.inner.open())??;
        let guard = ConnectionGuard::new(inner.client(), &runtime);
        Ok(Connection { inner, guard })
    }
}

impl Wrap<&crate::Connection, ConnectionGuard> for Connection {
    fn wrap(inner: &crate::Connection, guard: &ConnectionGuard) -> Self {
        Self { inner: inner.clone(), guard: guard.clone() }
    }
}

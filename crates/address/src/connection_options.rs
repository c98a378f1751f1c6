//! The options of a connection as the original APIs name them: typed, from a text or one by one.

use std::{fmt, time::Duration};

use crate::{
    BrokerUrl, MAX_ADDRESS_LEN,
    connection_error::ConnectionOptionsError,
    connection_value::Given,
    cpp,
    options::words,
    schema::python_str,
    suggest::nearest,
    value::{OptionMap, OptionValue},
};

/// Declares the struct and, for each field, how its value is read. The name of a field is that of its option.
macro_rules! options {
    ($(#[$meta:meta])* pub struct $name:ident { $($(#[$doc:meta])* $field:ident: $type:ty = $read:ident,)+ }) => {
        $(#[$meta])*
        #[derive(Clone, PartialEq, Eq, Default)]
        #[non_exhaustive]
        pub struct $name { $($(#[$doc])* pub $field: Option<$type>,)+ }

        impl $name {
            const NAMES: &'static [&'static str] = &[$(stringify!($field)),+];

            /// Sets the field of this name.
            fn put(&mut self, field: &str, given: Given<'_>) -> Result<(), ConnectionOptionsError> {
                match field {
                    $(stringify!($field) => {
                        self.$field = if given.value.is_null() { None } else { Some(given.$read()?) };
                    })+
                    _ => return Err(unknown(given.name)),
                }
                Ok(())
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                let mut out = f.debug_struct(stringify!($name));
                $(match &self.$field {
                    Some(_) if stringify!($field) == "password" => drop(out.field("password", &"***")),
                    Some(value) => drop(out.field(stringify!($field), value)),
                    None => {}
                })+
                out.finish()
            }
        }
    };
}

options! {
    /// The options of a connection as the original APIs name them, each as far as it is given. Debug shows no password.
    ///
    /// A text is a map in the notation of [`Dialect::Cpp`](crate::Dialect::Cpp), as the C++ client takes it. Names may have
    /// dashes or underscores. They are those of the Python client, of the C++ client, and those of Proton's `connect`
    /// and its configuration file (`user`, `scheme`, the maps `sasl` and `tls`).
    ///
    /// ```
    /// use std::time::Duration;
    /// use postroad_address::ConnectionOptions;
    ///
    /// let options = ConnectionOptions::parse("{reconnect: true, heartbeat: 10, sasl-mechanisms: 'PLAIN EXTERNAL'}")?;
    /// assert_eq!((options.reconnect, options.heartbeat), (Some(true), Some(Duration::from_secs(10))));
    /// assert_eq!(options.sasl_mechanisms.as_deref(), Some(["PLAIN".to_owned(), "EXTERNAL".to_owned()].as_slice()));
    ///
    /// let error = ConnectionOptions::parse("{recconnect: true}").unwrap_err();
    /// assert_eq!(error.to_string(), "Unknown connection option recconnect");
    /// assert_eq!(error.hint(), "did you mean reconnect?");
    /// # Ok::<(), postroad_address::ConnectionOptionsError>(())
    /// ```
    pub struct ConnectionOptions {
        /// The name or address of the broker's host. A URL beside the options counts before it.
        host: String = text,
        /// The port. A URL that has one counts before it.
        port: u16 = port,
        /// What the broker is reached over. The scheme of a URL says it too (`scheme` of Proton's file is read as this option).
        transport: Transport = transport,
        /// Which protocol to speak.
        protocol: Protocol = protocol,
        /// The host to ask the broker for (`virtualhost`).
        virtual_host: String = text,
        /// The id of our container.
        container_id: String = text,
        /// How long connecting may take.
        connect_timeout: Duration = duration,
        /// In what interval both sides show that they are alive; zero is never.
        heartbeat: Duration = duration,
        /// Whether small packets leave at once.
        tcp_nodelay: bool = boolean,
        /// How many sessions a connection may have.
        max_channels: u16 = number_16,
        /// The largest frame that we take, in bytes.
        max_frame_size: u32 = number,
        /// How many frames may wait to be written, in the C++ client.
        bounds: u32 = number,
        /// The language of texts from the broker.
        locale: String = text,
        /// What to tell the broker of this client (`properties`).
        client_properties: OptionMap = map,

        /// The name to log in with (`user`).
        username: String = text,
        /// The password to log in with.
        password: String = text,
        /// The mechanisms that may be used, in a text with blanks between them or a list (`sasl_mechanism`, `allowed_mechs`).
        sasl_mechanisms: Vec<String> = mechanisms,
        /// The name of the service, for mechanisms that need one.
        sasl_service: String = text,
        /// The least security strength factor: 0 is no protection, 1 integrity, and above it the bits of the key.
        sasl_min_ssf: u32 = number,
        /// The greatest security strength factor that SASL is asked for.
        sasl_max_ssf: u32 = number,
        /// Whether there is a SASL exchange. From Proton.
        sasl_enabled: bool = boolean,
        /// Whether a password may be shown to a broker without TLS (`allow_insecure_mechs`). From Proton.
        sasl_allow_insecure: bool = boolean,

        /// Whether a connection that is lost is made again.
        reconnect: bool = boolean,
        /// How long to try.
        reconnect_timeout: Duration = duration,
        /// The pause between attempts, both the shortest and the longest, where these are not given.
        reconnect_interval: Duration = duration,
        /// The shortest pause.
        reconnect_interval_min: Duration = duration,
        /// The longest pause.
        reconnect_interval_max: Duration = duration,
        /// How many attempts to make; 0 is no limit, as are the negative numbers of the C++ client.
        reconnect_limit: u32 = limit,
        /// Further brokers to try: a list, or a text with commas between them. Set again, it adds what is not there yet, unless
        /// `reconnect_urls_replace` is set.
        reconnect_urls: Vec<BrokerUrl> = urls,
        /// Whether the next `reconnect_urls` replace those that are there. From the C++ client.
        reconnect_urls_replace: bool = boolean,
        /// Whether each attempt is logged.
        reconnect_log: bool = boolean,
        /// Whether a connection is also made again when the broker closed it at a limit of its own (`x-reconnect-on-limit-exceeded`).
        /// From the C++ client.
        reconnect_on_limit_exceeded: bool = boolean,

        /// A file with our private key, in PEM (`key` of the map `tls`).
        ssl_keyfile: String = text,
        /// A file with our certificate, in PEM (`cert` of the map `tls`).
        ssl_certfile: String = text,
        /// A file with the certificates that the broker's is checked against, in PEM (`ca` of the map `tls`).
        ssl_trustfile: String = text,
        /// Which certificate of ours to show. From the C++ client.
        ssl_cert_name: String = text,
        /// Whether the broker's certificate may name another host (`ssl_ignore_hostname_verification_failure`).
        ssl_skip_hostname_check: bool = boolean,
        /// Whether the broker's certificate is checked at all (`verify` of the map `tls`). From Proton.
        ssl_verify: bool = boolean,

        /// How long it is remembered what a name was resolved to.
        address_ttl: Duration = duration,
        /// Whether addresses are handed over as they are. From the C++ client.
        address_passthrough: bool = boolean,
        /// Whether annotations of a message are properties in a map of their own. From the C++ client.
        nest_annotations: bool = boolean,
        /// Whether a message that is sent gets the address of its sender as `to`. From the C++ client.
        set_to_on_send: bool = boolean,
        /// Whether maps and lists of AMQP 0-10 stay bytes. From the C++ client.
        disable_auto_decode: bool = boolean,
        /// How often a message may be tried. From the C++ client.
        max_delivery_attempts: u32 = number,
        /// Whether a message that the broker rejects is an error of its sender. From the C++ client.
        raise_rejected: bool = boolean,
        /// How long to wait before a message is sent again. From the C++ client.
        redelivery_timeout: Duration = duration,
    }
}

/// Other names of options.
const ALIASES: [(&str, &str); 9] = [
    ("virtualhost", "virtual_host"),
    ("properties", "client_properties"),
    ("user", "username"),
    ("sasl_mechanism", "sasl_mechanisms"),
    ("allowed_mechs", "sasl_mechanisms"),
    ("allow_insecure_mechs", "sasl_allow_insecure"),
    ("x_reconnect_on_limit_exceeded", "reconnect_on_limit_exceeded"),
    ("ssl_ignore_hostname_verification_failure", "ssl_skip_hostname_check"),
    ("scheme", "transport"),
];

/// The maps of Proton's configuration file: each key in them is an option.
const GROUPS: [(&str, &[(&str, &str)]); 2] = [
    (
        "sasl",
        &[("enable", "sasl_enabled"), ("mechanisms", "sasl_mechanisms"), ("allow_insecure", "sasl_allow_insecure")],
    ),
    ("tls", &[("cert", "ssl_certfile"), ("key", "ssl_keyfile"), ("ca", "ssl_trustfile"), ("verify", "ssl_verify")]),
];

words! {
    /// What a broker is reached over.
    pub enum Transport {
        /// TCP in clear text.
        Tcp = "tcp",
        /// TLS over TCP; `ssl` means the same.
        Tls = "tcp+tls",
    }
}

words! {
    /// Which protocol a connection speaks.
    pub enum Protocol {
        /// AMQP 1.0.
        Amqp1_0 = "amqp1.0",
        /// AMQP 0-10.
        Amqp0_10 = "amqp0-10",
        /// What the broker offers.
        Auto = "auto",
    }
}

impl ConnectionOptions {
    /// Reads options from a text: `{reconnect: true, sasl-mechanisms: PLAIN, username: x}`. An empty one has none.
    ///
    /// # Errors
    /// A text that is no map or is longer than [`MAX_ADDRESS_LEN`], and the first option that is unknown or does not fit.
    pub fn parse(text: &str) -> Result<Self, ConnectionOptionsError> {
        if text.len() > MAX_ADDRESS_LEN {
            return Err(ConnectionOptionsError::TooLong { len: text.len() });
        }
        let mut options = Self::default();
        if !text.trim().is_empty() {
            let map = cpp::parse_map(text).map_err(ConnectionOptionsError::syntax)?;
            options.set_all(&map.ok_or_else(|| ConnectionOptionsError::no_map(text))?)?;
        }
        Ok(options)
    }

    /// Sets each option of a map, in its order.
    ///
    /// # Errors
    /// The first option that is unknown or does not fit; those before it are set.
    pub fn set_all(&mut self, map: &OptionMap) -> Result<(), ConnectionOptionsError> {
        for (key, value) in map {
            match key.as_str() {
                Some(name) => self.set_to(name, value)?,
                None => return Err(unknown(&key.to_string())),
            }
        }
        Ok(())
    }

    /// Sets an option; [`OptionValue::Null`] is none, as `None` is in Python.
    ///
    /// # Errors
    /// [`ConnectionOptionsError::Unknown`] when there is no such option, and what says that the value does not fit.
    pub fn set(&mut self, name: &str, value: impl Into<OptionValue>) -> Result<(), ConnectionOptionsError> {
        self.set_to(name, &value.into())
    }

    /// Sets an option from the text of its value, for instance of a command line: `10`, `true` and `PLAIN` are read as the
    /// option's type wants it.
    ///
    /// # Errors
    /// As [`set`](Self::set).
    pub fn set_text(&mut self, name: &str, text: &str) -> Result<(), ConnectionOptionsError> {
        match self.set_to(name, &text.into()) {
            Err(ConnectionOptionsError::NotA { .. }) => self.set_to(name, &cpp::variant(text)),
            other => other,
        }
    }

    fn set_to(&mut self, name: &str, value: &OptionValue) -> Result<(), ConnectionOptionsError> {
        let plain = name.replace('-', "_");
        if let Some((group, keys)) = GROUPS.iter().find(|(group, _)| *group == plain) {
            let map = Given { name, value }.map()?;
            for (key, value) in &map {
                let field = keys.iter().find(|(known, _)| key.as_str() == Some(known)).map(|(_, field)| *field);
                let name = format!("{group}.{}", python_str(&key.clone().into()));
                let Some(field) = field else {
                    let meant = nearest(key.as_str().unwrap_or_default(), keys.iter().map(|(known, _)| *known));
                    return Err(ConnectionOptionsError::Unknown { name, suggestion: meant });
                };
                self.put(field, Given { name: &name, value })?;
            }
            return Ok(());
        }
        let field = ALIASES.iter().find(|(alias, _)| *alias == plain).map_or(plain.as_str(), |(_, field)| *field);
        let before = self.reconnect_urls.take();
        let set = self.put(field, Given { name, value });
        self.reconnect_urls = match (before, self.reconnect_urls.take()) {
            (before, _) if field != "reconnect_urls" || set.is_err() => before,
            (Some(mut urls), Some(more)) if self.reconnect_urls_replace != Some(true) => {
                for url in more {
                    if !urls.contains(&url) {
                        urls.push(url);
                    }
                }
                Some(urls)
            }
            (_, urls) => urls,
        };
        set
    }
}

fn unknown(name: &str) -> ConnectionOptionsError {
    let aliases = ALIASES.iter().map(|(alias, _)| *alias);
    let groups = GROUPS.iter().map(|(group, _)| *group);
    let known = ConnectionOptions::NAMES.iter().copied().chain(aliases).chain(groups);
    ConnectionOptionsError::Unknown { name: name.to_owned(), suggestion: nearest(name, known) }
}

//! How a connection begins.

use std::time::Instant;

use postroad_address::Scheme;
use postroad_amqp::sasl::{Client, Credentials, Secret};
use postroad_amqp::v1_0::{self as amqp, ClientSasl, Config};
use postroad_codec::v1_0::{Fields, MIN_MAX_FRAME_SIZE, Map, Multiple, Symbol};

use super::Engine;
use crate::options::OUTGOING;
use crate::protocol::Protocol;
use crate::types::Value;
use crate::{ConnectError, ConnectOptions};

/// The end that connects.
pub(crate) fn client(options: &ConnectOptions) -> Result<Box<dyn Protocol>, ConnectError> {
    let (config, sasl) = (options.config()?, options.sasl()?);
    Ok(Engine::new(amqp::Connection::client(config, sasl, Instant::now())))
}

impl ConnectOptions {
    fn config(&self) -> Result<Config, ConnectError> {
        let mut config = Config::new(self.container_id.clone());
        let host = || (self.url.scheme() != Scheme::AmqpUnix).then(|| self.url.host().to_owned());
        let host = self.virtual_host.clone().or_else(host).filter(|host| !host.is_empty());
        config.hostname = host.map(Into::into);
        (config.max_frame_size, config.channel_max) = (self.max_frame_size, self.channel_max);
        config.outgoing_bytes = OUTGOING;
        config.idle_timeout = self.idle_timeout;
        // The connect timeout spans it.
        config.handshake_timeout = None;
        config.properties = Some(own_properties(&self.properties).map_err(ConnectError::Options)?);
        // The engine would leave the properties out.
        if config.open_len() > MIN_MAX_FRAME_SIZE as usize {
            return Err(ConnectError::Options(format!(
                "container id, host and properties take {} bytes, and {MIN_MAX_FRAME_SIZE} at most before the peer has told its \
                 limit",
                config.open_len()
            )));
        }
        Ok(config)
    }

    /// The exchange that shows who we are: a token where there is one, else a password where there is a user, else the identity of the TLS
    /// certificate where EXTERNAL is the mechanism, else nobody.
    fn sasl(&self) -> Result<Option<ClientSasl>, ConnectError> {
        if !self.sasl_enabled {
            return Ok(None);
        }
        let user = self.user.clone().or_else(|| self.url.user().map(Into::into)).filter(|user| !user.is_empty());
        let password = self.password.clone().or_else(|| self.url.password().map(Into::into));
        let external = self.sasl_mechanisms.iter().any(|name| name == "EXTERNAL");
        let credentials = match (&self.token, user, external) {
            (Some(token), user, _) => Credentials::Bearer { token: token.clone(), user },
            (None, Some(user), false) => {
                let password = password.unwrap_or_default();
                Credentials::Password { user, password: Secret::from(password), authorization: None }
            }
            (None, user, true) => Credentials::External { authorization: user },
            (None, None, false) => Credentials::Anonymous { trace: None },
        };
        let mut nonce = [0; 24];
        getrandom::fill(&mut nonce).map_err(|error| ConnectError::Options(format!("no random numbers: {error}")))?;
        let mut client = Client::new(credentials, nonce).allow_insecure(self.allow_insecure_mechs);
        if !self.sasl_mechanisms.is_empty() {
            client = client.allowed(self.sasl_mechanisms.iter().cloned());
        }
        Ok(Some(ClientSasl { client, secure: self.is_secure() }))
    }
}

/// What our open tells of us: the program's properties, behind ours.
pub(super) fn own_properties(own: &[(String, Value)]) -> Result<Fields, String> {
    let mut properties = Map::default();
    properties.insert(Symbol::from_static("product"), "postroad");
    properties.insert(Symbol::from_static("version"), env!("CARGO_PKG_VERSION"));
    for (name, value) in own {
        let symbol = Symbol::new(name.clone());
        properties.insert(symbol.ok_or_else(|| format!("the name of property {name:?} is not ASCII"))?, value.clone());
    }
    Ok(Fields(properties))
}

pub(super) fn capabilities(names: &[String]) -> Result<Multiple<Symbol>, String> {
    let symbol = |name: &String| Symbol::new(name.clone()).ok_or_else(|| format!("capability {name:?} is not ASCII"));
    Ok(names.iter().map(symbol).collect::<Result<Vec<_>, _>>()?.into())
}

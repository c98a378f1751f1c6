//! How a connection begins that a peer makes.

use std::sync::Arc;
use std::time::Instant;

use postroad_amqp::sasl::Server;
use postroad_amqp::v1_0::{self as amqp, Config, ServerSasl};
use postroad_taps::TlsInfo;

use super::Engine;
use super::connect::{capabilities, own_properties};
use crate::acceptor::Serving;
use crate::options::OUTGOING;
use crate::protocol::Protocol;
use crate::{AcceptError, AcceptOptions};

/// The end that is connected to, for a client whose time runs from `since` on.
pub(crate) fn server(
    serving: &Serving,
    tls: Option<&TlsInfo>,
    since: Instant,
) -> Result<Box<dyn Protocol>, AcceptError> {
    let sasl = match &serving.sasl {
        None => None,
        Some(config) => {
            // A certificate without a name, or with one that no log can show, names nobody.
            let good = |name: &String| !name.is_empty() && !name.contains(char::is_control);
            let (secure, external) = (tls.is_some(), tls.and_then(TlsInfo::peer_common_name).filter(good));
            let mut nonce = [0; 24];
            getrandom::fill(&mut nonce).map_err(|error| AcceptError::Options(format!("no random numbers: {error}")))?;
            let mechanisms = config.mechanisms(secure, external.as_deref());
            let server = Server::new(Arc::clone(config), secure, external, nonce).deferred_checks(true);
            Some(ServerSasl { mechanisms, server, allow_bare: serving.options.sasl.allows_bare() })
        }
    };
    Ok(Engine::new(amqp::Connection::server(serving.config.clone(), sasl, since)))
}

impl AcceptOptions {
    pub(crate) fn config(&self) -> Result<Config, AcceptError> {
        let mut config = Config::new(self.container_id.clone());
        (config.max_frame_size, config.channel_max) = (self.max_frame_size, self.channel_max);
        config.outgoing_bytes = OUTGOING;
        config.idle_timeout = self.idle_timeout;
        config.handshake_timeout = Some(self.handshake_timeout);
        config.properties = Some(own_properties(&self.properties).map_err(AcceptError::Options)?);
        config.offered_capabilities = capabilities(&self.offered_capabilities).map_err(AcceptError::Options)?;
        config.desired_capabilities = capabilities(&self.desired_capabilities).map_err(AcceptError::Options)?;
        Ok(config)
    }
}

//! Protocol headers and SASL, before the first frame (part 2, 2.2; part 5, 5.3).

use bytes::{Bytes, BytesMut};
use postroad_codec::v1_0::{
    ByteString, Frame, FrameError, FrameHeader, FrameType, MIN_MAX_FRAME_SIZE, ProtocolHeader, SaslChallenge, SaslCode,
    SaslFrame, SaslInit, SaslMechanisms, SaslOutcome, SaslResponse, Symbol,
};

use super::{Connection, ConnectionError, Event};
use crate::sasl;

/// How a client authenticates.
#[derive(Debug)]
pub struct ClientSasl {
    /// The exchange.
    pub client: sasl::Client,
    /// Whether the transport is encrypted.
    pub secure: bool,
}

/// How a server authenticates its clients.
#[derive(Debug)]
pub struct ServerSasl {
    /// The mechanisms that it offers, the strongest first.
    pub mechanisms: Vec<&'static str>,
    /// The exchange.
    pub server: sasl::Server,
    /// Whether a client may leave SASL out.
    pub allow_bare: bool,
}

#[derive(Debug)]
pub(crate) enum Sasl {
    None,
    Client(ClientSasl),
    Server(ServerSasl),
    Authenticated { user: String, mechanism: String },
}

/// What is read next.
///
/// ```text
/// client: ClientSaslHeader ─▶ Sasl ─▶ ClientHeader ─▶ Frames
/// server: ServerHeader ─▶ Sasl ─▶ ServerHeader ─▶ Frames
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Layer {
    ClientSaslHeader,
    ClientHeader,
    ServerHeader,
    Sasl,
    Frames,
}

impl Connection {
    /// Reads one step of the handshake; `false`: more bytes are needed.
    pub(crate) fn handle_handshake(&mut self, input: &mut BytesMut) -> Result<bool, ConnectionError> {
        if self.layer == Layer::Sasl {
            return self.handle_sasl_input(input);
        }
        let header = match ProtocolHeader::parse(input) {
            None => return Ok(false),
            Some(Ok(header)) => header,
            Some(Err(foreign)) => {
                if matches!(self.layer, Layer::ServerHeader) {
                    // 2.2: whoever cannot agree says what it would agree to, and closes.
                    let header = self.wanted_header();
                    self.setup.write(|out| out.extend_from_slice(&header.to_bytes()));
                }
                return Err(ConnectionError::ForeignProtocol(foreign));
            }
        };
        let _ = input.split_to(ProtocolHeader::LENGTH);
        match (self.layer, header) {
            (Layer::ClientSaslHeader, ProtocolHeader::SASL) => self.layer = Layer::Sasl,
            (Layer::ClientHeader, ProtocolHeader::AMQP) => self.layer = Layer::Frames,
            (Layer::ServerHeader, ProtocolHeader::SASL) if matches!(self.sasl, Sasl::Server(_)) => self.offer()?,
            (Layer::ServerHeader, ProtocolHeader::AMQP) if self.may_go_bare() => {
                self.setup.write(|out| out.extend_from_slice(&header.to_bytes()));
                self.unlocked = true;
                self.layer = Layer::Frames;
            }
            (Layer::ServerHeader, found) => {
                let expected = self.wanted_header();
                self.setup.write(|out| out.extend_from_slice(&expected.to_bytes()));
                return Err(ConnectionError::ProtocolHeader { expected, found });
            }
            (layer, found) => {
                let sasl = layer == Layer::ClientSaslHeader;
                let expected = if sasl { ProtocolHeader::SASL } else { ProtocolHeader::AMQP };
                return Err(ConnectionError::ProtocolHeader { expected, found });
            }
        }
        Ok(true)
    }

    fn wanted_header(&self) -> ProtocolHeader {
        if self.may_go_bare() { ProtocolHeader::AMQP } else { ProtocolHeader::SASL }
    }

    fn may_go_bare(&self) -> bool {
        match &self.sasl {
            Sasl::Server(server) => server.allow_bare,
            _ => true,
        }
    }

    /// The server's side of the header exchange: header and mechanisms in one piece.
    fn offer(&mut self) -> Result<(), ConnectionError> {
        let Sasl::Server(server) = &self.sasl else { return Ok(()) };
        if server.mechanisms.is_empty() {
            // 5.3.3.1: the list may not be empty. That nothing can be offered will not change by itself.
            self.setup.write(|out| out.extend_from_slice(&ProtocolHeader::SASL.to_bytes()));
            self.put_outcome(SaslCode::SYS_PERM, None);
            let hint = "what the server has set up needs TLS, or a client certificate, and this connection has none";
            return Err(ConnectionError::Sasl(sasl::SaslError::NoCommonMechanism { offered: Vec::new(), hint }));
        }
        let names = server.mechanisms.iter().map(|name| Symbol::from_static(name)).collect();
        let frame = SaslMechanisms { sasl_server_mechanisms: names };
        self.setup.write(|out| {
            out.extend_from_slice(&ProtocolHeader::SASL.to_bytes());
            Frame::put_sasl(&frame, out);
        });
        self.layer = Layer::Sasl;
        Ok(())
    }

    fn handle_sasl_input(&mut self, input: &mut BytesMut) -> Result<bool, ConnectionError> {
        if self.is_checking_password() {
            return Ok(false);
        }
        let client = matches!(self.sasl, Sasl::Client(_));
        let limit = self.sasl_frame_limit();
        let size = match FrameHeader::frame_size(input, limit).map_err(ConnectionError::Frame)? {
            Some(size) if size <= input.len() => size,
            _ => return Ok(false),
        };
        let frame = Frame::decode(&input.split_to(size).freeze()).map_err(ConnectionError::Frame)?;
        let Frame::Sasl(body) = frame else {
            return Err(ConnectionError::Frame(FrameError::Unexpected(FrameType::Amqp)));
        };
        if client {
            self.handle_server_sasl(body)?
        } else {
            self.handle_client_sasl(body)?
        }
        Ok(true)
    }

    /// The standard says 512 bytes (5.3.1). Servers with many mechanisms send more, and so do clients with a token.
    fn sasl_frame_limit(&self) -> u32 {
        match &self.sasl {
            Sasl::Server(server) if !server.mechanisms.iter().any(|name| sasl::carries_token(name)) => {
                MIN_MAX_FRAME_SIZE
            }
            _ => self.config.max_sasl_frame_size,
        }
    }

    /// A client takes in what its server says.
    fn handle_server_sasl(&mut self, body: SaslFrame) -> Result<(), ConnectionError> {
        let Sasl::Client(sasl) = &mut self.sasl else { return Ok(()) };
        match body {
            SaslFrame::Mechanisms(SaslMechanisms { sasl_server_mechanisms: offered }) => {
                let offered: Vec<&str> = offered.iter().map(Symbol::as_str).collect();
                let init = sasl.client.start(&offered, sasl.secure).map_err(ConnectionError::Sasl)?;
                let frame = SaslInit {
                    mechanism: Symbol::from_static(init.mechanism),
                    initial_response: init.response,
                    hostname: self.config.hostname.clone(),
                };
                self.setup.write(|out| Frame::put_sasl(&frame, out));
            }
            SaslFrame::Challenge(SaslChallenge { challenge }) => {
                let response = sasl.client.challenge(&challenge).map_err(ConnectionError::Sasl)?;
                self.setup.write(|out| Frame::put_sasl(&SaslResponse { response }, out));
            }
            SaslFrame::Outcome(SaslOutcome { code: SaslCode::OK, additional_data }) => {
                sasl.client.finish(additional_data.as_deref()).map_err(ConnectionError::Sasl)?;
                self.sasl = Sasl::None;
                self.layer = Layer::ClientHeader;
                self.unlocked = true;
            }
            SaslFrame::Outcome(SaslOutcome { code, .. }) => {
                return Err(match code {
                    SaslCode::AUTH => ConnectionError::Sasl(sasl.client.refused()),
                    code => ConnectionError::SaslOutcome(code),
                });
            }
            SaslFrame::Init(_) | SaslFrame::Response(_) => {
                return Err(ConnectionError::Sasl(sasl::SaslError::UnexpectedStep));
            }
        }
        Ok(())
    }

    /// A server takes in what its client says.
    fn handle_client_sasl(&mut self, body: SaslFrame) -> Result<(), ConnectionError> {
        let Sasl::Server(sasl) = &mut self.sasl else { return Ok(()) };
        let step = match body {
            SaslFrame::Init(SaslInit { mechanism, initial_response, .. }) => {
                sasl.server.init(&mechanism, initial_response.as_deref())
            }
            SaslFrame::Response(SaslResponse { response }) => sasl.server.response(&response),
            _ => sasl::Step::Refused(sasl::SaslError::UnexpectedStep),
        };
        self.take_step(step)
    }

    /// Does what comes next in the exchange with a client.
    fn take_step(&mut self, step: sasl::Step) -> Result<(), ConnectionError> {
        match step {
            sasl::Step::CheckPassword => self.events.push_back(Event::CheckPassword),
            sasl::Step::Challenge(challenge) => {
                self.setup.write(|out| Frame::put_sasl(&SaslChallenge { challenge }, out));
            }
            sasl::Step::Accepted { user, mechanism, additional } => {
                self.put_outcome(SaslCode::OK, additional);
                self.sasl = Sasl::Authenticated { user, mechanism: mechanism.to_owned() };
                self.layer = Layer::ServerHeader;
                self.events.push_back(Event::Authenticated);
            }
            sasl::Step::Refused(error) => {
                self.put_outcome(SaslCode::AUTH, None);
                return Err(ConnectionError::Sasl(error));
            }
        }
        Ok(())
    }

    /// The check that [`Event::CheckPassword`] tells of, once. It is run wherever there is time for it, and its answer goes
    /// to [`password_checked`](Self::password_checked).
    pub fn password_check(&mut self) -> Option<sasl::PasswordCheck> {
        match &mut self.sasl {
            Sasl::Server(sasl) => sasl.server.password_check(),
            _ => None,
        }
    }

    /// Whether a password is being checked. Until the answer is here, nothing is taken from the input: whoever drives the
    /// connection does not read meanwhile, or bounds what it keeps.
    #[must_use]
    pub fn is_checking_password(&self) -> bool {
        matches!(&self.sasl, Sasl::Server(sasl) if sasl.server.is_checking())
    }

    /// Goes on with the answer of a [`PasswordCheck`](sasl::PasswordCheck). Input that waited is for
    /// [`handle_input`](Self::handle_input) again.
    pub fn password_checked(&mut self, answer: sasl::PasswordAnswer) {
        if self.over.is_some() || !self.is_checking_password() {
            return;
        }
        let Sasl::Server(sasl) = &mut self.sasl else { return };
        let step = sasl.server.password_checked(answer);
        if let Err(error) = self.take_step(step) {
            self.fail(error);
        }
    }

    fn put_outcome(&mut self, code: SaslCode, additional_data: Option<Bytes>) {
        self.setup.write(|out| Frame::put_sasl(&SaslOutcome { code, additional_data }, out));
    }

    /// The host that the client named in its `open`.
    #[must_use]
    pub fn remote_hostname(&self) -> Option<&ByteString> {
        self.remote_open.as_ref()?.hostname.as_ref()
    }
}

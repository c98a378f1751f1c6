//! A SASL exchange that goes as it should for a while: an honest engine at the other end, whose bytes are cut, held back,
//! changed, or replaced by what somebody else would say.

use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use postroad_codec::v1_0::{
    Begin, Encode, Frame, FrameHeader, Open, ProtocolHeader, SaslChallenge, SaslCode, SaslFrame, SaslInit,
    SaslMechanisms, SaslOutcome, SaslResponse, Symbol,
};

use super::Choices;
use crate::sasl::{Client, Credentials, ScramHash, Secret, Server, ServerConfig, UserFile, hash_password};
use crate::v1_0::{ClientSasl, Config, Connection, Event, ServerSasl, Transmit};

const MECHANISMS: [&str; 10] = [
    "ANONYMOUS",
    "PLAIN",
    "CRAM-MD5",
    "SCRAM-SHA-1",
    "SCRAM-SHA-256",
    "SCRAM-SHA-512",
    "EXTERNAL",
    "OAUTHBEARER",
    "XOAUTH2",
    "GSSAPI",
];

/// The users. Keys take their time, these the least that there may be.
static USERS: LazyLock<Arc<UserFile>> = LazyLock::new(|| {
    let line = hash_password("alice", "wonderland", ScramHash::Sha256, 4096, [3; 16]).expect("a good password");
    Arc::new(UserFile::parse(&line, [3; 32]).expect("the file is well-formed"))
});

/// Plays `data` to an engine that authenticates, or asks to: what each byte of it does is in `Exchange::step`.
///
/// # Panics
/// When the engine lets in whom it should not, tells things out of order, or writes what the standard forbids.
pub fn sasl(data: &[u8]) {
    play(data);
}

fn play(data: &[u8]) -> Exchange {
    let mut choices = Choices(data);
    let mut exchange = Exchange::new(&mut choices);
    for _ in 0..200 {
        let Some(choice) = choices.next() else { break };
        exchange.step(choice, &mut choices);
        exchange.poll();
    }
    exchange.now += Duration::from_secs(3600);
    exchange.engine.handle_timeout(exchange.now);
    exchange.poll();
    exchange.engine.handle_eof();
    exchange.poll();
    assert!(exchange.closed, "it never ends");
    exchange
}

struct Exchange {
    engine: Connection,
    /// The honest other end.
    other: Connection,
    now: Instant,
    /// Bytes on their way to the engine.
    held: Vec<u8>,
    /// What the engine has got and not used.
    unread: BytesMut,
    is_server: bool,
    /// Whether a client may come in without SASL, and who it may be.
    allow_bare: bool,
    anonymous: bool,
    knows_password: bool,
    /// Whether the client has chosen SCRAM.
    scram: bool,
    authenticated: bool,
    opened: bool,
    closed: bool,
    written: Written,
}

/// Where the engine's output is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Written {
    Nothing,
    Sasl,
    Frames,
}

impl Exchange {
    fn new(choices: &mut Choices<'_>) -> Self {
        let now = Instant::now();
        let setup = choices.byte();
        let is_server = setup & 1 != 0;
        let (anonymous, allow_bare, knows_password) = (setup & 2 != 0, setup & 4 != 0, setup & 8 != 0);
        let secure = setup & 16 != 0;
        let external = (setup & 32 != 0).then(|| "carol".to_owned());
        let password = if knows_password { "wonderland" } else { "looking-glass" };
        let credentials = match choices.below(5) {
            0 => Credentials::Anonymous { trace: None },
            1 => Credentials::External { authorization: None },
            2 => Credentials::Bearer { token: Secret::from("token".to_owned()), user: None },
            _ => Credentials::password("alice", password),
        };
        let mut client = Client::new(credentials, [1; 24]).allow_insecure(setup & 64 != 0);
        if setup & 128 != 0 {
            client = client.allowed([MECHANISMS[usize::from(choices.below(10))]]);
        }
        let config = ServerConfig::new([4; 32])
            .users(Arc::clone(&*USERS) as Arc<_>)
            .anonymous(anonymous)
            .plain_without_tls(true)
            .external(external.is_some());
        let config = Arc::new(config);
        let mechanisms = config.mechanisms(secure, external.as_deref());
        let server = Server::new(config, secure, external, [2; 24]).final_challenge(choices.flag());
        let client = Connection::client(Config::new("client"), Some(ClientSasl { client, secure }), now);
        let server =
            Connection::server(Config::new("server"), Some(ServerSasl { mechanisms, server, allow_bare }), now);
        let (engine, other) = if is_server { (server, client) } else { (client, server) };
        Self {
            engine,
            other,
            now,
            held: Vec::new(),
            unread: BytesMut::new(),
            is_server,
            allow_bare,
            anonymous,
            knows_password,
            scram: false,
            authenticated: false,
            opened: false,
            closed: false,
            written: Written::Nothing,
        }
    }

    fn step(&mut self, choice: u8, choices: &mut Choices<'_>) {
        match choice % 32 {
            // The honest end says what it has to say.
            0..=15 => {
                let mut output = Transmit::default();
                self.other.poll_transmit(self.now, &mut output);
                self.held.extend_from_slice(&output.to_vec());
                self.deliver(choices);
            }
            16..=18 => self.deliver(choices),
            19 => {
                if let Some(byte) = choices.byte().checked_rem(64).and_then(|at| self.held.get_mut(usize::from(at))) {
                    *byte ^= choices.byte() | 1;
                }
            }
            20 => {
                let headers = [ProtocolHeader::SASL, ProtocolHeader::AMQP, ProtocolHeader::TLS];
                self.forge(&headers[usize::from(choices.below(3))].to_bytes());
            }
            21 => {
                let names = (0..choices.below(6)).map(|_| mechanism(choices)).collect();
                self.forge_sasl(&SaslMechanisms { sasl_server_mechanisms: names });
            }
            22 | 23 => {
                let said: [&[u8]; 6] = [
                    b"\0alice\0wonderland",
                    b"\0alice\0looking-glass",
                    b"n,,n=alice,r=nonce",
                    b"n,a=bob,\x01auth=Bearer token\x01\x01",
                    b"",
                    &[0xff; 300],
                ];
                // Who knows the password has every right to come in.
                let said = if self.knows_password {
                    said[usize::from(choices.below(6))]
                } else {
                    said[1 + usize::from(choices.below(5))]
                };
                let initial_response = choices.flag().then(|| Bytes::copy_from_slice(said));
                self.forge_sasl(&SaslInit { mechanism: mechanism(choices), initial_response, hostname: None });
            }
            24 => {
                let challenge = Bytes::from_static(if choices.flag() { b"r=nonce,s=QUJD,i=4096" } else { b"<1@host>" });
                self.forge_sasl(&SaslChallenge { challenge });
            }
            25 => {
                let response = Bytes::copy_from_slice(&[choices.byte(); 9]);
                self.forge_sasl(&SaslResponse { response });
            }
            26 => {
                let additional_data = choices.flag().then(|| Bytes::from_static(b"v=QUJD"));
                self.forge_sasl(&SaslOutcome { code: SaslCode(choices.below(6)), additional_data });
            }
            27 => {
                let mut out = Vec::new();
                Frame::put_amqp(0, &Open { container_id: "x".into(), ..Open::default() }, &[], &mut out);
                Frame::put_amqp(0, &Begin::default(), &[], &mut out);
                self.forge(&out);
            }
            28 => {
                let bytes: Vec<u8> = (0..choices.below(20)).map(|_| choices.byte()).collect();
                self.forge(&bytes);
            }
            29 => drop(self.engine.begin()),
            30 if choice > 0xf0 => self.engine.close(None),
            _ => {
                self.now += Duration::from_millis(choices.byte().into());
                self.engine.handle_timeout(self.now);
            }
        }
    }

    fn forge(&mut self, bytes: &[u8]) {
        self.held.extend_from_slice(bytes);
    }

    fn forge_sasl(&mut self, body: &impl Encode) {
        let mut out = Vec::new();
        Frame::put_sasl(body, &mut out);
        self.forge(&out);
    }

    /// Gives the engine some of what is held, mostly all of it.
    fn deliver(&mut self, choices: &mut Choices<'_>) {
        let count = match choices.byte() {
            all @ 0..=127 => usize::from(all).max(self.held.len()),
            few => usize::from(few & 15),
        };
        let rest = self.held.split_off(count.min(self.held.len()));
        let bytes = std::mem::replace(&mut self.held, rest);
        self.received(&bytes);
    }

    /// Gives the engine bytes behind those that it has not used.
    fn received(&mut self, bytes: &[u8]) {
        self.unread.extend_from_slice(bytes);
        let before = self.engine.error().cloned();
        let result = self.engine.handle_input(self.now, &mut self.unread);
        match (before, result) {
            (Some(before), result) => assert_eq!(result, Err(before), "the end is the end"),
            (None, Err(error)) => assert_eq!(self.engine.error(), Some(&error)),
            // A close in answer to ours is no error.
            (None, Ok(())) => {}
        }
    }

    fn poll(&mut self) {
        self.listen();
        let mut output = Transmit::default();
        self.engine.poll_transmit(self.now, &mut output);
        let output = Bytes::from(output.to_vec());
        self.see(output.clone());
        // The honest end ends as honest ends do.
        let _ = self.other.handle_input(self.now, &mut BytesMut::from(&output[..]));
        while self.other.poll_event().is_some() {}
        self.listen();
    }

    fn listen(&mut self) {
        while let Some(event) = self.engine.poll_event() {
            assert!(!self.closed, "an event after the last: {event:?}");
            match event {
                Event::Authenticated => {
                    assert!(self.is_server && !self.authenticated, "let in twice");
                    self.authenticated = true;
                    let user = self.engine.user().expect("somebody was let in");
                    match user {
                        (_, "ANONYMOUS") => assert!(self.anonymous, "nobody may come in"),
                        (name, "EXTERNAL") => assert_eq!(name, "carol"),
                        (name, _) => assert!(name == "alice" && self.knows_password, "{user:?} was let in"),
                    }
                }
                Event::Opened => {
                    assert!(!self.opened, "opened twice");
                    self.opened = true;
                    assert!(!self.is_server || self.authenticated || self.allow_bare, "let in without a word");
                }
                Event::Closed(error) => {
                    assert_eq!(self.engine.error(), Some(&error));
                    self.closed = true;
                }
                _ => assert!(self.opened, "{event:?} before the open"),
            }
        }
    }

    /// What the engine writes is in order, and says nothing to whom it does not know.
    fn see(&mut self, mut output: Bytes) {
        while !output.is_empty() {
            if let Some(Ok(header)) = ProtocolHeader::parse(&output) {
                self.written = if header == ProtocolHeader::SASL { Written::Sasl } else { Written::Frames };
                output = output.slice(ProtocolHeader::LENGTH..);
                continue;
            }
            let size = FrameHeader::frame_size(&output, 65_536).expect("a frame").expect("all of its size");
            let frame = Frame::decode(&output.slice(..size)).expect("frames can be read");
            match frame {
                Frame::Sasl(body) => {
                    assert!(self.written == Written::Sasl && size <= 512, "{body:?}");
                    if let SaslFrame::Init(init) = body {
                        self.scram = init.mechanism.as_str().starts_with("SCRAM");
                    }
                }
                frame => {
                    assert_eq!(self.written, Written::Frames, "{frame}");
                    if self.is_server {
                        assert!(self.authenticated || self.allow_bare, "{frame}");
                    } else {
                        // Only who knows the password can show that it is the right server (RFC 5802 3).
                        assert!(!self.scram || self.knows_password, "{frame}");
                    }
                }
            }
            output = output.slice(size..);
        }
    }
}

fn mechanism(choices: &mut Choices<'_>) -> Symbol {
    Symbol::from_static(MECHANISMS[usize::from(choices.below(10))])
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    /// Every input that once broke the target runs through it again.
    #[test]
    fn regressions() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/regressions/sasl");
        let mut inputs = 0;
        for file in std::fs::read_dir(folder).expect("there is a folder") {
            super::sasl(&std::fs::read(file.unwrap().path()).unwrap());
            inputs += 1;
        }
        assert!(inputs > 0, "no regressions");
    }

    /// A fixed walk, so that every run of the tests goes deep. Exchanges of whom nobody disturbs are among them.
    #[test]
    fn a_walk_at_random() {
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        let mut byte = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state.to_be_bytes()[3]
        };
        let (mut let_in, mut opened) = (0, 0);
        for setup in 0..=255 {
            let mut bytes = vec![setup];
            bytes.extend((0..120).map(|_| byte()));
            super::sasl(&bytes);
            let honest: Vec<u8> = [setup, setup % 5, 0].into_iter().chain([0, 0].repeat(20)).collect();
            let exchange = super::play(&honest);
            let_in += usize::from(exchange.authenticated);
            opened += usize::from(exchange.opened && !exchange.is_server);
        }
        assert!(let_in > 20 && opened > 20, "{let_in} and {opened} exchanges came to their end");
    }
}

//! A peer on fe2o3-amqp for the interop suites, with the commands, options and events of proton_peer.py, as far as it has them:
//!
//! ```text
//! fe2o3-peer send URL ADDRESS [options]
//! fe2o3-peer receive URL ADDRESS -c N
//! fe2o3-peer listen [options]
//! ```
//!
//! What fe2o3-amqp does not tell a program (the terms that the other side has opened with) is missing in `open`.

mod listen;
mod typed_json;

use std::collections::HashMap;
use std::io::{BufRead, Read, Write};
use std::process::exit;
use std::sync::Arc;
use std::time::Duration;

use fe2o3_amqp::connection::{ConnectionHandle, OpenError};
use fe2o3_amqp::link::delivery::{DeliveryInfo, Sendable};
use fe2o3_amqp::link::{CreditMode, RecvError, SendError};
use fe2o3_amqp::sasl_profile::SaslProfile;
use fe2o3_amqp::session::SessionHandle;
use fe2o3_amqp::{Connection, Receiver, Sender, Session};
use fe2o3_amqp_types::definitions::{Error, ErrorCondition, Fields, SenderSettleMode};
use fe2o3_amqp_types::messaging::{Body, Message, Modified, Outcome, Source};
use serde_amqp::Value;
use serde_amqp::primitives::Symbol;
use serde_json::{Value as Json, json};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{self, ClientConfig, RootCertStore};

use typed_json::{Failure, from_json, hex, message_from_json, message_to_json, to_json};

/// The version in Cargo.toml, which cargo does not tell a dependent.
const VERSION: &str = "0.18.4";

struct Arguments {
    plain: Vec<String>,
    options: HashMap<String, Vec<String>>,
}

impl Arguments {
    fn parse() -> Self {
        const FLAGS: [&str; 5] = ["watch-stdin", "raw", "drain", "dynamic", "no-sasl"];
        let (mut plain, mut options) = (Vec::new(), HashMap::<String, Vec<String>>::new());
        let mut words = std::env::args().skip(1);
        while let Some(word) = words.next() {
            let word = if word == "-c" { "--count".to_owned() } else { word };
            match word.strip_prefix("--") {
                None => plain.push(word),
                Some(name) => {
                    let value = if FLAGS.contains(&name) { String::new() } else { words.next().unwrap_or_default() };
                    options.entry(name.to_owned()).or_default().push(value);
                }
            }
        }
        Self { plain, options }
    }

    fn get(&self, name: &str) -> Option<&str> {
        self.options.get(name)?.first().map(String::as_str)
    }

    fn number(&self, name: &str) -> Option<u32> {
        self.get(name)?.parse().ok()
    }

    fn has(&self, name: &str) -> bool {
        self.options.contains_key(name)
    }
}

fn emit(event: &str, mut fields: Json) {
    fields["event"] = event.into();
    let mut out = std::io::stdout().lock();
    let _ = out.write_all(format!("{fields}\n").as_bytes()).and_then(|()| out.flush());
}

/// A panic of the library's codec, where overflow is checked, is an error like others.
fn guarded<T>(what: impl FnOnce() -> Result<T, Failure>) -> Result<T, Failure> {
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(what)).unwrap_or_else(|_| Err("panicked".into()))
}

/// Tells what went wrong and ends: of a refused link as `detach`, of a session as `end`, of anything else as `transport-error`.
fn fail(what: &str, error: &impl std::fmt::Debug, told: Option<&Error>) -> ! {
    let error = told.map_or(json!({"condition": null, "description": format!("{error:?}")}), error_to_json);
    emit(what, json!({"error": error}));
    exit(1)
}

fn symbol_of(condition: &ErrorCondition) -> String {
    match serde_amqp::to_value(condition) {
        Ok(Value::Symbol(name)) => name.0,
        other => format!("{other:?}"),
    }
}

fn error_to_json(error: &Error) -> Json {
    let info = error.info.as_ref().map(|info| fields_to_json(info));
    json!({"condition": symbol_of(&error.condition), "description": error.description, "info": info})
}

fn fields_to_json(fields: &Fields) -> Json {
    let entries = fields.iter().map(|(key, value)| json!([{"t": "symbol", "v": key.0}, to_json(value)]));
    json!({"t": "map", "v": entries.collect::<Vec<_>>()})
}

fn fields_from_json(text: &Json) -> Option<Fields> {
    let parsed;
    let map = match text.as_str() {
        Some(text) => {
            parsed = serde_json::from_str::<Json>(text).ok()?;
            &parsed
        }
        None => text,
    };
    let entry = |pair: &Json| Some((Symbol::from(pair[0]["v"].as_str()?), from_json(&pair[1]).ok()?));
    map["v"].as_array()?.iter().map(entry).collect()
}

fn outcome_to_json(outcome: &Outcome) -> Json {
    let mut json = json!({"settled": true});
    match outcome {
        Outcome::Accepted(_) => json["state"] = "accepted".into(),
        Outcome::Released(_) => json["state"] = "released".into(),
        Outcome::Rejected(rejected) => {
            json["state"] = "rejected".into();
            json["error"] = rejected.error.as_ref().map_or(Json::Null, error_to_json);
        }
        Outcome::Modified(modified) => {
            json["state"] = "modified".into();
            json["failed"] = modified.delivery_failed.unwrap_or(false).into();
            json["undeliverable"] = modified.undeliverable_here.unwrap_or(false).into();
            json["annotations"] = modified.message_annotations.as_ref().map_or(Json::Null, fields_to_json);
        }
    }
    json
}

async fn connect(arguments: &Arguments) -> (ConnectionHandle<()>, SessionHandle<()>) {
    let url = &arguments.plain[1];
    let (scheme, rest) = url.split_once("://").expect("a URL");
    let (user, authority) = rest.rsplit_once('@').map_or((None, rest), |(user, authority)| (Some(user), authority));
    let host = authority.rsplit_once(':').map_or(authority, |(host, _)| host);
    let mut builder = Connection::builder().container_id("fe2o3-peer").scheme("amqp").hostname(host);
    if let Some(size) = arguments.number("max-frame-size") {
        builder = builder.max_frame_size(size);
    }
    if let Some(seconds) = arguments.number("idle-timeout") {
        builder = builder.idle_time_out(seconds * 1000);
    }
    if !arguments.has("no-sasl") {
        let profile = user.and_then(|user| user.split_once(':')).map_or(SaslProfile::Anonymous, |(name, password)| {
            SaslProfile::Plain { username: name.to_owned(), password: password.to_owned() }
        });
        builder = builder.sasl_profile(profile);
    }
    let stream = TcpStream::connect(authority).await.unwrap_or_else(|error| fail("transport-error", &error, None));
    let opened = if scheme == "amqps" {
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_file_iter(arguments.get("tls-ca").expect("--tls-ca")).expect("a file") {
            roots.add(certificate.expect("a certificate")).expect("a root");
        }
        let config = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
        let name = ServerName::try_from(host.to_owned()).expect("a name");
        match TlsConnector::from(Arc::new(config)).connect(name, stream).await {
            Ok(stream) => builder.open_with_stream(stream).await,
            Err(error) => {
                let text = match error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
                    Some(rustls::Error::InvalidCertificate(why)) => {
                        format!("{why:?}").chars().take_while(char::is_ascii_alphabetic).collect()
                    }
                    _ => error.to_string(),
                };
                emit("transport-error", json!({"condition": text}));
                exit(1)
            }
        }
    } else {
        builder.open_with_stream(stream).await
    };
    let mut connection = opened.unwrap_or_else(|error| {
        if let OpenError::RemoteClosedWithError(told) = &error {
            fail("close", &error, Some(told));
        }
        let condition = match &error {
            // The second: the mechanism is not offered.
            OpenError::SaslError { .. } | OpenError::NotImplemented(_) => "amqp:unauthorized-access".to_owned(),
            other => format!("{other:?}"),
        };
        emit("transport-error", json!({"condition": condition, "description": format!("{error:?}")}));
        exit(1)
    });
    emit("open", json!({"encrypted": scheme == "amqps"}));
    let session = Session::begin(&mut connection).await.unwrap_or_else(|error| fail("end", &error, None));
    (connection, session)
}

/// Closes, for a while, and ends.
async fn leave(mut connection: ConnectionHandle<()>, mut session: SessionHandle<()>) -> ! {
    let closing = async {
        let _ = session.end().await;
        connection.close().await
    };
    match tokio::time::timeout(Duration::from_secs(10), closing).await {
        Ok(Ok(())) => emit("close", json!({"error": null})),
        other => emit("transport-error", json!({"condition": null, "description": format!("{other:?}")})),
    }
    exit(0)
}

async fn send(arguments: &Arguments) {
    let messages: Vec<Json> = std::io::stdin()
        .lock()
        .lines()
        .map_while(Result::ok)
        .filter(|line| !line.is_empty())
        .map(|line| serde_json::from_str(&line).expect("JSON"))
        .collect();
    let (connection, mut session) = connect(arguments).await;
    let settled = arguments.get("settle-mode") == Some("settled");
    let mut senders = Vec::new();
    for n in 0..arguments.number("links").unwrap_or(1) {
        let builder = Sender::builder().name(format!("link-{n}")).target(arguments.plain[2].as_str());
        let mode = if settled { SenderSettleMode::Settled } else { SenderSettleMode::Unsettled };
        match builder.sender_settle_mode(mode).attach(&mut session).await {
            Ok(sender) => senders.push(sender),
            Err(error) => {
                use fe2o3_amqp::link::SenderAttachError::RemoteClosedWithError;
                let told = if let RemoteClosedWithError(told) = &error { Some(told) } else { None };
                fail("detach", &error, told)
            }
        }
        emit("attached", json!({"name": format!("link-{n}")}));
    }
    let mut outcomes = JoinSet::new();
    for (index, json) in messages.iter().enumerate() {
        let message: Message<Body<Value>> = match guarded(|| message_from_json(json)) {
            Ok(message) => message,
            Err(error) => {
                emit("send-error", json!({"index": index, "error": error.to_string()}));
                continue;
            }
        };
        let links = senders.len();
        let sendable = Sendable::builder().message(message).settled(settled).build();
        match senders[index % links].send_batchable(sendable).await {
            Ok(outcome) if settled => {
                drop(outcome);
                emit("outcome", json!({"index": index, "state": null, "settled": true, "presettled": true}));
            }
            Ok(outcome) => {
                outcomes.spawn(async move {
                    match outcome.await {
                        Ok(outcome) => {
                            let mut json = outcome_to_json(&outcome);
                            json["index"] = index.into();
                            emit("outcome", json);
                        }
                        Err(error) => fail("detach", &error, None),
                    }
                });
            }
            Err(error @ SendError::Detached(_)) => fail("detach", &error, None),
            Err(error) => emit("send-error", json!({"index": index, "error": format!("{error:?}")})),
        }
    }
    while outcomes.join_next().await.is_some() {}
    for sender in senders {
        let _ = tokio::time::timeout(Duration::from_secs(10), sender.close()).await;
    }
    leave(connection, session).await
}

/// Gives the outcome that is wished for.
async fn answer(receiver: &Receiver, delivery: DeliveryInfo, wish: &Json) {
    let result = match wish["outcome"].as_str().unwrap_or("accept") {
        "none" => return,
        "reject" => {
            let error = wish["condition"].as_str().map(|condition| {
                let description = wish["description"].as_str().map(str::to_owned);
                Error::new(ErrorCondition::Custom(Symbol::from(condition)), description, None)
            });
            receiver.reject(delivery, error).await
        }
        "release" => receiver.release(delivery).await,
        "modify" => {
            let modified = Modified {
                delivery_failed: Some(wish["failed"] == true),
                undeliverable_here: Some(wish["undeliverable"] == true),
                message_annotations: fields_from_json(&wish["annotations"]),
            };
            receiver.modify(delivery, modified).await
        }
        _ => receiver.accept(delivery).await,
    };
    if let Err(error) = result {
        fail("end", &error, None);
    }
}

async fn receive(arguments: &Arguments) {
    let (connection, mut session) = connect(arguments).await;
    let count = arguments.number("count").unwrap_or(1);
    let source = if arguments.has("dynamic") {
        Source::builder().dynamic(true).build()
    } else {
        Source::builder().address(arguments.plain[2].as_str()).build()
    };
    let builder = Receiver::builder().name("receiving").source(source).credit_mode(CreditMode::Manual);
    let mut receiver = builder.attach(&mut session).await.unwrap_or_else(|error| {
        use fe2o3_amqp::link::ReceiverAttachError::RemoteClosedWithError;
        let told = if let RemoteClosedWithError(told) = &error { Some(told) } else { None };
        fail("detach", &error, told)
    });
    let address = receiver.source().as_ref().and_then(|source| source.address.clone());
    emit("attached", json!({"source": {"address": address}}));
    let mut credit = arguments.number("credit").unwrap_or(100).min(count);
    receiver.set_credit(credit).await.unwrap_or_else(|error| fail("detach", &error, None));
    let drain = arguments.has("drain");
    if drain {
        receiver.drain().await.unwrap_or_else(|error| fail("detach", &error, None));
    }
    let outcomes: Vec<Json> =
        arguments
            .options
            .get("outcome")
            .into_iter()
            .flatten()
            .map(|text| {
                if text.starts_with('{') { serde_json::from_str(text).expect("JSON") } else { json!({"outcome": text}) }
            })
            .collect();
    let wait = arguments.get("wait").and_then(|wait| wait.parse().ok()).unwrap_or(600.0);
    let until = tokio::time::Instant::now() + Duration::from_secs_f64(wait);
    let mut got = 0;
    while got < count {
        let tick = tokio::time::Instant::now() + Duration::from_millis(50);
        let received = match tokio::time::timeout_at(until.min(tick), receiver.recv::<Body<Value>>()).await {
            Ok(received) => received,
            // The credit is what tells the end of a drain.
            Err(_) if drain && receiver.credit() == 0 => {
                emit("drained", json!({"got": got}));
                leave(connection, session).await
            }
            Err(_) if tokio::time::Instant::now() < until => continue,
            Err(_) => {
                emit("timeout", json!({"got": got}));
                exit(2)
            }
        };
        let wish = if outcomes.is_empty() { json!({}) } else { outcomes[got as usize % outcomes.len()].clone() };
        let told = |sections: Result<Json, Failure>| match sections {
            Ok(sections) => json!({"sections": sections, "outcome": wish["outcome"]}),
            Err(error) => json!({"error": error.to_string()}),
        };
        let (info, fields) = match received {
            Ok(delivery) => {
                let (info, message) = delivery.into_parts();
                (info, told(guarded(|| message_to_json(message))))
            }
            Err(RecvError::MessageDecode(error)) => (error.info, json!({"error": error.source.to_string()})),
            Err(error) => fail("detach", &error, None),
        };
        emit("message", fields);
        answer(&receiver, info, &wish).await;
        got += 1;
        credit -= 1;
        if !drain && credit + got < count {
            credit += 1;
            receiver.set_credit(credit).await.unwrap_or_else(|error| fail("detach", &error, None));
        }
    }
    let _ = tokio::time::timeout(Duration::from_secs(10), receiver.close()).await;
    leave(connection, session).await
}

#[tokio::main]
async fn main() {
    let arguments = Arguments::parse();
    let limit = arguments.number("limit").unwrap_or(120);
    std::thread::spawn(move || {
        std::thread::sleep(Duration::from_secs(limit.into()));
        emit("limit", json!({"seconds": limit}));
        exit(3)
    });
    let role = arguments.plain.first().map(String::as_str).unwrap_or_default();
    if arguments.has("watch-stdin") && role != "send" {
        std::thread::spawn(|| {
            while matches!(std::io::stdin().read(&mut [0; 4096]), Ok(1..)) {}
            exit(0)
        });
    }
    match role {
        "send" => send(&arguments).await,
        "receive" => receive(&arguments).await,
        "listen" => listen::listen(&arguments).await,
        _ => println!("{VERSION}"),
    }
}

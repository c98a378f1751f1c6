//! fe2o3-amqp as a listening peer: `listen` of proton_peer.py, without `detach` and its kin.
//!
//! It has no bytes of a message, so that `echo` and `echo/data` are the same; what it could not read it gives back as null. The
//! credit of a new link is the library's own, 200, and `--credit` has no say.

use std::sync::{Arc, Mutex};

use fe2o3_amqp::acceptor::{
    ConnectionAcceptor, LinkAcceptor, LinkEndpoint, ListenerSessionHandle, SaslAcceptor, SaslAnonymousMechanism,
    SaslPlainMechanism, SessionAcceptor,
};
use fe2o3_amqp::link::RecvError;
use fe2o3_amqp::link::delivery::Sendable;
use fe2o3_amqp::{Receiver, Sender};
use fe2o3_amqp_types::definitions::{Error, ErrorCondition};
use fe2o3_amqp_types::messaging::{Body, Message};
use serde_amqp::Value;
use serde_amqp::primitives::Symbol;
use serde_json::{Value as Json, json};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::sync::Notify;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::typed_json::{application_properties, message_from_json, message_to_json};
use crate::{Arguments, answer, emit, guarded, hex, outcome_to_json};

/// What has come, for those who want it back.
#[derive(Default)]
struct Kept {
    messages: Mutex<Vec<Message<Body<Value>>>>,
    more: Notify,
}

pub async fn listen(arguments: &Arguments) {
    match arguments.get("plain").and_then(|user| user.split_once(':')) {
        Some((user, password)) => serve(arguments, &SaslPlainMechanism::new(user, password)).await,
        None => serve(arguments, &SaslAnonymousMechanism::new()).await,
    }
}

async fn serve<S: SaslAcceptor + std::fmt::Debug + Send + Sync + 'static>(arguments: &Arguments, sasl: &S) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let tls = arguments.get("tls-cert").map(|certificate| {
        let chain = CertificateDer::pem_file_iter(certificate)
            .expect("a file")
            .map(|one| one.expect("a certificate"))
            .collect();
        let key = PrivateKeyDer::from_pem_file(arguments.get("tls-key").expect("--tls-key")).expect("a key");
        let config =
            ServerConfig::builder().with_no_client_auth().with_single_cert(chain, key).expect("a key that fits");
        TlsAcceptor::from(Arc::new(config))
    });
    emit("ready", json!({"port": listener.local_addr().expect("it is bound").port()}));
    let kept = Arc::new(Kept::default());
    while let Ok((stream, _)) = listener.accept().await {
        let mut builder = ConnectionAcceptor::builder().container_id("fe2o3-listen").sasl_acceptor(sasl.clone());
        if let Some(size) = arguments.number("max-frame-size") {
            builder = builder.max_frame_size(size);
        }
        if let Some(seconds) = arguments.number("idle-timeout") {
            builder = builder.idle_time_out(seconds * 1000);
        }
        let (acceptor, kept, tls) = (builder.build(), Arc::clone(&kept), tls.clone());
        tokio::spawn(async move {
            match tls {
                None => connection(acceptor, stream, false, kept).await,
                Some(tls) => match tls.accept(stream).await {
                    Ok(stream) => connection(acceptor, stream, true, kept).await,
                    Err(error) => emit("transport-error", json!({"condition": error.to_string()})),
                },
            }
        });
    }
}

async fn connection<S, Io>(acceptor: ConnectionAcceptor<(), S>, stream: Io, encrypted: bool, kept: Arc<Kept>)
where
    S: SaslAcceptor,
    Io: AsyncRead + AsyncWrite + std::fmt::Debug + Send + Unpin + 'static,
{
    let mut connection = match acceptor.accept(stream).await {
        Ok(connection) => connection,
        Err(error) => return emit("transport-error", json!({"condition": format!("{error:?}")})),
    };
    emit("open", json!({"encrypted": encrypted}));
    let sessions = SessionAcceptor::new();
    while let Ok(session) = sessions.accept(&mut connection).await {
        tokio::spawn(links(session, Arc::clone(&kept)));
    }
    emit("disconnected", json!({}));
}

async fn links(mut session: ListenerSessionHandle, kept: Arc<Kept>) {
    let acceptor = LinkAcceptor::new();
    while let Ok(link) = acceptor.accept(&mut session).await {
        let kept = Arc::clone(&kept);
        match link {
            LinkEndpoint::Sender(sender) => {
                let address = sender.source().as_ref().and_then(|source| source.address.clone()).unwrap_or_default();
                match refusal(&address) {
                    Some(error) => drop(tokio::spawn(async move { sender.close_with_error(error).await })),
                    None => drop(tokio::spawn(give(sender, address, kept))),
                }
            }
            LinkEndpoint::Receiver(receiver) => {
                let address = receiver.target().as_ref().and_then(|target| target.address.clone()).unwrap_or_default();
                match refusal(&address) {
                    Some(error) => drop(tokio::spawn(async move { receiver.close_with_error(error).await })),
                    None => drop(tokio::spawn(take(receiver, kept))),
                }
            }
        }
    }
}

fn refusal(address: &str) -> Option<Error> {
    let condition = address.strip_prefix("refuse/")?;
    let condition = serde_amqp::from_value(Value::Symbol(Symbol::from(condition)))
        .unwrap_or_else(|_| ErrorCondition::Custom(Symbol::from(condition)));
    Some(Error::new(condition, Some("refused as the address asks".to_owned()), None))
}

/// Sends what the source has, as credit comes.
async fn give(mut sender: Sender, address: String, kept: Arc<Kept>) {
    let mut words = address.split('/');
    let verb = words.next().unwrap_or_default();
    let mut number = || words.next().and_then(|word| word.parse::<usize>().ok()).unwrap_or(0);
    let (count, size) = if verb == "generate" { (number(), number()) } else { (0, 0) };
    for index in 0.. {
        let message = match verb {
            "echo" => loop {
                let more = kept.more.notified();
                if let Some(message) = kept.messages.lock().expect("nobody panics").get(index).cloned() {
                    break message;
                }
                more.await;
            },
            "generate" if index < count => {
                let body: Vec<u8> = (0..size).map(|n| n as u8).collect();
                let data = json!({"sections": [{"s": "data", "v": {"t": "binary", "v": hex(&body)}}]});
                message_from_json(&data).expect("a message")
            }
            // It has nothing, or nothing more.
            _ => std::future::pending().await,
        };
        let outcome = match sender.send_batchable(Sendable::builder().message(message).build()).await {
            Ok(outcome) => outcome,
            Err(_) => return drop(sender.close().await),
        };
        // The tags of the library count up.
        let (name, tag) = (sender.name().to_owned(), format!("{index:08x}"));
        tokio::spawn(async move {
            if let Ok(outcome) = outcome.await {
                let mut fields = outcome_to_json(&outcome);
                fields["name"] = name.into();
                fields["tag"] = tag.into();
                emit("outcome", fields);
            }
        });
    }
}

/// Takes what comes, and answers as each message asks.
async fn take(mut receiver: Receiver, kept: Arc<Kept>) {
    loop {
        let (info, fields, message) = match receiver.recv::<Body<Value>>().await {
            Ok(delivery) => {
                let (info, message) = delivery.into_parts();
                match guarded(|| message_to_json(message.clone())) {
                    Ok(sections) => (info, json!({"sections": sections}), Some(message)),
                    Err(error) => (info, json!({"error": error.to_string()}), None),
                }
            }
            Err(RecvError::MessageDecode(error)) => (error.info, json!({"error": error.source.to_string()}), None),
            Err(_) => return drop(receiver.close().await),
        };
        let wish = application_properties(&fields);
        emit("message", fields);
        let message = message.unwrap_or_else(|| message_from_json(&null()).expect("a message"));
        kept.messages.lock().expect("nobody panics").push(message);
        kept.more.notify_waiters();
        answer(&receiver, info, &wish).await;
    }
}

fn null() -> Json {
    json!({"sections": [{"s": "amqp-value", "v": {"t": "null"}}]})
}

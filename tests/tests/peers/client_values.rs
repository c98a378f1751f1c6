//! What our client sends is what the listening peer reads, and comes back.

use postroad_client::types::Value;
use postroad_client::{Connection, Message, Receiver, Sender};
use postroad_tests::ours::{connect, message, options, run, soon, take, typed_form};
use postroad_tests::peers::{Listener, Peer};
use postroad_tests::{corpus, typed};
use serde_json::{Value as Json, json};

use super::{Becomes, Known, body, expect, field_messages, octets, property, property_message, simple_values, sizes};

/// Sends without waiting, then waits until all are accepted.
async fn send_all(sender: &Sender, messages: &[Json]) {
    for json in messages {
        soon(sender.submit(&message(json))).await.unwrap();
    }
    soon(sender.sync()).await.unwrap();
}

async fn take_forms(receiver: &mut Receiver, count: usize) -> Vec<Json> {
    take(receiver, count).await.iter().map(typed_form).collect()
}

/// Sends a message for each value, and expects what the peer reads of each and what it gives back.
async fn there_and_back(
    listener: &mut Listener,
    values: &[(&'static str, Value)],
    of: fn(&Value) -> Json,
    part: fn(&Json) -> Option<Json>,
    [reads, echoes, returns]: [Becomes; 3],
) {
    let session = connect(&listener.url()).await.unwrap().session().await.unwrap();
    let sender = session.sender("q").await.unwrap();
    send_all(&sender, &values.iter().map(|(_, value)| of(value)).collect::<Vec<_>>()).await;
    let named = |got: &[Json]| -> Vec<(String, Option<Json>)> {
        got.iter().zip(values).map(|(got, (name, _))| ((*name).to_owned(), part(got))).collect()
    };
    expect("as the peer read it", &named(&listener.messages(values.len()).unwrap()), reads, values);
    let mut receiver = session.receiver("echo").await.unwrap();
    let back = take_forms(&mut receiver, values.len()).await;
    soon(receiver.close()).await.unwrap();
    expect("back as it came", &named(&back), echoes, values);
    let said: Vec<_> = values.iter().filter(|(name, value)| returns(name, value).is_some()).cloned().collect();
    let mut receiver = session.receiver("echo/data").await.unwrap();
    let back = take_forms(&mut receiver, said.len()).await;
    let named: Vec<_> = back.iter().zip(&said).map(|(got, (name, _))| ((*name).to_owned(), part(got))).collect();
    expect("back through the peer's codec", &named, returns, &said);
    for (name, _) in values.iter().filter(|(name, value)| returns(name, value).is_none()) {
        listener.event("send-error").unwrap_or_else(|error| panic!("{name}: {error}"));
    }
}

pub(crate) fn client_bodies_of_every_type(peer: &Peer, known: &Known) {
    run(async {
        let mut listener = peer.listen(&[]).unwrap();
        let becomes = [known.reads, known.echoes, known.returns];
        there_and_back(&mut listener, &corpus::values(), typed::value_message, body, becomes).await;
    });
}

pub(crate) fn client_properties_of_every_type(peer: &Peer, known: &Known) {
    run(async {
        let mut listener = peer.listen(&[]).unwrap();
        let becomes = [known.property_reads, super::same, known.property_returns];
        there_and_back(&mut listener, &simple_values(), property_message, property, becomes).await;
    });
}

pub(crate) fn client_header_and_properties(peer: &Peer, known: &Known) {
    run(async {
        let mut listener = peer.listen(&[]).unwrap();
        let session = connect(&listener.url()).await.unwrap().session().await.unwrap();
        let sender = session.sender("q").await.unwrap();
        let messages = field_messages();
        send_all(&sender, &messages).await;
        let expected: Vec<Json> = messages.iter().map(|sent| (known.sections)(sent["sections"].clone())).collect();
        for (got, expected) in listener.messages(messages.len()).unwrap().iter().zip(&expected) {
            assert_eq!(got["sections"], *expected, "as the peer read it");
        }
        for source in ["echo", "echo/data"] {
            let mut receiver = session.receiver(source).await.unwrap();
            for (got, expected) in take_forms(&mut receiver, messages.len()).await.iter().zip(&expected) {
                assert_eq!(got["sections"], *expected, "back from {source}");
            }
        }
    });
}

pub(crate) fn client_bodies_of_every_size(peer: &Peer, known: &Known) {
    for (frame, sizes) in sizes(known) {
        run(async {
            let mut listener = peer.listen(&["--max-frame-size", &frame.to_string()]).unwrap();
            let mut options = options(&listener.url());
            options.max_frame_size = frame;
            let connection = Connection::open(options).await.unwrap();
            let open = listener.event("open").unwrap();
            assert_eq!(open["max_frame_size"] == frame, known.tells_open, "{open}");
            let session = connection.session().await.unwrap();
            let sender = session.sender("q").await.unwrap();
            let messages: Vec<Json> = sizes.iter().map(|size| octets(*size)).collect();
            send_all(&sender, &messages).await;
            for ((got, sent), size) in listener.messages(sizes.len()).unwrap().iter().zip(&messages).zip(&sizes) {
                // Not assert_eq: nobody reads a megabyte.
                let expected = (known.sections)(sent["sections"].clone());
                assert!(got["sections"] == expected, "{size} bytes at {frame}");
            }
            let mut receiver = session.receiver("echo").await.unwrap();
            for ((got, sent), size) in take(&mut receiver, sizes.len()).await.iter().zip(&messages).zip(&sizes) {
                let expected: Option<Message> = Some(message(sent));
                assert!(got.bytes() == expected.as_ref().and_then(Message::bytes), "{size} bytes back at {frame}");
            }
            soon(connection.close()).await.unwrap();
        });
    }
}

/// Several sections of data and of sequences, and the maps of annotations and footer.
pub(crate) fn client_sections_of_every_kind(peer: &Peer, known: &Known) {
    run(async {
        let mut listener = peer.listen(&[]).unwrap();
        let session = connect(&listener.url()).await.unwrap().session().await.unwrap();
        let sender = session.sender("q").await.unwrap();
        let messages = section_messages();
        send_all(&sender, &messages).await;
        for (got, sent) in listener.messages(messages.len()).unwrap().iter().zip(&messages) {
            assert_eq!(got["sections"], (known.sections)(sent["sections"].clone()));
        }
    });
}

pub(crate) fn section_messages() -> Vec<Json> {
    let data = |hex: &str| json!({"s": "data", "v": {"t": "binary", "v": hex}});
    let list = |values: Json| json!({"s": "amqp-sequence", "v": {"t": "list", "v": values}});
    let map = json!({"t": "map", "v": [[{"t": "symbol", "v": "x-opt-a"}, {"t": "uint", "v": 1}]]});
    vec![
        json!({"sections": [data("01"), data(""), data("0203")]}),
        json!({"sections": [list(json!([{"t": "uint", "v": 1}, {"t": "null"}]))]}),
        json!({"sections": [list(json!([{"t": "uint", "v": 1}])), list(json!([{"t": "string", "v": "2"}]))]}),
        json!({"sections": [
            {"s": "delivery-annotations", "v": map}, {"s": "message-annotations", "v": map}, data("01"), {"s": "footer", "v": map},
        ]}),
    ]
}

//! The peer's messages pass our broker's queues, and ours are read by the peer.

use postroad_broker::Broker;
use postroad_client::ReceiveError;
use postroad_client::types::Value;
use postroad_tests::ours::{connect, message, run, soon, typed_form};
use postroad_tests::peers::Peer;
use postroad_tests::{corpus, typed};
use serde_json::Value as Json;

use super::{
    Becomes, Known, body, broker, expect, expect_empty, field_messages, octets, peer_receives, peer_sends, property,
    property_message, simple_values, sizes, start, url,
};

async fn we_send(url: &str, queue: &str, messages: &[Json]) {
    let connection = connect(url).await.unwrap();
    let sender = connection.session().await.unwrap().sender(queue).await.unwrap();
    for json in messages {
        soon(sender.submit(&message(json))).await.unwrap();
    }
    soon(sender.sync()).await.unwrap();
    soon(connection.close()).await.unwrap();
}

async fn we_receive(url: &str, queue: &str, count: usize) -> Vec<Json> {
    let connection = connect(url).await.unwrap();
    let mut receiver = connection.session().await.unwrap().receiver(queue).await.unwrap();
    let mut got = Vec::with_capacity(count);
    for index in 0..count {
        match soon(receiver.receive()).await {
            Ok(message) => {
                receiver.accept(&message).unwrap();
                got.push(typed_form(&message));
            }
            // It is rejected, and the next can be had.
            Err(ReceiveError::Malformed(_)) => got.push(super::MALFORMED.into()),
            Err(error) => panic!("message {index}: {error}"),
        }
    }
    soon(connection.close()).await.unwrap();
    got
}

async fn there_and_back(
    peer: &Peer,
    values: &[(&'static str, Value)],
    of: fn(&Value) -> Json,
    part: fn(&Json) -> Option<Json>,
    [reads, writes]: [Becomes; 2],
) {
    let broker = broker().await;
    let messages: Vec<Json> = values.iter().map(|(_, value)| of(value)).collect();
    // The peer's encoder, read by us.
    let unsaid = peer_sends(peer, url(&broker), "theirs", &messages, &[]);
    let unsaid: Vec<&str> = unsaid.iter().map(|index| values[*index].0).collect();
    let unknown: Vec<&str> =
        values.iter().filter(|(name, value)| writes(name, value).is_none()).map(|(name, _)| *name).collect();
    assert_eq!(unsaid, unknown, "what the peer cannot say");
    let said: Vec<_> = values.iter().filter(|(name, value)| writes(name, value).is_some()).cloned().collect();
    let got = we_receive(url(&broker), "theirs", said.len()).await;
    let named: Vec<_> = got.iter().zip(&said).map(|(got, (name, _))| ((*name).to_owned(), part(got))).collect();
    expect("as the peer wrote it", &named, writes, &said);
    expect_empty(&broker, "theirs").await;
    // Our encoder, read by the peer.
    we_send(url(&broker), "ours", &messages).await;
    let got = peer_receives(peer, url(&broker), "ours", values.len(), &[]);
    let named: Vec<_> =
        got.named("message").zip(values).map(|(got, (name, _))| ((*name).to_owned(), part(got))).collect();
    expect("as the peer read it", &named, reads, values);
    expect_empty(&broker, "ours").await;
}

pub(crate) fn broker_bodies_of_every_type(peer: &Peer, known: &Known) {
    run(async {
        let becomes = [known.reads, known.writes];
        there_and_back(peer, &corpus::values(), typed::value_message, body, becomes).await;
    });
}

pub(crate) fn broker_properties_of_every_type(peer: &Peer, known: &Known) {
    run(async {
        let becomes = [known.property_reads, known.property_writes];
        there_and_back(peer, &simple_values(), property_message, property, becomes).await;
    });
}

pub(crate) fn broker_header_and_properties(peer: &Peer, known: &Known) {
    run(async {
        let broker = broker().await;
        let mut messages = field_messages();
        // The count is the broker's own to keep.
        messages[0]["sections"][0]["v"]["delivery-count"] = serde_json::json!({"t": "uint", "v": 0});
        let expected: Vec<Json> = messages
            .iter()
            .map(|sent| {
                let mut sections = (known.sections)(sent["sections"].clone());
                forget_zero_count(&mut sections);
                sections
            })
            .collect();
        peer_sends(peer, url(&broker), "fields", &messages, &[]);
        let got = peer_receives(peer, url(&broker), "fields", messages.len(), &[]);
        for (got, expected) in got.named("message").zip(&expected) {
            let mut sections = got["sections"].clone();
            forget_zero_count(&mut sections);
            let mut expected = expected.clone();
            if let (Some(left), Some(sent)) = (ttl(&mut sections), ttl(&mut expected)) {
                // A ttl leaves with what is left of it.
                let [left, sent] = [left, sent].map(|ttl| ttl.take()["v"].as_u64().expect("milliseconds"));
                assert!(left <= sent && sent - left < 120_000, "{left} of {sent} ms are left");
            }
            assert_eq!(sections, expected);
        }
    });
}

fn ttl(sections: &mut Json) -> Option<&mut Json> {
    let header = sections.as_array_mut()?.iter_mut().find(|section| section["s"] == "header")?;
    header["v"].get_mut("ttl")
}

/// A delivery count of 0 may be written or left to its default.
fn forget_zero_count(sections: &mut Json) {
    for section in sections.as_array_mut().into_iter().flatten().filter(|section| section["s"] == "header") {
        if section["v"]["delivery-count"]["v"] == 0 {
            section["v"].as_object_mut().expect("fields by name").remove("delivery-count");
        }
    }
}

pub(crate) fn broker_bodies_of_every_size(peer: &Peer, known: &Known) {
    for (frame, sizes) in sizes(known) {
        run(async {
            let builder = Broker::builder().auto_create(true).with_limits(|limits| limits.frame_size = frame);
            let broker = start(builder).await;
            let messages: Vec<Json> = sizes.iter().map(|size| octets(*size)).collect();
            let frame = frame.to_string();
            peer_sends(peer, url(&broker), "sizes", &messages, &["--max-frame-size", &frame]);
            let options = ["--max-frame-size", &frame];
            let got = peer_receives(peer, url(&broker), "sizes", messages.len(), &options);
            for ((got, sent), size) in got.named("message").zip(&messages).zip(&sizes) {
                let expected = (known.sections)(sent["sections"].clone());
                assert!(got["sections"] == expected, "{size} bytes at {frame}");
            }
            expect_empty(&broker, "sizes").await;
        });
    }
}

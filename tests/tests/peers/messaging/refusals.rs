//! What these brokers cannot do is an error that says so, and the session goes on where the broker lets it.

use postroad_messaging::{AddressError, SendError, TransactionError};

use super::*;

fn address_error(result: Result<impl std::fmt::Debug, LinkError>) -> AddressError {
    match result {
        Err(LinkError::Address(error)) => error,
        other => panic!("{other:?}"),
    }
}

/// Where RabbitMQ makes nothing.
const NOSUCH: &str = "'/exchange/this-exchange-should-not-exist/key'";

pub(super) async fn test_no_target(base: Base) {
    let error = address_error(soon(base.ssn.sender(NOSUCH)).await.map(drop));
    assert!(matches!(&error, AddressError::NotFound { name, .. } if NOSUCH.contains(name)), "{error:?}");
    assert!(error.to_string().contains("this-exchange-should-not-exist"), "{error}");
}

pub(super) async fn test_no_source(base: Base) {
    let error = address_error(soon(base.ssn.receiver(NOSUCH)).await.map(drop));
    assert!(matches!(&error, AddressError::NotFound { name, .. } if NOSUCH.contains(name)), "{error:?}");
}

/// Options, the one that the error names, and whether they are for senders, and for receivers.
const IN_VAIN: [(&str, &str, [bool; 2]); 17] = [
    ("delete: always", "delete", [true, true]),
    ("node: {x-bindings: [{exchange: 'amq.topic', key: a}]}", "node.x-bindings", [true, true]),
    ("link: {x-bindings: [{exchange: 'amq.topic', key: a}]}", "link.x-bindings", [true, true]),
    ("link: {x-declare: {exclusive: True}}", "link.x-declare", [true, true]),
    ("link: {x-subscribe: {exclusive: True}}", "link.x-subscribe", [true, true]),
    ("link: {selector: 'a = 1'}", "link.selector", [true, true]),
    ("link: {filter: [{name: f, descriptor: 'x:y', value: 1}]}", "link.filter", [true, true]),
    ("mode: browse", "mode", [false, true]),
    ("link: {durable: True}", "link.durable", [true, true]),
    ("create: always, node: {durable: True}", "create", [true, true]),
    ("create: always, node: {x-declare: {auto-delete: True}}", "create", [true, true]),
    ("create: always, node: {x-declare: {arguments: {'qpid.max_count': 5}}}", "create", [true, true]),
    ("create: always, node: {properties: {lifetime-policy: delete-on-close}}", "create", [true, true]),
    ("assert: always, node: {durable: True}", "assert", [true, true]),
    ("assert: always, node: {x-declare: {arguments: {'qpid.max_count': 5}}}", "assert", [true, true]),
    ("assert: always, node: {type: queue}", "assert", [true, true]),
    ("assert: always, node: {type: topic}", "assert", [true, true]),
];

pub(super) async fn what_an_address_asks_for_in_vain_is_refused(base: Base) {
    let Pair { base, snd, rcv } = base.pair().await;
    soon(snd.send("still there")).await.unwrap();
    for (options, wanted, [sends, receives]) in IN_VAIN {
        let address = base.queue_with(options);
        let mut errors = Vec::new();
        if sends {
            errors.push(address_error(soon(base.ssn.sender(&address)).await.map(drop)));
        }
        if receives {
            errors.push(address_error(soon(base.ssn.receiver(&address)).await.map(drop)));
        }
        for error in errors {
            let AddressError::Unsupported { option, .. } = error else { panic!("{options}: {error:?}") };
            assert_eq!(option, wanted, "{options}");
            assert!(error.hint().is_some(), "{options}");
        }
    }
    // The subject of a topic is a filter, too.
    let address = if base.broker.adds_subject { "'/queue/face-subject'/news" } else { "face-subject/news" };
    let error = address_error(soon(base.ssn.receiver(address)).await.map(drop));
    assert!(matches!(error, AddressError::Unsupported { option: "subject", .. }), "{error:?}");
    // That the node is there is all that can be asserted.
    soon(base.ssn.sender(&base.queue_with("assert: always"))).await.unwrap();
    assert_eq!(drain_texts(&rcv, 1).await, ["still there"]);
}

pub(super) async fn no_transactions(base: Base) {
    let error = soon(base.conn.transactional_session()).await.unwrap_err();
    assert!(matches!(error, SessionError::Transaction(TransactionError::Unsupported(_))), "{error:?}");
    assert!(error.hint().is_some());
    // The connection goes on.
    let ssn = soon(base.conn.session()).await.unwrap();
    ping(&base, &ssn).await.unwrap();
}

/// A broker that takes the request to begin a transaction for a message: nothing of it is sent.
pub(super) async fn transactions_do_not_begin(base: Base) {
    let txssn = soon(base.conn.transactional_session()).await.unwrap();
    let snd = soon(txssn.sender(&base.queue())).await.unwrap();
    let sent = soon(snd.send("in a transaction")).await;
    let Err(SendError::NotSent(LinkError::Session(SessionError::Transaction(_)))) = sent else { panic!("{sent:?}") };
    let rcv = soon(base.ssn.receiver(&base.queue())).await.unwrap();
    drain(&rcv, 0).await;
}

pub(super) async fn not_exactly_once(base: Base) {
    let address = base.queue_with("link: {reliability: exactly-once}");
    for sends in [true, false] {
        // RabbitMQ ends the session over it.
        let ssn = soon(base.conn.session()).await.unwrap();
        let error = match sends {
            true => address_error(soon(ssn.sender(&address)).await.map(drop)),
            false => address_error(soon(ssn.receiver(&address)).await.map(drop)),
        };
        assert!(matches!(error, AddressError::GuaranteeUnavailable { .. }), "{error:?}");
        assert!(error.hint().is_some());
    }
    let ssn = soon(base.conn.session()).await.unwrap();
    ping(&base, &ssn).await.unwrap();
}

//! Getting in: users, addresses, and a RabbitMQ that does not speak AMQP 1.0.

use std::path::Path;

use postroad_amqp::sasl::SaslError;
use postroad_amqp::v1_0 as amqp;
use postroad_client::types::{Bytes, ErrorCondition};
use postroad_client::{
    AttachError, ConnectError, Connection, ConnectionError, LinkError, LinkOptions, Message, Node, SendError, TlsMode,
    TransactionError,
};
use postroad_codec::v1_0::ProtocolHeader;
use postroad_taps::{TlsConfig, TlsError};
use postroad_tests::certificates::Certificates;
use postroad_tests::ours::{connect, options, run, soon, take};
use postroad_tests::peers::{Protocol, RabbitMq};

#[test]
fn users_and_passwords() {
    let rabbitmq = rabbitmq!();
    run(async {
        let at = |user: &str| options(&format!("amqp://{user}127.0.0.1:{}", rabbitmq.port()));
        for user in ["", "guest:guest@"] {
            let connection = soon(Connection::open(at(user))).await.unwrap();
            assert_eq!(connection.remote_property("product"), Some("RabbitMQ".into()));
            let version = connection.remote_property("version");
            let version = format!("{version:?}");
            assert!(version.contains("3.10."), "peers.md tells of 3.10, this is {version}");
            let session = connection.session().await.unwrap();
            let sender = soon(session.sender("/queue/ours-users")).await.unwrap();
            soon(sender.send(&Message::from("let in"))).await.unwrap();
        }
        let error = |sasl| ConnectError::Connection(ConnectionError::Protocol(amqp::ConnectionError::Sasl(sasl)));
        for user in ["guest:wrong@", "nobody:guest@"] {
            let refused = soon(Connection::open(at(user))).await.unwrap_err();
            assert_eq!(refused, error(SaslError::AuthenticationFailed), "{user}");
            assert!(refused.is_authentication() && refused.hint().is_some());
            assert!(!format!("{refused:?} {refused}").contains("wrong"));
        }
        // Never by accident: this password would go in the clear.
        let mut careful = at("guest:guest@");
        careful.allow_insecure_mechs = false;
        assert_eq!(soon(Connection::open(careful)).await.unwrap_err(), error(SaslError::InsecureMechanism("PLAIN")));
        let mut unoffered = at("guest:guest@");
        unoffered.sasl_mechanisms = vec!["SCRAM-SHA-256".to_owned()];
        let refused = soon(Connection::open(unoffered)).await.unwrap_err();
        let ConnectError::Connection(ConnectionError::Protocol(amqp::ConnectionError::Sasl(
            SaslError::NoCommonMechanism { offered, .. },
        ))) = refused
        else {
            panic!("{refused:?}");
        };
        let mut offered = offered;
        offered.sort();
        assert_eq!(offered, ["AMQPLAIN", "ANONYMOUS", "PLAIN"]);
    });
}

/// The condition of the session's end.
fn ended(error: &AttachError) -> String {
    match error {
        AttachError::Link(LinkError::SessionEnded(Some(error))) => error.condition.0.to_string(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_rabbitmq_refuses_ends_the_session_and_the_call_knows_at_once() {
    let rabbitmq = rabbitmq!();
    run(async {
        let connection = connect(&rabbitmq.url()).await.unwrap();
        for (address, condition) in [("/nowhere", "amqp:invalid-field"), ("/exchange/nope/key", "amqp:not-found")] {
            let session = connection.session().await.unwrap();
            assert_eq!(ended(&soon(session.sender(address)).await.unwrap_err()), condition, "{address}");
            // The session is gone, and says so.
            assert_eq!(ended(&soon(session.sender("/queue/ours-refused")).await.unwrap_err()), condition, "{address}");
            let session = connection.session().await.unwrap();
            assert_eq!(ended(&soon(session.receiver(address)).await.unwrap_err()), condition, "{address}");
        }
        let session = connection.session().await.unwrap();
        let error = soon(session.receiver(Node::dynamic())).await.unwrap_err();
        assert_eq!(ended(&error), "amqp:not-implemented");
        // The connection goes on.
        let session = connection.session().await.unwrap();
        let sender = soon(session.sender("/queue/ours-refused")).await.unwrap();
        soon(sender.send(&Message::from("fine"))).await.unwrap();
        soon(sender.close()).await.unwrap();
        soon(session.close()).await.unwrap();
        soon(connection.close()).await.unwrap();
    });
}

#[test]
fn a_foreign_user_id_ends_the_session() {
    let rabbitmq = rabbitmq!();
    run(async {
        let session = connect(&rabbitmq.url()).await.unwrap().session().await.unwrap();
        let sender = soon(session.sender("/queue/ours-user-id")).await.unwrap();
        let own = Message::from("mine").with_user_id(Bytes::from_static(b"guest"));
        soon(sender.send(&own)).await.unwrap();
        let foreign = Message::from("not mine").with_user_id(Bytes::from_static(b"alice"));
        let error = soon(sender.send(&foreign)).await.unwrap_err();
        let SendError::InDoubt(LinkError::SessionEnded(Some(error))) = error else { panic!("{error:?}") };
        assert_eq!(error.condition, ErrorCondition::PRECONDITION_FAILED);
    });
}

#[test]
fn a_description_that_is_not_utf_8_does_not_hide_the_reason() {
    let rabbitmq = rabbitmq!();
    run(async {
        // RabbitMQ quotes the delivery tag of a message without sections inside a string, in Latin-1 where it finds
        // letters. Our tags count from 0: that of message 0xe4 is such a letter, and no UTF-8.
        let session = connect(&rabbitmq.url()).await.unwrap().session().await.unwrap();
        let sender = soon(session.sender_with("/queue/ours-latin", LinkOptions::default())).await.unwrap();
        for _ in 0..0xe4 {
            soon(sender.submit(&Message::from("count"))).await.unwrap();
        }
        soon(sender.sync()).await.unwrap();
        let error = soon(sender.send(&Message::new())).await.unwrap_err();
        let SendError::InDoubt(LinkError::SessionEnded(Some(error))) = error else { panic!("{error:?}") };
        assert_eq!(error.condition.0, "amqp:internal-error");
        let description = error.description.as_deref().unwrap_or_default();
        assert!(description.contains('\u{fffd}'), "{description}");
    });
}

#[test]
fn a_rabbitmq_without_its_plugin_is_told_apart() {
    let rabbitmq = match RabbitMq::start(Protocol::Amqp091) {
        Ok(rabbitmq) => rabbitmq,
        Err(skipped) => return skipped.report(),
    };
    run(async {
        let error = connect(&rabbitmq.url()).await.unwrap_err();
        assert!(
            matches!(
                error,
                ConnectError::Connection(ConnectionError::Protocol(amqp::ConnectionError::ForeignProtocol(_)))
            ),
            "{error:?}"
        );
        let expected = "this is an AMQP 0-9-1 broker: RabbitMQ needs its AMQP 1.0 plugin";
        assert_eq!(error.hint().as_deref(), Some(expected));
        // And to a client that would go without SASL.
        let mut bare = options(&rabbitmq.url());
        bare.sasl_enabled = false;
        assert_eq!(soon(Connection::open(bare)).await.unwrap_err().hint().as_deref(), Some(expected));
    });
}

#[test]
fn the_tls_header_is_answered_with_the_header_of_sasl() {
    let rabbitmq = rabbitmq!();
    run(async {
        let mut asking = options(&format!("amqp://127.0.0.1:{}", rabbitmq.port()));
        asking.tls_mode = TlsMode::Header;
        let error = soon(Connection::open(asking)).await.unwrap_err();
        let (expected, found) = (ProtocolHeader::TLS, ProtocolHeader::SASL);
        assert_eq!(error, ConnectionError::Protocol(amqp::ConnectionError::ProtocolHeader { expected, found }).into());
        assert!(error.hint().is_some_and(|hint| hint.contains("amqps")), "{:?}", error.hint());
    });
}

#[test]
fn a_certificate_that_is_right_untrusted_or_for_another_name() {
    let rabbitmq = rabbitmq!();
    run(async {
        let at = |host: &str, authority: &Path| {
            let mut options = options(&format!("amqps://guest:guest@{host}:{}", rabbitmq.tls_port()));
            options.tls = TlsConfig::builder().roots_file(authority).build().unwrap();
            options
        };
        let authority = rabbitmq.authority();
        let connection = soon(Connection::open(at("127.0.0.1", &authority))).await.unwrap();
        let session = connection.session().await.unwrap();
        let sender = soon(session.sender("/queue/ours-tls")).await.unwrap();
        soon(sender.send(&Message::from("secure"))).await.unwrap();
        let mut receiver = soon(session.receiver("/queue/ours-tls")).await.unwrap();
        assert_eq!(take(&mut receiver, 1).await[0].text(), Some("secure"));
        soon(connection.close()).await.unwrap();
        let others = Certificates::make();
        let error = soon(Connection::open(at("127.0.0.1", &others.path("ca.pem")))).await.unwrap_err();
        assert!(matches!(error.tls(), Some(TlsError::Untrusted)), "{error:?}");
        let error = soon(Connection::open(at("127.0.0.2", &authority))).await.unwrap_err();
        assert!(matches!(error.tls(), Some(TlsError::WrongName { .. })), "{error:?}");
    });
}

#[test]
fn a_rabbitmq_without_transactions_is_told_apart() {
    let rabbitmq = rabbitmq!();
    run(async {
        let connection = connect(&rabbitmq.url()).await.unwrap();
        let session = connection.session().await.unwrap();
        let error = soon(session.transaction_controller()).await.unwrap_err();
        assert!(matches!(&error, TransactionError::Unsupported(_)), "{error:?}");
        assert!(error.hint().is_some());
        // The session is gone with it, the connection goes on.
        let session = connection.session().await.unwrap();
        let sender = soon(session.sender("/queue/ours-untransacted")).await.unwrap();
        assert_eq!(soon(sender.send(&Message::from("one by one"))).await, Ok(postroad_client::Outcome::Accepted));
    });
}

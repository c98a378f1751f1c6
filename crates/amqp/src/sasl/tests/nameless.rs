//! ANONYMOUS and EXTERNAL: nothing is shown in the exchange.

use super::*;

#[test]
fn anonymous_sends_a_word_and_takes_anything() {
    let open = || server(config().anonymous(true), false);
    let init = |trace: Option<&str>| {
        let trace = trace.map(str::to_owned);
        Client::new(Credentials::Anonymous { trace }, CLIENT_NONCE).start(&["ANONYMOUS"], false)
    };
    assert_eq!(init(None).unwrap().response.as_deref(), Some(&b"anonymous"[..]));
    assert_eq!(init(Some("")).unwrap().response.as_deref(), Some(&b"anonymous"[..]));
    assert_eq!(init(Some("a@b.example")).unwrap().response.as_deref(), Some(&b"a@b.example"[..]));
    assert!(init(Some(&"ü".repeat(255))).is_ok());
    assert!(matches!(init(Some(&"ü".repeat(256))), Err(SaslError::Prep(_))));
    assert!(matches!(init(Some("a\nb")), Err(SaslError::Prep(_))));

    let nobody = Step::Accepted { user: "anonymous".to_owned(), mechanism: "ANONYMOUS", additional: None };
    for response in [None, Some(&b""[..]), Some(b"anonymous")] {
        assert_eq!(open().init("ANONYMOUS", response), nobody);
    }
    assert!(matches!(open().init("ANONYMOUS", Some(b"\xff")), Step::Refused(SaslError::Malformed(_))));
    let anonymous = Client::new(Credentials::anonymous(), CLIENT_NONCE);
    assert_eq!(run(anonymous, open(), false), accepted("anonymous", "ANONYMOUS"));
    let refused = server(config(), false).init("ANONYMOUS", None);
    assert!(matches!(refused, Step::Refused(SaslError::NoCommonMechanism { .. })), "{refused:?}");
}

#[test]
fn external_takes_the_identity_of_the_layer_below() {
    let config = Arc::new(config().external(true));
    let run_as = |authorization: Option<&str>| {
        let credentials = Credentials::External { authorization: authorization.map(str::to_owned) };
        let server = Server::new(config.clone(), true, Some("CN=alice".to_owned()), SERVER_NONCE);
        run(Client::new(credentials, CLIENT_NONCE), server, true)
    };
    assert_eq!(run_as(None), accepted("CN=alice", "EXTERNAL"));
    assert_eq!(run_as(Some("CN=alice")), accepted("CN=alice", "EXTERNAL"));
    assert_eq!(run_as(Some("CN=bob")), End::RefusedByServer(SaslError::NotAuthorized));
    assert!(!config.mechanisms(true, None).contains(&"EXTERNAL"));
    let mut without = Server::new(config, true, None, SERVER_NONCE);
    assert!(matches!(without.init("EXTERNAL", Some(b"")), Step::Refused(SaslError::NoCommonMechanism { .. })));

    let init = Client::new(Credentials::external(), CLIENT_NONCE).start(&["EXTERNAL"], true).unwrap();
    assert_eq!(init.response, Some(Bytes::new()));
}

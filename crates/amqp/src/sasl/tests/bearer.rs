//! OAUTHBEARER and XOAUTH2.

use super::*;

#[test]
fn a_token_goes_in_the_first_message_and_over_tls() {
    let bearer = |user: Option<&str>| {
        let credentials = Credentials::Bearer { token: "t0k3n".into(), user: user.map(str::to_owned) };
        Client::new(credentials, CLIENT_NONCE)
    };
    let both = ["XOAUTH2", "PLAIN", "OAUTHBEARER"];
    let init = bearer(None).start(&both, true).unwrap();
    assert_eq!(
        (init.mechanism, init.response.as_deref()),
        ("OAUTHBEARER", Some(&b"n,,\x01auth=Bearer t0k3n\x01\x01"[..]))
    );
    assert!(!format!("{init:?}").contains("t0k3n"));
    let init = bearer(Some("alice")).start(&both[..2], true).unwrap();
    assert_eq!(
        (init.mechanism, init.response.as_deref()),
        ("XOAUTH2", Some(&b"user=alice\x01auth=Bearer t0k3n\x01\x01"[..]))
    );

    for (offered, name) in [("OAUTHBEARER", "OAUTHBEARER"), ("XOAUTH2", "XOAUTH2")] {
        assert_eq!(bearer(Some("a")).start(&[offered], false), Err(SaslError::InsecureMechanism(name)));
        assert!(bearer(Some("a")).allow_insecure(true).start(&[offered], false).is_ok());
        let mut accepted = bearer(Some("a"));
        accepted.start(&[offered], true).unwrap();
        assert_eq!(accepted.finish(None), Ok(()));
    }
    let hint = |client: Client, offered: &str| {
        let mut client = client;
        client.start(&[offered], true).unwrap_err().hint().unwrap()
    };
    assert!(hint(bearer(None), "XOAUTH2").contains("user's name"));
    assert!(hint(bearer(None), "PLAIN").contains("password"));
    assert!(hint(client("a", "b"), "OAUTHBEARER").contains("token"));
}

#[test]
fn a_server_says_what_is_wrong_with_a_token() {
    let report = r#"{"status":"invalid_token"}"#;
    let refused = SaslError::TokenRefused { report: report.to_owned() };
    for (mechanism, answer) in [("OAUTHBEARER", &b"\x01"[..]), ("XOAUTH2", b"")] {
        let told = || {
            let credentials = Credentials::Bearer { token: "t0k3n".into(), user: Some("alice".to_owned()) };
            let mut client = Client::new(credentials, CLIENT_NONCE);
            client.start(&[mechanism], true).unwrap();
            assert_eq!(client.challenge(report.as_bytes()).unwrap(), answer);
            client
        };
        assert_eq!(told().refused(), refused);
        // A server that lets it in all the same contradicts itself.
        assert_eq!(told().finish(None), Err(refused.clone()));
        assert_eq!(told().challenge(report.as_bytes()), Err(SaslError::UnexpectedStep));
    }
    assert!(refused.to_string().contains(report) && refused.hint().unwrap().contains("new token"));

    // Without a word it is the same as a wrong password.
    let mut silent = Client::new(Credentials::bearer("t0k3n"), CLIENT_NONCE);
    silent.start(&["OAUTHBEARER"], true).unwrap();
    assert_eq!(silent.refused(), SaslError::AuthenticationFailed);
    assert_eq!(silent.finish(None), Err(SaslError::UnexpectedStep));
}

/// Takes tokens of the form `for-USER`.
#[derive(Debug)]
struct Issuer;

impl Tokens for Issuer {
    fn check(&self, token: &str) -> Result<String, TokenRefusal> {
        token.strip_prefix("for-").map(str::to_owned).ok_or_else(|| TokenRefusal::INVALID.scope("queues"))
    }
}

#[test]
fn a_server_takes_the_tokens_that_it_is_told_to_take() {
    let server = |secure| server(config().tokens(Arc::new(Issuer)), secure);
    let bearer = |token: &str, user: Option<&str>| {
        Client::new(Credentials::Bearer { token: token.into(), user: user.map(str::to_owned) }, CLIENT_NONCE)
    };
    assert_eq!(server(true).mechanisms()[0], "OAUTHBEARER");
    assert_eq!(run(bearer("for-alice", None), server(true), true), accepted("alice", "OAUTHBEARER"));
    assert_eq!(run(bearer("for-a=b", Some("a=b")), server(true), true), accepted("a=b", "OAUTHBEARER"));
    // Names are prepared like any other.
    assert_eq!(run(bearer("for-I-X", None), server(true), true), accepted("I-X", "OAUTHBEARER"));
    let other = run(bearer("for-alice", Some("bob")), server(true), true);
    assert_eq!(other, End::RefusedByServer(SaslError::NotAuthorized));
    assert_eq!(run(bearer("expired", None), server(true), true), End::RefusedByServer(SaslError::AuthenticationFailed));

    // Without TLS it is neither offered nor taken.
    assert!(!server(false).mechanisms().contains(&"OAUTHBEARER"));
    let first = b"n,,\x01auth=Bearer for-alice\x01\x01";
    assert_eq!(
        server(false).init("OAUTHBEARER", Some(first)),
        Step::Refused(SaslError::InsecureMechanism("OAUTHBEARER"))
    );
    // A client that says nothing first is asked.
    let mut asking = server(true);
    assert_eq!(asking.init("OAUTHBEARER", None), Step::Challenge(Bytes::new()));
    assert!(matches!(asking.response(first), Step::Accepted { user, .. } if user == "alice"));
    // The report comes before the refusal, and once.
    let mut telling = server(true);
    let step = telling.init("OAUTHBEARER", Some(b"n,,\x01auth=Bearer x\x01\x01"));
    let report = Bytes::from_static(br#"{"status":"invalid_token","scope":"queues"}"#);
    assert_eq!(step, Step::Challenge(report));
    assert_eq!(telling.response(b"\x01"), Step::Refused(SaslError::AuthenticationFailed));
    assert_eq!(telling.response(b"\x01"), Step::Refused(SaslError::UnexpectedStep));
}

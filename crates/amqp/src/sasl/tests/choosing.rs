//! Which mechanism is chosen, what a server offers, and whose turn it is.

use super::*;

#[test]
fn the_strongest_common_mechanism_is_chosen() {
    let chosen = |client: Client, offered: &[&str]| {
        let mut client = client;
        client.start(offered, true).map(|init| init.mechanism)
    };
    for count in 1..5 {
        let offered: Vec<_> = EVERYTHING[count..].iter().rev().copied().collect();
        assert_eq!(chosen(client("a", "b"), &offered), Ok(EVERYTHING[count]));
    }
    assert_eq!(chosen(client("a", "b").allowed(["SCRAM-SHA-1", "PLAIN"]), &EVERYTHING), Ok("SCRAM-SHA-1"));
    assert_eq!(chosen(Client::new(Credentials::external(), CLIENT_NONCE), &EVERYTHING), Ok("EXTERNAL"));
    assert_eq!(chosen(Client::new(Credentials::anonymous(), CLIENT_NONCE), &EVERYTHING), Ok("ANONYMOUS"));
}

#[test]
fn without_a_common_mechanism_the_hint_says_what_to_do() {
    let refused = |credentials: Credentials, allowed: Option<&str>, offered: &[&str]| {
        let mut client = Client::new(credentials, CLIENT_NONCE);
        if let Some(allowed) = allowed {
            client = client.allowed([allowed]);
        }
        let error = client.start(offered, true).unwrap_err();
        let SaslError::NoCommonMechanism { offered: names, hint } = &error else { panic!("{error:?}") };
        assert_eq!((names, Some(*hint)), (&offered.iter().map(|name| (*name).to_owned()).collect(), error.hint()));
        assert_eq!(client.start(&EVERYTHING, true), Err(SaslError::UnexpectedStep));
        *hint
    };
    let password = Credentials::password("a", "b");
    assert!(refused(password.clone(), None, &["ANONYMOUS"]).contains("leave out"));
    assert!(refused(password.clone(), None, &["EXTERNAL"]).contains("certificate"));
    assert!(refused(password.clone(), None, &["GSSAPI", "SCRAM-SHA-1-PLUS"]).contains("set up one of"));
    assert!(refused(password.clone(), None, &[]).contains("no mechanism"));
    assert!(refused(password.clone(), None, &["plain"]).contains("set up one of"));
    assert!(refused(password, Some("SCRAM-SHA-1"), &["PLAIN"]).contains("allowed"));
    assert!(refused(Credentials::anonymous(), None, &["PLAIN"]).ends_with("a user name and a password"));
    let either = refused(Credentials::anonymous(), None, &["PLAIN", "EXTERNAL"]);
    assert!(either.contains("user name") && either.contains("EXTERNAL"), "{either}");
    assert!(refused(Credentials::external(), None, &["ANONYMOUS"]).contains("leave out"));
}

#[test]
fn names_in_an_error_are_bounded() {
    let name = "X".repeat(100_000);
    let offered = vec![name.as_str(); 1000];
    let error = client("a", "b").start(&offered, true).unwrap_err();
    let SaslError::NoCommonMechanism { offered, .. } = error else { panic!("{error:?}") };
    assert_eq!((offered.len(), offered[0].len()), (32, 64));
}

#[test]
fn a_server_offers_what_it_can_check() {
    let nobody = ServerConfig::new([0; 32]);
    assert!(nobody.mechanisms(true, Some("x")).is_empty());
    let all = config().anonymous(true).external(true).plain_without_tls(true);
    assert_eq!(all.mechanisms(false, Some("x")), EVERYTHING);
    assert_eq!(config().mechanisms(true, Some("x")), EVERYTHING[1..5]);
    assert_eq!(config().mechanisms(false, None), EVERYTHING[1..4]);
    assert_eq!(config().allowed(["PLAIN", "GSSAPI"]).mechanisms(true, None), ["PLAIN"]);
}

#[test]
fn a_client_that_says_nothing_first_is_asked() {
    let mut asking = server(config(), true);
    assert_eq!(asking.init("PLAIN", None), Step::Challenge(Bytes::new()));
    let step = asking.response(b"\0alice\0wonderland");
    assert_eq!(step, Step::Accepted { user: "alice".to_owned(), mechanism: "PLAIN", additional: None });
    let mut asking = server(config(), false);
    assert_eq!(asking.init("SCRAM-SHA-1", Some(b"")), Step::Challenge(Bytes::new()));
    assert!(
        matches!(asking.response(b"n,,n=alice,r=abc"), Step::Challenge(challenge) if challenge.starts_with(b"r=abc"))
    );
}

#[test]
fn steps_out_of_turn_are_refused() {
    let unexpected = Err(SaslError::UnexpectedStep);
    assert_eq!(client("a", "b").challenge(b""), Err(SaslError::UnexpectedStep));
    assert_eq!(client("a", "b").finish(None), unexpected);
    let mut plain = client("a", "b");
    plain.start(&["PLAIN"], true).unwrap();
    assert_eq!(plain.challenge(b""), Err(SaslError::UnexpectedStep));
    let mut done = client("a", "b");
    done.start(&["PLAIN"], true).unwrap();
    assert_eq!(done.finish(None), Ok(()));
    assert_eq!(done.finish(None), unexpected);

    let refused = Step::Refused(SaslError::UnexpectedStep);
    assert_eq!(server(config(), true).response(b"\0alice\0wonderland"), refused);
    let mut twice = server(config().anonymous(true), true);
    assert!(matches!(twice.init("ANONYMOUS", None), Step::Accepted { .. }));
    assert_eq!(twice.init("ANONYMOUS", None), refused);
    assert_eq!(twice.response(b""), refused);
}

#[test]
fn credentials_that_cannot_be_sent_say_which() {
    let error = client("alice", "wonder\u{1f407}").start(&["SCRAM-SHA-256"], false).unwrap_err();
    assert_eq!(error, SaslError::Prep("password"));
    assert!(error.hint().unwrap().contains("emoji"));
    assert_eq!(client("\u{7}", "x").start(&["SCRAM-SHA-256"], false), Err(SaslError::Prep("user name")));
    assert_eq!(client("alice", "").start(&["SCRAM-SHA-256"], false), Err(SaslError::Prep("password")));
    // PLAIN leaves it to the server.
    assert!(client("alice", "wonder\u{1f407}").start(&["PLAIN"], true).is_ok());
}

//! PLAIN and CRAM-MD5, and whose password counts.

use super::*;

#[test]
fn a_password_can_be_checked_by_somebody_else() {
    let deferring = || server(config(), true).deferred_checks(true);
    let init = client("alice", "wonderland").allowed(["PLAIN"]).start(&["PLAIN"], true).unwrap();
    let right = init.response.as_deref();

    let mut server = deferring();
    assert_eq!(server.init("PLAIN", right), Step::CheckPassword);
    assert!(server.is_checking());
    let check = server.password_check().unwrap();
    assert!(server.password_check().is_none(), "once");
    assert!(!format!("{check:?}").contains("wonderland"));
    let step = server.password_checked(check.run());
    assert_eq!(step, Step::Accepted { user: "alice".to_owned(), mechanism: "PLAIN", additional: None });
    assert!(!server.is_checking());

    let wrong = Some(&b"\0alice\0looking-glass"[..]);
    let acting = Some(&b"eve\0alice\0wonderland"[..]);
    for (response, error) in [(wrong, SaslError::AuthenticationFailed), (acting, SaslError::NotAuthorized)] {
        let mut server = deferring();
        assert_eq!(server.init("PLAIN", response), Step::CheckPassword);
        let answer = server.password_check().unwrap().run();
        assert_eq!(server.password_checked(answer), Step::Refused(error));
        // It is over, whatever comes.
        assert_eq!(server.password_checked(answer), Step::Refused(SaslError::UnexpectedStep));
    }

    // Asked first, as by an empty challenge; and a check that could not be made.
    let mut server = deferring();
    assert_eq!(server.init("PLAIN", None), Step::Challenge(Bytes::new()));
    assert_eq!(server.response(right.unwrap()), Step::CheckPassword);
    assert_eq!(server.password_checked(PasswordAnswer::REFUSED), Step::Refused(SaslError::AuthenticationFailed));

    // A client that goes on meanwhile is refused, and the answer comes too late.
    let mut server = deferring();
    assert_eq!(server.init("PLAIN", right), Step::CheckPassword);
    let answer = server.password_check().unwrap().run();
    assert_eq!(server.response(b""), Step::Refused(SaslError::UnexpectedStep));
    assert_eq!(server.password_checked(answer), Step::Refused(SaslError::UnexpectedStep));
    // No answer lets in whom nobody asked about.
    assert_eq!(deferring().password_checked(answer), Step::Refused(SaslError::UnexpectedStep));
}

#[test]
fn plain_needs_tls_or_leave_on_both_sides() {
    let only_plain = ["PLAIN"];
    let error = client("alice", "wonderland").start(&only_plain, false).unwrap_err();
    assert_eq!(error, SaslError::InsecureMechanism("PLAIN"));
    assert!(error.hint().unwrap().contains("TLS"));
    assert_eq!(
        client("alice", "wonderland").start(&["ANONYMOUS", "PLAIN"], false),
        Err(SaslError::InsecureMechanism("PLAIN"))
    );

    let init = client("alice", "wonderland").allow_insecure(true).start(&only_plain, false).unwrap();
    assert_eq!(init.response.as_deref(), Some(&b"\0alice\0wonderland"[..]));
    assert!(!format!("{init:?}").contains("wonderland"));
    let response = init.response.as_deref();
    assert_eq!(server(config(), false).init("PLAIN", response), Step::Refused(SaslError::InsecureMechanism("PLAIN")));
    let open = || server(config().plain_without_tls(true), false);
    let step = open().init("PLAIN", response);
    assert_eq!(step, Step::Accepted { user: "alice".to_owned(), mechanism: "PLAIN", additional: None });

    let plain = || client("alice", "wonderland").allowed(["PLAIN"]);
    assert_eq!(run(plain(), server(config(), true), true), accepted("alice", "PLAIN"));
    assert_eq!(run(plain().allow_insecure(true), open(), false), accepted("alice", "PLAIN"));
    assert_eq!(run(plain(), server(config(), true).deferred_checks(true), true), accepted("alice", "PLAIN"));
    assert_eq!(run(plain(), open(), false), End::GivenUpByClient(SaslError::InsecureMechanism("PLAIN")));
}

#[test]
fn cram_md5_answers_one_challenge() {
    let mut cram = client("tim", "tanstaaftanstaaf");
    assert_eq!(cram.start(&["CRAM-MD5"], true), Ok(Init { mechanism: "CRAM-MD5", response: None }));
    let answer = cram.challenge(b"<1896.697170952@postoffice.reston.mci.net>").unwrap();
    assert_eq!(answer, &b"tim b913a602c7eda7a495b4e6e7334d3890"[..]);
    assert_eq!(cram.finish(None), Ok(()));

    // A second challenge would have it hash what the server likes, for as long as the server likes.
    let mut asked = client("tim", "x");
    asked.start(&["CRAM-MD5"], true).unwrap();
    asked.challenge(b"<1@a>").unwrap();
    assert_eq!(asked.challenge(b"<2@a>"), Err(SaslError::UnexpectedStep));
    // Nor is a server believed that asked for nothing.
    let mut early = client("tim", "x");
    early.start(&["CRAM-MD5"], true).unwrap();
    assert_eq!(early.finish(None), Err(SaslError::UnexpectedStep));
}

#[test]
fn cram_md5_stands_behind_scram_and_goes_over_tls() {
    let start = |client: Client, offered: &[&str], secure| {
        let mut client = client;
        client.start(offered, secure).map(|init| init.mechanism)
    };
    let offered = ["CRAM-MD5", "PLAIN", "SCRAM-SHA-1"];
    assert_eq!(start(client("a", "b"), &offered, true), Ok("SCRAM-SHA-1"));
    assert_eq!(start(client("a", "b"), &offered, false), Ok("SCRAM-SHA-1"));
    assert_eq!(start(client("a", "b"), &offered[..2], true), Ok("CRAM-MD5"));
    let insecure = Err(SaslError::InsecureMechanism("CRAM-MD5"));
    assert_eq!(start(client("a", "b"), &offered[..2], false), insecure);
    assert_eq!(start(client("a", "b").allowed(["CRAM-MD5"]), &offered, false), insecure);
    assert_eq!(start(client("a", "b").allow_insecure(true), &offered[..2], false), Ok("CRAM-MD5"));
    let acting = Credentials::Password { user: "a".into(), password: "b".into(), authorization: Some("c".into()) };
    assert_eq!(start(Client::new(acting, CLIENT_NONCE), &offered[..2], true), Ok("PLAIN"));
    // Our server would have to keep passwords as they are: it never offers it.
    assert!(!config().anonymous(true).plain_without_tls(true).mechanisms(true, None).contains(&"CRAM-MD5"));
    let refused = server(config(), true).init("CRAM-MD5", None);
    assert!(matches!(refused, Step::Refused(SaslError::NoCommonMechanism { .. })), "{refused:?}");
}

#[test]
fn wrong_passwords_and_unknown_users_are_refused_alike() {
    for mechanism in ["SCRAM-SHA-512", "SCRAM-SHA-256", "SCRAM-SHA-1", "PLAIN"] {
        for (user, password) in [("alice", "Wonderland"), ("alice", "wonderlan"), ("mallory", "wonderland")] {
            let client = client(user, password).allowed([mechanism]);
            let refused = End::RefusedByServer(SaslError::AuthenticationFailed);
            assert_eq!(run(client, server(config(), true), true), refused, "{mechanism} {user}");
        }
    }
}

#[test]
fn nobody_acts_as_another() {
    for mechanism in ["SCRAM-SHA-256", "PLAIN"] {
        let run_as = |authorization: &str, password: &str| {
            let credentials = Credentials::Password {
                user: "alice".to_owned(),
                password: password.into(),
                authorization: Some(authorization.to_owned()),
            };
            run(Client::new(credentials, CLIENT_NONCE).allowed([mechanism]), server(config(), true), true)
        };
        assert_eq!(run_as("alice", "wonderland"), accepted("alice", mechanism));
        assert_eq!(run_as("bob", "wonderland"), End::RefusedByServer(SaslError::NotAuthorized));
        // Without the password it does not even become known that the other would be refused.
        assert_eq!(run_as("bob", "wrong"), End::RefusedByServer(SaslError::AuthenticationFailed));
    }
}

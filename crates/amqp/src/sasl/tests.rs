//! Exchanges between a client and a server, whole and broken.

use std::sync::{Arc, LazyLock};

use bytes::Bytes;

use super::*;

const CLIENT_NONCE: [u8; 24] = [0x11; 24];
const SERVER_NONCE: [u8; 24] = [0x22; 24];
const EVERYTHING: [&str; 6] = ["EXTERNAL", "SCRAM-SHA-512", "SCRAM-SHA-256", "SCRAM-SHA-1", "PLAIN", "ANONYMOUS"];

static USERS: LazyLock<Arc<UserFile>> = LazyLock::new(|| {
    let text = "alice:wonderland\na=b,c:{plain}{d}\nI\u{ad}X:p\u{aa}ss\n";
    Arc::new(UserFile::parse(text, [9; 32]).unwrap())
});

fn config() -> ServerConfig {
    ServerConfig::new([8; 32]).users(USERS.clone())
}

fn server(config: ServerConfig, secure: bool) -> Server {
    Server::new(Arc::new(config), secure, None, SERVER_NONCE)
}

fn client(user: &str, password: &str) -> Client {
    Client::new(Credentials::password(user, password), CLIENT_NONCE)
}

/// What came of an exchange: both sides' views.
#[derive(Debug, PartialEq, Eq)]
enum End {
    /// The server's user and mechanism, and the client's verdict.
    Accepted(String, &'static str, Result<(), SaslError>),
    RefusedByServer(SaslError),
    GivenUpByClient(SaslError),
}

fn accepted(user: &str, mechanism: &'static str) -> End {
    End::Accepted(user.to_owned(), mechanism, Ok(()))
}

/// Runs an exchange; `tamper` sees each message with its number, in the order sent, and may change it.
fn run_tampered(
    mut client: Client,
    mut server: Server,
    secure: bool,
    mut tamper: impl FnMut(usize, Bytes) -> Bytes,
) -> End {
    let offered = server.mechanisms();
    let init = match client.start(&offered, secure) {
        Ok(init) => init,
        Err(error) => return End::GivenUpByClient(error),
    };
    let response = init.response.map(|response| tamper(0, response));
    let mut step = server.init(init.mechanism, response.as_deref());
    for number in (1..).step_by(2) {
        match step {
            Step::Challenge(challenge) => match client.challenge(&tamper(number, challenge)) {
                Ok(response) => step = server.response(&tamper(number + 1, response)),
                Err(error) => return End::GivenUpByClient(error),
            },
            Step::Accepted { user, mechanism, additional } => {
                let additional = additional.map(|data| tamper(number, data));
                return End::Accepted(user, mechanism, client.finish(additional.as_deref()));
            }
            Step::CheckPassword => {
                let answer = server.password_check().expect("it asked for that").run();
                step = server.password_checked(answer);
            }
            Step::Refused(error) => return End::RefusedByServer(error),
        }
        assert!(number < 10, "endless exchange");
    }
    unreachable!()
}

fn run(client: Client, server: Server, secure: bool) -> End {
    run_tampered(client, server, secure, |_, message| message)
}

#[test]
fn every_scram_hash_authenticates_both_sides() {
    for hash in ScramHash::STRONGEST_FIRST {
        for (user, password, name) in
            [("alice", "wonderland", "alice"), ("a=b,c", "{d}", "a=b,c"), ("\u{2168}", "pass", "IX")]
        {
            let client = client(user, password).allowed([hash.mechanism().to_lowercase()]);
            assert_eq!(run(client, server(config(), false), false), accepted(name, hash.mechanism()));
        }
    }
}

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

#[test]
fn unknown_users_look_like_known_ones_and_always_the_same() {
    let strong = hash_password("strong", "x", ScramHash::Sha256, 10_000, [5; 16]).unwrap();
    let other = hash_password("other", "x", ScramHash::Sha256, 10_000, [6; 16]).unwrap();
    let users = Arc::new(UserFile::parse(&format!("{strong}\n{other}"), [0; 32]).unwrap());
    let challenge = |secret: u8, user: &str| {
        let config = ServerConfig::new([secret; 32]).users(users.clone());
        let first = format!("n,,n={user},r=abc");
        match server(config, false).init("SCRAM-SHA-256", Some(first.as_bytes())) {
            Step::Challenge(challenge) => String::from_utf8(challenge.to_vec()).unwrap(),
            other => panic!("{other:?}"),
        }
    };
    let [known, unknown] = ["strong", "weak"].map(|user| challenge(1, user));
    assert_eq!(known.len(), unknown.len());
    assert!(known.ends_with(",i=10000") && unknown.ends_with(",i=10000"), "{known} {unknown}");
    assert_eq!(unknown, challenge(1, "weak"));
    assert_ne!(unknown, challenge(1, "weak2"));
    assert_ne!(unknown, challenge(2, "weak"));
}

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

#[test]
fn a_server_offers_what_it_can_check() {
    let nobody = ServerConfig::new([0; 32]);
    assert!(nobody.mechanisms(true, Some("x")).is_empty());
    let all = config().anonymous(true).external(true).plain_without_tls(true);
    assert_eq!(all.mechanisms(false, Some("x")), EVERYTHING);
    assert_eq!(config().mechanisms(true, Some("x")), EVERYTHING[1..5]);
    assert_eq!(config().mechanisms(false, None), EVERYTHING[1..4]);
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
fn the_signature_may_come_as_a_last_challenge() {
    let with_challenge = || server(config(), false).final_challenge(true);
    assert_eq!(run(client("alice", "wonderland"), with_challenge(), false), accepted("alice", "SCRAM-SHA-512"));
    let forged = run_tampered(client("alice", "wonderland"), with_challenge(), false, |number, message| {
        if number == 3 { Bytes::from_static(b"v=QUJD") } else { message }
    });
    assert_eq!(forged, End::GivenUpByClient(SaslError::ServerSignature));
    let talkative = run_tampered(client("alice", "wonderland"), with_challenge(), false, |number, message| {
        if number == 4 { Bytes::from_static(b"x") } else { message }
    });
    assert!(matches!(talkative, End::RefusedByServer(SaslError::Malformed(_))), "{talkative:?}");
}

#[test]
fn a_server_that_forges_or_skips_its_signature_is_refused() {
    let mut proven = client("alice", "wonderland");
    let mut server = server(config(), false);
    let init = proven.start(&["SCRAM-SHA-256"], false).unwrap();
    let Step::Challenge(challenge) = server.init(init.mechanism, init.response.as_deref()) else { panic!() };
    let response = proven.challenge(&challenge).unwrap();
    let Step::Accepted { additional: Some(genuine), .. } = server.response(&response) else { panic!() };

    // The same exchange again, up to the outcome: both sides are deterministic.
    let until_outcome = || {
        let mut client = client("alice", "wonderland");
        client.start(&["SCRAM-SHA-256"], false).unwrap();
        assert_eq!(client.challenge(&challenge).unwrap(), response);
        client
    };
    assert_eq!(until_outcome().finish(Some(&genuine)), Ok(()));
    assert_eq!(until_outcome().finish(None), Err(SaslError::ServerSignature));
    assert_eq!(until_outcome().finish(Some(b"")), Err(SaslError::ServerSignature));
    assert_eq!(until_outcome().finish(Some(b"v=QUJD")), Err(SaslError::ServerSignature));
    assert_eq!(until_outcome().finish(Some(b"e=invalid-proof")), Err(SaslError::AuthenticationFailed));
    let mut forged = genuine.to_vec();
    forged[5] ^= 1;
    assert_eq!(until_outcome().finish(Some(&forged)), Err(SaslError::ServerSignature));

    // A server that says "welcome" before it was shown anything.
    let mut early = client("alice", "wonderland");
    early.start(&["SCRAM-SHA-256"], false).unwrap();
    assert_eq!(early.finish(Some(&genuine)), Err(SaslError::UnexpectedStep));
    assert_eq!(early.challenge(&challenge), Err(SaslError::UnexpectedStep));
}

#[test]
fn an_iteration_bomb_is_refused_at_once() {
    let challenge = |mechanism: &str, iterations: &str| {
        let mut client = client("alice", "wonderland");
        let init = client.start(&[mechanism], false).unwrap().response.unwrap();
        let (_, nonce) = str::from_utf8(&init).unwrap().split_once("r=").unwrap();
        client.challenge(format!("r={nonce}x,s=QUJD,i={iterations}").as_bytes())
    };
    let refused = |count, min| Err(SaslError::IterationCount { count, min });
    assert_eq!(challenge("SCRAM-SHA-512", "1000001"), refused(1_000_001, 4096));
    assert_eq!(challenge("SCRAM-SHA-256", "999999999"), refused(999_999_999, 4096));
    assert!(matches!(challenge("SCRAM-SHA-256", "4294967295"), Err(SaslError::Malformed(_))));
    assert_eq!(challenge("SCRAM-SHA-256", "1"), refused(1, 4096));
    assert_eq!(challenge("SCRAM-SHA-1", "999"), refused(999, 1000));
    assert!(challenge("SCRAM-SHA-1", "1000").is_ok());
    assert!(SaslError::IterationCount { count: 1, min: 4096 }.hint().unwrap().contains("more"));
    assert!(SaslError::IterationCount { count: 1_000_001, min: 4096 }.hint().unwrap().contains("fewer"));
}

/// Each message of an exchange cut at every byte: it never ends well, and never panics.
#[test]
fn cut_messages_are_refused() {
    for number in 0..4 {
        for length in 0.. {
            let mut whole = false;
            let end = run_tampered(scram_sha_1(), server(fast(), false), false, |n, message| {
                if n == number {
                    whole = length >= message.len();
                    message.slice(..length.min(message.len()))
                } else {
                    message
                }
            });
            if whole {
                assert_eq!(end, accepted("alice", "SCRAM-SHA-1"));
                break;
            }
            assert!(!matches!(end, End::Accepted(_, _, Ok(()))), "message {number} cut to {length}: {end:?}");
        }
    }
}

/// Each message of an exchange with each byte changed: it never ends well, and never panics.
#[test]
fn changed_messages_are_refused() {
    let mut changed = 0;
    for number in 0..4 {
        for (position, bit) in (0..).flat_map(|position| [(position, 0x01), (position, 0x80)]) {
            let mut beyond = false;
            let end = run_tampered(scram_sha_1(), server(fast(), false), false, |n, message| {
                if n != number {
                    return message;
                }
                beyond = position >= message.len();
                let mut bytes = message.to_vec();
                if let Some(byte) = bytes.get_mut(position) {
                    *byte ^= bit;
                }
                Bytes::from(bytes)
            });
            if beyond {
                break;
            }
            changed += 1;
            assert!(!matches!(end, End::Accepted(_, _, Ok(()))), "message {number} at {position}: {end:?}");
        }
    }
    assert!(changed > 400, "only {changed} changes were tried");
}

#[test]
fn oversized_messages_are_refused_before_they_are_read() {
    let long = vec![b'x'; MAX_MESSAGE + 1];
    let refused = Step::Refused(SaslError::TooLong { limit: MAX_MESSAGE });
    let all = || config().anonymous(true).plain_without_tls(true).external(true);
    for mechanism in EVERYTHING {
        let mut server = Server::new(Arc::new(all()), false, Some("x".to_owned()), SERVER_NONCE);
        assert_eq!(server.init(mechanism, Some(&long)), refused, "{mechanism}");
        assert_eq!(server.response(b""), Step::Refused(SaslError::UnexpectedStep));
    }
    let mut proving = server(all(), false);
    assert!(matches!(proving.init("SCRAM-SHA-1", Some(b"n,,n=alice,r=x")), Step::Challenge(_)));
    assert_eq!(proving.response(&long), refused);

    let mut challenged = client("alice", "wonderland");
    challenged.start(&["SCRAM-SHA-1"], false).unwrap();
    assert_eq!(challenged.challenge(&long), Err(SaslError::TooLong { limit: MAX_MESSAGE }));
    let name = "x".repeat(MAX_MESSAGE);
    assert_eq!(client(&name, "b").start(&["SCRAM-SHA-1"], false), Err(SaslError::TooLong { limit: MAX_MESSAGE }));
    let external = Credentials::External { authorization: Some(name + "x") };
    let too_long = Client::new(external, CLIENT_NONCE).start(&["EXTERNAL"], true);
    assert_eq!(too_long, Err(SaslError::TooLong { limit: MAX_MESSAGE }));
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
fn a_response_of_another_exchange_is_refused() {
    let first = b"n,,n=alice,r=abc";
    let mut one = Server::new(Arc::new(config()), false, None, [1; 24]);
    assert!(matches!(one.init("SCRAM-SHA-1", Some(first)), Step::Challenge(_)));
    let proof = "AAAAAAAAAAAAAAAAAAAAAAAAAAA=";
    assert_eq!(one.response(format!("c=biws,r=abcd,p={proof}").as_bytes()), Step::Refused(SaslError::NonceMismatch));

    // A header that is not the one of the first message.
    let mut one = Server::new(Arc::new(config()), false, None, [1; 24]);
    let Step::Challenge(challenge) = one.init("SCRAM-SHA-1", Some(first)) else { panic!() };
    let nonce = str::from_utf8(&challenge).unwrap().split_once(',').unwrap().0;
    let step = one.response(format!("c=eSws,{nonce},p={proof}").as_bytes());
    assert!(matches!(step, Step::Refused(SaslError::Malformed(_))), "{step:?}");
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

/// The examples of RFC 5802 5 and RFC 7677 3; that of SHA-512 was computed with another implementation.
mod vectors {
    use super::*;

    struct Vector {
        hash: ScramHash,
        client_nonce: &'static str,
        server_nonce: &'static str,
        salt: &'static [u8],
        challenge: &'static str,
        proof: &'static str,
        signature: &'static str,
    }

    const SALT_5802: &[u8] = &[0x41, 0x25, 0xc2, 0x47, 0xe4, 0x3a, 0xb1, 0xe9, 0x3c, 0x6d, 0xff, 0x76];
    const SALT_7677: &[u8] =
        &[0x5b, 0x6d, 0x99, 0x68, 0x9d, 0x12, 0x35, 0x8e, 0xec, 0xa0, 0x4b, 0x14, 0x12, 0x36, 0xfa, 0x81];
    const VECTORS: [Vector; 3] = [
        Vector {
            hash: ScramHash::Sha1,
            client_nonce: "fyko+d2lbbFgONRv9qkxdawL",
            server_nonce: "3rfcNHYJY1ZVvWVs7j",
            salt: SALT_5802,
            challenge: "s=QSXCR+Q6sek8bf92,i=4096",
            proof: "v0X8v3Bz2T0CJGbJQyF0X+HI4Ts=",
            signature: "rmF9pqV8S7suAoZWja4dJRkFsKQ=",
        },
        Vector {
            hash: ScramHash::Sha256,
            client_nonce: "rOprNGfwEbeRWgbNEkqO",
            server_nonce: "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0",
            salt: SALT_7677,
            challenge: "s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096",
            proof: "dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=",
            signature: "6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=",
        },
        Vector {
            hash: ScramHash::Sha512,
            client_nonce: "rOprNGfwEbeRWgbNEkqO",
            server_nonce: "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0",
            salt: SALT_7677,
            challenge: "s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096",
            proof: "gMGXRcevScNtxZ6/8lQYpGtnsNAc3mGcmNomv+xnoOMw+3R2xNJdMNnzMlTN8PPC6wdp6dybEmDYXYTxwnYPJQ==",
            signature: "ZQnYEgWQMFmmsM8aQMF0nDDCy/AgCzkwk8CmMZYcMg0vSVlKDanekLtifDSeVGT4+5ZxXnJq199RVG2rR7N7Zw==",
        },
    ];

    #[derive(Debug)]
    struct Pencil(ScramKeys);

    impl Users for Pencil {
        fn scram(&self, user: &str, hash: ScramHash) -> Option<ScramKeys> {
            (user == "user" && hash == self.0.hash()).then(|| self.0.clone())
        }

        fn check_plain(&self, _user: &str, _password: &str) -> bool {
            false
        }
    }

    #[test]
    fn both_sides_say_what_the_standards_say() {
        for vector in VECTORS {
            let keys = ScramKeys::derive(vector.hash, "pencil", 4096, vector.salt).unwrap();
            let config = Arc::new(ServerConfig::new([0; 32]).users(Arc::new(Pencil(keys))));
            let mut server = Server::with_nonce(config, false, None, vector.server_nonce.to_owned());
            let credentials = Credentials::password("user", "pencil");
            let mut client = Client::with_nonce(credentials, vector.client_nonce.to_owned());

            let init = client.start(&[vector.hash.mechanism()], false).unwrap();
            let response = init.response.unwrap();
            assert_eq!(response, format!("n,,n=user,r={}", vector.client_nonce));
            let nonce = format!("r={}{}", vector.client_nonce, vector.server_nonce);
            let challenge = Bytes::from(format!("{nonce},{}", vector.challenge));
            assert_eq!(server.init(init.mechanism, Some(&response)), Step::Challenge(challenge.clone()));
            let response = client.challenge(&challenge).unwrap();
            assert_eq!(response, format!("c=biws,{nonce},p={}", vector.proof));
            let signature = Bytes::from(format!("v={}", vector.signature));
            let accepted = Step::Accepted {
                user: "user".to_owned(),
                mechanism: vector.hash.mechanism(),
                additional: Some(signature.clone()),
            };
            assert_eq!(server.response(&response), accepted);
            assert_eq!(client.finish(Some(&signature)), Ok(()));
        }
    }
}

/// A user whose exchanges are as cheap as they may be, for tests that run hundreds.
fn fast() -> ServerConfig {
    static FAST: LazyLock<Arc<UserFile>> = LazyLock::new(|| {
        let line = hash_password("alice", "wonderland", ScramHash::Sha1, 1000, [7; 16]).unwrap();
        Arc::new(UserFile::parse(&line, [0; 32]).unwrap())
    });
    ServerConfig::new([8; 32]).users(FAST.clone())
}

fn scram_sha_1() -> Client {
    client("alice", "wonderland").allowed(["SCRAM-SHA-1"])
}

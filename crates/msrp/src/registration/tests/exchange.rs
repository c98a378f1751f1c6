//! One login at one relay.

use super::*;
use crate::digest::{DigestErrorKind, DigestUri, LoginError};
use crate::{HeaderName, PathError};

fn refused() -> Kind {
    Kind::Login(LoginError::Refused { realm: "intra.example.com".into() })
}

/// RFC 4976 5.1: the first exchange there, with the client's own values.
#[test]
fn r52_a_client_is_let_in() {
    let mut client = Client::begun();
    let head = client.asks();
    assert_eq!((head.text(HeaderName::ToPath), head.text(HeaderName::FromPath)), (Some(INTRA), Some(OWN)));
    assert_eq!((head.text(HeaderName::Expires), proof(&head)), (Some("3600"), None));
    assert!(client.registration.pending().is_some() && client.registration.use_path().is_none());
    assert_eq!(client.answer(&head, "401 Unauthorized", CHALLENGE), None);

    let head = client.asks();
    let shown = proof(&head).unwrap();
    assert_eq!((shown.username(), shown.realm(), shown.nonce()), ("alice", "intra.example.com", "dcd98b7102dd"));
    assert_eq!((shown.nonce_count(), shown.opaque(), shown.uri()), (1, None, Some(INTRA)));
    assert_eq!(shown.cnonce().len(), 24);
    let outcome = client.answer(&head, "200 OK", &granted(900));
    let (use_path, expires_at) = (INTRA_PATH.parse::<Path>().unwrap(), client.now + Duration::from_secs(900));
    assert_eq!(outcome, Some(Outcome::Granted { use_path: use_path.clone(), expires_at }));
    assert_eq!(client.registration.use_path(), Some(&use_path));
    assert_eq!((client.registration.expires_at(), client.registration.pending()), (Some(expires_at), None));
    assert!(client.sent().is_empty());
}

/// Relays write what they like behind the code, or nothing.
#[test]
fn r52_comments_do_not_count() {
    for line in ["401 Unauthenticated", "401 OK", "401"] {
        let mut client = Client::begun();
        assert_eq!(client.answered(line, CHALLENGE), None);
        assert!(proof(&client.asks()).is_some(), "{line}");
    }
    let mut client = Client::begun();
    assert_eq!(client.lost_by("403 Unauthorized", CHALLENGE), Kind::Forbidden);
}

#[test]
fn r52_a_wrong_password_ends_the_login() {
    let mut client = Client::with(|options| options.digest_uri = DigestUri::Always);
    assert_eq!(client.answered("401 x", CHALLENGE), None);
    assert_eq!(client.lost_by("401 x", CHALLENGE), refused());
    // Nothing is tried by itself.
    assert_eq!((client.sent().len(), client.registration.poll_timeout()), (0, None));
    assert_eq!(client.registration.use_path(), None);
    // Another login begins without a proof, and has all its attempts.
    client.registration.begin(&mut client.connection, client.now).unwrap();
    assert_eq!(proof(&client.asks()), None);
}

/// Interop facts 1 and 2: the form of the proof goes by the challenge, the other one is tried, `opaque` goes back if it came.
#[test]
fn r52_the_uri_is_named_by_policy() {
    let opaque = CHALLENGE.replace("\r\n", ", opaque=\"5ccc\"\r\n");
    for (policy, challenge, forms) in [
        (DigestUri::Always, &*opaque, &[true][..]),
        (DigestUri::Never, CHALLENGE, &[false]),
        (DigestUri::Auto, CHALLENGE, &[true, false]),
        (DigestUri::Auto, &opaque, &[false, true]),
    ] {
        let mut client = Client::with(|options| options.digest_uri = policy);
        let mut outcome = client.answered("401 x", challenge);
        for with_uri in forms {
            assert_eq!(outcome, None);
            let head = client.asks();
            let shown = proof(&head).unwrap();
            assert_eq!(shown.uri(), with_uri.then_some(INTRA));
            assert_eq!(shown.opaque(), (challenge == opaque).then_some("5ccc"));
            outcome = client.answer(&head, "401 x", challenge);
        }
        assert_eq!(lost(outcome), refused());
    }
}

/// Interop fact 1: there is a relay that never answers one of the forms.
#[test]
fn r52_silence_is_answered_with_the_other_form() {
    let mut client = Client::begun();
    client.answered("401 x", CHALLENGE);
    assert!(proof(&client.asks()).unwrap().uri().is_some());
    assert_eq!(client.wait(30), None);
    let head = client.asks();
    assert!(proof(&head).unwrap().uri().is_none());
    assert!(matches!(client.answer(&head, "200 OK", &granted(900)), Some(Outcome::Granted { .. })));

    let mut silent = Client::begun();
    silent.asks();
    assert_eq!(silent.wait(29), None);
    assert_eq!(lost(silent.wait(1)), Kind::Login(LoginError::NoAnswer));
    // A relay before it may tell the same.
    assert_eq!(Client::begun().lost_by("408 Timeout", ""), Kind::Login(LoginError::NoAnswer));
}

#[test]
fn r52_challenges_that_msrp_does_not_have() {
    let of = |rest: &str| format!("WWW-Authenticate: {rest}\r\n");
    let with = |rest: &str| of(&format!("Digest realm=\"x\", nonce=\"n\"{rest}"));
    for (headers, expected) in [
        (String::new(), DigestErrorKind::Scheme),
        (of("Basic realm=\"x\""), DigestErrorKind::Scheme),
        (with(", qop=\"auth\", algorithm=MD5-sess"), DigestErrorKind::Algorithm),
        (with(", qop=\"auth-int\""), DigestErrorKind::Qop),
        (with(""), DigestErrorKind::Missing("qop")),
    ] {
        match Client::begun().lost_by("401 x", &headers) {
            Kind::Challenge(error) => assert_eq!(error.kind(), expected, "{headers}"),
            other => panic!("{other:?}"),
        }
    }
    // One that can be answered may stand beside them.
    let mut client = Client::begun();
    assert_eq!(client.answered("401 x", &format!("{}{CHALLENGE}", of("Basic realm=\"x\""))), None);
    assert_eq!(proof(&client.asks()).unwrap().realm(), "intra.example.com");
}

#[test]
fn r52_other_codes_end_the_login() {
    let code = |code| Code::new(code).unwrap();
    let refused = |of, comment: &str| Kind::Refused { code: code(of), comment: Some(comment.into()) };
    for (line, kind) in [
        ("403 Forbidden", Kind::Forbidden),
        ("501 Unknown", Kind::NotRelay),
        ("400 Bad", refused(400, "Bad")),
        ("500 Broken", refused(500, "Broken")),
        ("302 Moved", refused(302, "Moved")),
        ("999", Kind::Refused { code: code(999), comment: None }),
    ] {
        assert_eq!(Client::begun().lost_by(line, ""), kind);
    }
}

#[test]
fn r53_an_interval_is_agreed_on() {
    for (wanted, bounds, then) in [
        (Some(3600), "Max-Expires: 900\r\n", "900"),
        (Some(60), "Min-Expires: 120\r\n", "120"),
        (Some(3600), "Min-Expires: 60\r\nMax-Expires: 1800\r\n", "1800"),
        (Some(10), "Min-Expires: 60\r\nMax-Expires: 1800\r\n", "60"),
        (None, "Min-Expires: 60\r\nMax-Expires: 1800\r\n", "1800"),
        (None, "Min-Expires: 60\r\n", "60"),
    ] {
        let mut client = Client::with(|options| options.expires = wanted);
        let head = client.asks();
        assert_eq!(head.text(HeaderName::Expires).map(str::to_owned), wanted.map(|seconds| seconds.to_string()));
        assert_eq!(client.answer(&head, "423 x", bounds), None);
        let head = client.asks();
        assert_eq!(head.text(HeaderName::Expires), Some(then), "{bounds}");
        client.answer(&head, "200 OK", &format!("Use-Path: {INTRA_PATH}\r\n"));
        let expected = client.now + Duration::from_secs(then.parse().unwrap());
        assert_eq!(client.registration.expires_at(), Some(expected));
        // It is asked for at once the next time.
        client.wait(then.parse::<u64>().unwrap() / 2);
        client.wait(then.parse::<u64>().unwrap() * 4 / 10);
        assert_eq!(client.asks().text(HeaderName::Expires), Some(then));
    }
}

#[test]
fn r53_an_interval_that_cannot_be_agreed_on() {
    let (some, none) = (|seconds| Some(seconds), None);
    for (headers, min, max) in [
        ("", none, none),
        ("Min-Expires: x\r\n", none, none),
        // What was asked for is within them.
        ("Min-Expires: 60\r\nMax-Expires: 3600\r\n", some(60), some(3600)),
        ("Min-Expires: 60\r\nMax-Expires: 30\r\n", some(60), some(30)),
        ("Max-Expires: 0\r\n", none, some(0)),
        ("Min-Expires: 604801\r\n", some(604_801), none),
        ("Min-Expires: 99999999999999999999\r\n", some(u32::MAX), none),
    ] {
        assert_eq!(Client::begun().lost_by("423 x", headers), Kind::Interval { min, max }, "{headers}");
    }
    // A relay that names others each time.
    let mut client = Client::begun();
    assert_eq!(client.answered("423 x", "Max-Expires: 900\r\n"), None);
    assert_eq!(client.answered("423 x", "Max-Expires: 800\r\n"), None);
    assert_eq!(client.lost_by("423 x", "Max-Expires: 700\r\n"), Kind::Interval { min: None, max: Some(700) });
}

#[test]
fn r53_for_how_long_it_is_granted() {
    for (wanted, said, taken) in [
        (Some(3600), "Expires: 900\r\n", 900),
        (Some(60), "Expires: 900\r\n", 60),
        (Some(60), "", 60),
        (Some(60), "Expires: soon\r\n", 60),
        (None, "", DEFAULT_EXPIRES),
        (None, "Expires: 18446744073709551616\r\n", MAX_EXPIRES),
    ] {
        let mut client = Client::with(|options| options.expires = wanted);
        client.answered("200 OK", &format!("Use-Path: {INTRA_PATH}\r\n{said}"));
        assert_eq!(client.registration.expires_at(), Some(client.now + Duration::from_secs(taken.into())), "{said}");
    }
    assert_eq!(Client::begun().lost_by("200 OK", &granted(0)), Kind::Interval { min: None, max: Some(0) });
}

#[test]
fn r52_a_way_that_leads_nowhere() {
    let many = |count: usize| (0..count).map(|place| format!(" msrps://a:1/{place};tcp")).collect::<String>();
    for (path, expected) in [
        ("msrps://intra.example.com/x;tcp", UsePathError::Port(0)),
        ("msrps://a:1/x;tcp msrps://b:1;tcp", UsePathError::SessionId(1)),
        ("msrps://a:1/x;tcp msrps://A:1/x;tcp", UsePathError::Loop(1)),
        (OWN, UsePathError::Loop(0)),
        (&*many(31), UsePathError::Long(31)),
        (&*many(33), UsePathError::Text(PathError::Long)),
        ("", UsePathError::Text(PathError::Empty)),
    ] {
        let mut client = Client::begun();
        assert_eq!(client.lost_by("200 OK", &format!("Use-Path: {path}\r\n")), Kind::UsePath(expected), "{path}");
        assert_eq!(client.registration.use_path(), None);
    }
    assert_eq!(Client::begun().lost_by("200 OK", ""), Kind::UsePath(UsePathError::Missing));
    let no_uri = Client::begun().lost_by("200 OK", "Use-Path: http://x\r\n");
    assert!(matches!(no_uri, Kind::UsePath(UsePathError::Text(PathError::Uri { place: 0, .. }))), "{no_uri:?}");
    // Relays go by other names than they are asked by, have no name, and more than one hop; interop fact 4.
    for path in ["msrps://farm7.example.net:2855/a/b+c=;tcp", "msrp://127.0.0.1:22855/s.1.2;tcp", &many(30)[1..]] {
        let mut client = Client::begun();
        let outcome = client.answered("200 OK", &format!("Use-Path: {path}\r\n"));
        assert!(matches!(outcome, Some(Outcome::Granted { use_path, .. }) if use_path.to_string() == path));
    }
}

/// A relay that is not the one that knows the password, by any of its names.
#[test]
fn r52_impostors_are_found_out() {
    let wrong = "Authentication-Info: rspauth=\"00000000000000000000000000000000\", qop=auth\r\n";
    let mut client = Client::begun();
    client.answered("401 x", CHALLENGE);
    let kind = client.lost_by("200 OK", &format!("{}{wrong}", granted(900)));
    assert_eq!(kind, Kind::Login(LoginError::Impostor));
    assert_eq!(client.registration.use_path(), None);

    // One that proves nothing is let be, unless it has to.
    for (headers, asked) in [("", true), ("Authentication-Info: @\r\n", true), ("", false)] {
        for require in [false, true] {
            let mut client = Client::with(|options| options.require_proof = require);
            if asked {
                client.answered("401 x", CHALLENGE);
            }
            let outcome = client.answered("200 OK", &format!("{}{headers}", granted(900)));
            if require {
                assert_eq!(lost(outcome), Kind::Unproven);
            } else {
                assert!(matches!(outcome, Some(Outcome::Granted { .. })));
            }
        }
    }
}

#[test]
fn r52_a_relay_cannot_keep_a_client_asking() {
    let mut client = Client::begun();
    let mut asked = 0;
    let challenge = |nonce: u32| CHALLENGE.replace("dcd98b7102dd\"", &format!("{nonce}\", stale=true"));
    let kind = loop {
        let head = client.asks();
        asked += 1;
        assert!(asked <= MAX_REQUESTS);
        let outcome = match asked {
            2 => client.answer(&head, "423 x", "Max-Expires: 900\r\n"),
            4 => client.answer(&head, "423 x", "Max-Expires: 800\r\n"),
            6 => client.wait(30),
            _ => client.answer(&head, "401 x", &challenge(asked)),
        };
        if outcome.is_some() {
            break lost(outcome);
        }
    };
    assert_eq!(kind, refused());
}

/// What the digest client bounds by itself today stays bounded.
#[test]
fn r52_a_login_has_a_last_request() {
    let mut client = Client::begun();
    client.registration.hops[0].requests = MAX_REQUESTS - 1;
    assert_eq!(client.answered("401 x", CHALLENGE), None);
    assert_eq!(client.lost_by("401 x", CHALLENGE), Kind::Loop);
}

#[test]
fn r52_an_answer_to_something_else_changes_nothing() {
    let mut client = Client::begun();
    let head = client.asks();
    let other = client.connection.request_along(
        &INTRA.parse().unwrap(),
        &OWN.parse().unwrap(),
        &Request::new(Method::Auth).unwrap(),
    );
    assert_ne!(client.registration.pending(), Some(other));
    let others = client.asks();
    assert_eq!(client.answer(&others, "403 no", ""), None);
    // Nor does one to nothing, or a second one.
    client
        .connection
        .handle_input(client.now, Bytes::from_static(b"MSRP zzzz 200 OK\r\nTo-Path: x\r\n-------zzzz$\r\n"));
    assert_eq!(client.outcome(), None);
    assert!(client.answer(&head, "200 OK", &granted(900)).is_some());
    assert_eq!(client.answer(&head, "403 no", ""), None);
    assert_eq!(client.registration.handle_no_response(other, &mut client.connection, client.now), None);
    assert!(client.registration.use_path().is_some());
}

#[test]
fn r53_each_session_has_a_registration_over_one_connection() {
    let mut client = Client::begun();
    let mut others = options();
    others.own = "msrps://alice.example.com:9892/other;tcp".parse().unwrap();
    let mut other = Registration::new(others, counted()).unwrap();
    other.begin(&mut client.connection, client.now).unwrap();
    let heads = client.sent();
    assert_eq!(heads.len(), 2);
    assert_eq!(heads[1].text(HeaderName::FromPath), Some("msrps://alice.example.com:9892/other;tcp"));
    for (head, id) in heads.iter().zip(["one", "two"]).rev() {
        let id_of = head.transaction_id();
        let frame = format!(
            "MSRP {id_of} 200\r\nTo-Path: {OWN}\r\nFrom-Path: {INTRA}\r\nUse-Path: msrps://a:1/{id};tcp\r\n-------{id_of}$\r\n"
        );
        client.connection.handle_input(client.now, frame.into());
    }
    while let Some(event) = client.connection.poll_event() {
        client.registration.handle_event(&event, &mut client.connection, client.now);
        other.handle_event(&event, &mut client.connection, client.now);
    }
    assert_eq!(client.registration.use_path().unwrap().to_string(), "msrps://a:1/one;tcp");
    assert_eq!(other.use_path().unwrap().to_string(), "msrps://a:1/two;tcp");
}

#[test]
fn r52_what_cannot_be_registered() {
    let check = |change: fn(&mut RegistrationOptions)| {
        let mut options = options();
        change(&mut options);
        Registration::new(options, counted()).map(|_| ())
    };
    assert_eq!(check(|_| {}), Ok(()));
    let clear: fn(&mut RegistrationOptions) = |options| options.relays[0].uri = "msrp://a;tcp".parse().unwrap();
    assert_eq!(check(clear), Err(OptionsError::ClearText { place: 0 }));
    assert!(OptionsError::ClearText { place: 0 }.hint().is_some());
    let allowed = check(|options| {
        options.relays[0].uri = "msrp://a;tcp".parse().unwrap();
        options.allow_clear_text = true;
    });
    assert_eq!(allowed, Ok(()));
    let address = |options: &mut RegistrationOptions| {
        options.relays[0].uri = Uri::new(std::net::Ipv4Addr::LOCALHOST).with_scheme(crate::Scheme::Msrps);
    };
    assert_eq!(check(address), Err(OptionsError::PortMissing { place: 0 }));
    assert_eq!(check(|options| options.relays.clear()), Err(OptionsError::Relays));
    assert_eq!(check(|options| options.relays = vec![options.relays[0].clone(); 31]), Err(OptionsError::Relays));
    assert_eq!(check(|options| options.relays = vec![options.relays[0].clone(); 30]), Ok(()));
    assert_eq!(check(|options| options.own = "msrps://a/x;tcp".parse().unwrap()), Err(OptionsError::Own));
    assert_eq!(check(|options| options.own = "msrps://a:1;tcp".parse().unwrap()), Err(OptionsError::Own));
    assert_eq!(check(|options| options.expires = Some(0)), Err(OptionsError::Expires));
    assert_eq!(check(|options| options.expires = Some(MAX_EXPIRES + 1)), Err(OptionsError::Expires));
    assert_eq!(check(|options| options.expires = Some(MAX_EXPIRES)), Ok(()));
}

#[test]
fn r52_errors_tell_which_relay_and_what_to_do() {
    let mut client = Client::begun();
    let Some(Outcome::Lost(error)) = client.answered("403 no", "") else { panic!("it is refused") };
    assert_eq!((error.relay(), error.kind()), (INTRA, &Kind::Forbidden));
    assert_eq!(error.to_string(), format!("relay {INTRA}: not allowed to use the relay"));
    assert!(error.hint().is_some());
}

#[test]
fn r64_nothing_shows_the_password() {
    let mut client = Client::begun();
    client.answered("401 x", CHALLENGE);
    client.asks();
    assert!(!format!("{:?}", client.registration).contains("wonderland"));
}

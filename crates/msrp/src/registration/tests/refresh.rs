//! URIs that last: renewed, lost, expired.

use super::*;

#[test]
fn r53_a_uri_is_renewed_before_it_expires() {
    // The margin is a tenth, at least 90 s, and never more than half.
    for (expires, at) in [(3600, 3240), (1000, 900), (600, 510), (120, 60), (2, 1)] {
        let mut client = Client::let_in(expires);
        let due = client.now + Duration::from_secs(at);
        assert_eq!(client.registration.poll_timeout(), Some(due), "{expires}");
        assert_eq!(client.wait(at - 1), None);
        assert!(client.sent().is_empty());
        assert_eq!(client.wait(1), None);
        let (use_path, expires_at) = (INTRA_PATH.parse().unwrap(), client.now + Duration::from_secs(expires));
        let outcome = client.answered("200 OK", &granted(expires));
        assert_eq!(outcome, Some(Outcome::Refreshed { use_path, moved: false, expires_at }));
    }
}

#[test]
fn r53_a_relay_may_give_another_uri() {
    let mut client = Client::let_in(600);
    assert_eq!(client.wait(510), None);
    let outcome = client.answered("200 OK", "Use-Path: msrps://intra.example.com:9000/other;tcp\r\n");
    assert!(matches!(outcome, Some(Outcome::Refreshed { moved: true, .. })));
    assert_eq!(client.registration.use_path().unwrap().first().session_id(), Some("other"));
}

/// RFC 4976 5.1, 9.1: the nonce for the next request saves a challenge; without one, the count goes on.
#[test]
fn r52_nonces_and_counts_from_one_login_to_the_next() {
    let mut client = Client::begun();
    client.answered("401 x", CHALLENGE);
    client.answered("200 OK", &granted(600));
    client.wait(510);
    let head = client.asks();
    let shown = proof(&head).unwrap();
    assert_eq!((shown.nonce(), shown.nonce_count()), ("dcd98b7102dd", 2));
    client.answer(&head, "200 OK", &format!("{}Authentication-Info: nextnonce=\"40f2e879\"\r\n", granted(600)));
    client.wait(510);
    let head = client.asks();
    let next = proof(&head).unwrap();
    assert_eq!((next.nonce(), next.nonce_count()), ("40f2e879", 1));
    assert_ne!(next.cnonce(), shown.cnonce());
    // Which may be stale by now, and the one after it too.
    let stale = |nonce: &str| CHALLENGE.replace("dcd98b7102dd\"", &format!("{nonce}\", stale=true"));
    assert_eq!(client.answer(&head, "401 x", &stale("fresh")), None);
    assert_eq!(client.answered("401 x", &stale("fresher")), None);
    let head = client.asks();
    assert_eq!(proof(&head).map(|shown| (shown.nonce().to_owned(), shown.nonce_count())), Some(("fresher".into(), 1)));
    assert!(matches!(client.answer(&head, "200 OK", &granted(600)), Some(Outcome::Refreshed { .. })));
}

#[test]
fn r53_a_renewal_that_is_refused_ends_it() {
    for (line, headers, kind) in [
        ("403 no", String::new(), Kind::Forbidden),
        ("200 OK", String::new(), Kind::UsePath(UsePathError::Missing)),
        ("501 x", String::new(), Kind::NotRelay),
    ] {
        let mut client = Client::let_in(600);
        client.wait(510);
        assert_eq!(client.lost_by(line, &headers), kind);
        assert_eq!((client.registration.use_path(), client.registration.expires_at()), (None, None));
        assert_eq!(client.registration.poll_timeout(), None);
    }
}

#[test]
fn r53_a_renewal_that_is_not_answered_is_tried_again() {
    let mut client = Client::let_in(1200);
    // At 1080 s; 90 s are left when it is given up at 1110 s.
    assert_eq!(client.wait(1080), None);
    client.asks();
    assert_eq!(client.wait(30), None);
    assert!(client.sent().is_empty() && client.registration.use_path().is_some());
    assert_eq!(client.wait(44), None);
    assert!(client.sent().is_empty());
    assert_eq!(client.wait(1), None);
    // And a relay that is broken for a while is like one that is silent; 45 s are left.
    assert_eq!(client.answered("500 x", ""), None);
    assert_eq!(client.wait(22), None);
    assert!(client.sent().is_empty());
    assert_eq!(client.wait(1), None);
    let head = client.asks();
    let mut late = client;
    assert_eq!(lost(late.wait(22)), Kind::Expired);
    assert_eq!(late.answer(&head, "200 OK", &granted(1200)), None);
    assert_eq!(late.registration.use_path(), None);
}

#[test]
fn r53_a_renewal_after_silence_succeeds() {
    let mut client = Client::let_in(1200);
    client.wait(1080);
    client.asks();
    client.wait(75);
    assert!(matches!(client.answered("200 OK", &granted(1200)), Some(Outcome::Refreshed { moved: false, .. })));
    assert_eq!(client.registration.expires_at(), Some(client.now + Duration::from_secs(1200)));
}

/// A login that was cut off counts for nothing: the next one has all its attempts.
#[test]
fn r53_uris_are_lost_with_the_connection() {
    let mut client = Client::let_in(600);
    client.connection.handle_eof();
    assert_eq!(lost(client.outcome()), Kind::Closed);
    assert_eq!((client.registration.use_path(), client.registration.poll_timeout()), (None, None));
    let error = client.registration.begin(&mut client.connection, client.now).unwrap_err();
    assert_eq!(error.kind(), &Kind::Closed);
    assert_eq!(client.registration.handle_closed(), None);

    let mut cut = Client::with(|options| options.digest_uri = crate::digest::DigestUri::Always);
    cut.answered("401 x", CHALLENGE);
    cut.asks();
    cut.connection.handle_eof();
    assert_eq!(lost(cut.outcome()), Kind::Closed);
    cut.connection = Client::begun().connection;
    cut.registration.begin(&mut cut.connection, cut.now).unwrap();
    let heads = cut.sent();
    assert_eq!(heads.iter().filter_map(proof).count(), 0);
    assert_eq!(cut.answer(&heads[1], "401 x", CHALLENGE), None);
    assert!(proof(&cut.asks()).is_some());
}

/// A relay that breaks off in the middle of a renewal does not make the next one fail.
#[test]
fn r53_what_a_failed_renewal_leaves_counts_for_nothing() {
    let mut client = Client::with(|options| options.digest_uri = crate::digest::DigestUri::Always);
    client.answered("401 x", CHALLENGE);
    client.answered("200 OK", &granted(1200));
    client.wait(1080);
    assert_eq!(client.answered("401 x", CHALLENGE), None);
    assert_eq!(client.answered("500 x", ""), None);
    client.wait(60);
    assert_eq!(client.answered("401 x", CHALLENGE), None);
    assert!(matches!(client.answered("200 OK", &granted(1200)), Some(Outcome::Refreshed { .. })));
}

#[test]
fn r53_an_owner_that_has_slept_hears_that_it_is_over() {
    let mut client = Client::let_in(600);
    client.now += Duration::from_secs(600);
    let outcome = client.registration.handle_timeout(&mut client.connection, client.now);
    assert_eq!(lost(outcome), Kind::Expired);
    assert!(client.sent().is_empty());
    assert_eq!(client.registration.handle_timeout(&mut client.connection, client.now), None);
}

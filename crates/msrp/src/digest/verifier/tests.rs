use super::super::{Client, Credentials, DigestUri, LoginError};
use super::*;

const URI: &str = "msrps://alice@relay.example.com;tcp";
const HERE: Request<'static> = Request { uri: URI, connection: 1 };
const LIFE: Duration = Duration::from_secs(300);

fn verifier() -> (Verifier, Instant) {
    let now = Instant::now();
    (Verifier::new("example.com", [9; 32], now).unwrap(), now)
}

/// Alice, whom everybody knows.
fn users(user: &str, algorithm: Algorithm) -> Option<Ha1> {
    (user == "alice").then(|| Ha1::from_password(algorithm, user, "example.com", "wonderland"))
}

fn answer_of(user: &str, password: &str, challenge: &Challenge, with_uri: bool, count: u32) -> Authorization {
    let credentials = Credentials::new(user, password).unwrap();
    Authorization::answer(challenge, &credentials, URI, with_uri, "0a4f113b", count).unwrap()
}

fn right(challenge: &Challenge, count: u32) -> Authorization {
    answer_of("alice", "wonderland", challenge, true, count)
}

/// The challenge of a refusal, and whether it says that the nonce was stale.
#[track_caller]
fn asked_again(outcome: Result<Login, Refusal>) -> (Challenge, bool) {
    match outcome {
        Err(Refusal::Unauthorized(mut challenges)) => {
            let challenge = challenges.remove(0);
            let stale = challenge.stale();
            (challenge, stale)
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn r54_both_ends_of_a_login_and_its_refresh() {
    for policy in [DigestUri::Always, DigestUri::Never, DigestUri::Auto] {
        for algorithms in [&[Algorithm::Md5][..], &[Algorithm::Sha256], &[Algorithm::Sha256, Algorithm::Md5]] {
            let (verifier, now) = verifier();
            let mut verifier = verifier.with_algorithms(algorithms);
            let mut client = Client::new(Credentials::new("alice", "wonderland").unwrap(), policy);
            let lines: Vec<String> = verifier.challenges(1, now).iter().map(Challenge::to_string).collect();
            assert_eq!(lines.len(), algorithms.len());
            let challenge = Challenge::choose(lines.iter().map(String::as_str)).unwrap();
            assert_eq!(challenge.algorithm(), algorithms[0]);
            client.challenged(&challenge).unwrap();
            let mut nonces = vec![];
            for cnonce in ["a", "b", "c"] {
                let text = client.authorize(URI, cnonce).unwrap().unwrap().to_string();
                let login = verifier.verify(&text.parse().unwrap(), &HERE, &users, now).unwrap();
                assert_eq!(login.username(), "alice");
                assert_eq!(client.accepted(Some(&login.info().to_string().parse().unwrap())), Ok(true));
                nonces.push(login.info().next_nonce().unwrap().to_owned());
            }
            nonces.dedup();
            assert_eq!(nonces.len(), 3);
        }
    }
}

#[test]
fn r54_wrong_and_unknown_users_are_answered_alike() {
    let (mut verifier, now) = verifier();
    let challenge = verifier.challenges(1, now).remove(0);
    for (user, password) in [("alice", "wonderlamp"), ("alice", ""), ("bob", "wonderland"), ("Alice", "wonderland")] {
        let (next, stale) =
            asked_again(verifier.verify(&answer_of(user, password, &challenge, true, 1), &HERE, &users, now));
        assert!(!stale, "{user}");
        assert_ne!(next.nonce(), challenge.nonce());
        assert_eq!((next.realm(), next.opaque()), ("example.com", challenge.opaque()));
    }
    assert_eq!(verifier.remembered(), 0);
    // The nonce is not used up by any of them.
    assert!(verifier.verify(&right(&challenge, 1), &HERE, &users, now).is_ok());
}

#[test]
fn r64_an_old_nonce_is_stale_and_a_wrong_password_is_not() {
    let (mut verifier, now) = verifier();
    let challenge = verifier.challenges(1, now).remove(0);
    let late = now + LIFE + Duration::from_millis(1);
    let wrong = answer_of("alice", "wonderlamp", &challenge, true, 1);
    assert!(!asked_again(verifier.verify(&wrong, &HERE, &users, late)).1);
    let (next, stale) = asked_again(verifier.verify(&right(&challenge, 1), &HERE, &users, late));
    assert!(stale);
    assert!(verifier.verify(&right(&next, 1), &HERE, &users, late + LIFE).is_ok());
    let mut short = verifier.with_lifetime(Duration::from_secs(1));
    let challenge = short.challenges(1, late + LIFE).remove(0);
    let later = late + LIFE + Duration::from_secs(2);
    assert!(asked_again(short.verify(&right(&challenge, 1), &HERE, &users, later)).1);
}

#[test]
fn r64_an_answer_is_good_once_and_over_one_connection() {
    let (mut verifier, now) = verifier();
    let challenge = verifier.challenges(1, now).remove(0);
    let first = right(&challenge, 1);
    let there = Request { connection: 2, ..HERE };
    assert!(asked_again(verifier.verify(&first, &there, &users, now)).1);
    assert!(verifier.verify(&first, &HERE, &users, now).is_ok());
    assert!(asked_again(verifier.verify(&first, &HERE, &users, now)).1);
    assert!(verifier.verify(&right(&challenge, 2), &HERE, &users, now).is_ok());
    assert!(asked_again(verifier.verify(&first, &HERE, &users, now)).1);
    // A nonce that somebody made up.
    let foreign = Challenge::new("example.com", "dcd98b7102dd2f0e8b11d0f600bfb0c093").unwrap();
    assert!(asked_again(verifier.verify(&right(&foreign, 1), &HERE, &users, now)).1);
    // The counts of an answer are part of the proof.
    let text = right(&challenge, 3).to_string().replace("nc=00000003", "nc=00000004");
    assert!(!asked_again(verifier.verify(&text.parse().unwrap(), &HERE, &users, now)).1);
}

/// Interop: clients with and without `uri=`, with and without `opaque=`, with quotes where there should be none.
#[test]
fn r54_answers_in_every_form_are_taken() {
    let (mut verifier, now) = verifier();
    let challenge = verifier.challenges(1, now).remove(0);
    assert!(challenge.opaque().is_some_and(|opaque| opaque.len() == 16));
    let opaque = format!(", opaque=\"{}\"", challenge.opaque().unwrap());
    let uri = format!(", uri=\"{URI}\"");
    for (from, to) in [
        (&*uri, ""),
        (&*opaque, ""),
        (&*opaque, ", opaque=\"other\""),
        ("qop=auth, nc=00000001", "qop=\"auth\", nc=\"00000001\""),
        (", response=", ", algorithm=md5, response="),
    ] {
        let challenge = verifier.challenges(1, now).remove(0);
        let plain = right(&challenge, 1).to_string();
        let text = plain.replace(from, to);
        assert_ne!(text, plain);
        assert!(verifier.verify(&text.parse().unwrap(), &HERE, &users, now).is_ok(), "{text}");
    }
}

#[test]
fn r54_a_uri_that_is_named_has_to_be_that_of_the_request() {
    let (mut verifier, now) = verifier();
    let challenge = verifier.challenges(1, now).remove(0);
    let elsewhere = Request { uri: "msrps://other.example.com;tcp", connection: 1 };
    let refusal = verifier.verify(&right(&challenge, 1), &elsewhere, &users, now).unwrap_err();
    assert_eq!((refusal.code(), refusal), (400, Refusal::WrongUri));
    // One that is written in another way is the same one, and goes into the proof as it is named.
    let same = Request { uri: "MSRPS://RELAY.example.com;tcp", connection: 1 };
    assert!(verifier.verify(&right(&challenge, 1), &same, &users, now).is_ok());
    // Where none is named, that of the request is in the proof.
    let unnamed = answer_of("alice", "wonderland", &challenge, false, 2);
    assert!(!asked_again(verifier.verify(&unnamed, &elsewhere, &users, now)).1);
    assert!(verifier.verify(&unnamed, &HERE, &users, now).is_ok());
    let text = right(&challenge, 3).to_string().replace(URI, "*");
    assert_eq!(verifier.verify(&text.parse().unwrap(), &HERE, &users, now), Err(Refusal::WrongUri));
}

#[test]
fn r54_another_realm_or_algorithm_is_not_taken() {
    let (mut verifier, now) = verifier();
    let challenge = verifier.challenges(1, now).remove(0);
    let other = Challenge::new("example.org", challenge.nonce()).unwrap();
    let anyone = |user: &str, algorithm| Some(Ha1::from_password(algorithm, user, "example.org", "wonderland"));
    assert!(!asked_again(verifier.verify(&right(&other, 1), &HERE, &anyone, now)).1);
    let sha = challenge.clone().with_algorithm(Algorithm::Sha256);
    assert!(!asked_again(verifier.verify(&right(&sha, 1), &HERE, &users, now)).1);
    // A hash that was kept for the other algorithm is none.
    let confused = |user: &str, _| users(user, Algorithm::Sha256);
    assert!(!asked_again(verifier.verify(&right(&challenge, 1), &HERE, &confused, now)).1);
    let mut both = verifier.with_algorithms(&[Algorithm::Md5, Algorithm::Sha256, Algorithm::Md5]).with_algorithms(&[]);
    let challenges = both.challenges(1, now);
    assert_eq!(challenges.iter().map(Challenge::algorithm).collect::<Vec<_>>(), [Algorithm::Md5, Algorithm::Sha256]);
    for challenge in challenges {
        assert!(
            both.verify(&right(&challenge, 1), &HERE, &users, now).is_ok() == (challenge.algorithm() == Algorithm::Md5)
        );
    }
}

struct Closed;

impl Users for Closed {
    fn ha1(&self, username: &str, algorithm: Algorithm) -> Option<Ha1> {
        users(username, algorithm)
    }

    fn may_use(&self, username: &str) -> bool {
        username != "alice"
    }
}

#[test]
fn r54_who_may_not_use_the_relay_hears_it_behind_the_password_only() {
    let (mut verifier, now) = verifier();
    let challenge = verifier.challenges(1, now).remove(0);
    let wrong = answer_of("alice", "wonderlamp", &challenge, true, 1);
    assert_eq!(verifier.verify(&wrong, &HERE, &Closed, now).unwrap_err().code(), 401);
    let refusal = verifier.verify(&right(&challenge, 1), &HERE, &Closed, now).unwrap_err();
    assert_eq!((refusal.code(), refusal), (403, Refusal::Forbidden));
}

#[test]
fn r54_memory_is_bounded_whatever_clients_send() {
    let (verifier, now) = verifier();
    let mut verifier = verifier.with_capacity(8);
    for _ in 0..100 {
        let challenge = verifier.challenges(1, now).remove(0);
        assert!(verifier.verify(&right(&challenge, 1), &HERE, &users, now).is_ok());
        let wrong = answer_of("bob", "x", &challenge, true, 1);
        assert!(verifier.verify(&wrong, &HERE, &users, now).is_err());
        assert!(verifier.remembered() <= 8);
    }
    let challenge = verifier.with_capacity(0).challenges(1, now).remove(0);
    assert_eq!(challenge.to_string().parse(), Ok(challenge));
}

/// A client that is told that its nonce was stale gets in; one with a wrong password gives up.
#[test]
fn r52_retries_end() {
    let (mut verifier, now) = verifier();
    for (password, ends) in
        [("wonderland", Ok(true)), ("wonderlamp", Err(LoginError::Refused { realm: "example.com".into() }))]
    {
        let mut client = Client::new(Credentials::new("alice", password).unwrap(), DigestUri::Auto);
        client.challenged(&verifier.challenges(1, now).remove(0)).unwrap();
        let mut rounds = 0;
        // The first answer comes too late, and the verifier's clock does not go back.
        let mut at = now + 2 * LIFE;
        let end = loop {
            rounds += 1;
            at += Duration::from_secs(1);
            let answer = client.authorize(URI, "c").unwrap().unwrap();
            match verifier.verify(&answer, &HERE, &users, at) {
                Ok(login) => break client.accepted(Some(login.info())),
                Err(Refusal::Unauthorized(challenges)) => match client.challenged(&challenges[0]) {
                    Ok(()) => {}
                    Err(error) => break Err(error),
                },
                Err(other) => panic!("{other:?}"),
            }
        };
        assert_eq!((end, rounds), (ends, 2));
    }
}

#[test]
fn r62_a_realm_is_checked_and_a_key_not_shown() {
    let now = Instant::now();
    let error =
        |realm: &str| Verifier::new(realm, [9; 32], now).map(|_| ()).map_err(|error| (error.kind(), error.offset()));
    assert_eq!(error("a\r\nb"), Err((DigestErrorKind::Control, 1)));
    assert_eq!(error(""), Err((DigestErrorKind::Invalid("realm"), 0)));
    let (verifier, _) = verifier();
    assert!(!format!("{verifier:?}").contains("9, 9"));
    assert_eq!(verifier.realm(), "example.com");
}

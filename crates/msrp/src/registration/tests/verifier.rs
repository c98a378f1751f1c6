//! Against the relay's side of the same crate.

use super::*;
use crate::digest::{Algorithm, Challenge, Ha1, LoginError, Refusal, Verifier};

struct Relay {
    verifier: Verifier,
    password: &'static str,
}

fn relay(password: &'static str, now: Instant) -> Relay {
    Relay { verifier: Verifier::new("example.com", [3; 32], now).unwrap(), password }
}

impl Relay {
    /// What is answered to a request: the line and the headers.
    fn answer(&mut self, head: &Head, now: Instant) -> (String, String) {
        let unauthorized = |challenges: Vec<Challenge>| {
            let lines = challenges.iter().map(|challenge| format!("WWW-Authenticate: {challenge}\r\n"));
            ("401 Unauthorized".to_owned(), lines.collect::<String>())
        };
        let Some(shown) = proof(head) else { return unauthorized(self.verifier.challenges(1, now)) };
        let users = |user: &str, algorithm| {
            (user == "alice").then(|| Ha1::from_password(algorithm, user, "example.com", self.password))
        };
        let uri = head.text(HeaderName::ToPath).unwrap().rsplit(' ').next().unwrap();
        match self.verifier.verify(&shown, &crate::digest::Request { uri, connection: 1 }, &users, now) {
            Ok(login) => ("200 OK".into(), format!("{}Authentication-Info: {}\r\n", granted(600), login.info())),
            Err(Refusal::Unauthorized(challenges)) => unauthorized(challenges),
            Err(other) => (other.code().to_string(), String::new()),
        }
    }
}

/// Goes on until the relay has said what becomes of it; how many requests that took.
fn go(client: &mut Client, relay: &mut Relay) -> (Outcome, usize) {
    for asked in 1.. {
        let head = client.asks();
        let (line, headers) = relay.answer(&head, client.now);
        if let Some(outcome) = client.answer(&head, &line, &headers) {
            return (outcome, asked);
        }
    }
    unreachable!("it ends")
}

#[test]
fn r52_a_relay_and_a_client_prove_themselves() {
    for algorithms in [&[Algorithm::Md5][..], &[Algorithm::Sha256, Algorithm::Md5]] {
        let mut client = Client::with(|options| options.require_proof = true);
        let mut relay = relay("wonderland", client.now);
        relay.verifier = relay.verifier.with_algorithms(algorithms);
        // A relay of this crate has an opaque, so that the URI is not named.
        let (outcome, asked) = go(&mut client, &mut relay);
        assert!(matches!(outcome, Outcome::Granted { .. }), "{outcome:?}");
        assert_eq!(asked, 2);
        // A nonce is good for 5 minutes there: by then it is stale.
        assert_eq!(client.wait(510), None);
        let (outcome, asked) = go(&mut client, &mut relay);
        assert!(matches!(outcome, Outcome::Refreshed { moved: false, .. }), "{outcome:?}");
        assert_eq!(asked, 2);
    }
}

#[test]
fn r52_a_nonce_for_the_next_request_saves_a_challenge() {
    let mut client = Client::begun();
    let mut relay = relay("wonderland", client.now);
    relay.verifier = relay.verifier.with_lifetime(Duration::from_secs(3600));
    go(&mut client, &mut relay);
    client.wait(510);
    assert_eq!(go(&mut client, &mut relay).1, 1);
}

#[test]
fn r52_a_wrong_password_and_an_unknown_user_are_refused_alike() {
    let refused = Kind::Login(LoginError::Refused { realm: "example.com".into() });
    let mut client = Client::begun();
    let mut wrong = relay("looking-glass", client.now);
    let (outcome, asked) = go(&mut client, &mut wrong);
    assert_eq!((lost(Some(outcome)), asked), (refused.clone(), 3));
    let credentials = Credentials::new("mallory", "wonderland").unwrap();
    let mut mallory = Client::with(|options| options.relays[0].credentials = credentials);
    let mut right = relay("wonderland", mallory.now);
    let (outcome, asked) = go(&mut mallory, &mut right);
    assert_eq!((lost(Some(outcome)), asked), (refused, 3));
}

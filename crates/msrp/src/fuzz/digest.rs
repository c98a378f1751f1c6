//! Digest authentication: header values, and a relay that is shown them.

use std::fmt::{Debug, Display};
use std::str::FromStr;
use std::time::{Duration, Instant};

use crate::digest::{
    Algorithm, AuthenticationInfo, Authorization, Challenge, Client, Credentials, DigestError, DigestUri, Ha1, Request,
    Verifier,
};

const CAPACITY: usize = 4;

/// Header values are read from any text and come back as they were written; a verifier and a client take whatever can be read.
/// Each line of the input is one header value.
///
/// # Panics
/// When a value does not come back, somebody is let in without the password or twice by one answer, or memory grows.
pub fn digest(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    let now = Instant::now();
    let mut verifier = Verifier::new("example.com", [1; 32], now)
        .expect("a realm")
        .with_algorithms(&[Algorithm::Md5, Algorithm::Sha256])
        .with_capacity(CAPACITY);
    let mut client = Client::new(Credentials::new("alice", "wonderland").expect("a name"), DigestUri::Auto);
    let uri = "msrps://relay.example.com;tcp";
    // Nobody knows the password.
    let users = |user: &str, algorithm| {
        (user == "alice").then(|| Ha1::from_hash(algorithm, &KEPT[..length(algorithm)])).flatten()
    };
    for (index, line) in text.lines().take(32).enumerate() {
        let now = now + Duration::from_secs(100 * index as u64);
        let request = Request { uri, connection: index as u64 % 2 };
        if let Some(challenge) = round_trip::<Challenge>(line) {
            let _ = client.challenged(&challenge);
            if let Ok(Some(answer)) = client.authorize(uri, "0a4f113b") {
                assert_eq!(round_trip(&answer.to_string()), Some(answer));
            }
        }
        if let Some(info) = round_trip::<AuthenticationInfo>(line) {
            let _ = client.accepted(Some(&info));
        }
        if let Some(answer) = round_trip::<Authorization>(line) {
            assert!(verifier.verify(&answer, &request, &users, now).is_err(), "{line}");
        }
        log_in(&mut verifier, line, &request, now);
        assert!(verifier.remembered() <= CAPACITY);
    }
}

/// A user whose name is the line comes in with the right password, and once only.
fn log_in(verifier: &mut Verifier, name: &str, request: &Request<'_>, now: Instant) {
    let Ok(credentials) = Credentials::new(name, name) else { return };
    let users = |user: &str, algorithm| Some(Ha1::from_password(algorithm, user, "example.com", user));
    for challenge in verifier.challenges(request.connection, now) {
        let with_uri = name.len().is_multiple_of(2);
        let answer = Authorization::answer(&challenge, &credentials, request.uri, with_uri, "c", 1);
        let answer = round_trip::<Authorization>(&answer.expect("checked values").to_string()).expect("just written");
        // The algorithms share their nonce: only the first one finds it unused.
        let first = challenge.algorithm() == Algorithm::Md5;
        assert_eq!(verifier.verify(&answer, request, &users, now).is_ok(), first, "{name}");
        assert!(verifier.verify(&answer, request, &users, now).is_err(), "{name}");
    }
}

fn round_trip<T: FromStr<Err = DigestError> + Display + Debug + PartialEq>(text: &str) -> Option<T> {
    match text.parse::<T>() {
        Ok(value) => {
            let written = value.to_string();
            assert!(!written.contains(['\r', '\n', '\0']), "{written:?}");
            assert_eq!(written.parse(), Ok(value), "{text:?}");
            written.parse().ok()
        }
        Err(error) => {
            assert!(error.offset() <= text.len(), "{error}: {text:?}");
            None
        }
    }
}

fn length(algorithm: Algorithm) -> usize {
    if algorithm == Algorithm::Md5 { 16 } else { 32 }
}

const KEPT: [u8; 32] = [0x5a; 32];

#[cfg(test)]
mod tests {
    #[test]
    fn r65_an_exchange_is_gone_through() {
        super::digest(
            b"Digest realm=\"example.com\", qop=\"auth\", nonce=\"x\"\n\
              Digest username=alice, realm=\"example.com\", nonce=x, response=6629fae49393a05397450978507c4ef1, qop=auth, \
              nc=00000001, cnonce=c\n\
              nextnonce=y, qop=auth\n\
              a \"name\" \\\n\n\xc3\xbc",
        );
        super::digest(b"\xff");
    }
}

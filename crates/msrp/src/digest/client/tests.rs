use super::super::{DigestErrorKind, DigestValue};
use super::*;

const URI: &str = "msrps://relay.example.com;tcp";

fn client(policy: DigestUri) -> Client {
    Client::new(Credentials::new("alice", "wonderland").unwrap(), policy)
}

fn challenge(rest: &str) -> Challenge {
    format!("Digest realm=\"example.com\", nonce=\"n0nce\", qop=\"auth\"{rest}").parse().unwrap()
}

#[track_caller]
fn answer(client: &mut Client) -> Authorization {
    client.authorize(URI, "c").unwrap().expect("there is a challenge")
}

fn refused<T>() -> Result<T, LoginError> {
    Err(LoginError::Refused { realm: "example.com".into() })
}

/// What the relay proves after the first answer with these values; computed elsewhere.
const PROOF: &str = "rspauth=\"595202f202142145dfef8d4cd0b47e1a\"";

fn info(text: &str) -> AuthenticationInfo {
    text.parse().unwrap()
}

#[test]
fn r52_a_challenge_is_answered_once() {
    let mut client = client(DigestUri::Always);
    assert_eq!(client.authorize(URI, "c"), Ok(None));
    assert_eq!(client.challenged(&challenge("")), Ok(()));
    assert_eq!(answer(&mut client).response().to_string(), "7f4f325df02b864d360b7be471670f7f");
    assert_eq!(client.challenged(&challenge("")), refused());
    // Another login begins with nothing.
    assert_eq!(client.authorize(URI, "c"), Ok(None));
    assert_eq!(client.challenged(&challenge("")), Ok(()));
}

#[test]
fn r52_a_stale_nonce_allows_one_more_answer() {
    let mut client = client(DigestUri::Never);
    let stale = challenge(", stale=true");
    assert_eq!([client.challenged(&challenge("")), client.challenged(&stale)], [Ok(()), Ok(())]);
    assert_eq!(client.challenged(&stale), refused());
    // The first may be stale already, as a refresh is answered.
    assert_eq!([client.challenged(&stale), client.challenged(&stale)], [Ok(()), Ok(())]);
    assert_eq!(client.challenged(&stale), refused());
}

/// Interop: one relay refuses an answer without `uri=`, another breaks with it and has `opaque=` in its challenges.
#[test]
fn r52_auto_names_the_uri_by_the_challenge_and_tries_the_other_form() {
    for (rest, first) in [("", true), (", opaque=\"x\"", false)] {
        let challenge = challenge(rest);
        let mut client = client(DigestUri::Auto);
        client.challenged(&challenge).unwrap();
        assert_eq!(answer(&mut client).uri().is_some(), first);
        assert_eq!(client.challenged(&challenge), Ok(()));
        let second = answer(&mut client);
        assert_eq!((second.uri().is_some(), second.nonce_count()), (!first, 2));
        assert_eq!(second.opaque(), challenge.opaque());
        assert_eq!(client.challenged(&challenge), refused());
        assert_eq!(DigestUri::Auto.first(&challenge), first);
    }
    assert_eq!(DigestUri::Auto.other(true), Some(false));
    assert_eq!((DigestUri::Always.other(true), DigestUri::Never.other(false)), (None, None));
    assert!(DigestUri::Always.first(&challenge(", opaque=\"x\"")) && !DigestUri::Never.first(&challenge("")));
}

#[test]
fn r52_silence_is_answered_with_the_other_form_once() {
    let mut auto = client(DigestUri::Auto);
    auto.challenged(&challenge("")).unwrap();
    assert!(answer(&mut auto).uri().is_some());
    assert_eq!(auto.unanswered(), Ok(()));
    assert!(answer(&mut auto).uri().is_none());
    // It is no attempt that counts: a relay may have another nonce for another connection.
    assert_eq!(auto.challenged(&challenge(", opaque=\"x\"")), Ok(()));
    assert!(answer(&mut auto).uri().is_none());
    assert_eq!(auto.unanswered(), Err(LoginError::NoAnswer));
    for policy in [DigestUri::Always, DigestUri::Never] {
        let mut client = client(policy);
        client.challenged(&challenge("")).unwrap();
        answer(&mut client);
        assert_eq!(client.unanswered(), Err(LoginError::NoAnswer));
    }
    // Without an answer there is no form to change.
    assert_eq!(client(DigestUri::Auto).unanswered(), Err(LoginError::NoAnswer));
}

/// A relay that refuses a password without `uri=` and breaks with it has refused the password.
#[test]
fn r52_silence_behind_a_refusal_is_a_refusal() {
    let mut client = client(DigestUri::Auto);
    let challenge = challenge(", opaque=\"x\"");
    client.challenged(&challenge).unwrap();
    answer(&mut client);
    client.challenged(&challenge).unwrap();
    assert!(answer(&mut client).uri().is_some());
    assert_eq!(client.unanswered(), refused());
    // Which is forgotten behind it.
    client.challenged(&challenge).unwrap();
    answer(&mut client);
    assert_eq!(client.unanswered(), Ok(()));
    answer(&mut client);
    assert_eq!(client.unanswered(), Err(LoginError::NoAnswer));
}

#[test]
fn r52_the_form_that_a_relay_has_taken_stays() {
    let mut client = client(DigestUri::Auto);
    client.challenged(&challenge("")).unwrap();
    answer(&mut client);
    client.challenged(&challenge("")).unwrap();
    assert!(answer(&mut client).uri().is_none());
    assert_eq!(client.accepted(None), Ok(false));
    assert!(answer(&mut client).uri().is_none());
    assert_eq!(client.challenged(&challenge("")), Ok(()));
    assert!(answer(&mut client).uri().is_none());
    assert_eq!(client.challenged(&challenge("")), refused());
}

#[test]
fn r52_counts_go_on_per_nonce() {
    let mut client = client(DigestUri::Always);
    client.challenged(&challenge("")).unwrap();
    assert_eq!(answer(&mut client).nonce_count(), 1);
    assert_eq!(client.accepted(None), Ok(false));
    assert_eq!(answer(&mut client).nonce_count(), 2);
    // The same nonce again, in a challenge and as the next one, does not begin anew.
    client.challenged(&challenge("")).unwrap();
    assert_eq!(answer(&mut client).nonce_count(), 3);
    assert_eq!(client.accepted(Some(&info("nextnonce=\"n0nce\""))), Ok(false));
    assert_eq!(answer(&mut client).nonce_count(), 4);
    assert_eq!(client.accepted(Some(&info("nextnonce=\"other\""))), Ok(false));
    let next = answer(&mut client);
    assert_eq!((next.nonce(), next.nonce_count(), next.realm()), ("other", 1, "example.com"));
    client.challenged(&challenge("")).unwrap();
    assert_eq!((answer(&mut client).nonce_count(), client.used), (1, 1));
    // Behind the last count, a challenge is asked for.
    client.used = u32::MAX;
    assert_eq!(client.authorize(URI, "c"), Ok(None));
}

#[test]
fn r52_the_relay_proves_itself_where_it_wants_to() {
    let answered = || {
        let mut client = client(DigestUri::Always);
        client.challenged(&challenge("")).unwrap();
        answer(&mut client);
        client
    };
    for (text, outcome) in [
        (PROOF.to_owned(), Ok(true)),
        (format!("{PROOF}, cnonce=\"c\", nc=00000001, qop=auth"), Ok(true)),
        (PROOF.replace('5', "D"), Err(LoginError::Impostor)),
        // The first half of it.
        ("rspauth=\"595202f202142145dfef8d4cd0b47e1b\"".to_owned(), Err(LoginError::Impostor)),
        (format!("{PROOF}, cnonce=\"d\""), Err(LoginError::Impostor)),
        (format!("{PROOF}, nc=00000002"), Err(LoginError::Impostor)),
        ("cnonce=\"c\", nc=00000001".to_owned(), Ok(false)),
        ("cnonce=\"d\"".to_owned(), Err(LoginError::Impostor)),
    ] {
        assert_eq!(answered().accepted(Some(&info(&text))), outcome, "{text}");
    }
    assert_eq!(answered().accepted(None), Ok(false));
    // A proof for what was never shown, or was shown before.
    assert_eq!(client(DigestUri::Auto).accepted(Some(&info(PROOF))), Err(LoginError::Impostor));
    let mut twice = answered();
    assert_eq!(twice.accepted(Some(&info(PROOF))), Ok(true));
    assert_eq!(twice.accepted(Some(&info(PROOF))), Err(LoginError::Impostor));
    // An impostor's next nonce is not taken.
    let mut fooled = answered();
    let wrong = AuthenticationInfo::new(DigestValue::from_bytes(&[0; 32]).unwrap(), "c", 1).unwrap();
    let wrong = wrong.with_next_nonce("chosen").unwrap();
    assert_eq!(fooled.accepted(Some(&wrong)), Err(LoginError::Impostor));
    assert_eq!(fooled.authorize(URI, "c"), Ok(None));
}

#[test]
fn r62_what_cannot_be_written_is_told() {
    let mut client = client(DigestUri::Never);
    client.challenged(&challenge("")).unwrap();
    for (uri, cnonce, kind) in [
        ("msrp://a;tcp\r\nTo-Path: x", "c", DigestErrorKind::Control),
        (URI, "c\n", DigestErrorKind::Control),
        (URI, "", DigestErrorKind::Invalid("cnonce")),
    ] {
        match client.authorize(uri, cnonce) {
            Err(LoginError::Value(error)) => assert_eq!(error.kind(), kind),
            other => panic!("{other:?}"),
        }
    }
    // Nothing of it counts.
    assert_eq!(answer(&mut client).nonce_count(), 1);
}

#[test]
fn r64_a_client_shows_no_password() {
    let mut client = client(DigestUri::Auto);
    client.challenged(&challenge("")).unwrap();
    answer(&mut client);
    assert!(!format!("{client:?}").contains("wonderland"));
    assert_eq!(client.username(), "alice");
    let error = LoginError::Refused { realm: "example.com".into() };
    assert_eq!(error.to_string(), "refused by the relay for realm \"example.com\"");
    assert!(error.hint().is_some());
}

//! A chain of two relays (RFC 4976 5.1).

use super::*;
use crate::digest::LoginError;

const EXTRA_CHALLENGE: &str =
    "WWW-Authenticate: Digest realm=\"extra.example.com\", qop=\"auth\", nonce=\"Uumu8cAV38FG\"\r\n";

fn both(seconds: u64) -> String {
    format!("Use-Path: {INTRA_PATH} {EXTRA_PATH}\r\nExpires: {seconds}\r\n")
}

fn client() -> Client {
    let alice = Credentials::new("Alice", "looking-glass").unwrap();
    let mut client = Client::new(options().with_relay(EXTRA.parse().unwrap(), alice));
    client.registration.begin(&mut client.connection, client.now).unwrap();
    client
}

/// Lets it in everywhere, for so long.
fn let_in(intra: u64, extra: u64) -> Client {
    let mut client = client();
    assert_eq!(client.answered("200 OK", &granted(intra)), None);
    assert!(matches!(client.answered("200 OK", &both(extra)), Some(Outcome::Granted { .. })));
    client
}

/// RFC 4976 5.1: the exchange with both relays there.
#[test]
fn r52_the_second_relay_is_asked_through_the_first() {
    let mut client = client();
    assert_eq!(client.answered("401 Unauthorized", CHALLENGE), None);
    assert_eq!(client.answered("200 OK", &granted(900)), None);
    // Nobody can be reached over the first alone.
    assert_eq!(client.registration.use_path(), None);

    let head = client.asks();
    assert_eq!(head.text(HeaderName::ToPath), Some(&*format!("{INTRA_PATH} {EXTRA}")));
    assert_eq!((head.text(HeaderName::FromPath), proof(&head)), (Some(OWN), None));
    assert_eq!(client.answer(&head, "401 Unauthorized", EXTRA_CHALLENGE), None);
    let head = client.asks();
    let shown = proof(&head).unwrap();
    assert_eq!((shown.username(), shown.realm(), shown.nonce_count()), ("Alice", "extra.example.com", 1));
    // The rightmost URI of To-Path, alone.
    assert_eq!(shown.uri(), Some(EXTRA));
    let use_path: Path = format!("{INTRA_PATH} {EXTRA_PATH}").parse().unwrap();
    let expires_at = client.now + Duration::from_secs(900);
    let outcome = client.answer(&head, "200 OK", &both(1800));
    assert_eq!(outcome, Some(Outcome::Granted { use_path: use_path.clone(), expires_at }));
    let own = OWN.parse().unwrap();
    assert_eq!(path_for_sdp(&use_path, &own).unwrap().to_string(), format!("{EXTRA_PATH} {INTRA_PATH} {OWN}"));
}

/// RFC 4976 5.1: A behind B and C writes to F behind D and E.
#[test]
fn r52_the_order_of_paths() {
    let path = |names: &str| {
        let uris = names.split(' ').map(|name| format!("msrps://{name}.example.com:2855/{name};tcp"));
        uris.collect::<Vec<_>>().join(" ").parse::<Path>().unwrap()
    };
    let use_path = path("b c");
    assert_eq!(path_for_sdp(&use_path, path("a").first()), Ok(path("c b a")));
    assert_eq!(to_path(&use_path, &path("d e f")), Ok(path("b c d e f")));
    let long = path(&vec!["x"; 31].join(" "));
    assert!(to_path(&long, &path("f")).is_ok());
    assert_eq!(to_path(&long, &path("e f")), Err(crate::PathError::Long));
    assert_eq!(path_for_sdp(&path(&vec!["x"; 32].join(" ")), path("a").first()), Err(crate::PathError::Long));
}

#[test]
fn r52_a_relay_does_not_lead_around_the_ones_before() {
    // The last one is what RFC 4976 5.1 prints in its last frame, other than in the one before.
    for (path, kind) in [
        (EXTRA_PATH.to_owned(), UsePathError::Detour),
        (INTRA_PATH.to_owned(), UsePathError::Detour),
        (format!("{EXTRA_PATH} {INTRA_PATH}"), UsePathError::Detour),
        (format!("{INTRA_PATH} {INTRA_PATH}"), UsePathError::Loop(1)),
        (format!("{EXTRA_PATH} {EXTRA_PATH}"), UsePathError::Loop(1)),
    ] {
        let mut client = client();
        client.answered("200 OK", &granted(900));
        let outcome = client.answered("200 OK", &format!("Use-Path: {path}\r\n"));
        let Some(Outcome::Lost(error)) = outcome else { panic!("{outcome:?}") };
        assert_eq!((error.relay(), error.kind()), (EXTRA, &Kind::UsePath(kind)), "{path}");
    }
}

#[test]
fn r52_each_relay_may_refuse() {
    let mut client = client();
    client.answered("200 OK", &granted(900));
    client.answered("401 x", EXTRA_CHALLENGE);
    // In one form and the other.
    assert_eq!(client.answered("401 x", EXTRA_CHALLENGE), None);
    let kind = client.lost_by("401 x", EXTRA_CHALLENGE);
    assert_eq!(kind, Kind::Login(LoginError::Refused { realm: "extra.example.com".into() }));
    assert_eq!(client.registration.poll_timeout(), None);
}

#[test]
fn r53_each_relay_is_renewed_in_its_time() {
    let mut client = let_in(3600, 1000);
    assert_eq!(client.registration.expires_at(), Some(client.now + Duration::from_secs(1000)));
    assert_eq!(client.wait(900), None);
    let head = client.asks();
    assert_eq!(head.text(HeaderName::ToPath), Some(&*format!("{INTRA_PATH} {EXTRA}")));
    let outcome = client.answer(&head, "200 OK", &both(3600));
    assert!(matches!(outcome, Some(Outcome::Refreshed { moved: false, .. })), "{outcome:?}");
    // Of the first relay there are 2700 s left.
    assert_eq!(client.registration.expires_at(), Some(client.now + Duration::from_secs(2700)));
    assert_eq!(client.wait(2340), None);
    assert_eq!(client.asks().text(HeaderName::ToPath), Some(INTRA));
}

#[test]
fn r53_behind_a_relay_that_gives_another_uri_all_are_asked_again() {
    let mut client = let_in(1000, 3600);
    let first = client.registration.use_path().cloned();
    assert_eq!(client.wait(900), None);
    let other = "msrps://intra.example.com:9000/other;tcp";
    assert_eq!(client.answered("200 OK", &format!("Use-Path: {other}\r\nExpires: 1000\r\n")), None);
    // Until then the old way holds.
    assert_eq!(client.registration.use_path(), first.as_ref());
    assert_eq!(client.registration.expires_at(), Some(client.now + Duration::from_secs(100)));
    let head = client.asks();
    assert_eq!(head.text(HeaderName::ToPath), Some(&*format!("{other} {EXTRA}")));
    let headers = format!("Use-Path: {other} {EXTRA_PATH}\r\nExpires: 3600\r\n");
    let (use_path, expires_at) =
        (format!("{other} {EXTRA_PATH}").parse().unwrap(), client.now + Duration::from_secs(1000));
    let outcome = client.answer(&head, "200 OK", &headers);
    assert_eq!(outcome, Some(Outcome::Refreshed { use_path, moved: true, expires_at }));
}

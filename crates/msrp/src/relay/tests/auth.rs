//! `AUTH` (RFC 4976 5.1, 6.3, 9.1).

use super::*;

const RELAY: &str = "msrps://alice@relay.example.com;tcp";

fn auth(id: &str, to: &str, from: &str, headers: &str) -> String {
    format!("MSRP {id} AUTH\r\nTo-Path: {to}\r\nFrom-Path: {from}\r\n{headers}-------{id}$\r\n")
}

#[test]
fn r54_the_flow_of_5_1() {
    let mut world = World::new();
    let alice = world.accept();
    world.put(alice, auth("49fh", RELAY, ALICE, ""));
    let challenge = world.got(alice).remove(0);
    let asked = challenge.header("WWW-Authenticate").to_owned();
    assert_eq!(
        challenge.text(),
        format!("401 Unauthorized\nTo-Path: {ALICE}\nFrom-Path: {RELAY}\nWWW-Authenticate: {asked}\n$")
    );
    assert_eq!(challenge.id, "49fh");
    let response = world.auth(alice, "alice", ALICE, RELAY, "Expires: 900\r\n");
    let [uri, info] = ["Use-Path", "Authentication-Info"].map(|name| response.header(name).to_owned());
    assert_eq!(
        response.text(),
        format!(
            "200 OK\nTo-Path: {ALICE}\nFrom-Path: {RELAY}\nUse-Path: {uri}\nAuthentication-Info: {info}\nExpires: 900\n$"
        )
    );
    let uri: Uri = uri.parse().unwrap();
    assert!(uri.is_secure() && uri.port() == Some(2855) && uri.session_id().unwrap().len() == 26);
    let user = "alice".to_owned();
    let expires = Duration::from_secs(900);
    assert_eq!(world.events(), [Event::Authenticated { connection: alice, user, expires }]);
    assert_eq!(world.relay.uris(), 1);
}

#[test]
fn r54_each_session_has_its_uri_and_each_uri_its_refresh() {
    let mut world = World::new();
    let alice = world.accept();
    let first = world.log_in(alice, "alice", ALICE);
    let other = world.log_in(alice, "alice", "msrps://alice.example.com:9892/other;tcp");
    assert_ne!(first, other);
    assert_eq!(world.log_in(alice, "alice", ALICE), first, "the same end of a session");
    // By its name as well, but only over its connection and by its user.
    world.wait(Duration::from_secs(600));
    assert_eq!(world.auth(alice, "alice", ALICE, &first, "").header("Use-Path"), first);
    world.wait(Duration::from_secs(600));
    assert_eq!(world.relay.uris(), 1, "the other one was not refreshed");
    let stranger = world.accept();
    assert_eq!(world.auth(stranger, "alice", ALICE, &first, "").start, "481 No Such Session");
    assert_eq!(world.auth(alice, "bob", ALICE, &first, "").start, "481 No Such Session");
    assert_eq!(world.auth(stranger, "bob", BOB, RELAY, "").start, "200 OK");
}

#[test]
fn r54_expiry_is_bounded() {
    let mut world = World::new();
    let alice = world.accept();
    for (asked, start, header, value) in [
        ("59", "423 Interval Out-of-Bounds", "Min-Expires", "60"),
        ("3601", "423 Interval Out-of-Bounds", "Max-Expires", "3600"),
        ("99999999999999999999999", "423 Interval Out-of-Bounds", "Max-Expires", "3600"),
        ("60", "200 OK", "Expires", "60"),
        ("3600", "200 OK", "Expires", "3600"),
        ("soon", "400 Bad Request", "Min-Expires", "60"),
    ] {
        let response = world.auth(alice, "alice", ALICE, RELAY, &format!("Expires: {asked}\r\n"));
        assert_eq!((response.start.as_str(), response.header(header)), (start, value), "{asked}");
    }
}

#[test]
fn r54_a_uri_ends_at_its_time_and_with_its_connection() {
    let mut world = World::new();
    let (alice, bob) = (world.accept(), world.accept());
    let uri = world.log_in(alice, "alice", ALICE);
    let path = format!("{uri} {ALICE}");
    world.put(bob, send("tr01", &path, BOB, "", "x"));
    assert_eq!(starts(&world.got(bob)), ["200 OK"]);
    world.wait(Duration::from_secs(899));
    world.put(bob, send("tr02", &path, BOB, "", "x"));
    // Alice has never answered.
    assert_eq!(starts(&world.got(bob)), ["REPORT", "200 OK"]);
    world.wait(Duration::from_secs(1));
    assert!(world.events().contains(&Event::Expired { connection: alice, user: "alice".into() }));
    world.put(bob, send("tr03", &path, BOB, "", "x"));
    assert_eq!(world.got(bob).last().unwrap().start, "481 No Such Session");
    // With the connection.
    let uri = world.log_in(alice, "alice", ALICE);
    world.relay.handle_eof(alice, world.now);
    world.pump();
    assert_eq!(world.relay.uris(), 0);
    world.put(bob, send("tr04", &format!("{uri} {ALICE}"), BOB, "", "x"));
    assert_eq!(world.got(bob).last().unwrap().start, "481 No Such Session");
    // And it does not come back with another.
    let again = world.accept();
    assert_ne!(world.log_in(again, "alice", ALICE), uri);
}

#[test]
fn r54_who_is_not_let_in() {
    let mut world = World::with(config("relay.example.com"), |config| config.failures = 100);
    let key = world.accept();
    assert_eq!(world.auth(key, "mallory", ALICE, RELAY, "").start, "403 Forbidden");
    assert_eq!(world.auth(key, "nobody", ALICE, RELAY, "").start, "401 Unauthorized");
    for (proof, start) in [
        ("Basic YWxpY2U6YWxpY2U=", "401 Unauthorized"),
        ("Digest username=\"alice\"", "400 Bad Request"),
        ("Digest", "401 Unauthorized"),
    ] {
        world.put(key, auth("aaaa", RELAY, ALICE, &format!("Authorization: {proof}\r\n")));
        assert_eq!(starts(&world.got(key)), [start], "{proof}");
    }
    // Without TLS, nobody is, unless the relay is told so.
    let plain = world.open(Origin::Accepted, Peer::new(false));
    world.put(plain, auth("aaaa", RELAY, ALICE, ""));
    assert_eq!(starts(&world.got(plain)), ["403 Forbidden"]);
    let mut world = World::with(config("relay.example.com"), |config| config.plain_auth = true);
    let plain = world.open(Origin::Accepted, Peer::new(false));
    let uri = world.log_in(plain, "alice", ALICE);
    assert!(uri.starts_with("msrp://relay.example.com:2855/"), "{uri}");
}

#[test]
fn r54_quoted_parameters_of_a_known_client_are_taken() {
    // As the original writes them: qop and nc in quotes, and no uri.
    let mut world = World::new();
    let key = world.accept();
    world.put(key, auth("aaaa", RELAY, ALICE, ""));
    let challenge = world.got(key).remove(0);
    let credentials = Credentials::new("alice", "alice").unwrap();
    let challenge = challenge.header("WWW-Authenticate").parse().unwrap();
    let proof = crate::digest::Authorization::answer(&challenge, &credentials, RELAY, false, "cc", 1).unwrap();
    let proof = proof.to_string().replace("qop=auth", "qop=\"auth\"").replace("nc=00000001", "nc=\"00000001\"");
    world.put(key, auth("bbbb", RELAY, ALICE, &format!("Authorization: {proof}\r\n")));
    assert_eq!(starts(&world.got(key)), ["200 OK"]);
    // And nobody else takes the same proof to another connection, or twice.
    let other = world.accept();
    for key in [key, other] {
        world.put(key, auth("cccc", RELAY, ALICE, &format!("Authorization: {proof}\r\n")));
        let refused = world.got(key).remove(0);
        assert_eq!(
            (refused.start.as_str(), refused.header("WWW-Authenticate").contains("stale=true")),
            ("401 Unauthorized", true)
        );
    }
}

#[test]
fn r54_bad_attempts_end_the_connection() {
    let mut world = World::new();
    let key = world.accept();
    for attempt in 0..5 {
        assert_eq!(world.closed(key), None, "{attempt}");
        assert_eq!(world.auth(key, "nobody", ALICE, RELAY, "").start, "401 Unauthorized");
    }
    assert_eq!(world.closed(key), Some(CloseReason::Failures));
    // Who only asks to be asked is heard a while.
    let key = world.accept();
    for _ in 0..17 {
        assert_eq!(world.closed(key), None);
        world.put(key, auth("aaaa", RELAY, ALICE, ""));
    }
    assert_eq!((world.got(key).len(), world.closed(key)), (17, Some(CloseReason::Failures)));
}

#[test]
fn r54_uris_are_limited_by_connection_and_user() {
    let mut world = World::with(config("relay.example.com"), |config| {
        (config.uris_per_connection, config.uris_per_user, config.failures) = (2, 3, 100);
    });
    let from = |n: usize| format!("msrps://alice.example.com:9892/{n};tcp");
    let (one, two) = (world.accept(), world.accept());
    let starts: Vec<_> = [(one, 0), (one, 1), (one, 2), (two, 3), (two, 4), (one, 0)]
        .map(|(key, n)| world.auth(key, "alice", &from(n), RELAY, "").start[..3].to_owned())
        .into();
    assert_eq!(starts, ["200", "200", "403", "200", "403", "200"]);
    assert_eq!(world.auth(two, "bob", &from(5), RELAY, "").start, "200 OK");
    world.relay.handle_eof(one, world.now);
    world.pump();
    assert_eq!(world.relay.uris(), 2);
}

//! Who is let in: digest, Use-Path and its expiry.

use std::time::Duration;

use md5::{Digest as _, Md5};
use postroad_tests::ours::run;
use postroad_tests::peers::{Kamailio, Settings, Transport, User};

use super::{Answer, CLIENT, PEER, TRANSPORTS, Wire, authorized, send};

/// What a challenge says.
struct Challenge {
    nonce: String,
    value: String,
}

/// The credentials of an AUTH, as text.
struct Credentials<'a> {
    user: User,
    nonce: &'a str,
    count: &'a str,
    /// What is hashed, and said where it is to be said.
    uri: &'a str,
    says_uri: bool,
    /// Whether `qop` and `nc` have quotes, which RFC 4976 9.1 does not have here.
    quotes: bool,
}

impl Credentials<'_> {
    fn header(&self) -> String {
        let Self { user, nonce, count, uri, .. } = *self;
        let secret = md5(&format!("{}:{}:{}", user.name, Kamailio::REALM, user.password));
        let request = md5(&format!("AUTH:{uri}"));
        let response = md5(&format!("{secret}:{nonce}:{count}:0a4f113b:auth:{request}"));
        let said = if self.says_uri { format!("uri=\"{uri}\", ") } else { String::new() };
        let quote = if self.quotes { "\"" } else { "" };
        format!(
            "Authorization: Digest username=\"{}\", realm=\"{}\", nonce=\"{nonce}\", {said}response=\"{response}\", \
             qop={quote}auth{quote}, cnonce=\"0a4f113b\", nc={quote}{count}{quote}\r\n",
            user.name,
            Kamailio::REALM
        )
    }
}

fn md5(text: &str) -> String {
    Md5::digest(text).iter().map(|octet| format!("{octet:02x}")).collect()
}

/// An AUTH and what is answered.
async fn auth(client: &mut Wire, uri: &str, headers: &str) -> Answer {
    client
        .write(&format!("MSRP 49fh AUTH\r\nTo-Path: {uri}\r\nFrom-Path: {CLIENT}\r\n{headers}-------49fh$\r\n"))
        .await;
    let answer = client.answer().await;
    assert_eq!((answer.tid.as_str(), answer.flag, answer.body.as_str()), ("49fh", '$', ""));
    assert_eq!((answer.header("To-Path"), answer.header("From-Path")), (Some(CLIENT), Some(uri)));
    answer
}

/// An AUTH without credentials, and what it is answered with.
async fn challenge(client: &mut Wire, uri: &str) -> Challenge {
    challenge_of(&auth(client, uri, "").await)
}

fn challenge_of(answer: &Answer) -> Challenge {
    assert_eq!(answer.code(), 401, "{answer:?}");
    let value = answer.header("WWW-Authenticate").expect("a challenge").to_owned();
    let nonce = value.split("nonce=\"").nth(1).and_then(|rest| rest.split('"').next()).expect("a nonce").to_owned();
    Challenge { nonce, value }
}

/// An AUTH with credentials after one without.
pub(super) async fn log_in(client: &mut Wire, uri: &str, user: User, headers: &str) -> Answer {
    let Challenge { nonce, .. } = challenge(client, uri).await;
    let credentials = of(user, &nonce, uri).header();
    auth(client, uri, &format!("{headers}{credentials}")).await
}

fn of<'a>(user: User, nonce: &'a str, uri: &'a str) -> Credentials<'a> {
    Credentials { user, nonce, count: "00000001", uri, says_uri: true, quotes: false }
}

#[test]
fn an_auth_is_challenged_with_qop_and_without_opaque() {
    let kamailio = kamailio!();
    run(async {
        for transport in TRANSPORTS {
            let mut client = Wire::connect(kamailio, transport).await;
            let challenge = challenge(&mut client, &kamailio.uri(transport)).await;
            let expected = format!("Digest realm=\"{}\", nonce=\"{}\", qop=\"auth\"", Kamailio::REALM, challenge.nonce);
            assert_eq!(challenge.value, expected);
        }
    });
}

#[test]
fn the_right_password_gets_a_use_path_and_a_wrong_one_does_not() {
    let kamailio = kamailio!();
    run(async {
        for transport in TRANSPORTS {
            let uri = kamailio.uri(transport);
            let mut client = Wire::connect(kamailio, transport).await;
            for user in [User { password: "guess", ..Kamailio::ALICE }, User { name: "nobody", ..Kamailio::ALICE }] {
                let refused = log_in(&mut client, &uri, user, "").await;
                assert!(challenge_of(&refused).value.contains("qop=\"auth\""), "{refused:?}");
            }
            assert_eq!(log_in(&mut client, &uri, Kamailio::BARRED, "").await.start, "403 Forbidden");
            let mut paths = Vec::new();
            for user in [Kamailio::ALICE, Kamailio::BOB] {
                let answer = log_in(&mut client, &uri, user, "").await;
                assert_eq!((answer.start.as_str(), answer.header("Expires")), ("200 OK", Some("3600")));
                assert_eq!(answer.header("Authentication-Info"), None);
                paths.push(answer.header("Use-Path").unwrap().to_owned());
            }
            // Others get there over TCP or TLS, also where the client came over WebSocket (RFC 7977 8.1).
            let base = uri.split_once(';').unwrap().0;
            for path in &paths {
                let id = path.strip_prefix(base).and_then(|rest| rest.strip_prefix('/')).unwrap();
                assert!(id.len() > 16 && id.ends_with(";tcp"), "{path}");
            }
            assert_ne!(paths[0], paths[1]);
        }
    });
}

/// RFC 4976 has none in its grammar and examples, RFC 7977 has it.
#[test]
fn credentials_without_uri_are_refused() {
    let kamailio = kamailio!();
    run(async {
        let uri = kamailio.uri(Transport::Tcp);
        let mut client = Wire::connect(kamailio, Transport::Tcp).await;
        let Challenge { nonce, .. } = challenge(&mut client, &uri).await;
        let header = Credentials { says_uri: false, ..of(Kamailio::ALICE, &nonce, &uri) }.header();
        let refused = challenge_of(&auth(&mut client, &uri, &header).await);
        assert!(!refused.value.contains("stale"), "{}", refused.value);
        assert!(kamailio.log().contains("Credentials are not filled properly"));
        let answer = auth(&mut client, &uri, &of(Kamailio::ALICE, &refused.nonce, &uri).header()).await;
        assert_eq!(answer.code(), 200, "{answer:?}");
    });
}

/// As python3-msrplib writes them.
#[test]
fn quotes_around_qop_and_nc_are_taken() {
    let kamailio = kamailio!();
    run(async {
        let uri = kamailio.uri(Transport::Tcp);
        let mut client = Wire::connect(kamailio, Transport::Tcp).await;
        let Challenge { nonce, .. } = challenge(&mut client, &uri).await;
        let header = Credentials { quotes: true, ..of(Kamailio::ALICE, &nonce, &uri) }.header();
        assert_eq!(auth(&mut client, &uri, &header).await.code(), 200);
    });
}

#[test]
fn a_nonce_is_good_for_each_count_once() {
    let kamailio = kamailio!();
    run(async {
        let uri = kamailio.uri(Transport::Tcp);
        let mut client = Wire::connect(kamailio, Transport::Tcp).await;
        let Challenge { nonce, .. } = challenge(&mut client, &uri).await;
        for (count, code) in [("00000001", 200), ("00000001", 401), ("00000002", 200), ("00000002", 401)] {
            let header = Credentials { count, ..of(Kamailio::ALICE, &nonce, &uri) }.header();
            let answer = auth(&mut client, &uri, &header).await;
            assert_eq!(answer.code(), code, "{count}");
            assert_eq!(answer.text.contains("stale=true"), code == 401, "{answer:?}");
        }
    });
}

#[test]
fn an_old_nonce_is_stale() {
    let kamailio = kamailio!(Settings { nonce_lifetime: 4, ..Settings::default() });
    run(async {
        let uri = kamailio.uri(Transport::Tcp);
        let mut client = Wire::connect(&kamailio, Transport::Tcp).await;
        let Challenge { nonce, .. } = challenge(&mut client, &uri).await;
        tokio::time::sleep(Duration::from_secs(6)).await;
        let late = auth(&mut client, &uri, &of(Kamailio::ALICE, &nonce, &uri).header()).await;
        let stale = challenge_of(&late);
        assert!(stale.value.ends_with("qop=\"auth\", stale=true"), "{}", stale.value);
        let answer = auth(&mut client, &uri, &of(Kamailio::ALICE, &stale.nonce, &uri).header()).await;
        assert_eq!(answer.code(), 200, "{answer:?}");
    });
}

#[test]
fn an_expiry_out_of_bounds_is_423_and_one_within_is_kept() {
    let kamailio = kamailio!();
    run(async {
        let uri = kamailio.uri(Transport::Tcp);
        let mut client = Wire::connect(kamailio, Transport::Tcp).await;
        for (asked, header, value) in [
            ("0", "Min-Expires", "2"),
            ("1", "Min-Expires", "2"),
            ("2", "Expires", "2"),
            ("900", "Expires", "900"),
            ("3600", "Expires", "3600"),
            ("3601", "Max-Expires", "3600"),
        ] {
            let answer = log_in(&mut client, &uri, Kamailio::ALICE, &format!("Expires: {asked}\r\n")).await;
            let code = if header == "Expires" { 200 } else { 423 };
            assert_eq!((answer.code(), answer.header(header)), (code, Some(value)), "{asked}");
        }
    });
}

#[test]
fn a_use_path_ends_with_its_expiry() {
    let kamailio = kamailio!();
    run(async {
        let uri = kamailio.uri(Transport::Tcp);
        let mut client = Wire::connect(kamailio, Transport::Tcp).await;
        let answer = log_in(&mut client, &uri, Kamailio::ALICE, "Expires: 4\r\n").await;
        let path = answer.header("Use-Path").unwrap().to_owned();
        let mut peer = super::known_peer(kamailio, &mut client, &path).await;
        tokio::time::sleep(Duration::from_secs(6)).await;
        peer.write(&send("late", &format!("{path} {CLIENT}"), PEER, "late")).await;
        assert_eq!(peer.answer().await.start, "481 No such session");
        client.write(&send("late", &format!("{path} {PEER}"), CLIENT, "late")).await;
        assert_eq!(client.answer().await.start, "481 No such session");
        peer.expect_quiet().await;
    });
}

/// The RFC does not ask for that, and has no way to make a URI last longer: whoever asks again has two.
#[test]
fn asking_again_gives_another_use_path_and_the_first_stays() {
    let kamailio = kamailio!();
    run(async {
        let (mut client, first) = authorized(kamailio, Transport::Tcp).await;
        let again = log_in(&mut client, &kamailio.uri(Transport::Tcp), Kamailio::ALICE, "").await;
        assert_ne!(again.header("Use-Path"), Some(first.as_str()));
        super::known_peer(kamailio, &mut client, &first).await;
        super::known_peer(kamailio, &mut client, again.header("Use-Path").unwrap()).await;
    });
}

/// RFC 4976 5.1 has AUTH go on to a second relay, and RFC 4975 7.2 has the answer to all but a SEND go to the whole From-Path.
#[test]
fn an_auth_that_comes_by_another_relay_is_answered_to_that_alone() {
    let kamailio = kamailio!();
    run(async {
        let uri = kamailio.uri(Transport::Tcp);
        let mut relay = Wire::connect(kamailio, Transport::Tcp).await;
        relay
            .write(&format!("MSRP 49fh AUTH\r\nTo-Path: {uri}\r\nFrom-Path: {PEER} {CLIENT}\r\n-------49fh$\r\n"))
            .await;
        let answer = relay.answer().await;
        assert_eq!((answer.code(), answer.header("To-Path")), (401, Some(PEER)));

        // So it ends in the first relay when that is the same Kamailio, and the client waits in vain.
        let (mut client, path) = authorized(kamailio, Transport::Tcp).await;
        client
            .write(&format!("MSRP 49fh AUTH\r\nTo-Path: {path} {uri}\r\nFrom-Path: {CLIENT}\r\n-------49fh$\r\n"))
            .await;
        client.expect_quiet().await;
    });
}

//! Two clients of ours that reach each other over Kamailio, on every transport.

use postroad_msrp::connect::{ConnectError, Mode, Options, RelayConnection, RelaySettings};
use postroad_msrp::digest::Credentials;
use postroad_msrp::engine::Outgoing;
use postroad_msrp::session::{Incoming, OutgoingFile, Session};
use postroad_taps::TlsConfig;
use postroad_tests::ours::{run, soon};
use postroad_tests::peers::{Kamailio, Transport, User};

use super::TRANSPORTS;

fn client(kamailio: &Kamailio, transport: Transport, user: &User) -> RelayConnection {
    let mut options = Options::default();
    options.tls = TlsConfig::builder().roots_file(kamailio.authority()).build().unwrap();
    let relay = kamailio.uri(transport).parse().unwrap();
    let mut settings = RelaySettings::at(relay, Credentials::new(user.name, user.password).unwrap());
    // What Kamailio listens on in clear text is on the loopback.
    settings.allow_clear_text = true;
    RelayConnection::new(settings, options)
}

/// A session between two clients, each over its transport to the relay.
async fn sessions(kamailio: &Kamailio, mine: Transport, theirs: Transport) -> (Session, Session) {
    let alice = soon(client(kamailio, mine, &Kamailio::ALICE).prepare(None)).await.unwrap();
    let bob = soon(client(kamailio, theirs, &Kamailio::BOB).prepare(None)).await.unwrap();
    let (alices, bobs) = (alice.path().clone(), bob.path().clone());
    let (alice, bob) =
        tokio::join!(soon(alice.complete(bobs, Mode::Active)), soon(bob.complete(alices, Mode::Passive)));
    (Session::new(alice.unwrap()), Session::new(bob.unwrap()))
}

async fn text(session: &mut Session) -> String {
    loop {
        match soon(session.receive()).await.unwrap() {
            Incoming::Message(message) => return String::from_utf8(message.content.to_vec()).unwrap(),
            Incoming::Report(_) => {}
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn messages_and_reports_go_both_ways_over_every_transport() {
    let kamailio = kamailio!();
    run(async {
        for (mine, theirs) in TRANSPORTS.into_iter().flat_map(|a| TRANSPORTS.map(|b| (a, b))) {
            let (mut alice, mut bob) = sessions(kamailio, mine, theirs).await;
            soon(alice.deliver(Outgoing::new("text/plain", "hello").with_success_report(true))).await.unwrap();
            assert_eq!(text(&mut bob).await, "hello", "{mine:?} {theirs:?}");
            let Incoming::Report(report) = soon(alice.receive()).await.unwrap() else { panic!() };
            assert!(report.complete);
            soon(bob.deliver(Outgoing::new("text/plain", "welcome"))).await.unwrap();
            assert_eq!(text(&mut alice).await, "welcome", "{mine:?} {theirs:?}");
        }
    });
}

#[test]
fn only_who_knows_the_password_gets_in() {
    let kamailio = kamailio!();
    run(async {
        for transport in TRANSPORTS {
            let wrong = User { name: "alice", password: "wrong" };
            for user in [&wrong, &Kamailio::BARRED] {
                let error = soon(client(kamailio, transport, user).prepare(None)).await.unwrap_err();
                assert!(matches!(error, ConnectError::Relay(_)), "{transport:?}: {error}");
            }
        }
    });
}

fn octets(length: usize) -> Vec<u8> {
    let mut state = 1_u32;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    };
    (0..length).map(|_| next()).collect()
}

#[test]
fn small_files_arrive_as_they_were() {
    let kamailio = kamailio!();
    run(async {
        for (mine, theirs) in [
            (Transport::Tcp, Transport::Tcp),
            (Transport::Tls, Transport::Tls),
            (Transport::SecureWebSocket, Transport::Tls),
            (Transport::Tcp, Transport::WebSocket),
        ] {
            let (alice, mut bob) = sessions(kamailio, mine, theirs).await;
            for length in [0, 1, 10_240, 30_000] {
                let content = octets(length);
                let file =
                    OutgoingFile::new(std::io::Cursor::new(content.clone()), "application/octet-stream").unwrap();
                let transfer = alice.send_file(file.with_size(length as u64)).unwrap();
                let Incoming::Message(message) = soon(bob.receive()).await.unwrap() else { panic!() };
                assert!(message.content == content, "{mine:?} {theirs:?} {length}");
                soon(transfer.outcome()).await.unwrap();
            }
        }
    });
}

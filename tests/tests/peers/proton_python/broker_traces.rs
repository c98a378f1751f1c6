//! What Proton prints of a connection with `PN_TRACE_FRM`, and what we print of the same bytes.

use std::sync::{Arc, Mutex};

use postroad_amqp::sasl::UserFile;
use postroad_amqp::v1_0::FrameTrace;
use postroad_broker::Broker;
use postroad_codec::v1_0::Direction;
use postroad_tests::ours::run;
use serde_json::json;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use super::{broker, numbered, start};

/// Lines of each direction: which of two that cross comes first differs from one place to another.
#[derive(Debug, Default, PartialEq)]
struct Lines {
    incoming: Vec<String>,
    outgoing: Vec<String>,
}

impl Lines {
    /// Takes a line without the id of the connection.
    fn push(&mut self, line: &str) {
        let Some((_, text)) = line.strip_prefix("[0x").and_then(|line| line.split_once("]: ")) else { return };
        let outgoing = text.contains("-> ") && text.find("-> ") < text.find("<- ").or(Some(usize::MAX));
        if outgoing { &mut self.outgoing } else { &mut self.incoming }.push(text.to_owned());
    }
}

/// What goes one way through a relay, and past a trace.
async fn relay(
    direction: Direction,
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    seen: Arc<Mutex<(FrameTrace, Lines)>>,
) {
    let mut buffer = [0; 700];
    while let Ok(count @ 1..) = from.read(&mut buffer).await {
        {
            let (trace, lines) = &mut *seen.lock().unwrap();
            trace.bytes(direction, &buffer[..count], |line| lines.push(line));
        }
        if to.write_all(&buffer[..count]).await.is_err() {
            break;
        }
    }
    let _ = to.shutdown().await;
}

/// A port that leads to the broker, past a trace as the client would print it.
async fn tapped(broker: &Broker) -> (u16, Arc<Mutex<(FrameTrace, Lines)>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let seen = Arc::new(Mutex::new((FrameTrace::new(1), Lines::default())));
    let (to, tap) = (broker.addr().unwrap(), Arc::clone(&seen));
    tokio::spawn(async move {
        let (client, _) = listener.accept().await.unwrap();
        let (from_client, to_client) = client.into_split();
        let (from_broker, to_broker) = TcpStream::connect(to).await.unwrap().into_split();
        tokio::join!(
            relay(Direction::Out, from_client, to_broker, Arc::clone(&tap)),
            relay(Direction::In, from_broker, to_client, tap),
        );
    });
    (port, seen)
}

#[test]
fn our_trace_is_protons() {
    let proton = proton!().traced();
    run(async {
        let broker = broker().await;
        let (port, seen) = tapped(&broker).await;
        let large = json!({"sections": [{"s": "amqp-value", "v": {"t": "string", "v": "x\"\\y\n".repeat(1000)}}]});
        let sent = proton.send(&format!("amqp://127.0.0.1:{port}"), "q", &[numbered(1), large], &[]).unwrap();
        assert_eq!(sent.code, Some(0), "{}", sent.stderr);
        let mut theirs = Lines::default();
        sent.stderr.lines().for_each(|line| theirs.push(line));
        // The ends of the streams are no frames, and which end is first is the network's affair.
        theirs.incoming.retain(|line| !line.contains("EOS"));
        theirs.outgoing.retain(|line| !line.contains("EOS"));
        let (_, ours) = &*seen.lock().unwrap();
        assert!(ours.outgoing.iter().any(|line| line.ends_with(" ... (truncated)")), "{ours:#?}");
        assert!(ours.outgoing.len() > 6 && ours.incoming.len() > 6, "{ours:#?}");
        for (ours, theirs) in ours.outgoing.iter().zip(&theirs.outgoing) {
            assert_eq!(ours, theirs);
        }
        for (ours, theirs) in ours.incoming.iter().zip(&theirs.incoming) {
            assert_eq!(ours, theirs);
        }
        assert_eq!((ours.outgoing.len(), ours.incoming.len()), (theirs.outgoing.len(), theirs.incoming.len()));
    });
}

#[test]
fn ours_has_no_password() {
    let proton = proton!().traced();
    run(async {
        let users = UserFile::parse("alice:wonderland\n", [7; 32]).unwrap();
        let broker = start(Broker::builder().auto_create(true).users(users).allow_insecure_plain(true)).await;
        let (port, seen) = tapped(&broker).await;
        let url = format!("amqp://alice:wonderland@127.0.0.1:{port}");
        let sent = proton.send(&url, "q", &[numbered(1)], &["--mechs", "PLAIN"]).unwrap();
        assert_eq!(sent.code, Some(0), "{}", sent.stderr);
        assert!(sent.stderr.contains("initial-response=b\"\\x00alice\\x00wonderland\""), "{}", sent.stderr);
        let (_, ours) = &*seen.lock().unwrap();
        let init = "AMQP:FRAME:0 -> @sasl-init(65) [mechanism=:PLAIN, initial-response=[redacted]]";
        assert!(ours.outgoing.iter().any(|line| line == init), "{ours:#?}");
        assert!(!format!("{ours:?}").contains("wonderland"));
    });
}

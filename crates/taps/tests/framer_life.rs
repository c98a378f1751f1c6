//! What a framer does beside its messages: at the start, by the clock, at the end (RFC 9622 9.1.2, RFC 9623 6.1).

mod common;

use std::time::Duration;

use common::{PATIENCE, bare, clear, next, wire};
use postroad_taps::{AttemptError, Framer, FramerCx, FramerError, Message, MessageContext, Start, Stop};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::time::timeout;

/// Says a word at the start, is ready when the peer has said it too, answers `?` with `!`, and says good-bye.
struct Polite;

impl Framer for Polite {
    fn start(&mut self, cx: &mut FramerCx<'_>) -> Result<Start, FramerError> {
        cx.send_slice(b"HI");
        Ok(Start::WillMarkReady)
    }

    fn new_sent_message(&mut self, cx: &mut FramerCx<'_>, message: Message) -> Result<(), FramerError> {
        cx.send(message.data);
        Ok(())
    }

    fn handle_received_data(&mut self, cx: &mut FramerCx<'_>) -> Result<(), FramerError> {
        let Some(parsed) = cx.parse(2, 2) else { return Ok(()) };
        match parsed.data {
            b"HI" => cx.make_connection_ready(),
            b"??" => cx.send_slice(b"!!"),
            b"NO" => return Err(FramerError::Malformed("impolite".to_owned())),
            _ => {
                return {
                    cx.deliver_and_advance_receive_cursor(MessageContext::default(), 2, true);
                    Ok(())
                };
            }
        }
        cx.advance_receive_cursor(2);
        Ok(())
    }

    fn stop(&mut self, cx: &mut FramerCx<'_>) -> Stop {
        cx.send_slice(b"BYE");
        Stop::Closed
    }
}

#[tokio::test]
async fn a_framer_may_talk_before_the_connection_is_ready_and_after_it_is_used() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let mut initiate = tokio::spawn(async move { clear().framer(|| Polite).remote(address).initiate().await });
    let (mut raw, _) = listener.accept().await.unwrap();
    assert_eq!(wire(&mut raw, 2).await, b"HI");
    assert!(timeout(Duration::from_millis(30), &mut initiate).await.is_err(), "not ready before the peer has spoken");
    raw.write_all(b"HIok").await.unwrap();
    let connection = timeout(PATIENCE, initiate).await.unwrap().unwrap().unwrap();
    assert_eq!(&next(&connection).await.unwrap().data[..], b"ok");
    // The answer leaves while the application only receives.
    raw.write_all(b"??").await.unwrap();
    let (received, _) = tokio::join!(next(&connection), async {
        assert_eq!(wire(&mut raw, 2).await, b"!!");
        raw.write_all(b"so").await.unwrap();
    });
    assert_eq!(&received.unwrap().data[..], b"so");
    connection.close().await.unwrap();
    let mut rest = Vec::new();
    raw.read_to_end(&mut rest).await.unwrap();
    assert_eq!(rest, b"BYE");
}

#[tokio::test]
async fn a_framer_that_fails_at_its_start_fails_the_attempt() {
    for (answer, expected) in [
        (&b"NO"[..], AttemptError::Framer(FramerError::Malformed("impolite".to_owned()))),
        (b"", AttemptError::Transport(std::io::ErrorKind::UnexpectedEof)),
    ] {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let initiate = clear().framer(|| Polite).remote(listener.local_addr().unwrap()).initiate().timeout(PATIENCE);
        let (_, result) = tokio::join!(
            async {
                let mut raw = listener.accept().await.unwrap().0;
                assert_eq!(wire(&mut raw, 2).await, b"HI");
                raw.write_all(answer).await.unwrap();
            },
            async { initiate.await }
        );
        assert_eq!(result.unwrap_err().attempts()[0].error, expected);
    }
}

/// Says good-bye, and waits for the answer.
struct Courteous;

impl Framer for Courteous {
    fn new_sent_message(&mut self, cx: &mut FramerCx<'_>, message: Message) -> Result<(), FramerError> {
        cx.send(message.data);
        Ok(())
    }

    fn handle_received_data(&mut self, cx: &mut FramerCx<'_>) -> Result<(), FramerError> {
        if cx.parse(3, 3).is_some_and(|parsed| parsed.data == b"bye") {
            cx.advance_receive_cursor(3);
            cx.make_connection_closed();
        }
        Ok(())
    }

    fn stop(&mut self, cx: &mut FramerCx<'_>) -> Stop {
        cx.send_slice(b"good");
        Stop::WillMarkClosed
    }
}

/// RFC 9623 6.1: a framer may hold the end of a connection until its peer has answered.
#[tokio::test]
async fn a_framer_that_waits_for_the_answer_holds_the_end() {
    let (connection, mut raw) = bare(clear().framer(|| Courteous)).await;
    let closing = connection.close();
    tokio::pin!(closing);
    let heard = tokio::select! {
        biased;
        _ = &mut closing => panic!("it has not heard the answer"),
        heard = wire(&mut raw, 4) => heard,
    };
    assert_eq!(heard, b"good");
    raw.write_all(b"bye").await.unwrap();
    timeout(PATIENCE, closing).await.unwrap().unwrap();
    assert_eq!(raw.read_u8().await.unwrap_err().kind(), std::io::ErrorKind::UnexpectedEof);
}

/// Sends a beat of its own accord.
struct Beats;

impl Framer for Beats {
    fn start(&mut self, cx: &mut FramerCx<'_>) -> Result<Start, FramerError> {
        cx.schedule_wakeup(Duration::from_millis(20));
        Ok(Start::Ready)
    }

    fn new_sent_message(&mut self, cx: &mut FramerCx<'_>, message: Message) -> Result<(), FramerError> {
        cx.send(message.data);
        Ok(())
    }

    fn handle_received_data(&mut self, _: &mut FramerCx<'_>) -> Result<(), FramerError> {
        Ok(())
    }

    fn wakeup(&mut self, cx: &mut FramerCx<'_>) -> Result<(), FramerError> {
        cx.send_slice(b"beat");
        cx.schedule_wakeup(Duration::from_millis(20));
        Ok(())
    }
}

#[tokio::test]
async fn a_framer_may_speak_when_its_time_comes() {
    let (connection, mut raw) = bare(clear().framer(|| Beats)).await;
    tokio::select! {
        received = connection.receive() => panic!("{received:?}"),
        heard = wire(&mut raw, 12) => assert_eq!(heard, b"beatbeatbeat"),
    }
}

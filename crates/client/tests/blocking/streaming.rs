//! Content through `Write` and `Read`.

use std::io::{self, BufRead as _, ErrorKind, Read as _, Write as _};
use std::thread;

use postroad_client::blocking::{IncomingLink, Sender, StreamingReceiver};
use postroad_client::{LinkError, LinkOptions, Message, Outcome, ReceiveError, SendError};

use crate::{Ends, PATIENCE, SHORT, connect, link};

fn pair() -> (Sender, StreamingReceiver, Ends) {
    let ends = connect();
    let stream = |incoming: IncomingLink| incoming.into_streaming_receiver(&LinkOptions::default()).unwrap();
    let (sender, receiver) = link(&ends, |session| session.sender("queue").unwrap(), stream);
    (sender, receiver, ends)
}

#[test]
fn content_longer_than_any_buffer_goes_from_write_to_read() {
    const LENGTH: u64 = 3 * 1024 * 1024 + 7;
    let (sender, mut receiver, _ends) = pair();
    let sending = thread::spawn(move || {
        let mut writer = sender.begin(&Message::new().with_subject("long"));
        assert_eq!(io::copy(&mut io::repeat(7).take(LENGTH), &mut writer).unwrap(), LENGTH);
        writer.finish()
    });
    let mut reader = receiver.receive().unwrap();
    assert_eq!(reader.message().subject(), Some("long"));
    let mut content = Vec::new();
    assert_eq!(reader.read_to_end(&mut content).unwrap() as u64, LENGTH);
    assert!(content.iter().all(|byte| *byte == 7));
    reader.accept().unwrap();
    assert_eq!(sending.join().unwrap(), Ok(Outcome::Accepted));
}

#[test]
fn lines_and_pieces_stay_in_order() {
    let (sender, mut receiver, _ends) = pair();
    let sending = thread::spawn(move || {
        let mut writer = sender.begin(&Message::new());
        for number in 0..3 {
            writeln!(writer, "line {number}").unwrap();
        }
        writer.write("a piece\n").unwrap();
        writer.write_all(b"gathered, ").unwrap();
        writer.write_timeout("and with it a piece\n", PATIENCE).unwrap();
        writer.write_all(b"the last").unwrap();
        writer.finish_timeout(PATIENCE)
    });
    let mut reader = receiver.receive_timeout(PATIENCE).unwrap().expect("a message in time");
    let mut first = String::new();
    reader.read_line(&mut first).unwrap();
    assert_eq!(first, "line 0\n");
    let lines: Vec<_> = reader.by_ref().lines().map(Result::unwrap).collect();
    assert_eq!(lines, ["line 1", "line 2", "a piece", "gathered, and with it a piece", "the last"]);
    assert_eq!(reader.chunk(), Ok(None));
    reader.settle(Outcome::Accepted).unwrap();
    sending.join().unwrap().unwrap();
}

#[test]
fn pieces_have_a_limit_whoever_holds_them() {
    let (sender, mut receiver, _ends) = pair();
    let mut writer = sender.begin(&Message::new());
    writer.write("one two three").unwrap();
    assert!(writer.is_writable());
    writer.write_all(b" four").unwrap();
    assert!(!writer.is_writable(), "what was gathered goes first");
    let mut reader = receiver.receive().unwrap();
    assert!(reader.is_partial());
    assert_eq!(&reader.chunk_within(4).unwrap().unwrap()[..], b"one ");
    assert!(reader.is_readable());
    // As `Read` it takes all that is here, and keeps what is not read.
    reader.read_exact(&mut [0; 4]).unwrap();
    assert!(reader.is_readable());
    assert_eq!(&reader.chunk_within(0).unwrap().unwrap()[..], b"t");
    assert_eq!(&reader.chunk_within_timeout(100, PATIENCE).unwrap().unwrap()[..], b"hree");
    assert!(!reader.is_readable());
    assert_eq!(reader.chunk_within_timeout(2, SHORT), Err(ReceiveError::Link(LinkError::Timeout(SHORT))));

    writer.flush().unwrap();
    assert!(writer.is_writable());
    assert_eq!(&reader.chunk_within_timeout(3, PATIENCE).unwrap().unwrap()[..], b" fo");
    thread::scope(|scope| {
        let finished = scope.spawn(|| writer.finish());
        assert_eq!(&reader.chunk().unwrap().unwrap()[..], b"ur");
        assert_eq!(reader.chunk_within(3), Ok(None));
        assert!(!reader.is_partial());
        reader.accept().unwrap();
        assert_eq!(finished.join().unwrap(), Ok(Outcome::Accepted));
    });
}

#[test]
fn a_sender_that_gives_up_is_an_error_of_the_reader() {
    let (sender, mut receiver, _ends) = pair();
    {
        let mut writer = sender.begin(&Message::new());
        writer.write("the beginning").unwrap();
        // What was gathered goes with it: nothing says how far the content came.
        writer.write_all(b"gathered").unwrap();
        let mut reader = receiver.receive().unwrap();
        assert_eq!(&reader.chunk().unwrap().unwrap()[..], b"the beginning");
        assert_eq!(reader.chunk_timeout(SHORT), Err(ReceiveError::Link(LinkError::Timeout(SHORT))));
        drop(writer);
        let error = reader.read(&mut [0; 8]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::UnexpectedEof);
        let inner = error.into_inner().unwrap();
        assert_eq!(inner.downcast_ref(), Some(&ReceiveError::Aborted));
    }
    assert!(receiver.receive_timeout(SHORT).unwrap().is_none());
}

#[test]
fn less_or_more_than_was_told_is_refused() {
    let (sender, _receiver, _ends) = pair();
    let mut writer = sender.begin_sized(&Message::new(), 10);
    writer.write_all(b"five!").unwrap();
    assert_eq!(writer.finish(), Err(SendError::Length));
    let mut writer = sender.begin_sized(&Message::new(), 3);
    writer.write_all(b"four").unwrap();
    let error = writer.flush().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    assert_eq!(error.into_inner().unwrap().downcast_ref(), Some(&SendError::Length));
}

#[test]
fn inside_a_runtime_nothing_of_the_content_is_lost() {
    let (sender, mut receiver, _ends) = pair();
    let mut writer = sender.begin(&Message::new());
    writer.write_all(b"before, ").unwrap();
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
        assert!(writer.flush().is_err());
        assert!(writer.write("not taken").is_err());
        assert!(writer.write_timeout("not taken", SHORT).is_err());
    });
    writer.write_all(b"after").unwrap();
    let finishing = thread::scope(|scope| {
        let finishing = scope.spawn(|| writer.finish());
        let mut reader = receiver.receive().unwrap();
        let mut content = String::new();
        reader.read_to_string(&mut content).unwrap();
        assert_eq!(content, "before, after");
        reader.accept().unwrap();
        finishing.join().unwrap()
    });
    assert_eq!(finishing, Ok(Outcome::Accepted));
}

//! The interface of the original: handlers, the loop, and what is told when (cases 9, 18, 33, 42, 66 and 70).

use std::cell::{Cell, RefCell};
use std::io::{Read, Write};
use std::net::TcpListener;
use std::rc::Rc;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use postroad_taps::callback::{
    Connection, ListenErrorReasons, Listener, MessageDataObject, Preconnection, Properties, SendErrorReason, run,
};
use postroad_taps::{
    BlockingError, ConnectionError, ConnectionProperty, ConnectionState, EstablishmentErrorKind, Framer, FramerCx,
    FramerError, LengthPrefix, LocalEndpoint, Message, MessageContext, PropertyError, ReceiveError, RemoteEndpoint,
    SelectionProperty, TransportProperties,
};

/// A port of 127.0.0.1 where nobody listens. It stays bound: one that was given back would be the next test's.
fn closed_port() -> u16 {
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind(([127, 0, 0, 1], 0).into()).unwrap();
    let port = socket.local_addr().unwrap().port();
    std::mem::forget(socket);
    port
}

const PATIENCE: Duration = Duration::from_secs(10);

fn local() -> Option<LocalEndpoint> {
    Some(LocalEndpoint::host("127.0.0.1"))
}

fn server() -> Preconnection {
    let mut preconnection = Preconnection::new(local(), None, None, false, || panic!("fulfilled"));
    preconnection.add_framer(LengthPrefix::new);
    preconnection
}

fn port_of(listener: &Listener) -> u16 {
    listener.local_endpoint().and_then(|address| address.ip()).unwrap().port()
}

fn remote(port: u16) -> Option<RemoteEndpoint> {
    Some(RemoteEndpoint::host("127.0.0.1").port(port))
}

fn client(port: u16) -> Preconnection {
    let mut preconnection = Preconnection::new(None, remote(port), None, false, || panic!("fulfilled"));
    preconnection.add_framer(LengthPrefix::new);
    preconnection
}

async fn run_out() {
    tokio::time::timeout(PATIENCE, run()).await.expect("nothing is left in time");
}

/// What was told, in order.
#[derive(Clone, Default)]
struct Told(Rc<RefCell<Vec<String>>>);

impl Told {
    fn note(&self, what: impl Into<String>) {
        self.0.borrow_mut().push(what.into());
    }

    fn all(&self) -> Vec<String> {
        self.0.borrow().clone()
    }

    fn count(&self, what: &str) -> usize {
        self.0.borrow().iter().filter(|told| told.starts_with(what)).count()
    }

    fn watch(&self, connection: &Connection, name: &'static str) {
        let told = || self.clone();
        let (ready, closed, failed) = (told(), told(), told());
        connection.handle_state_ready(move |_| ready.note(format!("{name} ready")));
        connection.handle_state_closed(move |_| closed.note(format!("{name} closed")));
        connection.handle_state_connection_error(move |_| failed.note(format!("{name} error")));
    }

    fn send(&self, connection: &Connection, text: &str) -> bool {
        let (told, name) = (self.clone(), text.to_owned());
        let sent = move |_: &Connection, error: Option<SendErrorReason>| match error {
            None => told.note(format!("sent {name}")),
            Some(reason) => told.note(format!("not sent {name}: {reason:?}")),
        };
        connection.send(text, sent, None, true)
    }

    fn receive(&self, connection: &Connection) -> bool {
        let told = self.clone();
        let received =
            move |_: &Connection, message: MessageDataObject, _, end, error: Option<ReceiveError>| match error {
                None => told.note(format!("received {} {end:?}", String::from_utf8_lossy(&message.data))),
                Some(error) => told.note(format!("not received: {error}")),
            };
        connection.receive(received, None, None)
    }
}

/// Runs a program of its own, on a thread of its own, in bounded time.
fn program(run: impl FnOnce() + Send + 'static) {
    let (done, finished) = mpsc::channel();
    let program = thread::spawn(move || {
        run();
        let _ = done.send(());
    });
    if finished.recv_timeout(PATIENCE) == Err(mpsc::RecvTimeoutError::Timeout) {
        panic!("the program does not end");
    }
    program.join().expect("the program did not fail");
}

#[allow(clippy::needless_pass_by_value, reason = "a handler takes what it is given")]
fn echo(
    connection: &Connection,
    message: MessageDataObject,
    _: MessageContext,
    end: Option<bool>,
    error: Option<ReceiveError>,
) {
    if error.is_some() {
        return connection.close();
    }
    assert_eq!(end, None);
    connection.send(message.data, |_, _| {}, None, true);
    connection.receive(echo, None, None);
}

/// Case 70: the echo program.
#[test]
fn the_echo_program() {
    program(|| {
        let preconnection = server();
        let listener = preconnection.listen();
        listener.handle_connection_received(|connection| {
            connection.receive(echo, None, None);
        });
        let told = Told::default();
        let seen = told.clone();
        listener.handle_state_listening(move |listener| {
            let connection = client(port_of(listener)).initiate(Some(PATIENCE));
            let listener = listener.clone();
            connection.handle_state_ready(move |connection| {
                seen.send(connection, "hello");
                let received = move |connection: &Connection, message: MessageDataObject, _, _, _| {
                    seen.note(format!("received {} bytes", message.length));
                    assert_eq!(&message.data[..], b"hello");
                    connection.close();
                    listener.stop();
                };
                connection.receive(received, None, None);
            });
        });
        preconnection.start().unwrap();
        assert_eq!(told.all(), ["sent hello", "received 5 bytes"]);
    });
}

/// Messages of five bytes, nothing around them.
struct FiveBytesFramer;

impl Framer for FiveBytesFramer {
    fn new_sent_message(&mut self, cx: &mut FramerCx<'_>, message: Message) -> Result<(), FramerError> {
        cx.send(message.data);
        Ok(())
    }

    fn handle_received_data(&mut self, cx: &mut FramerCx<'_>) -> Result<(), FramerError> {
        if let Some(parsed) = cx.parse(5, 5) {
            cx.deliver_and_advance_receive_cursor(parsed.context.clone(), 5, true);
        }
        Ok(())
    }
}

/// Case 70: the program with the framer of five bytes, whose client is cloned.
#[test]
fn the_five_bytes_framer_program_with_clone() {
    program(|| {
        let mut preconnection = Preconnection::new(local(), None, None, false, || {});
        preconnection.add_framer(|| FiveBytesFramer);
        let listener = preconnection.listen();
        let told = Told::default();
        let (received, left) = (told.clone(), Rc::new(Cell::new(4)));
        listener.handle_connection_received(move |connection| {
            for _ in 0..2 {
                let (received, left) = (received.clone(), Rc::clone(&left));
                let handler = move |connection: &Connection, message: MessageDataObject, _, end, _| {
                    received.note(format!("{} {end:?}", String::from_utf8_lossy(&message.data)));
                    left.set(left.get() - 1);
                    if left.get() == 0 {
                        connection.stop_listener();
                    }
                };
                connection.receive(handler, None, None);
            }
        });
        listener.handle_state_listening(|listener| {
            let mut preconnection = Preconnection::new(None, remote(port_of(listener)), None, false, || {});
            preconnection.add_framer(|| FiveBytesFramer);
            preconnection.initiate(None).handle_state_ready(|connection| {
                let clone = connection.clone_connection(|_| panic!("cloned"));
                assert_eq!(clone.get_properties().state, ConnectionState::Establishing);
                let original = connection.clone();
                clone.handle_state_ready(move |clone| {
                    assert!(clone.is_grouped_with(&original) && *clone != original);
                    clone.send("clone1234_", |clone, _| clone.close(), None, true);
                    original.close();
                });
                // Two messages to the one that reads five bytes at a time.
                connection.send("hello", |_, error| assert_eq!(error, None), None, true);
                connection.send("world", |_, error| assert_eq!(error, None), None, true);
            });
        });
        preconnection.start().unwrap();
        let mut all = told.all();
        all.sort();
        assert_eq!(all, ["1234_ None", "clone None", "hello None", "world None"]);
    });
}

/// Case 70 (RFC 9621 3.4): the peer need not know this interface.
#[tokio::test]
async fn the_example_framer_speaks_with_a_plain_socket() {
    let plain = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = plain.local_addr().unwrap().port();
    let peer = thread::spawn(move || {
        let (mut socket, _) = plain.accept().unwrap();
        let mut sent = [0; 9];
        socket.read_exact(&mut sent).unwrap();
        socket.write_all(b"\0\0\0\x03yes\0\0\0\0").unwrap();
        sent
    });
    let told = Told::default();
    let connection = client(port).initiate(Some(PATIENCE));
    told.send(&connection, "hello");
    told.receive(&connection);
    told.receive(&connection);
    told.receive(&connection);
    told.watch(&connection, "it");
    drop(connection);
    run_out().await;
    assert_eq!(peer.join().unwrap(), *b"\0\0\0\x05hello");
    let expected =
        ["it ready", "sent hello", "received yes None", "received  None", "not received: the connection is closed"];
    assert_eq!(told.all()[..5], expected);
    assert_eq!(told.all()[5..], ["it closed"], "a connection that nobody has is closed");
}

/// Case 9: what cannot be had is told once, and then that there is no connection.
#[tokio::test]
async fn unfulfilled_is_told_once() {
    let contradiction = || {
        TransportProperties::new()
            .require(SelectionProperty::PerMsgReliability)
            .prohibit(SelectionProperty::Reliability)
    };
    let told = Told::default();
    let seen = told.clone();
    let unfulfilled = move || seen.note("unfulfilled");
    let preconnection = Preconnection::new(local(), remote(9), Some(contradiction()), false, unfulfilled);
    let connection = preconnection.initiate(None);
    told.watch(&connection, "it");
    run_out().await;
    assert_eq!(told.all(), ["unfulfilled", "it error"]);
    assert!(matches!(connection.error(), Some(ConnectionError::NotEstablished(_))));
    assert_eq!(connection.get_properties().state, ConnectionState::Closed);

    // What TCP lacks, a framer has.
    let framed = |framer: bool, port| {
        let messages = TransportProperties::new()
            .require(SelectionProperty::PreserveMsgBoundaries)
            .require(SelectionProperty::Reliability);
        let seen = told.clone();
        let mut preconnection =
            Preconnection::new(None, remote(port), Some(messages), false, move || seen.note("no messages"));
        if framer {
            preconnection.add_framer(LengthPrefix::new);
        }
        preconnection.initiate(Some(PATIENCE))
    };
    let plain = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = plain.local_addr().unwrap().port();
    let (_connection, with_framer) = (framed(false, port), framed(true, port));
    let ready = told.clone();
    with_framer.handle_state_ready(move |connection| {
        ready.note("ready");
        connection.close();
    });
    run_out().await;
    assert_eq!((told.count("no messages"), told.count("ready")), (1, 1));

    // The other family is of no use to this local endpoint.
    let seen = told.clone();
    let other_family = Some(LocalEndpoint::host("::1"));
    let preconnection = Preconnection::new(other_family, remote(9), None, false, move || seen.note("unfulfilled"));
    let _connection = preconnection.initiate(None);
    run_out().await;
    assert_eq!(told.count("unfulfilled"), 2);

    // A refused connection is another matter.
    let closed = closed_port();
    let connection = client(closed).initiate(None);
    told.watch(&connection, "refused");
    run_out().await;
    assert_eq!(told.all().last().unwrap(), "refused error");
    let Some(ConnectionError::NotEstablished(why)) = connection.error() else { panic!("not established") };
    assert_eq!(*why.kind(), EstablishmentErrorKind::EstablishmentFailed);
}

#[tokio::test]
async fn a_listener_tells_that_it_listens_or_why_not_and_that_it_stopped() {
    let told = Told::default();
    let preconnection = server();
    let listener = preconnection.listen();
    let notes = || told.clone();
    let (listening, failed, stopped) = (notes(), notes(), notes());
    listener.handle_state_listening(move |listener| {
        listening.note("listening");
        assert!(listener.local_endpoint().is_some());
        listener.stop();
    });
    listener.handle_state_listen_error(move |_, reason| failed.note(format!("{reason:?}")));
    listener.handle_state_stopped(move |_| stopped.note("stopped"));
    run_out().await;
    assert_eq!(told.all(), ["listening", "stopped"]);
    let kept = Rc::new(());
    let late = Rc::clone(&kept);
    listener.handle_connection_received(move |_| drop(Rc::clone(&late)));
    assert_eq!(Rc::strong_count(&kept), 1, "a handler that is never called keeps nothing");

    let cases = [
        (None, ListenErrorReasons::UnfulfilledProperties, 1),
        (Some(LocalEndpoint::host("name.invalid")), ListenErrorReasons::UnresolvedLocalEndpoint, 0),
        (Some(LocalEndpoint::host("192.0.2.1")), ListenErrorReasons::UnresolvedLocalEndpoint, 0),
    ];
    for (local, expected, unfulfilled) in cases {
        let (told, counted) = (Told::default(), Rc::new(Cell::new(0)));
        let count = Rc::clone(&counted);
        let preconnection = Preconnection::new(local, None, None, false, move || count.set(count.get() + 1));
        let listener = preconnection.listen();
        let (failed, stopped) = (told.clone(), told.clone());
        listener.handle_state_listen_error(move |_, reason| failed.note(format!("{reason:?}")));
        listener.handle_state_stopped(move |_| stopped.note("stopped"));
        run_out().await;
        assert_eq!((told.all(), counted.get()), (vec![format!("{expected:?}")], unfulfilled));
        assert!(listener.error().is_some());
    }
}

#[tokio::test]
async fn clients_over_the_limit_wait_until_it_is_raised() {
    let told = Told::default();
    let listener = server().listen();
    listener.set_new_connection_limit(1);
    let (received, clients) = (told.clone(), Rc::new(RefCell::new(Vec::new())));
    listener.handle_connection_received(move |connection| {
        received.note("received");
        connection.close();
    });
    let (held, seen) = (Rc::clone(&clients), told.clone());
    listener.handle_state_listening(move |listener| {
        for _ in 0..2 {
            let connection = client(port_of(listener)).initiate(Some(PATIENCE));
            let (seen, listener) = (seen.clone(), listener.clone());
            let ended = move |connection: &Connection, _, _, _, error| {
                assert_eq!(error, Some(ReceiveError::Closed));
                seen.note("served");
                connection.close();
                if seen.count("served") == 1 {
                    assert_eq!(seen.count("received"), 1, "the other one waits");
                    listener.reset_connection_limit();
                } else {
                    listener.stop();
                }
            };
            connection.receive(ended, None, None);
            held.borrow_mut().push(connection);
        }
    });
    run_out().await;
    assert_eq!((told.count("received"), told.count("served")), (2, 2));
    assert_eq!(clients.borrow().len(), 2);
}

/// Both ends of one connection, in the handler of the accepted one.
fn pair(on_accepted: impl FnMut(&Connection) + 'static, on_ready: impl FnOnce(&Connection) + 'static) {
    let listener = server().listen();
    let mut on_accepted = on_accepted;
    listener.handle_connection_received(move |connection| {
        connection.stop_listener();
        on_accepted(connection);
    });
    listener.handle_state_listening(move |listener| {
        client(port_of(listener)).initiate(Some(PATIENCE)).handle_state_ready(on_ready);
    });
}

/// Cases 42 and 66: one outcome for each message, none after the last event, whatever ends the connection and when.
#[tokio::test]
async fn each_message_has_one_outcome_and_nothing_follows_the_last_event() {
    for abort in [false, true] {
        let told = Told::default();
        let seen = told.clone();
        let taken = Rc::new(Cell::new(0));
        let count = Rc::clone(&taken);
        pair(
            |accepted| {
                accepted.receive(echo, None, None);
            },
            move |connection| {
                let ended = seen.clone();
                connection.handle_state_closed(move |_| ended.note("last"));
                let ended = seen.clone();
                connection.handle_state_connection_error(move |_| ended.note("last"));
                let end = connection.clone();
                let ended = seen.clone();
                let middle = move |_: &Connection, error: Option<SendErrorReason>| {
                    ended.note(if error.is_none() { "sent middle" } else { "not sent middle" });
                    if abort { end.abort() } else { end.close() }
                };
                for number in 0..1000 {
                    count.set(count.get() + usize::from(seen.send(connection, &format!("{number}"))));
                    seen.receive(connection);
                    if number == 500 {
                        count.set(count.get() + usize::from(connection.send("middle", middle.clone(), None, true)));
                    }
                }
            },
        );
        run_out().await;
        let all = told.all();
        assert_eq!((taken.get(), told.count("sent") + told.count("not sent")), (1001, 1001));
        assert_eq!(told.count("received") + told.count("not received"), 1000);
        assert_eq!((told.count("last"), all.last().map(String::as_str)), (1, Some("last")), "abort: {abort}");
        let sent: Vec<_> = all.iter().filter_map(|told| told.strip_prefix("sent ")?.parse::<u32>().ok()).collect();
        assert!(sent.is_sorted() && sent.len() >= 501, "told in the order in which they were sent");
    }
}

#[tokio::test]
async fn nothing_is_taken_once_the_connection_is_over() {
    let told = Told::default();
    let seen = told.clone();
    let kept = Rc::new(RefCell::new(None));
    let keep = Rc::clone(&kept);
    pair(
        |_| {},
        move |connection| {
            let last = seen.clone();
            connection.handle_state_closed(move |connection| {
                last.note("closed");
                assert!(!last.send(connection, "late") && !last.receive(connection));
                assert!(!connection.can_be_used_for_sending() && !connection.can_be_used_for_receiving_data());
                connection.close();
                connection.abort();
            });
            keep.borrow_mut().replace(connection.clone());
            connection.close();
            seen.send(connection, "closing");
        },
    );
    run_out().await;
    assert_eq!(told.all(), ["not sent closing: ConnectionClosing", "closed"]);
    assert_eq!(kept.borrow().as_ref().unwrap().get_properties().state, ConnectionState::Closed);
}

/// Case 18, and calls from within handlers.
#[tokio::test]
async fn handlers_call_back_into_their_connection() {
    let told = Told::default();
    let seen = told.clone();
    pair(
        // The server talks first: what it says is not told before Ready.
        |accepted| {
            accepted.send("first", |_, error| assert_eq!(error, None), None, true);
            accepted.receive(echo, None, None);
        },
        move |connection| {
            seen.note("ready");
            seen.receive(connection);
            let told = seen;
            let sent = move |connection: &Connection, _: Option<SendErrorReason>| {
                told.note("sent outer");
                let again = told.clone();
                let nested = move |connection: &Connection, _: Option<SendErrorReason>| {
                    again.note("sent inner");
                    connection.set_property(ConnectionProperty::ConnPriority, 7).unwrap();
                    connection.batch(|| {
                        again.send(connection, "a");
                        connection.batch(|| {
                            again.send(connection, "b");
                        });
                    });
                    for _ in 0..3 {
                        again.receive(connection);
                    }
                    let last = |connection: &Connection, _, _, _, _| {
                        connection.close();
                        connection.close();
                    };
                    connection.receive(last, None, None);
                };
                connection.send("inner", nested, None, true);
            };
            connection.send("outer", sent, None, true);
        },
    );
    run_out().await;
    let all = told.all();
    assert_eq!(all[0], "ready");
    let order = |of: &str| all.iter().filter(|told| told.starts_with(of)).cloned().collect::<Vec<_>>();
    assert_eq!(order("sent"), ["sent outer", "sent inner", "sent a", "sent b"]);
    let received = ["received first None", "received outer None", "received inner None", "received a None"];
    assert_eq!(order("received"), received);
}

/// A message in parts: by two calls with one context, and to one who takes few bytes at a time.
#[tokio::test]
async fn parts_of_a_message_have_one_context_and_an_end() {
    let told = Told::default();
    let (sent, received) = (told.clone(), told.clone());
    pair(
        move |accepted| {
            let whole = received.clone();
            accepted.receive(
                move |_, message, _, end, _| {
                    whole.note(format!("{} {end:?}", message.length));
                },
                None,
                None,
            );
            for _ in 0..2 {
                let part = received.clone();
                let handler = move |connection: &Connection, message: MessageDataObject, _, end, _| {
                    part.note(format!("{} {end:?}", message.length));
                    if end == Some(true) {
                        connection.close();
                    }
                };
                accepted.receive(handler, None, Some(4));
            }
        },
        move |connection| {
            let mut context = MessageContext::new();
            context.set_priority(5);
            let note = |name: &'static str| {
                let sent = sent.clone();
                move |_: &Connection, error: Option<SendErrorReason>| sent.note(format!("sent {name} {error:?}"))
            };
            connection.send("hel", note("hel"), Some(context.clone()), false);
            connection.send("other", note("other"), None, true);
            connection.send("lo", note("lo"), Some(context), true);
            let ended = |connection: &Connection, _, _, _, _| connection.close();
            connection.receive(ended, None, None);
        },
    );
    run_out().await;
    assert_eq!(told.count("sent"), 3);
    let received: Vec<_> = told.all().into_iter().filter(|told| !told.starts_with("sent")).collect();
    assert_eq!(received, ["5 None", "4 Some(false)", "1 Some(true)"]);
}

/// Case 33 (9.2.5): a message that goes with the establishment is not told of when that fails.
#[tokio::test]
async fn a_first_message_goes_with_the_establishment() {
    let told = Told::default();
    let listener = server().listen();
    let received = told.clone();
    listener.handle_connection_received(move |connection| {
        connection.stop_listener();
        received.receive(connection);
    });
    let sent = told.clone();
    listener.handle_state_listening(move |listener| {
        let sent_handler = move |connection: &Connection, error: Option<SendErrorReason>| {
            sent.note(format!("first {error:?}"));
            connection.close();
        };
        client(port_of(listener)).initiate_with_send("hello", sent_handler, None, Some(PATIENCE));
    });
    run_out().await;
    assert_eq!((told.count("first None"), told.count("received hello None")), (1, 1));

    let told = Told::default();
    let closed = closed_port();
    let connection = client(closed).initiate_with_send("hello", |_, _| panic!("told"), None, None);
    told.watch(&connection, "it");
    told.send(&connection, "second");
    run_out().await;
    assert_eq!(told.all(), ["not sent second: FailureUnderlyingStack", "it error"]);
}

#[tokio::test]
async fn properties_are_those_asked_for_and_then_those_selected() {
    let told = Told::default();
    let seen = told.clone();
    let listener = server().listen();
    listener.handle_connection_received(|connection| {
        connection.stop_listener();
        connection.receive(echo, None, None);
    });
    listener.handle_state_listening(move |listener| {
        let connection = client(port_of(listener)).initiate(Some(PATIENCE));
        let before = connection.get_properties();
        assert!(matches!(&before.props, Properties::Asked(asked) if asked.connection.conn_timeout.is_none()));
        assert_eq!((before.state, before.send, before.receive), (ConnectionState::Establishing, true, true));
        assert_eq!([ConnectionState::Establishing as u8, ConnectionState::Established as u8], [1, 2]);
        assert_eq!([ConnectionState::Closing as u8, ConnectionState::Closed as u8], [3, 4]);
        connection.set_property(ConnectionProperty::ConnPriority, 3).unwrap();
        connection.handle_state_ready(move |connection| {
            let info = connection.get_properties();
            assert_eq!((info.state, info.send, info.receive), (ConnectionState::Established, true, true));
            let Properties::Selected(selected) = info.props else { panic!("selected") };
            assert!(selected.has(SelectionProperty::Reliability));
            assert_eq!(selected.connection().conn_priority, 3);
            let read_only = connection.set_property(ConnectionProperty::SendMsgMaxLen, 1);
            assert!(matches!(read_only, Err(PropertyError::ReadOnly { .. })));
            let selection = connection.set_property(SelectionProperty::Reliability, 1);
            assert!(matches!(selection, Err(PropertyError::Established { .. })), "{selection:?}");
            connection.set_property(ConnectionProperty::ConnTimeout, 30).unwrap();
            let clone = connection.clone_connection(|_| {});
            clone.set_property(ConnectionProperty::ConnPriority, 9).unwrap();
            let asked = clone.get_properties().props;
            assert!(matches!(asked, Properties::Asked(asked) if asked.connection.conn_priority == 9));
            connection.close();
            seen.note("looked");
        });
    });
    run_out().await;
    assert_eq!(told.all(), ["looked"]);
}

/// The end of a connection is noticed by nobody's call but the loop's.
#[tokio::test]
async fn a_reset_is_told_though_nobody_receives() {
    let told = Told::default();
    let seen = told.clone();
    pair(
        |accepted| {
            accepted.receive(|connection, _, _, _, _| connection.abort(), None, None);
        },
        move |connection| {
            seen.watch(connection, "it");
            seen.send(connection, "please");
            // Somebody has to hold it: a connection without a handle is closed.
            let keep = connection.clone();
            let last = seen;
            connection.handle_state_connection_error(move |_| {
                last.note("reset");
                drop(keep);
            });
        },
    );
    run_out().await;
    assert_eq!(told.all(), ["sent please", "reset"]);
}

#[tokio::test]
async fn a_clone_that_fails_is_told_on_the_original() {
    let told = Told::default();
    let (seen, accepted_notes) = (told.clone(), told.clone());
    pair(
        move |accepted| {
            let failed = accepted_notes.clone();
            let clone = accepted.clone_connection(move |connection| {
                failed.note("not cloned");
                connection.close();
            });
            accepted_notes.watch(&clone, "clone");
            accepted_notes.send(&clone, "lost");
        },
        move |connection| {
            seen.watch(connection, "client");
            let ended = |connection: &Connection, _, _, _, _| connection.close();
            connection.receive(ended, None, None);
        },
    );
    run_out().await;
    assert_eq!(told.all(), ["not sent lost: ConnectionClosing", "not cloned", "client closed"]);
}

#[tokio::test]
async fn stop_ends_the_loop_and_start_does_not_run_inside_a_runtime() {
    let listener = server().listen();
    listener.handle_state_listening(|listener| {
        client(port_of(listener)).initiate(None).handle_state_ready(|connection| {
            connection.handle_state_closed(|_| panic!("nothing is told any more"));
            connection.stop();
        });
    });
    run_out().await;
    assert_eq!(server().start(), Err(BlockingError::InsideRuntime));
}

//! An echo in the manner of the original: events are told to handlers, and `start` runs the loop.
//!
//! `callback_echo serve PORT` echoes until it is interrupted; `callback_echo ask PORT TEXT...` sends each text, and
//! prints what comes back. Without arguments it asks itself.

use std::cell::Cell;
use std::process::ExitCode;
use std::rc::Rc;

use postroad_taps::callback::{Connection, MessageDataObject, Preconnection};
use postroad_taps::{
    LengthPrefix, LocalEndpoint, MessageContext, Profile, ReceiveError, RemoteEndpoint, TransportProperties,
};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let started = match arguments.as_slice() {
        [] => Some(serve(0, true)),
        ["serve", port] => port.parse().ok().map(|port| serve(port, false)),
        ["ask", port, texts @ ..] => port.parse().ok().map(|port| ask(port, texts)),
        _ => None,
    };
    match started {
        Some(true) => ExitCode::SUCCESS,
        Some(false) => ExitCode::FAILURE,
        None => {
            eprintln!("usage: callback_echo [serve PORT | ask PORT TEXT...]");
            ExitCode::from(2)
        }
    }
}

/// Echoes; asks itself, in a thread with a loop of its own, and ends with that, when it is to.
fn serve(port: u16, asks_itself: bool) -> bool {
    let local = LocalEndpoint::host("127.0.0.1").port(port);
    let mut preconnection = Preconnection::new(Some(local), None, Some(properties()), false, unfulfilled);
    preconnection.add_framer(LengthPrefix::new);
    let listener = preconnection.listen();
    listener.handle_state_listening(move |listener| {
        let Some(address) = listener.local_endpoint() else { return };
        println!("listening on {address}");
        if let Some(address) = address.ip().filter(|_| asks_itself) {
            std::thread::spawn(move || {
                let answered = ask(address.port(), &["hello", "again"]);
                std::process::exit(i32::from(!answered));
            });
        }
    });
    listener.handle_state_listen_error(|listener, reason| match listener.error() {
        Some(error) => eprintln!("{error}"),
        None => eprintln!("{reason:?}"),
    });
    listener.handle_connection_received(|connection| {
        connection.receive(echo, None, None);
    });
    preconnection.start().is_ok() && listener.error().is_none()
}

#[allow(clippy::needless_pass_by_value, reason = "a handler takes what it is given")]
fn echo(
    connection: &Connection,
    message: MessageDataObject,
    _: MessageContext,
    _: Option<bool>,
    error: Option<ReceiveError>,
) {
    if error.is_some() {
        return connection.close();
    }
    connection.send(message.data, |_, _| {}, None, true);
    connection.receive(echo, None, None);
}

fn ask(port: u16, texts: &[&str]) -> bool {
    let remote = RemoteEndpoint::host("127.0.0.1").port(port);
    let mut preconnection = Preconnection::new(None, Some(remote), Some(properties()), false, unfulfilled);
    preconnection.add_framer(LengthPrefix::new);
    let connection = preconnection.initiate(None);
    let texts: Vec<String> = texts.iter().map(|&text| text.to_owned()).collect();
    let missing = Rc::new(Cell::new(texts.len()));
    let left = Rc::clone(&missing);
    connection.handle_state_ready(move |connection| {
        if texts.is_empty() {
            connection.close();
        }
        for text in texts {
            connection.send(text, |_, _| {}, None, true);
            let left = Rc::clone(&left);
            let received =
                move |connection: &Connection, message: MessageDataObject, _, _, error: Option<ReceiveError>| {
                    if error.is_none() {
                        println!("{}", String::from_utf8_lossy(&message.data));
                        left.set(left.get() - 1);
                    }
                    if error.is_some() || left.get() == 0 {
                        connection.close();
                    }
                };
            connection.receive(received, None, None);
        }
    });
    connection.handle_state_connection_error(|connection| {
        if let Some(error) = connection.error() {
            eprintln!("{error}");
        }
    });
    preconnection.start().is_ok() && missing.get() == 0
}

fn properties() -> TransportProperties {
    TransportProperties::from_profile(Profile::ReliableInorderStream)
}

fn unfulfilled() {
    eprintln!("nothing has the properties that were asked for");
}

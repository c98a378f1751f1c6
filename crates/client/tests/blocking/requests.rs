//! Requests from several threads, and tokens, by services that threads play.

use std::thread;

use postroad_client::blocking::{Connection, Receiver, Sender};
use postroad_client::types::Value;
use postroad_client::{
    CbsError, LinkOptions, Message, Node, Redirect, RequestError, RequestOptions, Token, TokenError,
};

use crate::{Ends, PATIENCE, SHORT, connect, listen};

/// The server's ends of a requester's links.
fn serve(server: &Connection) -> (Receiver, Sender) {
    let mut links = [(); 2].map(|()| server.next_link_timeout(PATIENCE).unwrap().expect("a link in time"));
    links.sort_by_key(postroad_client::blocking::IncomingLink::is_receiver);
    let [answers, requests] = links;
    (requests.into_receiver(&LinkOptions::default()).unwrap(), answers.into_sender(&LinkOptions::default()).unwrap())
}

/// Answers until the client has gone.
fn answer(server: &Connection, answer: impl Fn(&Message) -> Option<Message>) {
    let (mut requests, answers) = serve(server);
    while let Ok(request) = requests.receive() {
        let _ = requests.accept(&request);
        if let Some(mut answer) = answer(&request) {
            answer.set_correlation_id(request.reply().correlation_id().unwrap().clone());
            let _ = answers.send(&answer);
        }
    }
}

fn echo(request: &Message) -> Option<Message> {
    (request.text() != Some("silence")).then(|| Message::from(request.body().clone()))
}

#[test]
fn threads_ask_at_once() {
    let Ends { client, server } = connect();
    let service = thread::spawn(move || answer(&server, echo));
    let session = client.session().unwrap();
    let mut options = RequestOptions::default();
    options.reply_node = Node::at("mine");
    let requester = session.requester_with("service", options).unwrap();
    assert_eq!(requester.reply_to().as_deref(), Some("mine"));
    thread::scope(|scope| {
        for number in 0..8 {
            let requester = requester.clone();
            scope.spawn(move || {
                for count in 0..20 {
                    let text = format!("{number} {count}");
                    assert_eq!(requester.request(&*text).unwrap().text(), Some(&*text));
                }
            });
        }
    });
    let late = requester.request_timeout("silence", SHORT).unwrap_err();
    assert_eq!(late, RequestError::Timeout { after: SHORT, sent: true });
    assert_eq!((requester.pending(), requester.stray(), requester.error()), (0, 0, None));
    requester.close().unwrap();
    assert!(matches!(requester.request("x"), Err(RequestError::Link(_))));
    drop((requester, session, client));
    service.join().unwrap();
}

#[test]
fn tokens_are_put_where_they_may_be_seen() {
    for allowed in [false, true] {
        let (acceptor, mut options) = listen();
        options.allow_insecure_mechs = allowed;
        let service = thread::spawn(move || {
            let server = acceptor.accept_timeout(PATIENCE).unwrap().expect("a client in time");
            answer(&server, |request| {
                let good = request.property("name").and_then(Value::as_str) == Some("q");
                Some(Message::new().with_property("status-code", if good { 200 } else { 404 }))
            });
        });
        let client = Connection::open(options).unwrap();
        let cbs = client.cbs().unwrap();
        let put = cbs.put_token("q", Token::sas("t"));
        assert_eq!(put, if allowed { Ok(()) } else { Err(CbsError::Insecure) });
        let none = |_: &str| std::future::ready(Err(TokenError::new("none")));
        assert_eq!(cbs.keep_token("q", none), Err(CbsError::Provider(TokenError::new("none"))));
        let one = |_: &str| std::future::ready(Ok(Token::jwt("t")));
        if allowed {
            assert_eq!(cbs.keep_token("q", one), Ok(()));
            assert_eq!(cbs.keep_token("other", one), Err(CbsError::NotFound(String::new())));
            assert_eq!((cbs.audiences(), cbs.expires("q")), (vec!["q".to_owned()], None));
            assert_eq!(cbs.delete_token("q"), Ok(()));
        }
        assert!(!client.is_redirect_here(&Redirect::connection("elsewhere", 1)));
        assert!(client.redirect_options(&Redirect::connection("elsewhere", 1)).is_ok());
        drop((cbs, client));
        service.join().unwrap();
    }
}

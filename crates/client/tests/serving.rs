//! What a server does with the sessions and links of its clients, and those that it makes itself.

mod common;

use std::time::Duration;

use common::connect;
use postroad_client::types::{ErrorCondition, Fields, Map, PeerError, Symbol, Value};
use postroad_client::{
    AttachError, ConnectionError, Distribution, Expiry, Incoming, IncomingLink, LinkError, LinkOptions, Message, Node,
    Outcome, Session,
};

const PATIENCE: Duration = Duration::from_secs(20);

async fn soon<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future).await.expect("it comes")
}

fn error(text: &str) -> PeerError {
    PeerError::new(ErrorCondition::NOT_ALLOWED, text)
}

fn fields(name: &'static str, value: i32) -> Fields {
    Fields(Map::from_iter([(Symbol::from_static(name), value)]))
}

async fn next_session(ends: &common::Ends) -> Session {
    match soon(ends.server.next_incoming()).await.unwrap() {
        Incoming::Session(session) => session,
        other => panic!("{other:?}"),
    }
}

async fn next_link(ends: &common::Ends) -> IncomingLink {
    match soon(ends.server.next_incoming()).await.unwrap() {
        Incoming::Link(link) => link,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn sessions_and_links_come_in_their_order() {
    let ends = connect().await;
    let (first, second) = (ends.client.session().await.unwrap(), ends.client.session().await.unwrap());
    let attaching = tokio::spawn(async move { (second.sender("b").await.unwrap(), first.sender("a").await.unwrap()) });
    let sessions = [next_session(&ends).await, next_session(&ends).await];
    let link = next_link(&ends).await;
    assert_eq!(link.target_address(), Some("b"));
    assert!(link.session().is_same(&sessions[1]) && !link.session().is_same(&sessions[0]));
    let mut receiver = link.into_receiver(&LinkOptions::default()).unwrap();
    let link = next_link(&ends).await;
    assert!(link.session().is_same(&sessions[0]));
    let _other = link.into_receiver(&LinkOptions::default()).unwrap();
    // A handle of it does not keep it, and is not what keeps it.
    drop(sessions);
    let (sender, _) = soon(attaching).await.unwrap();
    sender.submit(&Message::from("hello")).await.unwrap();
    assert_eq!(soon(receiver.receive()).await.unwrap().text(), Some("hello"));
    assert_eq!(receiver.session().error(), None);
}

#[tokio::test]
async fn what_has_ended_before_anybody_took_it_is_not_told() {
    let ends = connect().await;
    let session = ends.client.session().await.unwrap();
    session.close().await.unwrap();
    let session = ends.client.session().await.unwrap();
    let attaching = tokio::spawn(async move { session.sender("a").await });
    next_session(&ends).await;
    next_link(&ends).await.refuse(error("no"));
    assert!(soon(attaching).await.unwrap().is_err());
}

#[tokio::test]
async fn a_server_ends_what_it_does_not_want_and_says_why() {
    let ends = connect().await;
    let session = ends.client.session().await.unwrap();
    let attaching = tokio::spawn(async move { (session.sender("a").await.unwrap(), session) });
    let theirs = next_session(&ends).await;
    let receiver = next_link(&ends).await.into_receiver(&LinkOptions::default()).unwrap();
    let (sender, session) = soon(attaching).await.unwrap();
    receiver.abort(error("one link"));
    assert_eq!(soon(sender.closed()).await, LinkError::Detached(error("one link")));
    assert_eq!(soon(receiver.closed()).await, LinkError::Closed);
    assert_eq!(session.error(), None);

    theirs.abort(error("one session"));
    assert_eq!(soon(session.ended()).await, LinkError::SessionEnded(Some(error("one session"))));
    assert_eq!(soon(theirs.ended()).await, LinkError::Closed);
    assert_eq!(ends.client.error(), None);

    ends.server.abort(error("the connection"));
    let error = soon(ends.client.close()).await.unwrap_err();
    assert_eq!(error.peer_error().unwrap().description.as_deref(), Some("the connection"));
}

#[tokio::test]
async fn a_client_ends_with_an_error_as_well() {
    let ends = connect().await;
    let session = ends.client.session().await.unwrap();
    let attaching = tokio::spawn(async move { (session.receiver("a").await.unwrap(), session) });
    let theirs = next_session(&ends).await;
    let sender = next_link(&ends).await.into_sender(&LinkOptions::default()).unwrap();
    let (receiver, session) = soon(attaching).await.unwrap();
    receiver.abort(error("one link"));
    assert_eq!(soon(sender.closed()).await, LinkError::Detached(error("one link")));
    session.abort(error("one session"));
    assert_eq!(soon(theirs.ended()).await, LinkError::SessionEnded(Some(error("one session"))));
}

#[tokio::test]
async fn a_link_tells_all_that_the_peer_asks() {
    let ends = connect().await;
    let session = ends.client.session().await.unwrap();
    let filter = (Symbol::from_static("apache.org:selector-filter:string"), Value::from("a = 1"));
    let node = Node {
        address: Some("orders".to_owned()),
        capabilities: vec!["queue".to_owned()],
        filters: vec![filter.clone()],
        distribution: Some(Distribution::Copy),
        durable: true,
        expiry: Some(Expiry::LinkDetach(Duration::from_secs(7))),
        ..Node::default()
    };
    let mut options = LinkOptions::default();
    options.name = Some("link".to_owned());
    options.own_address = Some("here".to_owned());
    options.properties = Some(fields("level", 3));
    options.offered_capabilities = vec!["offered".to_owned()];
    options.desired_capabilities = vec!["desired".to_owned()];
    options.max_message_size = 4096;
    let asked = node.clone();
    let attaching = tokio::spawn(async move { session.receiver_with(asked, options).await.unwrap() });
    next_session(&ends).await;
    let mut link = next_link(&ends).await;
    assert_eq!((link.name(), link.is_sender(), link.is_coordinator()), ("link", true, false));
    assert_eq!(link.remote_source(), Some(&node));
    assert_eq!(link.remote_target().unwrap().address.as_deref(), Some("here"));
    assert_eq!(link.remote_properties(), Some(&fields("level", 3)));
    assert_eq!(link.remote_offered_capabilities(), ["offered"]);
    assert_eq!(link.remote_desired_capabilities(), ["desired"]);
    assert_eq!((link.remote_max_message_size(), link.has_unsettled_map()), (Some(4096), false));

    link.set_source(Node {
        distribution: None,
        expiry: None,
        durable: true,
        capabilities: vec!["topic".to_owned()],
        ..node
    });
    let mut options = LinkOptions::default();
    options.properties = Some(fields("granted", 1));
    options.offered_capabilities = vec!["one".to_owned(), "two".to_owned()];
    options.desired_capabilities = vec!["three".to_owned()];
    let sender = link.into_sender(&options).unwrap();
    let receiver = soon(attaching).await.unwrap();
    let source = receiver.remote_source().unwrap();
    assert_eq!(
        (source.filters, source.capabilities, source.distribution),
        (vec![filter], vec!["topic".to_owned()], None)
    );
    // Nothing outlives the link, whatever the answer says.
    assert_eq!((source.durable, source.expiry), (false, Some(Expiry::SessionEnd(Duration::ZERO))));
    assert_eq!(receiver.remote_properties(), Some(fields("granted", 1)));
    assert_eq!(receiver.remote_offered_capabilities(), ["one", "two"]);
    assert_eq!(receiver.remote_desired_capabilities(), ["three"]);
    assert_eq!(sender.remote_offered_capabilities(), ["offered"]);
    assert_eq!(sender.remote_desired_capabilities(), ["desired"]);
    assert_eq!(sender.source().unwrap().address.as_deref(), Some("orders"));
    assert_eq!(receiver.remote_target().unwrap().address.as_deref(), Some("here"));
}

#[tokio::test]
async fn by_default_nothing_is_granted_that_nobody_has_seen_to() {
    let ends = connect().await;
    let session = ends.client.session().await.unwrap();
    let mut node = Node::at("orders");
    node.filters = vec![(Symbol::from_static("f"), Value::from(1))];
    (node.distribution, node.expiry) = (Some(Distribution::Copy), Some(Expiry::Never));
    let attaching = tokio::spawn(async move { session.receiver(node).await.unwrap() });
    let _sender = soon(ends.server.next_link()).await.unwrap().into_sender(&LinkOptions::default()).unwrap();
    let source = soon(attaching).await.unwrap().remote_source().unwrap();
    let expected = Node { expiry: Some(Expiry::SessionEnd(Duration::ZERO)), ..Node::at("orders") };
    assert_eq!(source, expected);
}

#[tokio::test]
async fn a_dynamic_node_needs_an_address() {
    let ends = connect().await;
    let session = ends.client.session().await.unwrap();
    let asking = session.clone();
    let refused = tokio::spawn(async move { asking.receiver(Node::dynamic()).await.map(drop) });
    let link = soon(ends.server.next_link()).await.unwrap();
    let error = link.into_sender(&LinkOptions::default()).unwrap_err();
    assert_eq!(error, AttachError::NoAddress);
    assert!(error.hint().unwrap().contains("set_source"));
    let error = soon(refused).await.unwrap().unwrap_err();
    assert_eq!(error.peer_error().unwrap().condition, ErrorCondition::NOT_IMPLEMENTED);

    let mut ours = (Vec::new(), Vec::new());
    for receives in [true, false] {
        let session = session.clone();
        let attaching = tokio::spawn(async move {
            match receives {
                true => session.receiver(Node::dynamic()).await.unwrap().address(),
                false => session.sender(Node::dynamic()).await.unwrap().address(),
            }
        });
        let mut link = soon(ends.server.next_link()).await.unwrap();
        let node = Node { dynamic: true, ..Node::at("made") };
        if receives {
            assert!(link.remote_source().unwrap().dynamic);
            link.set_source(node);
            ours.0.push(link.into_sender(&LinkOptions::default()).unwrap());
        } else {
            link.set_target(node);
            ours.1.push(link.into_receiver(&LinkOptions::default()).unwrap());
        }
        assert_eq!(soon(attaching).await.unwrap().as_deref(), Some("made"));
    }
}

#[tokio::test]
async fn a_coordinator_is_refused_whoever_hears_of_it() {
    let ends = connect().await;
    for told in [false, true] {
        let session = ends.client.session().await.unwrap();
        let declaring = tokio::spawn(async move { session.transaction_controller().await.map(drop) });
        if told {
            loop {
                if let Incoming::Link(link) = soon(ends.server.next_incoming()).await.unwrap() {
                    assert!(link.is_coordinator() && link.remote_target().is_none());
                    let error = link.into_receiver(&LinkOptions::default()).unwrap_err();
                    assert!(matches!(error, AttachError::OtherEnd { .. }));
                    break;
                }
            }
        }
        let error = soon(declaring).await.unwrap().unwrap_err();
        assert!(error.to_string().contains("transactions"), "{error}");
    }
}

#[tokio::test]
async fn a_server_begins_sessions_and_attaches_links_itself() {
    let ends = connect().await;
    let taking = async {
        let session = match soon(ends.client.next_incoming()).await.unwrap() {
            Incoming::Session(session) => session,
            other => panic!("{other:?}"),
        };
        let link = soon(ends.client.next_link()).await.unwrap();
        assert!(link.session().is_same(&session));
        (link.into_receiver(&LinkOptions::default()).unwrap(), session)
    };
    let session = async {
        // The client takes links from its first call on.
        tokio::task::yield_now().await;
        let session = ends.server.session().await.unwrap();
        let sender = session.sender("to the client").await.unwrap();
        (session, sender)
    };
    let ((mut receiver, theirs), (session, sender)) = tokio::join!(taking, session);
    assert_eq!(receiver.target().unwrap().address.as_deref(), Some("to the client"));
    let sending = async { sender.send(&Message::from("hello")).await.unwrap() };
    let receiving = async {
        let message = receiver.receive().await.unwrap();
        receiver.accept(&message).unwrap();
        message.text().map(str::to_owned)
    };
    let (outcome, text) = soon(async { tokio::join!(sending, receiving) }).await;
    assert!(outcome.is_accepted() && text.as_deref() == Some("hello"));
    session.close().await.unwrap();
    assert_eq!(soon(theirs.ended()).await, LinkError::SessionEnded(None));
    ends.client.close().await.unwrap();
}

#[tokio::test]
async fn a_client_that_takes_no_links_says_so() {
    let ends = connect().await;
    let session = ends.server.session().await.unwrap();
    let error = soon(session.sender("to the client")).await.unwrap_err();
    assert_eq!(error.peer_error().unwrap().condition, ErrorCondition::NOT_ALLOWED);
}

#[tokio::test]
async fn what_is_over_is_told_to_whoever_waits_for_more() {
    let ends = connect().await;
    ends.client.close().await.unwrap();
    let error = soon(ends.server.next_incoming()).await.unwrap_err();
    assert!(error.is_orderly() && error != ConnectionError::Closed, "{error:?}");
}

#[tokio::test]
async fn what_the_peer_has_opened_ends_with_the_connection_that_is_made_anew() {
    let (acceptor, mut options) = common::accept_one(65_536).await;
    options.reconnect = Some(postroad_client::Reconnect::default());
    let (client, server) = tokio::join!(postroad_client::Connection::open(options), acceptor.accept());
    let (client, server) = (client.unwrap(), server.unwrap());
    let taking = async {
        let link = soon(client.next_link()).await.unwrap();
        let session = link.session().clone();
        (link.into_receiver(&LinkOptions::default()).unwrap(), session)
    };
    let attaching = async {
        tokio::task::yield_now().await;
        server.session().await.unwrap().sender("to the client").await.unwrap()
    };
    let ((receiver, theirs), _sender) = tokio::join!(taking, attaching);
    let forced = PeerError::new(ErrorCondition::CONNECTION_FORCED, "come again");
    server.abort(forced);
    let again = soon(acceptor.accept()).await.unwrap();
    assert!(matches!(soon(receiver.closed()).await, LinkError::Connection(_)));
    assert_eq!(soon(theirs.ended()).await, LinkError::SessionEnded(None));
    // The client has not begun it in the peer's place: the first session is one of its own.
    let session = client.session().await.unwrap();
    let attaching = tokio::spawn(async move { session.sender("own").await.map(drop) });
    assert!(matches!(soon(again.next_incoming()).await.unwrap(), Incoming::Session(_)));
    let Incoming::Link(link) = soon(again.next_incoming()).await.unwrap() else { panic!("a link comes") };
    assert_eq!(link.target_address(), Some("own"));
    let _receiver = link.into_receiver(&LinkOptions::default()).unwrap();
    soon(attaching).await.unwrap().unwrap();
}

#[tokio::test]
async fn a_client_that_sends_and_leaves_at_once_hears_what_became_of_it() {
    let ends = connect().await;
    let session = ends.client.session().await.unwrap();
    let attaching = tokio::spawn(async move { session.sender("q").await.unwrap() });
    next_session(&ends).await;
    let mut options = LinkOptions::default();
    options.answers_last = true;
    let mut receiver = next_link(&ends).await.into_receiver(&options).unwrap();
    let sender = soon(attaching).await.unwrap();
    let outcomes =
        [sender.submit_tracked(&"a".into()).await.unwrap(), sender.submit_tracked(&"b".into()).await.unwrap()];
    sender.shut();
    let (first, second) = (soon(receiver.receive()).await.unwrap(), soon(receiver.receive()).await.unwrap());
    // It has left, and waits.
    tokio::time::sleep(Duration::from_millis(20)).await;
    assert_eq!((receiver.error(), sender.error()), (None, None));
    receiver.release(&second).unwrap();
    receiver.accept(&first).unwrap();
    let [first, second] = outcomes;
    assert_eq!((soon(first).await, soon(second).await), (Ok(Outcome::Accepted), Ok(Outcome::Released)));
    assert_eq!(soon(receiver.closed()).await, LinkError::DetachedByPeer);
    assert_eq!(soon(sender.closed()).await, LinkError::Closed);
}

#[tokio::test]
async fn one_that_leaves_and_ends_its_session_has_left_first() {
    let ends = connect().await;
    let session = ends.client.session().await.unwrap();
    let attaching = tokio::spawn(async move {
        let sender = session.sender("q").await.unwrap();
        (session, sender)
    });
    next_session(&ends).await;
    let mut options = LinkOptions::default();
    options.answers_last = true;
    let mut receiver = next_link(&ends).await.into_receiver(&options).unwrap();
    let (session, sender) = soon(attaching).await.unwrap();
    sender.submit(&"a".into()).await.unwrap();
    sender.shut();
    soon(receiver.receive()).await.unwrap();
    soon(session.close()).await.unwrap();
    assert_eq!(soon(receiver.closed()).await, LinkError::DetachedByPeer);
}

//! Two relays in a chain, and endpoints that are the crate's own (RFC 4976 3, 5.1).

use super::*;
use crate::engine::{self, Config, Connection, Outcome, Outgoing, SessionKey, SessionOptions};
use crate::{FailureReport, Path};

/// The two relays of RFC 4976 5.1, one connection between them, and a client of the inner one.
struct Chain {
    inner: World,
    outer: World,
    /// The connection between them, as each knows it.
    link: Option<(ConnectionKey, ConnectionKey)>,
    /// How the outer one knows that it is the inner one who connects.
    proof: Option<Host>,
}

impl Chain {
    fn new(proof: bool) -> Self {
        let mut inner = World::with(config("intra.example.com"), |config| config.tls_port = 9000);
        let mut outer = World::with(config("extra.example.com"), |config| config.tls_port = 9000);
        (inner.now, outer.now) = (inner.now.max(outer.now), inner.now.max(outer.now));
        Self { inner, outer, link: None, proof: proof.then(|| Host::name("intra.example.com").unwrap()) }
    }

    /// Carries what the relays have for each other.
    fn carry(&mut self) {
        loop {
            self.inner.pump();
            self.outer.pump();
            if self.link.is_none()
                && let Some((key, place)) = self.inner.asked()
            {
                assert_eq!(place, "msrps://extra.example.com;tcp");
                let peer = Peer { host: self.proof.clone(), ..Peer::new(true) };
                let there = self.outer.open(Origin::Accepted, peer);
                self.link = Some((self.inner.open(Origin::Asked(key), Peer::new(true)), there));
            }
            let Some((here, there)) = self.link else { return };
            let (out, back) = (self.inner.out.remove(&here), self.outer.out.remove(&there));
            if out.is_none() && back.is_none() {
                return;
            }
            self.outer.put(there, out.unwrap_or_default());
            self.inner.put(here, back.unwrap_or_default());
        }
    }
}

/// Logs a client in at both relays: the `Use-Path` for its session.
fn through_both(chain: &mut Chain, alice: ConnectionKey) -> Path {
    let own = chain
        .inner
        .auth(alice, "alice", ALICE, "msrps://alice@intra.example.com;tcp", "")
        .header("Use-Path")
        .to_owned();
    // By its name alone, as RFC 4976 5.1 has it in its text, it comes to the same.
    let bare = "MSRP bare AUTH\r\nTo-Path: msrps://intra.example.com;tcp msrps://extra.example.com;tcp\r\n";
    chain.inner.put(alice, format!("{bare}From-Path: {ALICE}\r\n-------bare$\r\n"));
    chain.carry();
    let challenge = chain.inner.got(alice).remove(0);
    assert_eq!(challenge.header("From-Path"), format!("{own} msrps://extra.example.com;tcp"));
    let to = format!("{own} msrps://extra.example.com;tcp");
    let auth = |id: &str, headers: &str| {
        format!("MSRP {id} AUTH\r\nTo-Path: {to}\r\nFrom-Path: {ALICE}\r\n{headers}-------{id}$\r\n")
    };
    chain.inner.put(alice, auth("mnbvw", ""));
    chain.carry();
    let challenge = chain.inner.got(alice).remove(0);
    let asked = challenge.header("WWW-Authenticate").to_owned();
    assert_eq!(
        challenge.text(),
        format!(
            "401 Unauthorized\nTo-Path: {ALICE}\nFrom-Path: {own} msrps://extra.example.com;tcp\n\
             WWW-Authenticate: {asked}\n$"
        )
    );
    assert_eq!(challenge.id, "mnbvw");
    let mut client = Client::new(Credentials::new("alice", "alice").unwrap(), DigestUri::Auto);
    client.challenged(&asked.parse().unwrap()).unwrap();
    let proof = client.authorize("msrps://extra.example.com;tcp", "85a0dca8").unwrap().unwrap();
    chain.inner.put(alice, auth("m3nbvx", &format!("Authorization: {proof}\r\nExpires: 1800\r\n")));
    chain.carry();
    let response = chain.inner.got(alice).remove(0);
    assert_eq!((response.start.as_str(), response.header("Expires")), ("200 OK", "1800"));
    assert!(client.accepted(Some(&response.header("Authentication-Info").parse().unwrap())).unwrap());
    let path: Path = response.header("Use-Path").parse().unwrap();
    // In the order in which the client sends through them (RFC 4976 5.1).
    assert_eq!((path.len(), path.first().to_string()), (2, own));
    assert!(path.last().to_string().starts_with("msrps://extra.example.com:9000/"));
    path
}

#[test]
fn r54_the_chain_of_5_1() {
    for proof in [false, true] {
        let mut chain = Chain::new(proof);
        let alice = chain.inner.accept();
        let path = through_both(&mut chain, alice);
        let (own, outer) = (path.first().to_string(), path.last().to_string());
        // Bob speaks to the outer one.
        let bob = chain.outer.accept();
        chain.outer.put(bob, send("tr01", &format!("{outer} {own} {ALICE}"), BOB, "", "hello"));
        chain.carry();
        let chunk = chain.inner.got(alice).remove(0);
        assert_eq!(chunk.header("To-Path"), ALICE);
        assert_eq!(chunk.header("From-Path"), format!("{own} {outer} {BOB}"));
        // Both hops have answered: nothing is late but what alice has not answered.
        assert_eq!(starts(&chain.outer.got(bob)), ["200 OK"]);
        chain.inner.wait(Duration::from_secs(30));
        chain.carry();
        let report = chain.outer.got(bob).remove(0);
        assert_eq!((report.header("Status"), report.header("To-Path")), ("000 408 Request Timeout", BOB));
        assert_eq!(report.header("From-Path"), format!("{outer} {own}"));
        chain.outer.wait(Duration::from_secs(30));
        chain.carry();
        assert_eq!(chain.outer.got(bob), []);
        // And alice to bob, over the connection that he has opened.
        chain.inner.put(alice, send("tr02", &format!("{own} {outer} {BOB}"), ALICE, "", "hi"));
        chain.carry();
        let chunk = chain.outer.got(bob).remove(0);
        assert_eq!(chunk.header("From-Path"), format!("{outer} {own} {ALICE}"));
        assert_eq!(starts(&chain.inner.got(alice)), ["200 OK"]);
        assert_eq!((chain.inner.asked(), chain.outer.asked()), (None, None));
    }
}

#[test]
fn r54_guesses_at_another_relay_end_the_client_and_not_the_relay() {
    let mut chain = Chain::new(true);
    let mallory = chain.inner.accept();
    let own = chain.inner.auth(mallory, "bob", BOB, "msrps://intra.example.com;tcp", "").header("Use-Path").to_owned();
    let to = format!("{own} msrps://extra.example.com;tcp");
    let auth =
        |headers: &str| format!("MSRP gues AUTH\r\nTo-Path: {to}\r\nFrom-Path: {BOB}\r\n{headers}-------gues$\r\n");
    for guess in 0..5 {
        assert_eq!(chain.inner.closed(mallory), None, "{guess}");
        chain.inner.put(mallory, auth(""));
        chain.carry();
        let challenge = chain.inner.got(mallory).remove(0);
        let credentials = Credentials::new("alice", format!("guess{guess}")).unwrap();
        let mut client = Client::new(credentials, DigestUri::Auto);
        client.challenged(&challenge.header("WWW-Authenticate").parse().unwrap()).unwrap();
        let proof = client.authorize("msrps://extra.example.com;tcp", "cccc").unwrap().unwrap();
        chain.inner.put(mallory, auth(&format!("Authorization: {proof}\r\n")));
        chain.carry();
        // Kept, since the events are asked for otherwise.
        if guess < 4 {
            assert_eq!(starts(&chain.inner.got(mallory)), ["401 Unauthorized"]);
        }
    }
    assert!(!chain.inner.relay.is_hungry(mallory));
    let (here, there) = chain.link.unwrap();
    assert!(chain.inner.relay.is_hungry(here) && chain.outer.relay.is_hungry(there));
}

#[test]
fn r54_a_relay_that_has_proved_its_name_may_come_over_another_connection() {
    for proof in [false, true] {
        let mut chain = Chain::new(proof);
        let alice = chain.inner.accept();
        let path = through_both(&mut chain, alice);
        let (own, outer) = (path.first().to_string(), path.last().to_string());
        let (_, there) = chain.link.take().unwrap();
        chain.outer.relay.handle_eof(there, chain.outer.now);
        chain.outer.pump();
        let again = chain.outer.open(Origin::Accepted, Peer { host: chain.proof.clone(), ..Peer::new(true) });
        let bob = chain.outer.accept();
        chain.outer.put(bob, send("tr01", &format!("{outer} {own} {ALICE}"), BOB, "", "hello"));
        let start = if proof { "200 OK" } else { "481 No Such Session" };
        assert_eq!(starts(&chain.outer.got(bob)), [start]);
        assert_eq!(chain.outer.got(again).len(), usize::from(proof));
        // Another host does not stand for it.
        chain.outer.relay.handle_eof(again, chain.outer.now);
        let host = Some(Host::name("evil.example.com").unwrap());
        let other = chain.outer.open(Origin::Accepted, Peer { host, ..Peer::new(true) });
        chain.outer.put(bob, send("tr02", &format!("{outer} {own} {ALICE}"), BOB, "", "hello"));
        assert_eq!(chain.outer.got(other), []);
        chain.outer.put(other, send("tr03", &format!("{outer} {BOB}"), &format!("{own} {ALICE}"), "", "hello"));
        assert_eq!((chain.outer.asked(), starts(&chain.outer.got(bob)).contains(&"SEND")), (None, false));
    }
}

/// An endpoint of the crate's own at a relay.
struct End {
    engine: Connection,
    session: SessionKey,
    key: ConnectionKey,
}

impl End {
    fn new(world: &World, key: ConnectionKey, local: &str, relays: &[&str], remote: &str) -> Self {
        let mut engine = Connection::new(Config::default(), counted(key.serial), world.now);
        let mut options = SessionOptions::new(local.parse().unwrap(), remote.parse::<Path>().unwrap());
        options.relays = relays.iter().map(|uri| uri.parse().unwrap()).collect();
        let session = engine.add_session(options, world.now).unwrap();
        Self { engine, session, key }
    }
}

fn run(world: &mut World, ends: &mut [&mut End]) -> Vec<engine::Event> {
    let mut events = Vec::new();
    loop {
        let mut on = false;
        for end in ends.iter_mut() {
            let mut parts = VecDeque::new();
            let length = end.engine.poll_transmit(world.now, &mut parts);
            end.engine.handle_sent(world.now, length);
            for part in parts {
                world.put(end.key, &part);
                on = true;
            }
            world.pump();
            if let Some(octets) = world.out.remove(&end.key) {
                end.engine.handle_input(world.now, octets.into());
                on = true;
            }
            while let Some(event) = end.engine.poll_event() {
                events.push(event);
            }
        }
        if !on {
            return events;
        }
    }
}

#[test]
fn r54_endpoints_of_our_own_over_one_relay() {
    let mut world = World::new();
    let (a, b) = (world.accept(), world.accept());
    let (to_a, to_b) = (world.log_in(a, "alice", ALICE), world.log_in(b, "bob", BOB));
    let mut alice = End::new(&world, a, ALICE, &[&to_a], &format!("{to_b} {BOB}"));
    let mut bob = End::new(&world, b, BOB, &[&to_b], &format!("{to_a} {ALICE}"));
    let large = Bytes::from((0..300_000_u32).map(|n| (n / 7) as u8).collect::<Vec<_>>());
    let message = |content: Bytes| Outgoing::new("application/octet-stream", content).with_success_report(true);
    alice.engine.send(alice.session, message(large.clone())).unwrap();
    alice.engine.send(alice.session, message(Bytes::from_static(b"small"))).unwrap();
    bob.engine.send(bob.session, message(large.clone())).unwrap();
    let events = run(&mut world, &mut [&mut alice, &mut bob]);
    let contents: Vec<_> = events
        .iter()
        .filter_map(|event| match event {
            engine::Event::Message { message, .. } => Some(message.content.clone()),
            _ => None,
        })
        .collect();
    assert_eq!(contents.iter().filter(|content| **content == large).count(), 2);
    assert_eq!(contents.len(), 3);
    let whole = events.iter().filter(|event| matches!(event, engine::Event::Report { complete: true, .. })).count();
    let accepted =
        events.iter().filter(|event| matches!(event, engine::Event::Outcome { outcome: Outcome::Accepted, .. }));
    assert_eq!((whole, accepted.count(), world.relay.backlog()), (3, 3, 0));
    // Bob goes; alice hears of it for what she sends then.
    world.relay.handle_eof(b, world.now);
    let message = Outgoing::new("text/plain", "x").with_failure_report(FailureReport::Yes);
    alice.engine.send(alice.session, message).unwrap();
    let events = run(&mut world, &mut [&mut alice]);
    assert!(events.iter().any(|event| matches!(
        event,
        engine::Event::Outcome { outcome: Outcome::Refused { code: Code::NO_SUCH_SESSION, .. }, .. }
    )));
}

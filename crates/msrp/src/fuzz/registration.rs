//! A client that logs in at relays which answer anything.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use bytes::Bytes;

use crate::digest::{Credentials, DigestUri};
use crate::engine::{Config, Connection};
use crate::registration::{
    Lookup, MAX_RECORDS, MAX_REQUESTS, Outcome, Registration, RegistrationOptions, SrvRecord, path_for_sdp,
};
use crate::{Event, Head, HeaderName, Path};

const OWN: &str = "msrps://alice.example.com:9892/98cjs;tcp";

/// The first octet chooses the options. The rest is answers, with empty lines between: a line with code and comment, and
/// headers. An answer that begins with `wait` is none for so many seconds.
///
/// # Panics
/// When a client keeps asking, tells of a path that cannot be used, or forgets to renew it.
pub fn registration(input: &[u8]) {
    let Some((choice, text)) = input.split_first() else { return };
    let Ok(text) = std::str::from_utf8(text) else { return };
    locate(text);
    let mut now = Instant::now();
    let config = Config { unbound_timeout: Duration::from_secs(1 << 30), ..Config::default() };
    let mut connection = Connection::new(config, counted(), now);
    let mut registration = Registration::new(options(*choice), counted()).expect("fine options");
    registration.begin(&mut connection, now).expect("the connection is open");
    let relays = registration.options().relays.len() as u32;
    let mut asked = 0;
    for answer in text.split("\n\n").take(64) {
        let head = sent(&mut connection, now);
        asked += u32::from(head.is_some());
        assert!(asked <= relays * MAX_REQUESTS, "a client keeps asking");
        match (answer.strip_prefix("wait "), head) {
            (Some(seconds), _) => {
                now += Duration::from_secs(seconds.trim().parse().unwrap_or(30_u32).into());
                // A relay may grant less than its next one takes to answer.
                asked = 0;
            }
            (None, Some(head)) => connection.handle_input(now, response(&head, answer)),
            (None, None) => {}
        }
        connection.handle_timeout(now);
        while let Some(event) = connection.poll_event() {
            let outcome = registration.handle_event(&event, &mut connection, now);
            told(&registration, outcome, &mut asked, now);
        }
        if registration.poll_timeout().is_some_and(|at| at <= now) {
            let outcome = registration.handle_timeout(&mut connection, now);
            asked = 0;
            told(&registration, outcome, &mut asked, now);
            assert!(registration.poll_timeout().is_none_or(|at| at > now), "nothing has been done");
        }
        if connection.close_reason().is_some() {
            assert_eq!(registration.use_path(), None);
            return;
        }
    }
}

fn told(registration: &Registration, outcome: Option<Outcome>, asked: &mut u32, now: Instant) {
    let Some(outcome) = outcome else { return };
    *asked = 0;
    match outcome {
        Outcome::Lost(error) => {
            assert!(registration.use_path().is_none() && registration.poll_timeout().is_none(), "{error}");
        }
        Outcome::Granted { use_path, expires_at } | Outcome::Refreshed { use_path, expires_at, .. } => {
            assert_eq!((registration.use_path(), registration.expires_at()), (Some(&use_path), Some(expires_at)));
            assert!(expires_at > now && registration.poll_timeout().is_some_and(|at| at > now && at < expires_at));
            assert!(use_path.iter().all(|uri| uri.port().is_some() && uri.session_id().is_some()));
            let path = path_for_sdp(&use_path, &registration.options().own).expect("there is room");
            assert_eq!(path.to_string().parse::<Path>().as_ref(), Ok(&path));
        }
    }
}

fn options(choice: u8) -> RegistrationOptions {
    let alice = || Credentials::new("alice", "wonderland").expect("a name");
    let uri = |text: &str| text.parse().expect("a URI");
    let mut options = RegistrationOptions::new(uri(OWN), uri("msrps://alice@intra.example.com;tcp"), alice());
    if choice & 1 != 0 {
        options = options.with_relay(uri("msrps://extra.example.com;tcp"), alice());
    }
    options.digest_uri = [DigestUri::Auto, DigestUri::Always, DigestUri::Never][usize::from(choice >> 1) % 3];
    options.expires = [Some(3600), Some(60), None][usize::from(choice >> 4) % 3];
    options.require_proof = choice & 8 != 0;
    options
}

/// The request that was sent last.
fn sent(connection: &mut Connection, now: Instant) -> Option<Head> {
    let mut parts = VecDeque::new();
    let length = connection.poll_transmit(now, &mut parts);
    connection.handle_sent(now, length);
    let mut parser = crate::Parser::default();
    parts.into_iter().for_each(|part| parser.push(part));
    let mut last = None;
    while let Some(event) = parser.next_event().expect("our own frames") {
        if let Event::Head(head) = event {
            assert_eq!(head.fault(), None);
            last = Some(head);
        }
    }
    last
}

fn response(head: &Head, answer: &str) -> Bytes {
    let id = head.transaction_id();
    let path = |name| head.text(name).unwrap_or_default();
    let (to, from) = (path(HeaderName::FromPath), path(HeaderName::ToPath));
    let (line, headers) = answer.split_once('\n').unwrap_or((answer, ""));
    let headers: String = headers.lines().map(|line| format!("{line}\r\n")).collect();
    format!("MSRP {id} {line}\r\nTo-Path: {to}\r\nFrom-Path: {from}\r\n{headers}-------{id}$\r\n").into()
}

fn locate(text: &str) {
    let record = |(place, target): (usize, &str)| {
        let weight = (place * 977) as u16;
        SrvRecord { priority: (place % 3) as u16, weight, port: weight, target: target.to_owned() }
    };
    let records: Vec<_> = text.lines().enumerate().map(record).collect();
    let Ok(Lookup::Service(service)) = Lookup::of_domain(text.lines().next().unwrap_or_default()) else { return };
    for random in [0, 1 << 31, u32::MAX] {
        if let Ok(places) = service.places(&records, || random) {
            assert!((1..=MAX_RECORDS).contains(&places.len()) && places.iter().all(|place| place.port > 0));
        }
    }
}

fn counted() -> impl FnMut(&mut [u8]) + Send {
    let mut next = 0_u8;
    move |octets| {
        for octet in octets {
            next = next.wrapping_mul(13).wrapping_add(7);
            *octet = next;
        }
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn r65_logins_are_gone_through() {
        let challenge = "401 x\nWWW-Authenticate: Digest realm=\"x\", nonce=\"n\", qop=\"auth\"";
        let first = "200 OK\nUse-Path: msrps://a:1/x;tcp\nExpires: 900";
        let both = "200 OK\nUse-Path: msrps://a:1/x;tcp msrps://b:1/y;tcp\nExpires: 600";
        for choice in 0..64_u8 {
            let text =
                [challenge, first, challenge, both, "wait 520", "423 x\nMax-Expires: 60", both, "wait 40", "wait"];
            super::registration(&[&[choice], text.join("\n\n").as_bytes()].concat());
        }
        super::registration(b"");
        super::registration(b"\x01\xff");
    }
}

//! Bytes that no good client sends: each costs the smallest scope that the standard allows, and the broker goes on.

use std::time::Duration;

use bytes::Bytes;
use postroad_broker::Broker;
use postroad_codec::v1_0::{
    Encode, ErrorCondition, Frame, FrameHeader, Map, Message, Performative, ProtocolHeader, SaslFrame, SaslInit,
    SaslResponse, Source, Symbol, Target, Value,
};
use postroad_testkit::{attach_receiver, attach_sender, begin, detach, flow, open, transfer};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::client::Client;
use crate::{broker, eventually, start};

/// Nothing that should come takes longer.
const PATIENCE: Duration = Duration::from_secs(20);

/// A client of which the test writes every byte.
pub(crate) struct Raw {
    stream: TcpStream,
}

impl Raw {
    pub(crate) async fn connect(broker: &Broker) -> Self {
        let stream = TcpStream::connect(broker.addr().unwrap()).await.unwrap();
        stream.set_nodelay(true).unwrap();
        Self { stream }
    }

    /// With header, open and one session behind it.
    pub(crate) async fn begun(broker: &Broker) -> Self {
        let mut raw = Self::connect(broker).await;
        raw.write(&[&ProtocolHeader::AMQP.to_bytes()[..], &open().to_bytes(), &begin().to_bytes()].concat()).await;
        assert_eq!(raw.header().await, ProtocolHeader::AMQP);
        raw.until(|frame| matches!(frame, Performative::Begin(_))).await;
        raw
    }

    /// With a link on handle 0, on which it sends to `q0` and has credit.
    async fn sending(broker: &Broker) -> (Self, u32) {
        let mut raw = Self::begun(broker).await;
        let credit = raw.attach_sender("a", 0).await;
        (raw, credit)
    }

    pub(crate) async fn attach_sender(&mut self, name: &str, handle: u32) -> u32 {
        self.write(&attach_sender(name).handle(handle).target(Target::at("q0")).to_bytes()).await;
        let credit = |frame: &Performative| matches!(frame, Performative::Flow(flow) if flow.handle.is_some());
        let Performative::Flow(flow) = self.until(credit).await else { panic!("no flow") };
        flow.link_credit.unwrap()
    }

    pub(crate) async fn write(&mut self, bytes: &[u8]) {
        tokio::time::timeout(PATIENCE, self.stream.write_all(bytes)).await.expect("it reads").unwrap();
    }

    async fn header(&mut self) -> ProtocolHeader {
        let mut bytes = [0; 8];
        tokio::time::timeout(PATIENCE, self.stream.read_exact(&mut bytes)).await.expect("it answers").unwrap();
        ProtocolHeader::parse(&bytes).unwrap().unwrap()
    }

    /// The next frame; none where the broker has hung up.
    pub(crate) async fn frame(&mut self) -> Option<Frame> {
        let reading = async {
            let size = self.stream.read_u32().await.ok()?;
            let mut frame = size.to_be_bytes().to_vec();
            frame.resize(size as usize, 0);
            self.stream.read_exact(&mut frame[4..]).await.ok()?;
            Some(Frame::decode(&frame.into()).unwrap())
        };
        tokio::time::timeout(PATIENCE, reading).await.expect("it answers or hangs up")
    }

    pub(crate) async fn until(&mut self, is: impl Fn(&Performative) -> bool) -> Performative {
        loop {
            match self.frame().await {
                Some(Frame::Amqp { performative, .. }) if is(&performative) => return performative,
                Some(_) => {}
                None => panic!("it has hung up"),
            }
        }
    }

    /// Reads the detach of a link of ours, the end of our session or the close, and its condition.
    pub(crate) async fn ended_by(&mut self) -> (&'static str, ErrorCondition) {
        let ends = |frame: &Performative| {
            matches!(frame, Performative::Detach(_) | Performative::End(_) | Performative::Close(_))
        };
        let (scope, error) = match self.until(ends).await {
            Performative::Detach(detach) => ("link", detach.error),
            Performative::End(end) => ("session", end.error),
            Performative::Close(close) => ("connection", close.error),
            _ => unreachable!("just looked"),
        };
        (scope, error.expect("it says why").condition)
    }

    /// Sends a message on a link that is there, and reads that it was accepted.
    async fn works(&mut self, handle: u32, number: u32) {
        self.write(&transfer(number).handle(handle).payload(text("x")).to_bytes()).await;
        let accepted = |frame: &Performative| {
            matches!(frame, Performative::Disposition(disposition) if disposition.first.0 <= number
                && number <= disposition.last.unwrap_or(disposition.first).0)
        };
        self.until(accepted).await;
    }

    /// Reads until the broker hangs up.
    async fn hung_up(&mut self) {
        while self.frame().await.is_some() {}
    }
}

fn text(text: &str) -> Bytes {
    Message::from(text).to_bytes()
}

/// A frame with this body.
fn frame_of(body: &[u8]) -> Vec<u8> {
    let size = u32::try_from(FrameHeader::LENGTH + body.len()).unwrap();
    [&size.to_be_bytes()[..], &[2, 0, 0, 0], body].concat()
}

/// What a client says that sends to `q0` and receives from `q1`.
fn conversation() -> Vec<u8> {
    [
        ProtocolHeader::AMQP.to_bytes().to_vec(),
        open().to_bytes(),
        begin().to_bytes(),
        attach_sender("a").target(Target::at("q0")).to_bytes(),
        attach_receiver("b").handle(1).source(Source::at("q1")).to_bytes(),
        flow().handle(1).link_credit(1).to_bytes(),
    ]
    .concat()
}

#[tokio::test]
async fn bytes_may_come_one_by_one() {
    let broker = start(Broker::builder().queue("q0").queue("q1")).await;
    let mut raw = Raw::connect(&broker).await;
    for byte in conversation() {
        raw.write(&[byte]).await;
    }
    assert_eq!(raw.header().await, ProtocolHeader::AMQP);
    raw.until(|frame| matches!(frame, Performative::Flow(flow) if flow.handle.is_some())).await;
    for byte in transfer(0).payload(text("a")).to_bytes() {
        raw.write(&[byte]).await;
    }
    eventually("it arrives", || broker.queue_stats("q0").unwrap().ready == 1).await;
}

#[tokio::test]
async fn a_client_may_vanish_at_every_byte() {
    let broker = start(Broker::builder().queue("q0").queue("q1")).await;
    let said = [conversation(), transfer(0).payload(text("a")).to_bytes()].concat();
    let whole = said.len();
    for cut in 0..whole {
        let mut raw = Raw::connect(&broker).await;
        raw.write(&said[..cut]).await;
        if cut % 2 == 0 {
            // Half of it is closed first, and what the broker says is read to its end.
            raw.stream.shutdown().await.unwrap();
            let mut answer = Vec::new();
            // Which may be cut short where unread input is thrown away.
            let _ = tokio::time::timeout(PATIENCE, raw.stream.read_to_end(&mut answer)).await.expect("it hangs up");
        }
    }
    eventually("all are gone", || broker.connections() == 0).await;
    let stats = broker.queue_stats("q0").unwrap();
    assert_eq!((stats.enqueued, stats.producers), (0, 0), "half a message is none");
    Client::connect(&broker).await;
}

#[tokio::test]
async fn every_prefix_with_noise_behind_it_ends_that_connection_alone() {
    let broker = start(Broker::builder().queue("q0").queue("q1")).await;
    let mut bystander = Raw::begun(&broker).await;
    bystander.attach_sender("bystander", 0).await;
    let said = conversation();
    for cut in (0..said.len()).step_by(3) {
        let mut raw = Raw::connect(&broker).await;
        // More than a frame may have, since the start of it may look like one. It may hang up before it has read all.
        let noise = [&said[..cut], &[0xff; 70_000]].concat();
        let _ = tokio::time::timeout(PATIENCE, raw.stream.write_all(&noise)).await.expect("it reads or hangs up");
        let mut answer = Vec::new();
        let _ = tokio::time::timeout(PATIENCE, raw.stream.read_to_end(&mut answer)).await.expect("it hangs up");
    }
    bystander.works(0, 0).await;
    eventually("they are gone", || broker.connections() == 1).await;
}

#[tokio::test]
async fn other_protocols_hear_what_is_spoken_here() {
    let broker = broker().await;
    for first in [
        &b"AMQP\x00\x00\x09\x01"[..],
        b"AMQP\x01\x01\x00\x0a",
        b"GET / HTTP/1.1\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01",
    ] {
        let mut raw = Raw::connect(&broker).await;
        raw.write(first).await;
        assert_eq!(raw.header().await, ProtocolHeader::AMQP);
        assert!(raw.frame().await.is_none(), "nothing more");
    }
}

#[tokio::test]
async fn a_message_beyond_the_credit_costs_its_link() {
    let broker = start(Broker::builder().queue("q0").with_limits(|limits| limits.queue_messages = 10)).await;
    let (mut raw, credit) = Raw::sending(&broker).await;
    let mut number = 0;
    // Nothing takes them out, so that credit ends.
    let (scope, condition) = loop {
        raw.write(&transfer(number).payload(text("x")).to_bytes()).await;
        number += 1;
        tokio::task::yield_now().await;
        assert!(number < 1000, "there is always credit, after {credit}");
        if broker.queue_stats("q0").unwrap().producers == 0 {
            break raw.ended_by().await;
        }
    };
    assert_eq!((scope, condition), ("link", ErrorCondition::TRANSFER_LIMIT_EXCEEDED));
    // The session goes on.
    raw.write(&attach_receiver("b").handle(5).source(Source::at("q0")).to_bytes()).await;
    raw.write(&flow().handle(5).link_credit(1).to_bytes()).await;
    raw.until(|frame| matches!(frame, Performative::Transfer(_))).await;
}

#[tokio::test]
async fn a_handle_in_use_costs_the_session_and_a_name_in_use_the_older_link() {
    let broker = broker().await;
    let (mut raw, _) = Raw::sending(&broker).await;
    raw.attach_sender("other", 1).await;
    raw.write(&attach_sender("a").handle(2).target(Target::at("q0")).to_bytes()).await;
    assert_eq!(raw.ended_by().await, ("link", ErrorCondition::STOLEN));
    raw.works(1, 0).await;

    raw.write(&attach_sender("b").handle(1).target(Target::at("q0")).to_bytes()).await;
    assert_eq!(raw.ended_by().await, ("session", ErrorCondition::HANDLE_IN_USE));
    raw.write(&begin().channel(1).to_bytes()).await;
    raw.until(|frame| matches!(frame, Performative::Begin(_))).await;
    eventually("its links are gone", || broker.queue_stats("q0").unwrap().producers == 0).await;
}

#[tokio::test]
async fn a_map_of_a_link_that_is_gone_is_answered_by_none() {
    let broker = broker().await;
    let mut raw = Raw::begun(&broker).await;
    let map = Map(vec![(Value::Binary(b"tag"[..].into()), Value::Null)]);
    for (handle, map) in [(0, Some(map)), (1, Some(Map::default())), (2, None)] {
        let name = format!("link-{handle}");
        let attach = attach_sender(&name).handle(handle).target(Target::at("q0")).with(|attach| attach.unsettled = map);
        raw.write(&attach.to_bytes()).await;
        let answer = raw.until(|frame| matches!(frame, Performative::Attach(_))).await;
        let Performative::Attach(answer) = answer else { unreachable!("just looked") };
        assert_eq!((answer.unsettled, answer.incomplete_unsettled), (None, false));
    }
    raw.works(0, 0).await;
}

#[tokio::test]
async fn what_is_out_of_place_costs_the_session_or_the_connection() {
    let unattached = ("session", ErrorCondition::UNATTACHED_HANDLE);
    let cases = [
        (transfer(0).handle(9).payload(text("x")).to_bytes(), unattached.clone()),
        (detach().handle(9).to_bytes(), unattached.clone()),
        (flow().handle(9).link_credit(1).to_bytes(), unattached),
        (attach_sender("z").handle(100_000).to_bytes(), ("connection", ErrorCondition::FRAMING_ERROR)),
        (open().to_bytes(), ("connection", ErrorCondition::NOT_ALLOWED)),
        (begin().to_bytes(), ("connection", ErrorCondition::ILLEGAL_STATE)),
        (transfer(0).channel(7).to_bytes(), ("connection", ErrorCondition::NOT_ALLOWED)),
        (u32::MAX.to_be_bytes().to_vec(), ("connection", ErrorCondition::FRAMING_ERROR)),
        (vec![0, 0, 0, 7, 2, 0, 0], ("connection", ErrorCondition::FRAMING_ERROR)),
    ];
    let broker = broker().await;
    for (bytes, expected) in cases {
        let (mut raw, _) = Raw::sending(&broker).await;
        raw.write(&bytes).await;
        assert_eq!(raw.ended_by().await, expected, "{bytes:?}");
    }
}

#[tokio::test]
async fn descriptors_of_every_kind_are_read_or_refused() {
    let named = |descriptor: &[u8]| {
        // attach: name, handle, role (sender), and nothing else.
        let fields = b"\xc0\x07\x03\xa1\x01z\x52\x02\x42";
        frame_of(&[&[0x00][..], descriptor, fields].concat())
    };
    let broker = broker().await;
    let long = |code: u8| [&[0x80, 0, 0, 0, 0, 0, 0, 0][..], &[code]].concat();
    for good in [&b"\x53\x12"[..], &long(0x12), b"\xa3\x10amqp:attach:list", b"\xb3\x00\x00\x00\x10amqp:attach:list"] {
        let mut raw = Raw::begun(&broker).await;
        raw.write(&named(good)).await;
        // It names no target: whatever is wrong with that is between us, once it was read.
        raw.until(|frame| matches!(frame, Performative::Attach(_))).await;
    }
    let bad: [&[u8]; 10] = [
        b"\x53\x99",
        &long(0xff),
        b"\xa3\x10amqp:nobody:list",
        b"\xa3\x00",
        b"\xa1\x10amqp:attach:list",
        b"\x40",
        b"\x44",
        b"\x00\x53\x12\x53\x12",
        b"\x45",
        b"\xc1\x01\x00",
    ];
    for bad in bad {
        let mut raw = Raw::begun(&broker).await;
        raw.write(&named(bad)).await;
        assert_eq!(raw.ended_by().await, ("connection", ErrorCondition::DECODE_ERROR), "{bad:?}");
    }
}

#[tokio::test]
async fn elements_without_width_take_no_memory() {
    let broker = broker().await;
    // Properties of an attach: a map with an array of four thousand million nulls, lists or truths.
    for element in [0x40, 0x45, 0x41, 0x43, 0x44] {
        let array = [0xf0, 0, 0, 0, 5, 0xff, 0xff, 0xff, 0xff, element];
        let map = [&[0xc1, 14, 2, 0xa3, 1, b'k'][..], &array].concat();
        let fields = [&b"\xa1\x01z\x52\x02\x42"[..], &[0x40; 10], &map].concat();
        let list = [&[0xc0, u8::try_from(fields.len() + 1).unwrap(), 14][..], &fields].concat();
        let mut raw = Raw::begun(&broker).await;
        raw.write(&frame_of(&[&[0x00, 0x53, 0x12][..], &list].concat())).await;
        assert_eq!(raw.ended_by().await, ("connection", ErrorCondition::DECODE_ERROR), "{element:#x}");
    }
}

/// A broker that wants to know who comes.
async fn with_users() -> Broker {
    let users = postroad_amqp::sasl::UserFile::parse("alice:wonderland", [3; 32]).unwrap();
    start(Broker::builder().queue("q0").users(users)).await
}

fn sasl(body: &impl Encode) -> Vec<u8> {
    let mut out = Vec::new();
    Frame::put_sasl(body, &mut out);
    out
}

#[tokio::test]
async fn frames_before_authentication_have_512_bytes() {
    let broker = with_users().await;
    for (size, taken) in [(512, true), (513, false)] {
        let mut raw = Raw::connect(&broker).await;
        let init = |length: usize| SaslInit {
            mechanism: Symbol::from_static("SCRAM-SHA-256"),
            initial_response: Some(vec![b'x'; length].into()),
            hostname: None,
        };
        let length = (0..=size).rev().find(|length| sasl(&init(*length)).len() <= size).unwrap();
        let frame = sasl(&init(length));
        assert_eq!(frame.len(), size);
        raw.write(&[&ProtocolHeader::SASL.to_bytes()[..], &frame].concat()).await;
        assert_eq!(raw.header().await, ProtocolHeader::SASL);
        assert!(matches!(raw.frame().await, Some(Frame::Sasl(SaslFrame::Mechanisms(_)))));
        // The one is read and refused, the other not even read.
        let answer = raw.frame().await;
        assert_eq!(matches!(answer, Some(Frame::Sasl(SaslFrame::Outcome(_)))), taken, "{answer:?}");
        raw.hung_up().await;
    }
}

#[tokio::test]
async fn an_exchange_does_not_go_round_in_circles() {
    let broker = with_users().await;
    let init = |mechanism: &'static str, response: &'static [u8]| {
        let initial_response = Some(Bytes::from_static(response));
        sasl(&SaslInit { mechanism: Symbol::from_static(mechanism), initial_response, hostname: None })
    };
    let response = sasl(&SaslResponse { response: Bytes::from_static(b"again") });
    let first = init("SCRAM-SHA-256", b"n,,n=alice,r=abcdef");
    for words in [
        [first.clone(), first.clone()].concat().repeat(20),
        [first, response.repeat(40)].concat(),
        response.repeat(40),
        init("NOBODY-KNOWS", b"").repeat(40),
        ProtocolHeader::SASL.to_bytes().repeat(40),
    ] {
        let mut raw = Raw::connect(&broker).await;
        raw.write(&[&ProtocolHeader::SASL.to_bytes()[..], &words].concat()).await;
        assert_eq!(raw.header().await, ProtocolHeader::SASL);
        let mut frames = 0;
        while let Some(frame) = raw.frame().await {
            assert!(!matches!(frame, Frame::Amqp { .. }), "{frame}");
            frames += 1;
        }
        assert!(frames <= 3, "offer, challenge and outcome");
    }
    eventually("all are gone", || broker.connections() == 0).await;
}

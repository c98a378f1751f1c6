//! Every composite type with every field set to something other than its default.

use bytes::Bytes;
use postroad_codec::v1_0::*;

/// A composite type of which a full value is known.
pub(crate) trait Sample: Composite + Default + Clone + PartialEq + std::fmt::Debug + 'static {
    /// Every field is there.
    fn full() -> Self;
}

/// Calls `$check::<T>()` for every composite type.
macro_rules! for_every_composite {
    ($check:ident) => {{
        use postroad_codec::v1_0::*;
        let mut checked = Vec::new();
        $crate::samples::for_every_composite!(@each $check checked
            Open Begin Attach Flow Transfer Disposition Detach End Close Error Header Properties Received Accepted
            Rejected Released Modified Source Target DeleteOnClose DeleteOnNoLinks DeleteOnNoMessages
            DeleteOnNoLinksOrMessages Coordinator Declare Discharge Declared TransactionalState SaslMechanisms SaslInit
            SaslChallenge SaslResponse SaslOutcome);
        // None is forgotten.
        assert_eq!(checked, schema::COMPOSITES.iter().map(|row| row.name).collect::<Vec<_>>());
    }};
    (@each $check:ident $checked:ident $($ty:ident)*) => {
        $( $check::<$ty>(); $checked.push(<$ty as Composite>::SCHEMA.name); )*
    };
}
pub(crate) use for_every_composite;

macro_rules! samples {
    ($($ty:ident { $($field:ident: $value:expr),* $(,)? })*) => {
        $(impl Sample for $ty {
            fn full() -> Self {
                // Every field is named: a new one does not compile until it has a sample.
                Self { $($field: $value),* }
            }
        })*
    };
}

fn symbols<T: From<Symbol>>(names: &[&'static str]) -> Multiple<T> {
    names.iter().map(|name| T::from(Symbol::from_static(name))).collect()
}

fn capabilities() -> Multiple<Symbol> {
    ["queue", "shared"].map(Symbol::from_static).into_iter().collect()
}

fn fields() -> Fields {
    Fields(
        [(Symbol::from_static("product"), Value::from("postroad")), (Symbol::from_static("n"), 7u32.into())]
            .into_iter()
            .collect(),
    )
}

fn state() -> DeliveryState {
    DeliveryState::Modified(Box::new(Modified::full()))
}

samples! {
    Open {
        container_id: "container".into(), hostname: Some("host".into()), max_frame_size: 65_536, channel_max: 255,
        idle_time_out: Some(Milliseconds(30_000)), outgoing_locales: symbols(&["en-US"]),
        incoming_locales: symbols(&["en-US", "de-DE"]), offered_capabilities: capabilities(),
        desired_capabilities: capabilities(), properties: Some(fields()),
    }
    Begin {
        remote_channel: Some(3), next_outgoing_id: TransferNumber(u32::MAX), incoming_window: 2048, outgoing_window: 1,
        handle_max: Handle(7), offered_capabilities: capabilities(), desired_capabilities: capabilities(),
        properties: Some(fields()),
    }
    Attach {
        name: "link".into(), handle: Handle(300), role: Role::Receiver, snd_settle_mode: SenderSettleMode::SETTLED,
        rcv_settle_mode: ReceiverSettleMode::SECOND, source: Some(Box::new(Source::full())),
        target: Some(Box::new(Target::full().into())),
        unsettled: Some(Map(vec![(Bytes::from_static(b"tag").into(), Value::described(0x24u64, Value::List(vec![])))])),
        incomplete_unsettled: true, initial_delivery_count: Some(SequenceNo(1)), max_message_size: Some(1 << 40),
        offered_capabilities: capabilities(), desired_capabilities: capabilities(), properties: Some(fields()),
    }
    Flow {
        next_incoming_id: Some(TransferNumber(0)), incoming_window: 100, next_outgoing_id: TransferNumber(1),
        outgoing_window: 200, handle: Some(Handle(0)), delivery_count: Some(SequenceNo(u32::MAX)),
        link_credit: Some(500), available: Some(0), drain: true, echo: true, properties: Some(Box::new(fields())),
    }
    Transfer {
        handle: Handle(1), delivery_id: Some(DeliveryNumber(2)), delivery_tag: DeliveryTag::new(b"\0tag"),
        message_format: Some(MessageFormat(0)), settled: Some(false), more: true,
        rcv_settle_mode: Some(ReceiverSettleMode::FIRST), state: Some(state()), resume: true, aborted: true,
        batchable: true,
    }
    Disposition {
        role: Role::Receiver, first: DeliveryNumber(1), last: Some(DeliveryNumber(300)), settled: true,
        state: Some(state()), batchable: true,
    }
    Detach { handle: Handle(1), closed: true, error: Some(Box::new(Error::full())) }
    End { error: Some(Box::new(Error::full())) }
    Close { error: Some(Box::new(Error::full())) }
    Error { condition: ErrorCondition::NOT_FOUND, description: Some("no node".into()), info: Some(fields()) }
    Header {
        durable: Some(true), priority: Some(9), ttl: Some(Milliseconds(1)), first_acquirer: Some(true),
        delivery_count: Some(1),
    }
    Properties {
        message_id: Some("id".into()), user_id: Some(Bytes::from_static(b"guest")), to: Some("to".into()),
        subject: Some("subject".into()), reply_to: Some("reply".into()),
        correlation_id: Some(Bytes::from_static(b"\x00\xff").into()),
        content_type: Some(Symbol::from_static("text/plain")), content_encoding: Some(Symbol::from_static("gzip")),
        absolute_expiry_time: Some(Timestamp(i64::MAX)), creation_time: Some(Timestamp(-1)),
        group_id: Some("group".into()), group_sequence: Some(SequenceNo(u32::MAX)),
        reply_to_group_id: Some("group-2".into()),
    }
    Received { section_number: 1, section_offset: 1 << 33 }
    Accepted {}
    Rejected { error: Some(Error::full()) }
    Released {}
    Modified { delivery_failed: Some(true), undeliverable_here: Some(true), message_annotations: Some(fields()) }
    Source {
        address: Some("from".into()), durable: TerminusDurability::UNSETTLED_STATE,
        expiry_policy: TerminusExpiryPolicy::NEVER, timeout: Seconds(60), dynamic: true,
        dynamic_node_properties: Some(NodeProperties(fields())), distribution_mode: Some(DistributionMode::COPY),
        filter: Some(FilterSet([(Symbol::from_static("f"), Value::described(0x468c_0000_0004u64, "a = 1"))].into_iter().collect())),
        default_outcome: Some(Outcome::modified(true, false, None)), outcomes: symbols(&["amqp:accepted:list"]),
        capabilities: capabilities(),
    }
    Target {
        address: Some("to".into()), durable: TerminusDurability::CONFIGURATION,
        expiry_policy: TerminusExpiryPolicy::LINK_DETACH, timeout: Seconds(1), dynamic: true,
        dynamic_node_properties: Some(NodeProperties(fields())), capabilities: capabilities(),
    }
    DeleteOnClose {}
    DeleteOnNoLinks {}
    DeleteOnNoMessages {}
    DeleteOnNoLinksOrMessages {}
    Coordinator {
        capabilities: [TxnCapability::LOCAL_TRANSACTIONS, TxnCapability::MULTI_TXNS_PER_SSN].into_iter().collect(),
    }
    Declare { global_id: Some(GlobalTxId(Value::List(vec!["xid".into()]))) }
    Discharge { txn_id: TransactionId(Bytes::from_static(b"txn")), fail: Some(true) }
    Declared { txn_id: TransactionId(Bytes::from_static(b"txn")) }
    TransactionalState { txn_id: TransactionId(Bytes::from_static(b"txn")), outcome: Some(Outcome::Accepted) }
    SaslMechanisms { sasl_server_mechanisms: symbols(&["SCRAM-SHA-256", "PLAIN"]) }
    SaslInit {
        mechanism: Symbol::from_static("PLAIN"), initial_response: Some(Bytes::from_static(b"\0user\0secret")),
        hostname: Some("host".into()),
    }
    SaslChallenge { challenge: Bytes::from_static(b"r=nonce") }
    SaslResponse { response: Bytes::from_static(b"secret") }
    SaslOutcome { code: SaslCode::SYS_TEMP, additional_data: Some(Bytes::from_static(b"v=..")) }
}

/// Every performative, full and with its defaults.
pub(crate) fn performatives() -> Vec<Performative> {
    fn both<T: Sample + Into<Performative>>() -> [Performative; 2] {
        [T::full().into(), T::default().into()]
    }
    let coordinator = AttachTarget::Coordinator(Coordinator::full());
    let mut all = vec![Attach { target: Some(Box::new(coordinator)), ..Attach::default() }.into()];
    all.extend(both::<Open>());
    all.extend(both::<Begin>());
    all.extend(both::<Attach>());
    all.extend(both::<Flow>());
    all.extend(both::<Transfer>());
    all.extend(both::<Disposition>());
    all.extend(both::<Detach>());
    all.extend(both::<End>());
    all.extend(both::<Close>());
    all.extend(states().map(|state| Disposition { state: Some(state), ..Disposition::default() }.into()));
    all
}

/// A delivery state of each kind.
pub(crate) fn states() -> impl Iterator<Item = DeliveryState> {
    [
        DeliveryState::Received(Received::full()),
        DeliveryState::Accepted,
        DeliveryState::Rejected(Box::new(Rejected::full())),
        DeliveryState::Rejected(Box::default()),
        DeliveryState::Released,
        DeliveryState::Modified(Box::new(Modified::full())),
        DeliveryState::Declared(Box::new(Declared::full())),
        DeliveryState::Transactional(Box::new(TransactionalState::full())),
        DeliveryState::Other(Box::new(Described { descriptor: "x:held".into(), value: Value::List(vec![1u8.into()]) })),
        DeliveryState::Other(Box::new(Described { descriptor: 0u64.into(), value: Value::Null })),
    ]
    .into_iter()
}

/// Every SASL frame.
pub(crate) fn sasl_frames() -> Vec<SaslFrame> {
    vec![
        SaslFrame::Mechanisms(SaslMechanisms::full()),
        SaslFrame::Init(SaslInit::full()),
        SaslFrame::Init(SaslInit { mechanism: Symbol::from_static("ANONYMOUS"), ..SaslInit::default() }),
        SaslFrame::Challenge(SaslChallenge::full()),
        SaslFrame::Response(SaslResponse::full()),
        SaslFrame::Outcome(SaslOutcome::full()),
        SaslFrame::Outcome(SaslOutcome::default()),
    ]
}

/// A message with every section, once for each kind of body.
pub(crate) fn messages() -> Vec<Message> {
    let annotations = || Annotations([(Symbol::from_static("x-opt-a"), Value::from(1i64))].into_iter().collect());
    let bodies = [
        Body::Empty,
        Body::Data(Bytes::from_static(b"data")),
        Body::Data(Bytes::new()),
        Body::DataSections(vec![Bytes::from_static(b"one"), Bytes::new(), Bytes::from_static(b"three")]),
        Body::Sequence(vec![]),
        Body::Sequence(vec![1u8.into(), "two".into()]),
        Body::Sequences(vec![vec![], vec![Value::Null], vec![1u64.into()]]),
        Body::Value(Value::Null),
        Body::Value("text".into()),
        Body::Value(Value::described(Symbol::from_static("x:y"), Value::List(vec![Map::default().into()]))),
    ];
    let full = |body| Message {
        header: Some(Header::full()),
        delivery_annotations: Some(DeliveryAnnotations(annotations())),
        message_annotations: Some(MessageAnnotations(annotations())),
        properties: Some(Box::new(Properties::full())),
        application_properties: Some(ApplicationProperties([("key", 1u32)].into_iter().collect())),
        body,
        footer: Some(Footer(annotations())),
    };
    let bare = bodies.clone().map(Message::new);
    bodies.map(full).into_iter().chain(bare).collect()
}

//! What properties cannot be had together, what a connection reads back, and what its messages may ask of it.

use std::time::Duration;

use postroad_taps::{
    CapacityProfile, ChecksumCoverage, ConfigurationError, ConnectionProperty, EstablishmentErrorKind, ListenError,
    LocalEndpoint, MessageProperties, MessageProperty, MessagePropertyError, Preconnection, Preference, Property,
    PropertyConflict, PropertyError, PropertyValue, Security, SelectionProperty, TransportProperties, UserTimeout,
};

/// What TCP has, as far as it matters here.
fn tcp(property: SelectionProperty) -> bool {
    use SelectionProperty::{
        CongestionControl, FullChecksumRecv, FullChecksumSend, KeepAlive, PreserveOrder, Reliability,
    };
    [Reliability, PreserveOrder, CongestionControl, FullChecksumSend, FullChecksumRecv, KeepAlive].contains(&property)
}

fn udp(property: SelectionProperty) -> bool {
    use SelectionProperty::{FullChecksumRecv, FullChecksumSend, PreserveMsgBoundaries, ZeroRttMsg};
    [PreserveMsgBoundaries, ZeroRttMsg, FullChecksumSend, FullChecksumRecv].contains(&property)
}

fn conflicts(properties: &TransportProperties) -> Vec<PropertyConflict> {
    properties.validate().map_or_else(|conflicts| conflicts.all().to_vec(), |()| Vec::new())
}

/// Case 8, RFC 9622 4.2 and 6.2.3, RFC 9623 3.1: found without a socket, since there is none here.
#[test]
fn per_message_reliability_without_reliability_is_a_contradiction() {
    use SelectionProperty::{PerMsgReliability, Reliability};
    let properties = TransportProperties::new().require(PerMsgReliability).prohibit(Reliability);
    let conflict = PropertyConflict::Selection { required: PerMsgReliability, prohibited: Reliability };
    assert_eq!(conflicts(&properties), [conflict]);
    assert_eq!(
        properties.validate().unwrap_err().to_string(),
        "`perMsgReliability` is required and `reliability` prohibited: no protocol has the one without the other"
    );
    assert_eq!(properties.clone().prefer(PerMsgReliability).validate(), Ok(()));
    assert_eq!(properties.avoid(Reliability).validate(), Ok(()));
}

/// Case 8: and nothing is opened, neither to connect nor to listen.
#[tokio::test]
async fn a_contradiction_is_told_before_anything_is_opened() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let properties = TransportProperties::new()
        .require(SelectionProperty::PerMsgReliability)
        .prohibit(SelectionProperty::Reliability);
    let expected = ConfigurationError::Properties(properties.validate().unwrap_err());
    let preconnection = Preconnection::new()
        .security(Security::Disabled)
        .properties(properties)
        .local(LocalEndpoint::host("127.0.0.1"))
        .remote(listener.local_addr().unwrap());

    let error = preconnection.initiate().await.unwrap_err();
    assert_eq!(error.kind(), &EstablishmentErrorKind::InvalidConfiguration(expected.clone()));
    assert!(error.attempts().is_empty());
    assert_eq!(listener.accept().unwrap_err().kind(), std::io::ErrorKind::WouldBlock);
    assert_eq!(preconnection.listen().await.unwrap_err(), ListenError::from(expected));
}

/// RFC 9622 6.2: requirements that exclude each other.
#[test]
fn each_contradiction_between_preferences_is_found() {
    use SelectionProperty::{FullChecksumSend, KeepAlive, PerMsgChecksumLenSend, PreserveOrder, Reliability};
    let new = TransportProperties::new;
    // 6.2.1: reliable is in order.
    let properties = new().require(Reliability).prohibit(PreserveOrder);
    let conflict = PropertyConflict::Selection { required: Reliability, prohibited: PreserveOrder };
    assert_eq!(conflicts(&properties), [conflict]);
    assert_eq!(new().prohibit(PreserveOrder).validate(), Ok(()), "nobody asked for reliability");
    // 6.2.7: all of it, and a part of it.
    let properties = new().require(FullChecksumSend).require(PerMsgChecksumLenSend);
    let conflict = PropertyConflict::Exclusive { one: FullChecksumSend, other: PerMsgChecksumLenSend };
    assert_eq!(conflicts(&properties), [conflict]);
    assert_eq!(new().require(PerMsgChecksumLenSend).validate(), Ok(()));
    // 8.1.4: keep-alive packets that come too late are none.
    let properties = new().keep_alive_timeout(Duration::from_secs(30)).conn_timeout(Duration::from_secs(10));
    assert_eq!(properties.validate(), Ok(()));
    assert_eq!(properties.connection.keep_alive_period(), None);
    assert_eq!(conflicts(&properties.require(KeepAlive)), [PropertyConflict::KeepAliveTooLate]);
    // 6.2.11 and 6.2.12: one path cannot be over two.
    let properties = new().interface("eth0", Preference::Require).interface("eth1", Preference::Require);
    let conflict =
        PropertyConflict::TwoRequired { property: Property::Interface, one: "eth0".into(), other: "eth1".into() };
    assert_eq!(conflicts(&properties), [conflict]);
    assert_eq!(properties.interface("eth1", Preference::Prefer).validate(), Ok(()));
    let properties = new().pvd("a.example", Preference::Require).pvd("b.example", Preference::Require);
    assert_eq!(conflicts(&properties).len(), 1);
    // 9.1.3.3 and 9.1.3.7: what messages have by default.
    let mut properties = new().prohibit(PreserveOrder).prohibit(Reliability);
    properties.message.set_ordered(true).set_reliable(true);
    assert_eq!(
        conflicts(&properties),
        [
            PropertyConflict::Message { message: MessageProperty::Ordered, prohibited: PreserveOrder },
            PropertyConflict::Message { message: MessageProperty::Reliable, prohibited: Reliability },
        ]
    );
}

/// RFC 9622 8.1.3, 8.1.4, 8.1.8, 8.1.9, 8.2.1 and 9.1.3.1: numbers are positive, and bounds are in order.
#[test]
fn numbers_out_of_range_are_found() {
    use ConnectionProperty::{
        ConnTimeout, GroupConnLimit, KeepAliveTimeout, MaxRecvRate, MaxSendRate, MinRecvRate, MinSendRate,
        UserTimeoutValue,
    };
    let new = TransportProperties::new;
    let zero = |property: ConnectionProperty| vec![PropertyConflict::Zero(property.into())];
    for (properties, property) in [
        (new().conn_timeout(Duration::ZERO), ConnTimeout),
        (new().keep_alive_timeout(Duration::ZERO), KeepAliveTimeout),
        (new().min_send_rate(0), MinSendRate),
        (new().max_recv_rate(0), MaxRecvRate),
        (new().group_conn_limit(0), GroupConnLimit),
        (new().user_timeout(UserTimeout::of(Duration::ZERO)), UserTimeoutValue),
    ] {
        assert_eq!(conflicts(&properties), zero(property));
    }
    let mut properties = new();
    properties.message.set_lifetime(Duration::ZERO);
    assert_eq!(conflicts(&properties), [PropertyConflict::Zero(MessageProperty::Lifetime.into())]);

    let properties = new().min_send_rate(9).max_send_rate(8).min_recv_rate(8).max_recv_rate(8);
    assert_eq!(conflicts(&properties), [PropertyConflict::Rates { min: MinSendRate, max: MaxSendRate }]);
    let properties = new().min_recv_rate(9).max_recv_rate(8);
    assert_eq!(conflicts(&properties), [PropertyConflict::Rates { min: MinRecvRate, max: MaxRecvRate }]);

    // RFC 5482 2: 15 bits of minutes; a socket has 32 bits of milliseconds.
    let longest = Duration::from_secs(32_767 * 60);
    assert_eq!(new().user_timeout(UserTimeout::of(longest)).validate(), Ok(()));
    let properties = new().user_timeout(UserTimeout::of(longest + Duration::from_secs(1)));
    assert_eq!(conflicts(&properties), [PropertyConflict::TooLong { property: UserTimeoutValue.into(), max: longest }]);
    assert_eq!(new().conn_timeout(Duration::from_millis(u32::MAX.into())).validate(), Ok(()));
    assert_eq!(conflicts(&new().conn_timeout(Duration::from_secs(4_294_968))).len(), 1);
    let all = new().conn_timeout(Duration::ZERO).min_send_rate(0).group_conn_limit(0);
    assert_eq!(conflicts(&all).len(), 3, "all of them are told");
}

/// Case 15, RFC 9622 6.2 and 8: a preference reads as a Boolean, other selection properties as they were set.
#[test]
fn an_established_connection_reads_what_its_protocol_has() {
    let wanted = TransportProperties::new()
        .avoid(SelectionProperty::Reliability)
        .prefer(SelectionProperty::ZeroRttMsg)
        .interface("eth0", Preference::Prefer)
        .conn_priority(7);
    let over_tcp = wanted.established(tcp);
    let over_udp = wanted.established(udp);
    for property in SelectionProperty::ALL {
        assert_eq!(over_tcp.property(property), PropertyValue::Boolean(tcp(property)), "{property:?}");
        assert_eq!(over_udp.has(property), udp(property), "{property:?}");
    }
    assert_eq!(over_tcp.get("reliability"), Ok(true.into()));
    assert_eq!(over_tcp.get("zero-rtt-msg"), Ok(false.into()));
    assert_eq!(over_tcp.get("interface").unwrap().to_string(), "eth0=prefer");
    assert_eq!(over_tcp.get("direction").unwrap().to_string(), "Bidirectional");
    assert_eq!(over_tcp.get("conn-prio"), Ok(7.into()));
    // 9.1.3.3 and 9.1.3.7: these defaults are the Booleans.
    assert_eq!((over_tcp.get("msgOrdered"), over_udp.get("msgOrdered")), (Ok(true.into()), Ok(false.into())));
    assert_eq!((over_tcp.get("msgReliable"), over_udp.get("msgReliable")), (Ok(true.into()), Ok(false.into())));
    assert_eq!(over_tcp.get("sendMsgMaxLen").unwrap().to_string(), "Not applicable");
    assert!(matches!(over_tcp.get("nothing"), Err(PropertyError::Unknown { .. })));
}

/// Case 15 and 59, RFC 9622 6.2 and 8: selection is over; what cannot be set is told, and changes nothing.
#[test]
fn selection_properties_cannot_be_set_on_a_connection() {
    let mut properties = TransportProperties::new().established(tcp);
    let before = properties.clone();
    for property in Property::all().filter(|property| property.is_selection()) {
        let refused = Err(PropertyError::Established { name: property.name() });
        assert_eq!(properties.set(property.name(), "require"), refused);
    }
    assert_eq!(properties.set("canSend", true), Err(PropertyError::ReadOnly { name: "canSend" }));
    assert!(properties.set("connTimeout", "soon").is_err());
    assert_eq!(properties, before);
    assert_eq!(properties.set("connTimeout", 20), Ok(ConnectionProperty::ConnTimeout.into()));
    assert_eq!(properties.connection().conn_timeout, Some(Duration::from_secs(20)));
    assert_eq!(properties.set("msg-prio", 3), Ok(MessageProperty::Priority.into()));
    assert_eq!(properties.message().priority(), 3);
}

/// RFC 9622 9.1.3: what a message does not set, the connection does.
#[test]
fn a_message_inherits_what_it_does_not_set() {
    let mut wanted = TransportProperties::new().capacity_profile(CapacityProfile::Scavenger);
    wanted.message.set_priority(50).set_checksum_len(20).set_lifetime(Duration::from_secs(1));
    let connection = wanted.established(tcp);

    let sent = connection.of_message(&MessageProperties::default()).unwrap();
    assert_eq!((sent.priority(), sent.checksum_len()), (50, ChecksumCoverage::Bytes(20)));
    assert_eq!((sent.ordered(), sent.reliable()), (Some(true), Some(true)));
    assert_eq!(sent.capacity_profile(), Some(CapacityProfile::Scavenger));

    let own = MessageProperties::default()
        .with_priority(1)
        .with_lifetime(None)
        .with_ordered(false)
        .with_capacity_profile(CapacityProfile::LowLatencyInteractive);
    let sent = connection.of_message(&own).unwrap();
    assert_eq!((sent.priority(), sent.lifetime(), sent.ordered()), (1, None, Some(false)), "also for ever is set");
    assert_eq!(sent.capacity_profile(), Some(CapacityProfile::LowLatencyInteractive));
    assert_eq!(sent.checksum_len(), ChecksumCoverage::Bytes(20));

    let mut properties = own;
    for property in MessageProperty::ALL {
        properties.unset(property);
        assert!(!properties.is_set(property));
    }
    assert_eq!(properties, MessageProperties::default());
}

/// Case 48, RFC 9622 9.1.3 and 9.1.3.7: what the connection cannot do for one message is an error.
#[test]
fn a_message_may_not_ask_for_what_the_connection_has_not() {
    let message = MessageProperties::default;
    let over_tcp = TransportProperties::new().established(tcp);
    assert!(over_tcp.of_message(&message().with_reliable(true).with_ordered(true)).is_ok());
    assert_eq!(over_tcp.of_message(&message().with_reliable(false)), Err(MessagePropertyError::AlwaysReliable));
    let choosing = TransportProperties::new()
        .established(|property| tcp(property) || property == SelectionProperty::PerMsgReliability);
    assert_eq!(choosing.of_message(&message().with_reliable(false)).unwrap().reliable(), Some(false));

    let over_udp = TransportProperties::unreliable_datagram().established(udp).may_duplicate(true);
    assert_eq!(over_udp.of_message(&message()).unwrap().reliable(), Some(false));
    assert!(over_udp.of_message(&message().with_reliable(false).with_ordered(false)).is_ok());
    assert_eq!(over_udp.of_message(&message().with_reliable(true)), Err(MessagePropertyError::NotReliable));
    assert_eq!(over_udp.of_message(&message().with_ordered(true)), Err(MessagePropertyError::NotOrdered));
}

/// Case 11, RFC 9622 9.1.3.4: over a protocol that may duplicate messages, each must allow it.
#[test]
fn a_message_over_datagrams_must_be_safely_replayable() {
    let not = MessageProperties::default().with_safely_replayable(false);
    let over_udp = TransportProperties::unreliable_datagram().established(udp).may_duplicate(true);
    assert!(over_udp.of_message(&MessageProperties::default()).unwrap().safely_replayable());
    assert_eq!(over_udp.of_message(&not), Err(MessagePropertyError::NotSafelyReplayable));
    let over_tcp = TransportProperties::new().established(tcp);
    assert!(over_tcp.of_message(&not).is_ok());
}

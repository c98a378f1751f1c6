//! Names, defaults and profiles of properties, against tables typed from RFC 9622 and from the seed's interface.

use std::collections::BTreeSet;
use std::time::Duration;

use postroad_taps::{
    CapacityProfile, ChecksumCoverage, ConnectionProperties, ConnectionProperty, Direction, InterfaceSelector,
    InterfaceType, MessageProperties, MessageProperty, Multipath, MultipathPolicy, Preference, Profile, Property,
    PropertyError, PropertyValue, Role, Scheduler, SelectionProperty, TransportProperties, UserTimeout,
};
use proptest::prelude::*;

/// Every name in RFC 9622, its section, and its default there as text. What has no default is read-only.
const RFC9622: &[(&str, &str, &str)] = &[
    ("reliability", "6.2.1", "require"),
    ("preserveMsgBoundaries", "6.2.2", "no preference"),
    ("perMsgReliability", "6.2.3", "no preference"),
    ("preserveOrder", "6.2.4", "require"),
    ("zeroRttMsg", "6.2.5", "no preference"),
    ("multistreaming", "6.2.6", "prefer"),
    ("fullChecksumSend", "6.2.7", "require"),
    ("fullChecksumRecv", "6.2.8", "require"),
    ("congestionControl", "6.2.9", "require"),
    ("keepAlive", "6.2.10", "no preference"),
    ("interface", "6.2.11", ""),
    ("pvd", "6.2.12", ""),
    ("useTemporaryLocalAddress", "6.2.13", "prefer"),
    ("multipath", "6.2.14", "Disabled"),
    ("advertisesAltaddr", "6.2.15", "false"),
    ("direction", "6.2.16", "Bidirectional"),
    ("softErrorNotify", "6.2.17", "no preference"),
    ("activeReadBeforeSend", "6.2.18", "no preference"),
    ("recvChecksumLen", "8.1.1", "Full Coverage"),
    ("connPriority", "8.1.2", "100"),
    ("connTimeout", "8.1.3", "Disabled"),
    ("keepAliveTimeout", "8.1.4", "Disabled"),
    ("connScheduler", "8.1.5", "Weighted Fair Queueing"),
    ("connCapacityProfile", "8.1.6", "Default"),
    ("multipathPolicy", "8.1.7", "Handover"),
    ("minSendRate", "8.1.8", "Unlimited"),
    ("minRecvRate", "8.1.8", "Unlimited"),
    ("maxSendRate", "8.1.8", "Unlimited"),
    ("maxRecvRate", "8.1.8", "Unlimited"),
    ("groupConnLimit", "8.1.9", "Unlimited"),
    ("isolateSession", "8.1.10", "false"),
    ("tcp.userTimeoutValue", "8.2.1", "Default"),
    ("tcp.userTimeoutEnabled", "8.2.2", "false"),
    ("tcp.userTimeoutChangeable", "8.2.3", "true"),
    ("msgLifetime", "9.1.3.1", "Infinite"),
    ("msgPriority", "9.1.3.2", "100"),
    ("msgOrdered", "9.1.3.3", "true"),
    ("safelyReplayable", "9.1.3.4", "false"),
    ("final", "9.1.3.5", "false"),
    ("msgChecksumLen", "9.1.3.6", "Full Coverage"),
    ("msgReliable", "9.1.3.7", "true"),
    ("msgCapacityProfile", "9.1.3.8", "Default"),
    ("noFragmentation", "9.1.3.9", "false"),
    ("noSegmentation", "9.1.3.10", "false"),
];

/// The read-only properties of RFC 9622 8.1.11, and the seed's.
const READ_ONLY: &[&str] = &[
    "connState",
    "canSend",
    "canReceive",
    "singularTransmissionMsgMaxLen",
    "sendMsgMaxLen",
    "recvMsgMaxLen",
    "zero-rtt-msg-max-len",
    "singular-transmission-msg-max-len",
    "send-msg-max-len",
    "recv-msg-max-len",
    "ecn",
    "early-data",
    "receiving-final-messages",
];

/// Every name in the seed's interface, and its default there: a number where it has one.
const SEED: &[(&str, &str)] = &[
    ("reliability", "2"),
    ("preserve-msg-boundaries", "1"),
    ("per-msg-reliability", "0"),
    ("preserve-order", "2"),
    ("zero-rtt-msg", "0"),
    ("multistreaming", "1"),
    ("per-msg-checksum-len-send", "0"),
    ("per-msg-checksum-len-recv", "0"),
    ("congestion-control", "2"),
    ("interface", ""),
    ("pvd", ""),
    ("local-address-preference", "temporary"),
    // A preference in the seed, PREFER by default; RFC 9622's default holds.
    ("multipath", "ignore"),
    ("direction", "BIDIRECTIONAL"),
    ("retransmit-notify", "0"),
    ("soft-error-notify", "0"),
    ("retransmit-notify-threshold", "-1"),
    ("recv-checksum-len", "-1"),
    ("conn-prio", "100"),
    ("conn-timeout", "-1"),
    ("conn-scheduler", "Weighted fair queueing"),
    ("conn-capacity-profile", "0"),
    ("max-send-rate / max-recv-rate", "-1 / -1"),
    ("max-send-rate", "-1"),
    ("max-recv-rate", "-1"),
    ("tcp-uto", "tcp.user-timeout-value=300, tcp.user-timeout=False, tcp.user-timeout-recv=True"),
    ("tcp.user-timeout-value", "300"),
    ("tcp.user-timeout", "False"),
    ("tcp.user-timeout-recv", "True"),
    ("msg-lifetime", "inf"),
    ("msg-prio", "100"),
    ("msg-ordered", "True"),
    ("idempotent", "False"),
    ("final", "False"),
    ("msg-checksum-len", "-1"),
    ("msg-reliable", "True"),
    ("msg-capacity-profile", "DEFAULT"),
    ("singular-transmission", "False"),
];

/// The same property in the words of the seed and of RFC 9622.
const SAME: &[(&str, &str)] = &[
    ("preserve-msg-boundaries", "preserveMsgBoundaries"),
    ("per-msg-reliability", "perMsgReliability"),
    ("preserve-order", "preserveOrder"),
    ("zero-rtt-msg", "zeroRttMsg"),
    ("congestion-control", "congestionControl"),
    ("local-address-preference", "useTemporaryLocalAddress"),
    ("soft-error-notify", "softErrorNotify"),
    ("recv-checksum-len", "recvChecksumLen"),
    ("conn-prio", "connPriority"),
    ("conn-timeout", "connTimeout"),
    ("conn-scheduler", "connScheduler"),
    ("conn-capacity-profile", "connCapacityProfile"),
    ("max-send-rate", "maxSendRate"),
    ("max-recv-rate", "maxRecvRate"),
    ("singular-transmission-msg-max-len", "singularTransmissionMsgMaxLen"),
    ("send-msg-max-len", "sendMsgMaxLen"),
    ("recv-msg-max-len", "recvMsgMaxLen"),
    ("tcp.user-timeout-value", "tcp.userTimeoutValue"),
    ("tcp.user-timeout", "tcp.userTimeoutEnabled"),
    ("tcp.user-timeout-recv", "tcp.userTimeoutChangeable"),
    ("msg-lifetime", "msgLifetime"),
    ("msg-prio", "msgPriority"),
    ("msg-ordered", "msgOrdered"),
    ("idempotent", "safelyReplayable"),
    ("msg-checksum-len", "msgChecksumLen"),
    ("msg-reliable", "msgReliable"),
    ("msg-capacity-profile", "msgCapacityProfile"),
];

fn all_names() -> impl Iterator<Item = &'static str> {
    let rfc = RFC9622.iter().map(|(name, ..)| *name);
    rfc.chain(SEED.iter().map(|(name, _)| *name)).chain(READ_ONLY.iter().copied())
}

/// Case 5, RFC 9622 4.1: names are case-insensitive strings.
#[test]
fn every_name_is_found_whatever_its_case() {
    for name in all_names() {
        let property: Property = name.parse().unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(name.to_uppercase().parse(), Ok(property), "{name}");
        assert_eq!(name.to_lowercase().parse(), Ok(property), "{name}");
        assert_eq!(property.name().parse(), Ok(property), "{name}");
        assert!(property.names().contains(&name), "{name}");
    }
    for (seed, rfc) in SAME {
        assert_eq!(seed.parse::<Property>(), rfc.parse::<Property>());
        assert_eq!(seed.parse::<Property>().unwrap().name(), *rfc);
    }
}

/// The tables of this test and those of the crate hold the same properties, and no name stands for two.
#[test]
fn no_property_is_without_a_name_in_these_tables() {
    let known: BTreeSet<&str> = all_names().map(|name| name.parse::<Property>().unwrap().name()).collect();
    let all: BTreeSet<&str> = Property::all().map(Property::name).collect();
    assert_eq!(known, all);
    let mut names: Vec<String> = Property::all().flat_map(Property::names).map(|name| name.to_lowercase()).collect();
    names.sort();
    let count = names.len();
    names.dedup();
    assert_eq!(names.len(), count);
}

/// Case 6, RFC 9622 6.2, 8.1, 8.2 and 9.1.3: each default.
#[test]
fn the_defaults_of_rfc9622() {
    let defaults = TransportProperties::rfc9622();
    for (name, section, default) in RFC9622 {
        let mut properties = defaults.clone();
        properties.set(name, *default).unwrap_or_else(|error| panic!("{section} {name}: {error}"));
        assert_eq!(properties.get(name), defaults.get(name), "{section} {name}");
    }
    // 6.2.13 and 6.2.14: two defaults differ by what the preconnection is for.
    let address = SelectionProperty::UseTemporaryLocalAddress;
    for (role, preference, multipath) in [
        (Role::Initiate, Preference::Prefer, Multipath::Disabled),
        (Role::Listen, Preference::Avoid, Multipath::Passive),
        (Role::Rendezvous, Preference::Avoid, Multipath::Disabled),
    ] {
        assert_eq!(defaults.preference_in(address, role), preference);
        assert_eq!(defaults.multipath_in(role), multipath);
    }
    assert_eq!(defaults.prefer(address).preference_in(address, Role::Listen), Preference::Prefer);
}

/// Case 6: each default of the seed's interface.
#[test]
fn the_defaults_of_the_seed() {
    let defaults = TransportProperties::new();
    for (name, default) in SEED {
        let mut properties = defaults.clone();
        properties.set(name, *default).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(properties.get(name), defaults.get(name), "{name}");
    }
    // And the typed ones.
    assert_eq!(defaults.preference(SelectionProperty::PreserveMsgBoundaries), Preference::Prefer);
    assert!(SelectionProperty::ALL.iter().all(|property| !defaults.is_explicit(*property)));
    assert_eq!((defaults.multipath(), defaults.direction()), (None, Direction::Bidirectional));
    assert!(defaults.interfaces().is_empty() && defaults.pvds().is_empty() && !defaults.advertises_altaddr());
    let ConnectionProperties { conn_timeout, conn_priority, conn_scheduler, user_timeout, .. } = defaults.connection;
    assert_eq!((conn_timeout, conn_priority, conn_scheduler), (None, 100, Scheduler::WeightedFairQueueing));
    assert_eq!(user_timeout, UserTimeout::default());
    assert_eq!(user_timeout.value, Some(Duration::from_secs(300)));
    let message = MessageProperties::default();
    assert_eq!(
        (message.lifetime(), message.priority(), message.ordered(), message.reliable()),
        (None, 100, None, None)
    );
    assert_eq!((message.checksum_len(), message.capacity_profile()), (ChecksumCoverage::Full, None));
    assert!(!message.safely_replayable() && !message.is_final());
}

/// The seed's numbers for enumerations.
#[test]
fn the_numbers_of_the_seed_hold() {
    let preferences = [("REQUIRE", 2), ("PREFER", 1), ("IGNORE", 0), ("AVOID", -1), ("PROHIBIT", -2)];
    for (word, number) in preferences {
        let by = |value: PropertyValue| {
            let mut properties = TransportProperties::new();
            properties.set("reliability", value).unwrap();
            properties.preference(SelectionProperty::Reliability)
        };
        assert_eq!(by(word.into()), by(number.into()));
        assert_eq!(by(word.into()) as i8, number as i8);
    }
    for (word, code_point) in [
        ("DEFAULT", 0x00),
        ("SCAVENGER", 0x01),
        ("CAPACITY_SEEKING", 0x0a),
        ("LOW_LATENCY_NON_INTERACTIVE", 0x12),
        ("CONSTANT_RATE_STREAMING", 0x1c),
        ("LOW_LATENCY_INTERACTIVE", 0x24),
    ] {
        let mut properties = TransportProperties::new();
        properties.set("conn-capacity-profile", word).unwrap();
        assert_eq!(properties.connection.capacity_profile.dscp(), code_point, "{word}");
        properties.set("conn-capacity-profile", 0).unwrap();
        properties.set("conn-capacity-profile", i32::from(code_point)).unwrap();
        assert_eq!(properties.connection.capacity_profile.dscp(), code_point, "{word}");
    }
    for (profile, number) in
        [(Profile::ReliableInorderStream, 1), (Profile::ReliableMessage, 2), (Profile::UnreliableDatagram, 3)]
    {
        assert_eq!(profile as u8, number);
    }
}

/// Case 7, RFC 9622 appendix B.2: reliability, preserveOrder, congestionControl, preserveMsgBoundaries.
#[test]
fn the_profiles_are_the_tables() {
    use Preference::{Avoid, Ignore, Prohibit, Require};
    let check = |properties: &TransportProperties, table: [Preference; 4], replayable: bool| {
        let columns = [
            SelectionProperty::Reliability,
            SelectionProperty::PreserveOrder,
            SelectionProperty::CongestionControl,
            SelectionProperty::PreserveMsgBoundaries,
        ];
        assert_eq!(columns.map(|property| properties.preference(property)), table);
        assert!(columns.iter().all(|property| properties.is_explicit(*property)));
        assert_eq!(properties.safely_replayable(), replayable);
        assert_eq!(properties.validate(), Ok(()));
        for other in SelectionProperty::ALL.iter().filter(|property| !columns.contains(property)) {
            assert!(!properties.is_explicit(*other));
        }
    };
    // B.2.1, and the seed's.
    check(&TransportProperties::reliable_inorder_stream_rfc9622(), [Require, Require, Require, Ignore], false);
    check(&TransportProperties::reliable_inorder_stream(), [Require, Require, Require, Prohibit], false);
    // B.2.2
    check(&TransportProperties::reliable_message_rfc9622(), [Require; 4], false);
    check(&TransportProperties::reliable_message(), [Require; 4], false);
    // B.2.3, and the seed's.
    check(&TransportProperties::unreliable_datagram_rfc9622(), [Avoid, Avoid, Ignore, Require], true);
    check(&TransportProperties::unreliable_datagram(), [Prohibit, Ignore, Ignore, Require], true);
    for profile in [Profile::ReliableInorderStream, Profile::ReliableMessage, Profile::UnreliableDatagram] {
        assert_ne!(
            TransportProperties::from_profile(profile),
            TransportProperties::from_profile_rfc9622(profile),
            "the defaults differ at least"
        );
    }
    assert_eq!(
        TransportProperties::from_profile(Profile::UnreliableDatagram),
        TransportProperties::unreliable_datagram()
    );
}

/// RFC 9622 B.1: an action for each level of preference.
#[test]
fn preferences_have_actions() {
    let property = SelectionProperty::ZeroRttMsg;
    let properties = TransportProperties::new();
    for (set, preference) in [
        (properties.clone().require(property), Preference::Require),
        (properties.clone().prefer(property), Preference::Prefer),
        (properties.clone().ignore(property), Preference::Ignore),
        (properties.clone().avoid(property), Preference::Avoid),
        (properties.clone().prohibit(property), Preference::Prohibit),
    ] {
        assert_eq!((set.preference(property), set.is_explicit(property)), (preference, true));
        assert_eq!(set, properties.clone().add(property, preference).unwrap());
        assert_eq!(set.default(property), properties);
    }
}

/// The words of the drafts about partial checksums ask the other way round.
#[test]
fn a_choice_of_coverage_is_no_wish_for_full_coverage() {
    let (full, choice) = (SelectionProperty::FullChecksumSend, SelectionProperty::PerMsgChecksumLenSend);
    for preference in [Preference::Require, Preference::Prefer] {
        let properties = TransportProperties::new().add(choice, preference).unwrap();
        assert_eq!((properties.preference(full), properties.is_explicit(full)), (Preference::Ignore, true));
        assert_eq!(properties.preference(SelectionProperty::FullChecksumRecv), Preference::Require);
        assert_eq!(properties.clone().default(choice), TransportProperties::new());
        assert_eq!(properties.prefer(full).preference(full), Preference::Prefer, "its own preference goes first");
    }
    let properties = TransportProperties::new().avoid(choice);
    assert_eq!((properties.preference(full), properties.is_explicit(full)), (Preference::Require, false));
}

/// RFC 9622 6.2.14: an enumeration, which the drafts had as a preference.
#[test]
fn multipath_takes_preferences_too() {
    for (value, multipath) in [
        (PropertyValue::from(Preference::Require), Multipath::Active),
        (Preference::Prefer.into(), Multipath::Active),
        (Preference::Ignore.into(), Multipath::Disabled),
        (Preference::Avoid.into(), Multipath::Disabled),
        ("prohibit".into(), Multipath::Disabled),
        ("passive".into(), Multipath::Passive),
    ] {
        let mut properties = TransportProperties::new();
        properties.set("multipath", value).unwrap();
        assert_eq!(properties.multipath(), Some(multipath));
        assert_eq!(properties.multipath_in(Role::Listen), multipath);
    }
}

/// Case 5, RFC 9622 4.1: a vendor's namespace starts with an underscore, and what is not known is an error.
#[test]
fn names_of_vendors_and_names_of_nobody() {
    let mut properties = TransportProperties::new();
    properties.set("_unix.path", "/run/service").unwrap();
    properties.set("_UNIX.path", "/run/other").unwrap();
    assert_eq!(properties.get("_unix.Path"), Ok("/run/other".into()));
    assert_eq!(properties.vendor("_unix.path"), Some(&"/run/other".into()));
    assert_eq!(properties.vendor("_unix.mode"), None);

    let error = properties.set("unix.path", "/run/service").unwrap_err();
    assert_eq!(error, PropertyError::Namespace { name: "unix.path".to_owned() });
    assert!(error.to_string().ends_with("as in `_unix.path`"), "{error}");
    let unknown = |name: &str| match name.parse::<Property>() {
        Err(PropertyError::Unknown { suggestion, .. }) => suggestion,
        other => panic!("{name}: {other:?}"),
    };
    assert_eq!(unknown("conn_priority"), Some("connPriority"));
    assert_eq!(unknown("preserveOrdr"), Some("preserveOrder"));
    assert_eq!(unknown("tcp.userTimeout"), Some("tcp.user-timeout"));
    assert_eq!(unknown("colour"), None);
    assert_eq!(unknown(""), None);
    assert_eq!(unknown(&"long".repeat(10_000)), None);
    assert_eq!(unknown("_"), None);
    assert_eq!(unknown("_vendor..name"), None);
    assert!(properties.set("_vendor..name", 1).is_err());
    let error = properties.set("keepalive-timeout", 3).unwrap_err();
    assert_eq!(error.to_string(), "no property `keepalive-timeout`, did you mean `keepAliveTimeout`?");
}

/// RFC 9622 8.1.11 and 9.3.3: what only the transport sets.
#[test]
fn read_only_properties_cannot_be_set() {
    for name in READ_ONLY {
        let property: Property = name.parse().unwrap();
        assert!(property.is_read_only());
        let mut properties = TransportProperties::new();
        assert_eq!(properties.set(name, 1), Err(PropertyError::ReadOnly { name: property.name() }), "{name}");
        assert_eq!(properties, TransportProperties::new());
        assert_eq!(properties.get(name).unwrap().to_string(), "Not applicable");
    }
    let settable = RFC9622.iter().map(|(name, ..)| *name).chain(SEED.iter().map(|(name, _)| *name));
    for name in settable {
        assert!(!name.parse::<Property>().unwrap().is_read_only(), "{name}");
    }
}

/// RFC 9622 7.4: the connections of a group share all connection properties but the priority.
#[test]
fn all_but_the_priority_are_entangled() {
    for (name, section, _) in RFC9622 {
        let entangled = section.starts_with("8.") && *name != "connPriority";
        assert_eq!(name.parse::<Property>().unwrap().is_entangled(), entangled, "{name}");
    }
    let mut one = ConnectionProperties::default().conn_priority(1);
    let other = ConnectionProperties::default().conn_priority(2).conn_timeout(Duration::from_secs(9));
    one.entangle(&other);
    assert_eq!((one.conn_priority, one.conn_timeout), (1, Some(Duration::from_secs(9))));
}

/// A value that a property does not take is told with what it takes, and changes nothing.
#[test]
fn a_wrong_value_changes_nothing() {
    for (name, value) in [
        ("reliability", "maybe"),
        ("reliability", "3"),
        ("preserveOrder", "temporary"),
        ("multipath", "both"),
        ("direction", "up"),
        ("advertisesAltaddr", "2"),
        ("interface", "eth0"),
        ("interface", "eth0=perhaps"),
        ("recvChecksumLen", "-2"),
        ("connPriority", "-1"),
        ("connPriority", "4294967296"),
        ("connTimeout", "0"),
        ("connTimeout", "-3"),
        ("connTimeout", "1e9"),
        ("connTimeout", "1.0000000001"),
        ("connTimeout", "99999999999999999999999"),
        ("connScheduler", "Weighted"),
        ("connCapacityProfile", "7"),
        ("maxSendRate", "0"),
        ("max-send-rate / max-recv-rate", "5"),
        ("groupConnLimit", "0"),
        ("tcp-uto", "tcp.user-timeout=maybe"),
        ("tcp-uto", "tcp.user-timeout=true, connTimeout=3"),
        ("tcp.userTimeoutValue", "true"),
        ("msgLifetime", "0"),
        ("final", "1"),
    ] {
        let mut properties = TransportProperties::new();
        let error = properties.set(name, value).unwrap_err();
        assert!(matches!(error, PropertyError::Value { .. }), "{name}={value}: {error:?}");
        assert!(error.to_string().starts_with(&format!("`{value}` is no value of `{name}`: expected ")), "{error}");
        assert_eq!(properties, TransportProperties::new(), "{name}={value}");
    }
}

/// The seed's dictionary changes what it names.
#[test]
fn the_user_timeout_is_a_dictionary() {
    let mut properties = TransportProperties::new();
    let uto = vec![("tcp.user-timeout-value".to_owned(), PropertyValue::from(150))];
    properties.set("tcp-uto", PropertyValue::Dictionary(uto)).unwrap();
    properties.set("tcp-uto", "tcp.user-timeout=true").unwrap();
    assert_eq!(properties.connection.user_timeout, UserTimeout::of(Duration::from_secs(150)));
    assert_eq!(properties.get("tcp.userTimeoutValue").unwrap().to_string(), "150");
    // RFC 9622 8.2.3: the peer cannot change a timeout that the application has set.
    assert!(properties.connection.user_timeout_changeable());
    properties.set("connTimeout", 30).unwrap();
    assert_eq!(properties.get("tcp.userTimeoutChangeable"), Ok(false.into()));
    assert_eq!(properties.connection.abort_after(), Some(Duration::from_secs(30)));
    properties.set("connTimeout", "Disabled").unwrap();
    assert_eq!(properties.get("tcp.userTimeoutChangeable"), Ok(true.into()));
    assert_eq!(properties.connection.abort_after(), Some(Duration::from_secs(150)));
}

/// The seed's pair of rates, its singular transmission, and the sets of interfaces and domains.
#[test]
fn values_of_more_than_one_part() {
    let mut properties = TransportProperties::new();
    properties.set("max-send-rate / max-recv-rate", (8_000_000, -1)).unwrap();
    assert_eq!(properties.connection.max_send_rate, Some(8_000_000));
    assert_eq!(properties.get("MAX-SEND-RATE / MAX-RECV-RATE").unwrap().to_string(), "8000000 / Unlimited");

    properties.set("singular-transmission", true).unwrap();
    assert!(properties.message.no_fragmentation() && properties.message.no_segmentation());
    properties.set("noFragmentation", false).unwrap();
    assert_eq!(properties.get("singular-transmission"), Ok(false.into()));

    properties.set("interface", "eth0=require, type:wifi=avoid").unwrap();
    let properties = properties.interface(InterfaceType::Cellular, Preference::Prohibit);
    let properties = properties.interface("eth0", Preference::Prefer).pvd("net.example", Preference::Prefer);
    assert_eq!(
        properties.interfaces(),
        [
            (InterfaceSelector::from("eth0"), Preference::Prefer),
            (InterfaceType::Wifi.into(), Preference::Avoid),
            (InterfaceType::Cellular.into(), Preference::Prohibit),
        ]
    );
    assert_eq!(
        properties.get("interface").unwrap().to_string(),
        "eth0=prefer, type:wifi=avoid, type:cellular=prohibit"
    );
    assert_eq!(properties.get("pvd").unwrap().to_string(), "net.example=prefer");
}

/// What each type shows as text, literally.
#[test]
fn typed_values_have_texts() {
    for (value, text) in [
        (PropertyValue::from(Duration::from_millis(1_250)), "1.25"),
        (Duration::from_nanos(1).into(), "0.000000001"),
        (Duration::from_secs(7).into(), "7"),
        (Preference::Ignore.into(), "ignore"),
        (CapacityProfile::LowLatencyInteractive.into(), "Low Latency/Interactive"),
        (Scheduler::FirstComeFirstServed.into(), "First-Come, First-Served"),
        (MultipathPolicy::Aggregate.into(), "Aggregate"),
        (Direction::UnidirectionalSend.into(), "Unidirectional send"),
        (ChecksumCoverage::Full.into(), "Full Coverage"),
        (ChecksumCoverage::Bytes(20).into(), "20"),
    ] {
        assert_eq!(value.to_string(), text);
    }
}

/// A value of one type is none of another.
#[test]
fn a_value_is_read_by_its_type() {
    let properties = TransportProperties::new().conn_timeout(Duration::from_secs(4));
    let get = |name| properties.get(name).unwrap();
    assert_eq!(get("reliability").as_preference(), Some(Preference::Require));
    assert_eq!(get("isolateSession").as_bool(), Some(false));
    assert_eq!(get("connPriority").as_integer(), Some(100));
    assert_eq!(get("connTimeout").as_duration(), Some(Duration::from_secs(4)));
    assert_eq!(get("connScheduler").as_str(), Some("Weighted Fair Queueing"));
    assert_eq!(get("keepAliveTimeout").as_duration(), None);
    assert_eq!((get("connTimeout").as_integer(), get("connPriority").as_str()), (None, None));
    assert_eq!((get("connPriority").as_bool(), get("isolateSession").as_preference()), (None, None));
}

/// Any value that a property can have.
fn any_value(property: Property) -> BoxedStrategy<PropertyValue> {
    use ConnectionProperty as C;
    let preference =
        prop::sample::select(vec!["require", "prefer", "ignore", "avoid", "prohibit"]).prop_map(PropertyValue::from);
    let seconds = (0..4_000_000_000u64, 1..1_000_000_000u32)
        .prop_map(|(seconds, nanos)| PropertyValue::from(Duration::new(seconds, nanos)));
    let number = (1..=i64::from(u32::MAX)).prop_map(PropertyValue::from);
    let flag = any::<bool>().prop_map(PropertyValue::from);
    let of = |words: &'static [&'static str]| prop::sample::select(words).prop_map(PropertyValue::from).boxed();
    match property {
        Property::Selection(_) => preference.boxed(),
        Property::Interface | Property::Pvd => {
            let names = prop::collection::vec(("[a-z]{1,8}|type:wifi", -2..=2i64), 0..4);
            let entry = |(name, level): (String, i64)| format!("{name}={level}");
            names.prop_map(move |names| names.into_iter().map(entry).collect::<Vec<_>>().join(",").into()).boxed()
        }
        Property::Multipath => of(&["Disabled", "Active", "Passive"]),
        Property::Direction => of(&["Bidirectional", "Unidirectional send", "Unidirectional receive"]),
        Property::Connection(C::ConnTimeout | C::KeepAliveTimeout | C::UserTimeoutValue)
        | Property::Message(MessageProperty::Lifetime) => seconds.boxed(),
        Property::Connection(C::ConnScheduler) => of(&["WFQ", "FCFS", "Round-Robin", "round robin per packet"]),
        Property::Connection(C::CapacityProfile) | Property::Message(MessageProperty::CapacityProfile) => {
            of(&["scavenger", "36", "CAPACITY_SEEKING", "Default"])
        }
        Property::Connection(C::MultipathPolicy) => of(&["handover", "interactive", "aggregate"]),
        Property::Connection(C::MaxRates) => (1..i64::MAX, 1..i64::MAX).prop_map(PropertyValue::from).boxed(),
        Property::Connection(C::UserTimeout) => {
            let parts = (1..100_000u32, any::<bool>(), any::<bool>());
            parts
                .prop_map(|(value, enabled, changeable)| {
                    let mut timeout = UserTimeout::of(Duration::from_secs(value.into()));
                    (timeout.enabled, timeout.changeable) = (enabled, changeable);
                    timeout.into()
                })
                .boxed()
        }
        Property::Connection(C::IsolateSession | C::UserTimeoutEnabled | C::UserTimeoutChangeable)
        | Property::AdvertisesAltaddr => flag.boxed(),
        Property::Message(MessageProperty::Priority | MessageProperty::ChecksumLen) | Property::Connection(_) => {
            number.boxed()
        }
        Property::Message(_) => flag.boxed(),
        _ => unreachable!("{property:?} is not in this test"),
    }
}

proptest! {
    /// Case 5: a value set as itself or as its text is the same, and is read back as what was set.
    #[test]
    fn every_value_goes_through_text_and_back(
        (property, value) in prop::sample::select(Property::all().filter(|it| !it.is_read_only()).collect::<Vec<_>>())
            .prop_flat_map(|property| any_value(property).prop_map(move |value| (property, value))),
    ) {
        let mut typed = TransportProperties::new();
        typed.set_property(property, value).unwrap();
        let read = typed.property(property);
        let mut from_text = TransportProperties::new();
        from_text.set(property.name(), read.to_string()).unwrap();
        prop_assert_eq!(&from_text, &typed);
        let mut from_value = TransportProperties::new();
        for name in property.names() {
            from_value.set(name, read.clone()).unwrap();
            prop_assert_eq!(from_value.get(name).unwrap(), read.clone());
        }
        prop_assert_eq!(from_value, typed);
    }

    /// No text makes it panic, and what it refuses changes nothing.
    #[test]
    fn any_name_and_any_text_is_taken_or_refused(
        name in prop_oneof![prop::sample::select(all_names().collect::<Vec<_>>()).prop_map(str::to_owned), ".{0,40}"],
        text in ".{0,40}",
    ) {
        let mut properties = TransportProperties::new();
        match properties.set(&name, text) {
            Ok(_) => prop_assert!(properties.get(&name).is_ok()),
            Err(_) => prop_assert_eq!(properties, TransportProperties::new()),
        }
    }
}

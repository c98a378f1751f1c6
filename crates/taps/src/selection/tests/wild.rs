//! What holds for any wishes whatever.

use proptest::prelude::*;

use super::*;
use crate::properties::{Multipath, Preference, SelectionProperty};
use crate::selection::capabilities::{may_duplicate, support};

fn preference() -> impl Strategy<Value = Option<Preference>> {
    use Preference::{Avoid, Ignore, Prefer, Prohibit, Require};
    prop_oneof![
        4 => Just(None),
        3 => Just(Some(Ignore)),
        1 => Just(Some(Prohibit)),
        1 => Just(Some(Avoid)),
        1 => Just(Some(Prefer)),
        1 => Just(Some(Require)),
    ]
}

prop_compose! {
    fn properties()(
        preferences in proptest::collection::vec(preference(), SelectionProperty::ALL.len()),
        wifi in preference(),
        multipath in prop_oneof![Just(None), Just(Some(Multipath::Active)), Just(Some(Multipath::Disabled))],
        replayable: bool,
    ) -> TransportProperties {
        let mut properties = TransportProperties::new().with_multipath(multipath).with_safely_replayable(replayable);
        for (property, preference) in SelectionProperty::ALL.into_iter().zip(preferences) {
            if let Some(preference) = preference {
                properties.set_preference(property, preference);
            }
        }
        match wifi {
            Some(preference) => properties.interface(InterfaceType::Wifi, preference),
            None => properties,
        }
    }
}

prop_compose! {
    fn scene()(
        properties in properties(),
        [secure, application_protocol, framed, listens, quic, unix] in any::<[bool; 6]>(),
        built in proptest::collection::vec(any::<bool>(), ProtocolStack::ALL.len()),
    ) -> Scene {
        let mut scene = Scene::tls(properties);
        (scene.secure, scene.application_protocol, scene.framed) = (secure, application_protocol, framed);
        scene.role = if listens { Role::Listen } else { Role::Initiate };
        scene.built = ProtocolStack::ALL.into_iter().zip(built).filter(|(_, built)| *built).map(|(stack, _)| stack).collect();
        scene.paths = vec![
            interface("eth0", 2, InterfaceType::Wired, &["192.0.2.7", "2001:db8::7", "~2001:db8::77"]),
            interface("wlan0", 3, InterfaceType::Wifi, &["192.0.2.1", "2001:db8::1"]),
        ];
        if quic {
            let endpoint = RemoteEndpoint::host("example.com").port(8443).protocol(crate::Protocol::Quic);
            scene.targets.push(target(&endpoint, &["192.0.2.1:8443"]));
        }
        if unix {
            let address = crate::UnixAddress::path("/run/a.sock").into();
            scene.targets.push(Target::remote(&RemoteEndpoint::path("/run/a.sock"), vec![address], true));
        }
        scene
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn no_candidate_violates_a_demand(scene in scene()) {
        // RFC 9622 6.2: "MUST ensure an outcome that is consistent with all application requirements".
        let Ok(tree) = scene.select() else { return Ok(()) };
        prop_assert!(tree.candidates().count() > 0);
        for candidate in tree.candidates() {
            let stack = candidate.stack();
            prop_assert!(scene.built.contains(stack));
            prop_assert!(!may_duplicate(stack) || scene.properties.safely_replayable());
            for property in SelectionProperty::ALL {
                let framed = property == SelectionProperty::PreserveMsgBoundaries && scene.framed;
                match (scene.properties.preference_in(property, scene.role), support(stack, property)) {
                    (Preference::Require, Support::Never) => prop_assert!(framed, "{candidate} {property:?}"),
                    (Preference::Prohibit, Support::Always) => prop_assert!(false, "{candidate} {property:?}"),
                    // What is read back is what was demanded.
                    (Preference::Require, _) => prop_assert!(candidate.provides(property), "{candidate} {property:?}"),
                    (Preference::Prohibit, _) => prop_assert!(!candidate.provides(property), "{candidate} {property:?}"),
                    _ => {}
                }
            }
            for (_, preference) in scene.properties.interfaces() {
                let wifi = candidate.interface() == Some("wlan0");
                prop_assert!(*preference != Preference::Require || wifi);
                prop_assert!(*preference != Preference::Prohibit || !wifi);
            }
        }
    }

    #[test]
    fn clear_text_and_encryption_are_never_raced(scene in scene()) {
        // RFC 9621 3.3.
        let Ok(tree) = scene.select() else { return Ok(()) };
        let secure: Vec<_> = tree.candidates().map(|candidate| candidate.stack().is_secure()).collect();
        prop_assert!(secure.windows(2).all(|pair| pair[0] == pair[1]));
        prop_assert!(!scene.secure || secure[0]);
    }

    #[test]
    fn the_outcome_depends_on_nothing_else(scene in scene()) {
        let text = |scene: &Scene| scene.select().map(|tree| tree.to_string());
        prop_assert_eq!(text(&scene), text(&scene));
    }

    #[test]
    fn every_stack_is_tried_or_told_about(scene in scene()) {
        let tree = scene.select();
        let (tried, rejected) = match &tree {
            Ok(tree) => (tree.candidates().map(Candidate::stack).collect::<Vec<_>>(), tree.rejected()),
            Err(rejected) => (Vec::new(), &rejected[..]),
        };
        prop_assert!(!tried.is_empty() || !rejected.is_empty());
        if rejected.iter().all(|rejected| rejected.stack.is_some()) {
            for stack in [ProtocolStack::Tcp, ProtocolStack::Tls, ProtocolStack::Udp, ProtocolStack::QuicStream] {
                let told = rejected.iter().any(|rejected| rejected.stack == Some(stack));
                prop_assert!(tried.contains(&stack) || told, "{}", stack);
            }
        }
    }
}

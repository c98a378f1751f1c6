//! Options against the schema; the error texts are those of the Python client's validator.

use std::time::Duration;

use postroad_address::{Address, Mode, NodeType, OptionProblem, Options, OptionsError, Policy, Reliability, Role};

use crate::{entry, map};

fn validate(options: &str, role: Role) -> Result<Options, OptionsError> {
    Address::parse(&format!("x; {options}")).unwrap().validate_for(role)
}

#[track_caller]
fn accepts(options: &str) -> Options {
    validate(options, Role::Receiver).unwrap()
}

#[track_caller]
fn refuses(options: &str, message: &str) {
    for role in [Role::Sender, Role::Receiver] {
        assert_eq!(validate(options, role).unwrap_err().to_string(), message, "{options}");
    }
}

#[test]
fn every_option_is_read() {
    let options = accepts(
        "{create: always, delete: sender, assert: receiver, mode: browse,
          node: {type: topic, durable: True, x-declare: {a: 1},
                 x-bindings: [{exchange: e, queue: q, key: 'k.#', arguments: {x-match: all}}, {}]},
          link: {name: n, durable: false, reliability: at-least-once, timeout: 1.5, selector: 'a = 1',
                 x-declare: {b: 2}, x-bindings: [{key: k}], x-subscribe: {c: 3}}}",
    );
    assert_eq!((options.create, options.delete, options.assert), (Policy::Always, Policy::Sender, Policy::Receiver));
    assert_eq!(options.mode, Some(Mode::Browse));
    let node = &options.node;
    assert_eq!((node.node_type, node.durable), (Some(NodeType::Topic), Some(true)));
    assert_eq!(node.x_declare, map([entry("a", 1)]));
    let [binding, empty] = node.x_bindings.as_slice() else { panic!("two bindings: {node:?}") };
    assert_eq!(binding.exchange.as_deref(), Some("e"));
    assert_eq!(binding.queue.as_deref(), Some("q"));
    assert_eq!(binding.key.as_deref(), Some("k.#"));
    assert_eq!(binding.arguments, map([entry("x-match", "all")]));
    assert_eq!((empty.exchange.as_ref(), empty.arguments.len()), (None, 0));
    let link = &options.link;
    assert_eq!((link.name.as_deref(), link.durable), (Some("n"), Some(false)));
    assert_eq!(link.reliability, Some(Reliability::AtLeastOnce));
    assert_eq!(link.timeout, Some(Duration::from_millis(1500)));
    assert_eq!(link.selector.as_deref(), Some("a = 1"));
    assert_eq!((link.x_declare.len(), link.x_bindings.len(), link.x_subscribe.len()), (1, 1, 1));

    let written = Address::new("x").with_options(&options);
    assert_eq!(written.validate_for(Role::Receiver), Ok(options));
}

#[test]
fn nothing_and_none_are_the_defaults() {
    assert_eq!(accepts("{}"), Options::default());
    assert_eq!(accepts("{create: None, mode: None, node: None, link: {name: None}}"), Options::default());
    assert_eq!(Address::new("x").validate_for(Role::Sender), Ok(Options::default()));
    assert_eq!(Options::default().create, Policy::Never);
    assert_eq!(Options::default().to_map().len(), 0);
}

#[test]
fn every_spelling_of_a_word() {
    for (word, policy) in [
        ("always", Policy::Always),
        ("sender", Policy::Sender),
        ("receiver", Policy::Receiver),
        ("never", Policy::Never),
    ] {
        assert_eq!(accepts(&format!("{{delete: {word}}}")).delete, policy);
    }
    for (word, reliability) in [
        ("unreliable", Reliability::Unreliable),
        ("at-most-once", Reliability::AtMostOnce),
        ("at-least-once", Reliability::AtLeastOnce),
        ("exactly-once", Reliability::ExactlyOnce),
    ] {
        assert_eq!(accepts(&format!("{{link: {{reliability: {word}}}}}")).link.reliability, Some(reliability));
    }
    assert_eq!(accepts("{mode: consume}").mode, Some(Mode::Consume));
    assert_eq!(accepts("{node: {type: queue}}").node.node_type, Some(NodeType::Queue));
}

#[test]
fn a_policy_names_its_ends() {
    let ends = |policy: Policy| (policy.applies_to(Role::Sender), policy.applies_to(Role::Receiver));
    assert_eq!(ends(Policy::Always), (true, true));
    assert_eq!(ends(Policy::Sender), (true, false));
    assert_eq!(ends(Policy::Receiver), (false, true));
    assert_eq!(ends(Policy::Never), (false, false));
}

#[test]
fn illegal_key() {
    refuses(
        "{create: always, node: {this-property-does-not-exist: 3}}",
        "node: this-property-does-not-exist: illegal key",
    );
    refuses("{1: 2, None: 3, 'a b': 4}", "1: illegal key, None: illegal key, a b: illegal key");
}

#[test]
fn wrong_value() {
    refuses("{create: asdf}", "create: asdf not in ('always', 'sender', 'receiver', 'never')");
    refuses("{node: {type: [1]}}", "node: type: [1] not in ('queue', 'topic')");
    refuses(
        "{link: {reliability: {'a': \"it's\"}}}",
        "link: reliability: {'a': \"it's\"} not in ('unreliable', 'at-most-once', 'at-least-once', 'exactly-once')",
    );
}

#[test]
fn wrong_type() {
    refuses("{node: asdf}", "node: asdf is not a map");
    refuses("{node: {durable: []}}", "node: durable: [] is not a bool");
    refuses("{node: {durable: 1}}", "node: durable: 1 is not a bool");
    refuses("{node: {durable: 'True'}}", "node: durable: True is not a bool");
    refuses("{link: {name: 3}}", "link: name: 3 is not a str");
    refuses("{link: {x-declare: []}}", "link: x-declare: [] is not a map");
    refuses("{link: {timeout: -1}}", "link: timeout: -1 is not a number of seconds");
    refuses("{link: {timeout: soon}}", "link: timeout: soon is not a number of seconds");
}

#[test]
fn the_first_bad_binding_ends_the_list() {
    refuses("{node: {x-bindings: {}}}", "node: x-bindings: {} is not a list");
    refuses(
        "{node: {x-bindings: [{}, {key: 1, foo: 2}, {key: 3}]}}",
        "node: x-bindings: key: 1 is not a str, foo: illegal key",
    );
    refuses("{link: {x-bindings: [None, 3]}}", "link: x-bindings: None is not a map");
}

#[test]
fn several_faults_come_in_the_order_of_the_schema() {
    refuses(
        "{color: red, link: {durable: 3, x: 1}, node: {type: tree, y: 2}, create: 1}",
        "create: 1 not in ('always', 'sender', 'receiver', 'never'), \
         node: type: tree not in ('queue', 'topic'), y: illegal key, \
         link: durable: 3 is not a bool, x: illegal key, color: illegal key",
    );
}

#[test]
fn mode_is_for_receivers() {
    let error = validate("{mode: browse}", Role::Sender).unwrap_err();
    assert_eq!(error.to_string(), "mode: illegal key");
    assert_eq!(error.hint().as_deref(), Some("mode is an option of receivers"));
    let error = validate("{mode: \"this-is-a-bad-receiver-mode\"}", Role::Receiver).unwrap_err();
    assert_eq!(error.to_string(), "mode: this-is-a-bad-receiver-mode not in ('browse', 'consume')");
}

#[test]
fn faults_have_paths_and_hints() {
    let options = "{Create: always, node: {durable: 'True', x_declare: {}}, link: {reliability: at_most_once}}";
    let error = validate(options, Role::Sender).unwrap_err();
    let faults: Vec<_> = error.faults().iter().map(|fault| (fault.path.join("."), fault.hint().unwrap())).collect();
    let faults: Vec<_> = faults.iter().map(|(path, hint)| (path.as_str(), hint.as_str())).collect();
    assert_eq!(
        faults,
        [
            ("node.durable", "write durable: True without quotes"),
            (
                "node.x_declare",
                "did you mean x-declare? known here: type, durable, x-declare, x-bindings, properties, capabilities"
            ),
            (
                "link.reliability",
                "did you mean at-most-once? write one of unreliable, at-most-once, at-least-once, exactly-once",
            ),
            ("Create", "did you mean create? known here: create, delete, assert, node, link"),
        ]
    );
    assert!(matches!(error.faults()[0].problem, OptionProblem::NotA { wanted: "bool", .. }));
}

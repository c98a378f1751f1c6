//! Every row of the schema with a key, a value and a type that do not fit, at both ends of a link.

use postroad_address::{Address, Dialect, FilterDescriptor, Options, OptionsError, Role};

use crate::{entry, list, map};

const BOTH: [Role; 2] = [Role::Sender, Role::Receiver];

fn validate(dialect: Dialect, options: &str, role: Role) -> Result<Options, OptionsError> {
    Address::parse(&format!("x; {options}")).unwrap().validate_with(dialect, role)
}

#[track_caller]
fn refuses(options: &str, message: &str) {
    for role in BOTH {
        for dialect in [Dialect::Python, Dialect::Cpp] {
            let error = validate(dialect, options, role).unwrap_err();
            assert_eq!(error.to_string(), message, "{options}");
            assert!(error.hint().is_some_and(|hint| !hint.is_empty()), "{options}");
        }
    }
}

/// The place of a value, and the text that precedes an error there.
fn at(path: &[&str], value: &str) -> (String, String) {
    let options = path.iter().rev().fold(value.to_owned(), |inner, key| {
        if *key == "[]" { format!("[{inner}]") } else { format!("{{{key}: {inner}}}") }
    });
    let place: String = path.iter().filter(|key| **key != "[]").map(|key| format!("{key}: ")).collect();
    (options, place)
}

const POLICIES: &str = "('always', 'sender', 'receiver', 'never')";
const RELIABILITIES: &str = "('unreliable', 'at-most-once', 'at-least-once', 'exactly-once')";

#[test]
fn words() {
    for (path, allowed) in [
        (&["create"][..], POLICIES),
        (&["delete"], POLICIES),
        (&["assert"], POLICIES),
        (&["node", "type"], "('queue', 'topic')"),
        (&["link", "reliability"], RELIABILITIES),
    ] {
        // A value that is no word of the list, one in another case, and values of other types.
        for value in ["asdf", "Always", "1", "True", "[]", "{}", "0.5", "''"] {
            let (options, place) = at(path, value);
            let shown = if value == "''" { "" } else { value };
            refuses(&options, &format!("{place}{shown} not in {allowed}"));
        }
    }
}

#[test]
fn booleans_and_texts() {
    for (path, wanted) in [
        (&["node", "durable"][..], "bool"),
        (&["link", "durable"], "bool"),
        (&["link", "name"], "str"),
        (&["link", "selector"], "str"),
        (&["link", "sender-source"], "str"),
        (&["link", "receiver-target"], "str"),
        (&["node", "x-bindings", "[]", "exchange"], "str"),
        (&["node", "x-bindings", "[]", "queue"], "str"),
        (&["node", "x-bindings", "[]", "key"], "str"),
        (&["link", "x-bindings", "[]", "exchange"], "str"),
        (&["link", "x-bindings", "[]", "queue"], "str"),
        (&["link", "x-bindings", "[]", "key"], "str"),
        (&["node", "capabilities", "[]"], "str"),
    ] {
        let wrong: &[&str] = if wanted == "bool" { &["[]", "{}", "yes", "1.5"] } else { &["[]", "{}", "True"] };
        for value in wrong {
            let (options, place) = at(path, value);
            refuses(&options, &format!("{place}{value} is not a {wanted}"));
        }
    }
}

#[test]
fn maps_and_lists() {
    for (path, wanted) in [
        (&["node"][..], "map"),
        (&["link"], "map"),
        (&["node", "x-declare"], "map"),
        (&["node", "properties"], "map"),
        (&["link", "x-declare"], "map"),
        (&["link", "x-subscribe"], "map"),
        (&["node", "x-bindings", "[]", "arguments"], "map"),
        (&["link", "x-bindings", "[]", "arguments"], "map"),
        (&["node", "x-bindings"], "list"),
        (&["link", "x-bindings"], "list"),
        (&["node", "capabilities"], "list"),
        (&["node", "x-bindings", "[]"], "map"),
        (&["link", "x-bindings", "[]"], "map"),
        (&["link", "filter", "[]"], "map"),
    ] {
        let wrong: &[&str] = if wanted == "map" { &["asdf", "1", "[]", "True"] } else { &["asdf", "1", "{}", "True"] };
        for value in wrong {
            let (options, place) = at(path, value);
            refuses(&options, &format!("{place}{value} is not a {wanted}"));
        }
    }
    refuses("{link: {filter: asdf}}", "link: filter: asdf is not a map or list of maps");
    for value in ["-1", "soon", "[]", "True"] {
        refuses(
            &format!("{{link: {{timeout: {value}}}}}"),
            &format!("link: timeout: {value} is not a number of seconds"),
        );
    }
}

#[test]
fn keys() {
    for path in [&[][..], &["node"], &["link"], &["node", "x-bindings", "[]"], &["link", "x-bindings", "[]"]] {
        for key in ["asdf", "x_declare", "1", "None", "True", "''", "'a b'"] {
            let (options, place) = at(path, &format!("{{{key}: 1}}"));
            refuses(&options, &format!("{place}{}: illegal key", key.trim_matches('\'')));
        }
    }
    // Keys of one map are none of another.
    for (path, keys) in [
        (&[][..], &["type", "durable", "name", "reliability", "x-declare", "x-bindings"][..]),
        (&["node"], &["name", "reliability", "x-subscribe", "selector", "timeout", "create", "mode", "link"]),
        (&["link"], &["type", "properties", "capabilities", "create", "mode", "node", "source", "target"]),
    ] {
        for key in keys {
            let (options, place) = at(path, &format!("{{{key}: 1}}"));
            refuses(&options, &format!("{place}{key}: illegal key"));
        }
    }
}

#[test]
fn what_is_not_restricted() {
    for path in [&["node", "x-declare"][..], &["link", "x-declare"], &["link", "x-subscribe"], &["node", "properties"]]
    {
        let (options, _) = at(path, "{asdf: 1, 2: [], None: {True: False}}");
        for role in BOTH {
            assert!(validate(Dialect::Python, &options, role).is_ok(), "{options}");
        }
    }
}

#[test]
fn a_sender_has_a_mode_only_in_the_cpp_dialect() {
    for mode in ["browse", "consume"] {
        let options = format!("{{mode: {mode}}}");
        let error = validate(Dialect::Python, &options, Role::Sender).unwrap_err();
        assert_eq!(error.to_string(), "mode: illegal key");
        for (dialect, role) in
            [(Dialect::Python, Role::Receiver), (Dialect::Cpp, Role::Sender), (Dialect::Cpp, Role::Receiver)]
        {
            let read = validate(dialect, &options, role).unwrap();
            assert_eq!(read.mode.map(|mode| mode.as_str()), Some(mode));
        }
    }
    for value in ["asdf", "1", "[]", "Browse"] {
        let options = format!("{{mode: {value}}}");
        let message = format!("mode: {value} not in ('browse', 'consume')");
        assert_eq!(validate(Dialect::Python, &options, Role::Receiver).unwrap_err().to_string(), message);
        assert_eq!(validate(Dialect::Cpp, &options, Role::Sender).unwrap_err().to_string(), message);
        assert_eq!(validate(Dialect::Python, &options, Role::Sender).unwrap_err().to_string(), "mode: illegal key");
    }
}

#[test]
fn values_that_the_cpp_client_converts() {
    for (value, durable) in [("1", true), ("0", false), ("'TRUE'", true), ("'false'", false)] {
        let options = format!("{{node: {{durable: {value}}}}}");
        assert_eq!(validate(Dialect::Cpp, &options, Role::Sender).unwrap().node.durable, Some(durable));
        assert!(validate(Dialect::Python, &options, Role::Sender).is_err());
    }
    let options = "{link: {name: 5}, node: {x-bindings: [{key: 1.5}]}}";
    let read = validate(Dialect::Cpp, options, Role::Receiver).unwrap();
    assert_eq!((read.link.name.as_deref(), read.node.x_bindings[0].key.as_deref()), (Some("5"), Some("1.5")));
    let error = validate(Dialect::Python, options, Role::Receiver).unwrap_err();
    assert_eq!(error.to_string(), "node: x-bindings: key: 1.5 is not a str, link: name: 5 is not a str");
}

#[test]
fn what_the_cpp_client_has_for_amqp_1_0() {
    let options = validate(
        Dialect::Python,
        "{node: {properties: {a: 1}, capabilities: [x, 'y z']}, link: {sender-source: s, receiver-target: t,
          filter: [{name: f, descriptor: 77567109365764, value: None}, {name: g, descriptor: 'a:b', value: {c: d}},
                   {name: h, descriptor: '18446744073709551615', value: 1}]}}",
        Role::Receiver,
    );
    let options = options.unwrap();
    assert_eq!(options.node.properties, map([entry("a", 1)]));
    assert_eq!(options.node.capabilities, ["x", "y z"]);
    assert_eq!((options.link.source.as_deref(), options.link.target.as_deref()), (Some("s"), Some("t")));
    let [f, g, h] = options.link.filters.as_slice() else { panic!("three filters: {options:?}") };
    assert_eq!(
        (f.name.as_str(), &f.descriptor, f.value.is_null()),
        ("f", &FilterDescriptor::Code(0x468C_0000_0004), true)
    );
    assert_eq!(
        (&g.descriptor, &g.value),
        (&FilterDescriptor::Symbol("a:b".to_owned()), &map([entry("c", "d")]).into())
    );
    assert_eq!(h.descriptor, FilterDescriptor::Code(u64::MAX));
    let written = Address::new("x").with_options(&options);
    assert_eq!(Address::parse(&written.to_string()).unwrap().validate_for(Role::Receiver), Ok(options), "{written}");

    refuses("{link: {filter: {}}}", "link: filter: Filter entry must specify name");
    refuses("{link: {filter: [{name: f, descriptor: 1}]}}", "link: filter: Filter entry must specify value");
    refuses(
        "{link: {filter: {name: f, descriptor: -1, value: 1}}}",
        "link: filter: descriptor: -1 is not a text in ASCII",
    );
    refuses("{link: {filter: {name: 'é', descriptor: 1, value: 1}}}", "link: filter: name: é is not a text in ASCII");
    refuses("{link: {filter: {name: f, descriptor: 1, value: 1, x: 1}}}", "link: filter: x: illegal key");
}

#[test]
fn a_declaration_in_types() {
    let read = |x_declare: &str| {
        let options = format!("{{node: {{x-declare: {x_declare}}}, link: {{x-declare: {x_declare}}}}}");
        validate(Dialect::Python, &options, Role::Receiver).unwrap()
    };
    let text = "{type: direct, alternate-exchange: 'amq.fanout', passive: False, durable: True, auto-delete: 'true',
                 exclusive: 1, arguments: {a-b_c: 1}, lifetime-policy: x, 3: 4}";
    for text in [text.to_owned(), text.replace("o-d", "o_d").replace("te-e", "te_e").replace("e-p", "e_p")] {
        let options = read(&text);
        let declaration = options.node.declaration().unwrap();
        assert_eq!(declaration.exchange_type.as_deref(), Some("direct"));
        assert_eq!(declaration.alternate_exchange.as_deref(), Some("amq.fanout"));
        assert_eq!((declaration.passive, declaration.durable), (Some(false), Some(true)));
        assert_eq!((declaration.auto_delete, declaration.exclusive), (Some(true), Some(true)));
        assert_eq!(declaration.arguments, map([entry("a-b_c", 1)]));
        assert_eq!(declaration.others, map([entry("lifetime-policy", "x"), entry(3, 4)]));
        assert_eq!(options.link.declaration(), Ok(declaration));
    }
    let options = read("{durable: soon, arguments: [], auto_delete: None}");
    let message = |link| format!("{link}: x-declare: durable: soon is not a bool, arguments: [] is not a map");
    assert_eq!(options.node.declaration().unwrap_err().to_string(), message("node"));
    assert_eq!(options.link.declaration().unwrap_err().to_string(), message("link"));
    assert_eq!(read("{}").node.declaration(), Ok(postroad_address::Declaration::default()));
}

#[test]
fn keys_with_dashes_or_underscores() {
    let map = map([entry("auto_delete", true), entry("x-y", list([]))]);
    assert_eq!(map.get_dashed("auto-delete"), Some(&true.into()));
    assert_eq!(map.get_dashed("x_y"), Some(&list([])));
    assert_eq!((map.get_dashed("xy"), map.get("auto-delete")), (None, None));
}

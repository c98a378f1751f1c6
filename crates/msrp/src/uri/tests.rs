use std::collections::HashSet;

use proptest::prelude::*;

use super::*;

fn uri(text: &str) -> Uri {
    text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
}

#[track_caller]
fn refused(text: &str, kind: UriErrorKind, offset: usize) {
    let error = text.parse::<Uri>().expect_err(text);
    assert_eq!((error.kind(), error.offset()), (kind, offset), "{text}");
}

#[test]
fn r17_what_a_uri_is_made_of() {
    let all = uri("MSRPS://bob%40home@[2001:DB8::1]:9/Ab/c+d=;tCp;x;y=Z");
    assert!(all.is_secure());
    assert_eq!((all.user(), all.port(), all.session_id()), (Some("bob%40home"), Some(9), Some("Ab/c+d=")));
    assert_eq!(all.host().ip(), Some("2001:db8::1".parse().unwrap()));
    assert_eq!(all.transport(), &Transport::Tcp);
    assert_eq!(all.parameters().collect::<Vec<_>>(), [("x", None), ("y", Some("Z"))]);
    assert_eq!(all.to_string(), "msrps://bob%40home@[2001:db8::1]:9/Ab/c+d=;tcp;x;y=Z");
    let least = uri("msrp://a;tcp");
    assert_eq!((least.user(), least.port(), least.session_id(), least.is_secure()), (None, None, None, false));
}

#[test]
fn r17_what_is_no_uri() {
    use UriErrorKind::*;
    refused("", Scheme, 0);
    refused("sip:alice@example.com", Scheme, 0);
    refused("http://a:1/s;tcp", Scheme, 0);
    refused("msrp://a:1/s", Transport, 12);
    refused("msrp://a:1/s;", Transport, 13);
    refused("msrp://a:1/s;t-p", Transport, 14);
    refused("msrp://a:1/;tcp", SessionId, 11);
    refused("msrp://a:1/s%20;tcp", SessionId, 12);
    refused("msrp://:1/s;tcp", Host, 7);
    refused("msrp://a%4:1/s;tcp", Host, 8);
    refused("msrp://[::1:1/s;tcp", Host, 7);
    refused("msrp://[1.2.3.4]:1/s;tcp", Host, 8);
    refused("msrp://[::1]x:1/s;tcp", Port, 12);
    refused("msrp://a:1/s;tcp;", Parameter, 17);
    refused("msrp://a:1/s;tcp;x=", Parameter, 19);
    refused("msrp://a:1/s;tcp;x=\"y\"", Parameter, 19);
    refused("msrp://@a:1/s;tcp", User, 7);
    refused("msrp://b c@a:1/s;tcp", Character, 8);
    refused("msrp://h\u{f6}st:1/s;tcp", Character, 8);
    refused("msrp://a:1/s;tcp\r\nX: y", Character, 16);
}

#[test]
fn r18_ports_and_passwords() {
    use UriErrorKind::*;
    for port in ["0", "65536", "99999", "+1", "", "1x"] {
        refused(&format!("msrp://a:{port}/s;tcp"), Port, 9);
    }
    assert_eq!(uri("msrp://a:65535/s;tcp").port(), Some(65_535));
    refused("msrp://1.2.3.4/s;tcp", PortMissing, 14);
    refused("msrp://[::1]/s;tcp", PortMissing, 12);
    refused("msrp://bob:secret@a:1/s;tcp", Password, 10);
}

#[test]
fn r19_equality() {
    let same = [
        ("msrp://a:1/s;tcp", "MSRP://A:1/s;TCP"),
        ("msrp://a:1/s;tcp", "msrp://bob@a:1/s;tcp;x=y"),
        ("msrp://%61%2db:1/s;tcp", "msrp://A-B:1/s;tcp"),
        ("msrp://a%3a:1/s;tcp", "msrp://a%3A:1/s;tcp"),
        ("msrp://[::1]:1/s;tcp", "msrp://[0:0:0:0:0:0:0:1]:1/s;tcp"),
    ];
    for (one, other) in same {
        assert_eq!(uri(one), uri(other));
        assert_eq!(HashSet::from([uri(one), uri(other)]).len(), 1, "{one} {other}");
    }
    let base = uri("msrp://a:1/s;tcp");
    for other in [
        "msrps://a:1/s;tcp",
        "msrp://b:1/s;tcp",
        "msrp://a:2/s;tcp",
        "msrp://a/s;tcp",
        "msrp://a:1/S;tcp",
        "msrp://a:1;tcp",
        "msrp://a:1/s;ws",
        "msrp://a%2f:1/s;tcp",
    ] {
        assert_ne!(base, uri(other));
    }
}

#[test]
fn r20_hosts_and_transports_that_one_does_not_connect_to() {
    let far = uri("msrps://kjh29x97.invalid:2855/s;ws");
    assert_eq!(far.transport(), &Transport::Ws);
    assert!(far.host().is_invalid() && uri("msrp://x.INVALID.:1;tcp").host().is_invalid());
    assert!(!uri("msrp://invalid.example:1;tcp").host().is_invalid());
    assert_eq!(uri("msrp://a:1/s;SCTP").transport(), &Transport::Other("sctp".into()));
}

#[test]
fn r29_sessmatch_looks_at_the_session_alone() {
    let one = uri("msrp://a:1/s;tcp");
    assert!(one.is_session_of(&uri("msrp://b:2/s;tcp")));
    assert!(!one.is_session_of(&uri("msrp://a:1/S;tcp")));
    assert!(!uri("msrp://a:1;tcp").is_session_of(&uri("msrp://a:1;tcp")));
}

#[test]
fn r57_paths_end() {
    let long = vec![uri("msrp://a:1/s;tcp"); Path::MAX];
    let path = Path::new(long.clone()).unwrap();
    assert_eq!(path.to_string().parse::<Path>().unwrap(), path);
    assert_eq!(format!("{path} msrp://a:1/s;tcp").parse::<Path>(), Err(PathError::Long));
    assert_eq!(Path::new([long.as_slice(), &long].concat()), Err(PathError::Long));
    assert_eq!(" ".parse::<Path>(), Err(PathError::Empty));
    let error = "msrp://a:1/s;tcp nonsense".parse::<Path>().unwrap_err();
    assert!(matches!(error, PathError::Uri { place: 1, .. }), "{error}");
}

#[test]
fn r62_nothing_is_built_that_ends_a_line() {
    let uri = || Uri::new(Host::name("a").unwrap());
    for text in ["", "a\r\nX", "a b", "\0", "a;b", "\u{e9}"] {
        assert!(uri().with_session_id(text).is_err(), "{text:?}");
        assert!(uri().with_user(text).is_err(), "{text:?}");
        assert!(uri().with_parameter(text, None).is_err(), "{text:?}");
        assert!(uri().with_parameter("x", Some(text.to_owned())).is_err(), "{text:?}");
        assert!(Host::name(text).is_err(), "{text:?}");
    }
}

proptest! {
    #[test]
    fn what_is_written_reads_as_the_same(
        host in "[a-zA-Z0-9.~-]{1,20}|\\[::[0-9a-f]{1,4}\\]",
        session in proptest::option::of("[a-zA-Z0-9._~+=/-]{1,30}"),
        user in proptest::option::of("[a-z]{1,5}(%[0-9a-fA-F]{2})?"),
        port in 1_u16..,
        parameter in proptest::option::of("[a-z!*+]{1,5}"),
    ) {
        let user = user.map_or_else(String::new, |user| format!("{user}@"));
        let session = session.map_or_else(String::new, |session| format!("/{session}"));
        let parameter = parameter.map_or_else(String::new, |parameter| format!(";{parameter}"));
        let text = format!("msrp://{user}{host}:{port}{session};tcp{parameter}");
        let parsed = uri(&text);
        prop_assert_eq!(&parsed, &uri(&parsed.to_string()));
        prop_assert_eq!(parsed.to_string(), uri(&parsed.to_string()).to_string());
    }

    #[test]
    fn anything_is_a_uri_or_an_error(text in "(msrps?://)?[ -~]{0,40}(;tcp)?") {
        if let Ok(uri) = text.parse::<Uri>() {
            prop_assert_eq!(&uri.to_string().parse::<Uri>().unwrap(), &uri);
        }
    }
}

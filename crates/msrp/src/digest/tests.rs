//! The header values as texts.

use proptest::prelude::*;

use super::*;
use DigestErrorKind::{Control, Count, Duplicate, Invalid, Length, Missing, Name, Qop, Scheme, Unclosed, Value};

#[track_caller]
fn challenge(text: &str) -> Challenge {
    text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
}

#[track_caller]
fn refused<T: std::str::FromStr<Err = DigestError> + std::fmt::Debug>(
    text: &str,
    kind: DigestErrorKind,
    offset: usize,
) {
    let error = text.parse::<T>().expect_err(text);
    assert_eq!((error.kind(), error.offset()), (kind, offset), "{text}");
}

const RESPONSE: &str = "6629fae49393a05397450978507c4ef1";

/// That an `Authorization` with one parameter replaced is refused because of a parameter.
#[track_caller]
fn refused_at(name: &str, replacement: &str, kind: DigestErrorKind, place: &str) {
    let text = authorization(name, Some(replacement));
    refused::<Authorization>(&text, kind, text.find(place).expect(place));
}

/// An `Authorization` with one parameter replaced, or without it.
fn authorization(name: &str, replacement: Option<&str>) -> String {
    let mut list = [
        ("username", "username=\"Alice\""),
        ("realm", "realm=\"intra.example.com\""),
        ("nonce", "nonce=\"dcd98b\""),
        ("qop", "qop=auth"),
        ("nc", "nc=00000001"),
        ("cnonce", "cnonce=\"0a4f113b\""),
        ("response", "response=\"6629fae49393a05397450978507c4ef1\""),
    ]
    .to_vec();
    match (list.iter_mut().find(|(other, _)| *other == name), replacement) {
        (Some(found), Some(text)) => found.1 = text,
        (Some(_), None) => list.retain(|(other, _)| *other != name),
        (None, Some(text)) => list.push((name, text)),
        (None, None) => {}
    }
    format!("Digest {}", list.iter().map(|(_, text)| *text).collect::<Vec<_>>().join(", "))
}

/// The texts of RFC 4976 5.1 and of RFC 7977 8.1.
#[test]
fn r52_the_examples_of_the_standards() {
    let first =
        challenge("Digest realm=\"intra.example.com\", qop=\"auth\", nonce=\"dcd98b7102dd2f0e8b11d0f600bfb0c093\"");
    assert_eq!((first.realm(), first.nonce()), ("intra.example.com", "dcd98b7102dd2f0e8b11d0f600bfb0c093"));
    assert_eq!((first.opaque(), first.stale(), first.algorithm()), (None, false, Algorithm::Md5));
    assert_eq!(first.qop().collect::<Vec<_>>(), ["auth"]);

    let text = "Digest username=\"Alice\", realm=\"intra.example.com\", nonce=\"dcd98b7102dd2f0e8b11d0f600bfb0c093\", \
                qop=auth, nc=00000001, cnonce=\"0a4f113b\", response=\"6629fae49393a05397450978507c4ef1\"";
    let answer: Authorization = text.parse().unwrap();
    assert_eq!((answer.username(), answer.uri(), answer.opaque()), ("Alice", None, None));
    assert_eq!((answer.nonce_count(), answer.cnonce()), (1, "0a4f113b"));
    assert_eq!(answer.response().to_string(), RESPONSE);

    let text = "nextnonce=\"40f2e879449675f288476d772627370a\",rspauth=\"7327570c586207eca2afae94fc20903d\", \
                cnonce=\"0a4f113b\", nc=00000001, qop=auth";
    let info: AuthenticationInfo = text.parse().unwrap();
    assert_eq!(info.next_nonce(), Some("40f2e879449675f288476d772627370a"));
    assert_eq!(info.response_auth().unwrap().to_string(), "7327570c586207eca2afae94fc20903d");
    assert_eq!((info.cnonce(), info.nonce_count(), info.has_qop()), (Some("0a4f113b"), Some(1), true));

    let text = "Digest username=\"alice\", realm=\"example.com\", nonce=\"UvtfpVL7XnnJ63EE244fXDthfLihlMHOY4+dd4A=\", \
                uri=\"msrps://alice@a.example.com:443;ws\", response=\"5011d0d58fe975e0d0cdc007ae26f4b7\", \
                qop=auth, cnonce=\"zic5ml401prb\", nc=00000001";
    let answer: Authorization = text.parse().unwrap();
    assert_eq!(answer.uri(), Some("msrps://alice@a.example.com:443;ws"));
    assert_eq!(answer.to_string().parse(), Ok(answer));
}

/// RFC 7616 3.9.1, two lines: the first that is understood is taken.
#[test]
fn r52_a_client_takes_the_first_challenge_that_it_understands() {
    let line = |algorithm: &str| {
        format!(
            "Digest realm=\"http-auth@example.org\", qop=\"auth, auth-int\", algorithm={algorithm}, nonce=\"7ypf/xl\""
        )
    };
    let [sha, md5, sess] = ["SHA-256", "MD5", "MD5-sess"].map(line);
    assert_eq!(Challenge::choose([&*sha, &*md5]).unwrap().algorithm(), Algorithm::Sha256);
    assert_eq!(Challenge::choose(["Basic realm=\"x\"", &*sess, &*md5]).unwrap().algorithm(), Algorithm::Md5);
    let error = Challenge::choose([&*sess, "Basic realm=\"x\""]).unwrap_err();
    assert_eq!(
        (error.kind(), error.hint()),
        (DigestErrorKind::Algorithm, Some("let the relay ask for MD5 or SHA-256"))
    );
    assert_eq!(Challenge::choose([]).unwrap_err().kind(), Scheme);
    let many = std::iter::repeat_n("Basic realm=\"x\"", MAX_CHALLENGES).chain([&*md5]);
    assert_eq!(Challenge::choose(many).unwrap_err().kind(), Scheme);
    // What is offered besides `auth` is only shown.
    assert_eq!(challenge(&md5).qop().collect::<Vec<_>>(), ["auth", "auth-int"]);
}

#[test]
fn r52_other_schemes_algorithms_and_qualities_are_refused() {
    refused::<Challenge>("Basic realm=\"x\"", Scheme, 0);
    refused::<Challenge>("Digestrealm=\"x\"", Scheme, 0);
    refused::<Challenge>("Digest", Scheme, 0);
    refused::<Challenge>("", Scheme, 0);
    refused::<Challenge>("Diges\u{1f600}t x=y", Scheme, 0);
    refused::<Authorization>("Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==", Scheme, 0);
    refused::<Challenge>(
        "Digest realm=\"x\", nonce=\"y\", qop=\"auth\", algorithm=MD5-sess",
        DigestErrorKind::Algorithm,
        41,
    );
    refused::<Challenge>(
        "Digest realm=\"x\", nonce=\"y\", qop=\"auth\", algorithm=SHA-512-256",
        DigestErrorKind::Algorithm,
        41,
    );
    refused::<Challenge>("Digest realm=\"x\", nonce=\"y\", qop=\"auth-int\"", Qop, 29);
    refused::<Challenge>("Digest realm=\"x\", nonce=\"y\", qop=\"auth,\"", Invalid("qop"), 29);
    refused::<Challenge>("Digest realm=\"x\", nonce=\"y\"", Missing("qop"), 27);
    refused::<Challenge>("Digest realm=\"x\", qop=\"auth\"", Missing("nonce"), 28);
    refused::<Challenge>("Digest realm=\"x\", nonce=\"\", qop=\"auth\"", Invalid("nonce"), 18);
    refused::<Challenge>("Digest nonce=\"x\", qop=\"auth\"", Missing("realm"), 28);
    refused_at("qop", "qop=auth-int", Qop, "qop=");
    refused_at("algorithm", "algorithm=\"MD5-sess\"", DigestErrorKind::Algorithm, "algorithm=");
    // A hash of the other algorithm's length.
    refused_at("algorithm", "algorithm=SHA-256", Invalid("response"), "response=");
    refused::<AuthenticationInfo>("qop=auth-int", Qop, 0);
}

#[test]
fn r52_what_an_answer_has_to_have() {
    for name in ["username", "realm", "nonce", "qop", "nc", "cnonce", "response"] {
        let text = authorization(name, None);
        refused::<Authorization>(&text, Missing(name), text.len());
    }
    for count in ["00000000", "1", "000000001", "0000000A", "+0000001", "", "0000000g"] {
        refused_at("nc", &format!("nc=\"{count}\""), Invalid("nc"), "nc=\"");
        refused::<AuthenticationInfo>(&format!("nc=\"{count}\""), Invalid("nc"), 0);
    }
    let count = |text| authorization("nc", Some(text)).parse::<Authorization>().unwrap().nonce_count();
    assert_eq!((count("nc=ffffffff"), count("nc=0000000a")), (u32::MAX, 10));
    refused_at("cnonce", "cnonce=\"\"", Invalid("cnonce"), "cnonce=");
    refused_at("response", "response=\"6629\"", Invalid("response"), "response=");
    refused::<AuthenticationInfo>("rspauth=\"\"", Invalid("rspauth"), 0);
    refused::<AuthenticationInfo>("nextnonce=\"\"", Invalid("nextnonce"), 0);
}

/// Some clients quote `qop` and `nc`, which RFC 4976 9.1 has without quotes.
#[test]
fn r52_quotes_are_taken_and_not_written() {
    let plain = authorization("", None);
    let quoted = plain.replace("qop=auth", "qop=\"auth\"").replace("nc=00000001", "nc=\"00000001\"");
    let unquoted = plain.replace("\"dcd98b\"", "dcd98b").replace("\"Alice\"", "Alice");
    let spaced = plain.replace("Digest ", " dIgEsT \t").replace(", ", " ,\t").replace('=', " = ") + " ";
    let named = plain.replace("username", "USERNAME").replace("nc=", "Nc=");
    let expected: Authorization = plain.parse().unwrap();
    for text in [quoted, unquoted, spaced, named] {
        assert_eq!(text.parse(), Ok(expected.clone()), "{text}");
    }
    let written = expected.to_string();
    assert!(written.contains(", qop=auth, nc=00000001"), "{written}");
    let first = challenge("Digest realm=x, nonce=YQ==, qop=auth, stale=TRUE, algorithm=\"md5\"");
    assert_eq!(first.to_string(), "Digest realm=\"x\", nonce=\"YQ==\", qop=\"auth\", stale=true, algorithm=MD5");
    for stale in ["stale=false", "stale=\"yes\"", "stale=1"] {
        assert!(!challenge(&format!("Digest realm=x, nonce=y, qop=auth, {stale}")).stale());
    }
}

#[test]
fn r52_quoted_strings() {
    let text = r#"Digest realm="a \"b\" \\ \c, d=e", nonce="ü", qop="auth""#;
    let first = challenge(text);
    assert_eq!((first.realm(), first.nonce()), (r#"a "b" \ c, d=e"#, "ü"));
    assert_eq!(first.to_string(), r#"Digest realm="a \"b\" \\ c, d=e", nonce="ü", qop="auth""#);
    refused::<Challenge>("Digest realm=\"x", Unclosed, 13);
    refused::<Challenge>("Digest realm=\"x\\\"", Unclosed, 13);
    refused::<Challenge>("Digest realm=\"x\\", Unclosed, 13);
    refused::<Challenge>("Digest realm=\"x\" y=z", Value, 17);
    refused::<Challenge>("Digest realm=x\"y\"", Value, 14);
    refused::<Challenge>("Digest realm=", Value, 13);
    refused::<Challenge>("Digest realm=, nonce=x", Value, 13);
    refused::<Challenge>("Digest realm", Name, 12);
    refused::<Challenge>("Digest =x", Name, 7);
    refused::<Challenge>("Digest realm=x,", Name, 15);
    refused::<Challenge>("Digest realm=x,, nonce=y", Name, 15);
    refused::<Challenge>("Digest ", Name, 7);
    refused::<AuthenticationInfo>("", Name, 0);
}

#[test]
fn r62_control_characters_are_refused_wherever_they_stand() {
    for control in ["\r\n", "\n", "\0", "\x1b", "\x7f"] {
        refused::<Challenge>(&format!("Digest realm=\"a{control}\""), Control, 15);
        refused::<Challenge>(&format!("Digest realm=\"\\{control}\""), Control, 15);
        refused::<Challenge>(&format!("Digest realm=a{control}b"), Control, 14);
        refused::<Challenge>(&format!("Digest realm=a,{control}b"), Control, 15);
        refused::<Challenge>(&format!("Digest realm={control}"), Control, 13);
        let kind = |result: Result<Challenge, DigestError>| result.map_err(|error| (error.kind(), error.offset()));
        assert_eq!(kind(Challenge::new(format!("ab{control}"), "n")), Err((Control, 2)));
        assert_eq!(kind(Challenge::new("r", format!("ab{control}"))), Err((Control, 2)));
        let first = challenge("Digest realm=x, nonce=y, qop=auth");
        assert_eq!(kind(first.clone().with_opaque(control)), Err((Control, 0)));
        let credentials = Credentials::new("alice", "x").unwrap();
        let answer = |uri: &str, cnonce: &str| {
            Authorization::answer(&first, &credentials, uri, true, cnonce, 1)
                .map_err(|error| (error.kind(), error.offset()))
        };
        assert_eq!(answer(&format!("msrp://a;tcp{control}"), "c"), Err((Control, 12)));
        assert_eq!(answer("msrp://a;tcp", &format!("c{control}")), Err((Control, 1)));
        assert_eq!(answer("msrp://a;tcp", ""), Err((Invalid("cnonce"), 0)));
        let proof: DigestValue = RESPONSE.parse().unwrap();
        let info = AuthenticationInfo::new(proof.clone(), control, 1).unwrap_err();
        assert_eq!((info.kind(), info.offset()), (Control, 0));
        let info = AuthenticationInfo::new(proof, "c", 1).unwrap().with_next_nonce(control).unwrap_err();
        assert_eq!((info.kind(), info.offset()), (Control, 0));
    }
}

#[test]
fn r57_numbers_and_lengths_are_bounded() {
    let many = |count| (0..count).map(|index| format!("x{index}=y")).collect::<Vec<_>>().join(",");
    assert_eq!(many(MAX_PARAMETERS).parse::<AuthenticationInfo>().unwrap().others().len(), MAX_PARAMETERS);
    let text = many(MAX_PARAMETERS + 1);
    refused::<AuthenticationInfo>(&text, Count, text.rfind('x').unwrap());

    let long = |length| format!("{}=y", "x".repeat(length));
    assert!(long(MAX_NAME).parse::<AuthenticationInfo>().is_ok());
    refused::<AuthenticationInfo>(&long(MAX_NAME + 1), Name, MAX_NAME);

    for (before, after) in [("", ""), ("\"", "\""), ("\"\\", "\"")] {
        let long = |length| format!("x={before}{}{after}", "y".repeat(length));
        let text = long(MAX_VALUE);
        assert_eq!(text.parse::<AuthenticationInfo>().unwrap().others().next().unwrap().1.len(), MAX_VALUE);
        refused::<AuthenticationInfo>(&long(MAX_VALUE + 1), Length, 2);
    }
    // What is too long is not looked for the end of.
    refused::<AuthenticationInfo>(&format!("x=\"{}", "y".repeat(1 << 20)), Length, 2);
    assert_eq!(Challenge::new("r", "n".repeat(MAX_VALUE + 1)).unwrap_err().kind(), Length);

    refused::<Challenge>("Digest realm=x, nonce=y, qop=auth, REALM=z", Duplicate, 35);
    refused::<Challenge>("Digest x=y, x=y", Duplicate, 12);
}

#[test]
fn r52_what_nobody_knows_is_kept() {
    let text = "Digest realm=\"x\", nonce=\"y\", qop=\"auth\", domain=\"msrp://a\", Charset=UTF-8, z=\"\\\"\"";
    let first = challenge(text);
    assert_eq!(first.others().collect::<Vec<_>>(), [("domain", "msrp://a"), ("Charset", "UTF-8"), ("z", "\"")]);
    assert_eq!(first.to_string(), text);
    // A value that is no word gets quotes, and means the same.
    let info: AuthenticationInfo = "x=a/b=".parse().unwrap();
    assert_eq!(info.to_string(), "x=\"a/b=\"");
    assert_eq!(info.to_string().parse(), Ok(info));
}

/// Computed elsewhere: names, realms and nonces go into the hashes as they are without quotes and backslashes.
#[test]
fn r52_proofs_with_every_kind_of_character() {
    let text = r#"Digest realm="r\"ealm\\", nonce="n\"\\", qop="auth", algorithm=ALGORITHM"#;
    for (algorithm, response) in [
        ("MD5", "e90c1c3fa9899649140bb7305b648256"),
        ("SHA-256", "b3eb28337f6f1c2d6901e278026190b0aa964c9eaafaa17092ad19746a7b3a58"),
    ] {
        let first = challenge(&text.replace("ALGORITHM", algorithm));
        let credentials = Credentials::new(r#"Ä "x" \ y"#, "p:ä\r\n\0").unwrap();
        let answer =
            Authorization::answer(&first, &credentials, "msrp://127.0.0.1:22855;tcp", false, r#"c"\"#, 10).unwrap();
        assert_eq!(answer.response().to_string(), response);
        let written = answer.to_string();
        assert!(written.contains(&format!("algorithm={algorithm}")) && !written.contains("uri="), "{written}");
        assert_eq!(written.parse(), Ok(answer));
    }
}

/// The exchange of RFC 4976 5.1 with a password, computed elsewhere: what is printed there is of RFC 2617.
#[test]
fn r52_the_exchange_of_rfc_4976() {
    let first =
        challenge("Digest realm=\"intra.example.com\", qop=\"auth\", nonce=\"dcd98b7102dd2f0e8b11d0f600bfb0c093\"");
    let alice = Credentials::new("Alice", "Circle Of Life").unwrap();
    let uri = "msrps://alice@intra.example.com;tcp";
    let answer = |with_uri| Authorization::answer(&first, &alice, uri, with_uri, "0a4f113b", 1).unwrap();
    for with_uri in [true, false] {
        assert_eq!(answer(with_uri).response().to_string(), "d3a7750367cea6bf77776511ea24c407");
    }
    assert_eq!((answer(true).uri(), answer(false).uri()), (Some(uri), None));
    // An algorithm that was not named is not named either.
    assert!(!answer(true).to_string().contains("algorithm"));
}

#[test]
fn r64_proofs_are_not_shown() {
    let answer: Authorization = authorization("", None).parse().unwrap();
    let info: AuthenticationInfo = format!("rspauth=\"{RESPONSE}\"").parse().unwrap();
    assert!(!format!("{answer:?}{info:?}").contains("6629"));
}

fn texts() -> impl Strategy<Value = String> {
    let characters = prop_oneof![any::<char>(), Just('"'), Just('\\'), Just(','), Just('='), Just('\t'), Just(' ')];
    prop::collection::vec(characters.prop_filter("written", |c| *c == '\t' || !c.is_ascii_control()), 0..20)
        .prop_map(|characters| characters.into_iter().collect())
}

proptest! {
    #[test]
    fn r52_what_is_written_is_read(realm in texts(), nonce in texts(), opaque in texts(), user in texts(), stale: bool, sha: bool) {
        let nonce = format!("{nonce}n");
        let algorithm = if sha { Algorithm::Sha256 } else { Algorithm::Md5 };
        let first = Challenge::new(realm, &*nonce)?.with_opaque(opaque)?.with_stale(stale).with_algorithm(algorithm);
        prop_assert_eq!(first.to_string().parse(), Ok(first.clone()));
        let credentials = Credentials::new(format!("u{user}"), "x")?;
        let answer = Authorization::answer(&first, &credentials, "msrp://a;tcp", stale, &nonce, 1)?;
        prop_assert_eq!(answer.to_string().parse(), Ok(answer.clone()));
        let info = AuthenticationInfo::new(answer.response().clone(), &*nonce, u32::MAX)?.with_next_nonce(nonce)?;
        prop_assert_eq!(info.to_string().parse(), Ok(info));
    }
}

use proptest::prelude::*;

use super::*;
use crate::content::{MAX_HEAD, MAX_HEADERS, MAX_LINE};

const VITAL: (&str, &str) = ("mid:MessageFeatures@id.foo.com", "VitalMessageOption");

/// A message as it is printed, with the ends of lines that it has on the wire.
fn wire(text: &str) -> Bytes {
    text.replace('\n', "\r\n").into()
}

fn cpim(text: &str) -> Cpim {
    Cpim::parse(&wire(text)).unwrap_or_else(|error| panic!("{text}: {error}"))
}

#[track_caller]
fn refused(text: &str, kind: CpimErrorKind, offset: usize) {
    assert_eq!(Cpim::parse(&wire(text)), Err(CpimError { kind, offset }), "{text:?}");
}

/// Behind the headers.
const BODY: &str = "\nContent-Type: a/b\n\n";

/// RFC 3862 5.1.
const EXAMPLE: &str = "\
From: MR SANDERS <im:piglet@100akerwood.com>
To: Depressed Donkey <im:eeyore@100akerwood.com>
DateTime: 2000-12-13T13:40:00-08:00
Subject: the weather will be fine today
Subject:;lang=fr beau temps prevu pour aujourd'hui
NS: MyFeatures <mid:MessageFeatures@id.foo.com>
Require: MyFeatures.VitalMessageOption
MyFeatures.VitalMessageOption: Confirmation-requested
MyFeatures.WackyMessageOption: Use-silly-font

Content-type: text/xml; charset=utf-8
Content-ID: <1234567890@foo.com>

<body>
Here is the text of my message.
</body>
";

#[track_caller]
fn is_the_example(message: &Cpim, name: &str) {
    let (from, to) = (message.from().unwrap(), &message.to()[0]);
    assert_eq!((from.name(), from.uri()), (Some("MR SANDERS"), "im:piglet@100akerwood.com"));
    assert_eq!((to.name(), to.uri(), message.to().len()), (Some(name), "im:eeyore@100akerwood.com", 1));
    assert_eq!(message.date_time().unwrap().unix_seconds(), 976_743_600);
    let subjects: Vec<_> = message.subjects().collect();
    assert_eq!(message.subject().as_deref(), Some("the weather will be fine today"));
    assert_eq!(
        (subjects[1].text.as_str(), subjects[1].language.as_deref()),
        ("beau temps prevu pour aujourd'hui", Some("fr"))
    );
    let option: Vec<_> = message.headers_named(VITAL.0, "WackyMessageOption").map(CpimHeader::value).collect();
    assert_eq!(option, ["Use-silly-font"]);
    assert_eq!(*message.content_type(), "text/xml;charset=utf-8".parse().unwrap());
    assert_eq!(message.mime_header("content-id"), Some("<1234567890@foo.com>"));
    assert!(message.body().starts_with(b"<body>\r\n"));
}

#[test]
fn r45_the_example_of_rfc_3862() {
    let input = wire(EXAMPLE);
    let message = Cpim::parse_understanding(&input, |uri, name| (uri, name) == VITAL).unwrap();
    is_the_example(&message, "Depressed Donkey");
    assert_eq!(message.headers().len(), 9);
    assert_eq!(message.body().as_ptr(), input[input.len() - message.body().len()..].as_ptr());
    assert_eq!(message.to_bytes(), input);
    let (head, body) = message.into_parts();
    assert_eq!([head, body].concat(), input);
    // Who does not know the option must not act on the message (RFC 3862 3.5).
    let required = CpimErrorKind::Required { namespace: Some(VITAL.0.into()), name: VITAL.1.into() };
    let error = Cpim::parse(&input).unwrap_err();
    assert_eq!((error.kind(), error.offset()), (&required, EXAMPLE.find("MyFeatures.").unwrap() + 6));
    assert_eq!(
        error.to_string(),
        "VitalMessageOption of mid:MessageFeatures@id.foo.com is required and not understood at offset 284"
    );
}

#[test]
fn r44_the_signed_example_of_rfc_3862() {
    // RFC 3862 5.2.
    let signed = format!(
        "--next\nContent-Type: Message/CPIM\n\n{}--next\nContent-Type: application/pkcs7-signature\n\n(signature stuff)\n--next--\n",
        EXAMPLE.replace("Depressed", "Dopey")
    );
    let media_type =
        "multipart/signed; boundary=next;\tmicalg=sha1;protocol=\"application/pkcs7-signature\"".parse().unwrap();
    let parts = crate::content::Multipart::parse(&media_type, &wire(&signed)).unwrap().into_parts();
    assert_eq!(parts[1].body(), "(signature stuff)");
    assert!(parts[0].content_type().is("message", "cpim"));
    let message = Cpim::parse_understanding(parts[0].body(), |uri, name| (uri, name) == VITAL).unwrap();
    is_the_example(&message, "Dopey Donkey");
}

#[test]
fn r45_the_example_of_rfc_4975() {
    // RFC 4975 11.4: no empty line in front of Content-Type, and the Byte-Range counts none.
    let text = "To: Bob <sip:bob@example.com>\nFrom: Alice <sip:alice@example.com>\nDateTime: 2006-05-15T15:02:31-03:00\n\
                Content-Type: text/plain\n\nABCD1234567890\n";
    let message = cpim(text);
    assert_eq!(message.head().len() + "ABCD".len(), 137);
    assert_eq!((message.from().unwrap().uri(), message.headers().len()), ("sip:alice@example.com", 3));
    assert_eq!((message.content_type().essence(), &message.body()[..]), ("text/plain", &b"ABCD1234567890\r\n"[..]));
}

#[test]
fn r45_the_lines_that_rfc_3862_shows() {
    let message = cpim(&format!(
        "To: Pooh Bear <im:pooh@100akerwood.com>\nTo: Winnie the Pooh <im:pooh@100akerwood.com>\nTo: <im:tigger@100akerwood.com>\n\
         From: <im:piglet@100akerwood.com>\ncc: Winnie the Pooh <im:pooh@100akerwood.com>\ncc: <im:tigger@100akerwood.com>\n\
         DateTime: 2001-02-02T10:48:54-05:00\nSubject:;lang=en Eeyore's feeling very depressed today\n\
         NS: MyAlias <mid:MessageFeatures@id.foo.com>\nMyAlias.MyHeader: private-extension-data\n{BODY}"
    ));
    let names = |addresses: &[Address]| addresses.iter().map(|it| it.name().map(str::to_owned)).collect::<Vec<_>>();
    assert_eq!(names(message.to()), [Some("Pooh Bear".to_owned()), Some("Winnie the Pooh".to_owned()), None]);
    assert_eq!(names(message.cc()), [Some("Winnie the Pooh".to_owned()), None]);
    assert_eq!(message.subjects().next().unwrap().language.as_deref(), Some("en"));
    assert_eq!(message.headers_named(VITAL.0, "MyHeader").count(), 1);
}

#[test]
fn r45_namespaces_have_scopes() {
    // RFC 3862 3.4: one meaning, whatever the prefix is.
    const ACME: &str = "http://id.acme.widgets/wily-headers/";
    for text in [
        "NS: acme <http://id.acme.widgets/wily-headers/>\nacme.runner-trap: set",
        "NS: widget <http://id.acme.widgets/wily-headers/>\nwidget.runner-trap: set",
        "NS: <http://id.acme.widgets/wily-headers/>\nrunner-trap: set",
    ] {
        let message = cpim(&format!("{text}\n{BODY}"));
        let found: Vec<_> = message.headers_named(ACME, "runner-trap").map(CpimHeader::raw_value).collect();
        assert_eq!(found, ["set"], "{text}");
    }
    let message = cpim(&format!(
        "a.x: 0\nNS: a <u:1>\na.x: 1\nNS: a <u:2>\na.x: 2\nFrom: <im:a>\nNS: c <{CPIM_NAMESPACE}>\nNS: <u:3>\nx: 3\nFrom: nobody\n\
         NS: nothing\nc.To: <im:b>\nc.NS: <{CPIM_NAMESPACE}>\nTo: <im:c>\n{BODY}"
    ));
    let namespaces: Vec<_> =
        message.headers().iter().filter(|it| it.name() == "x").map(CpimHeader::namespace).collect();
    assert_eq!(namespaces, [None, Some("u:1"), Some("u:2"), Some("u:3")]);
    assert_eq!(message.headers()[0].written_name(), "a.x");
    assert_eq!(message.from().unwrap().uri(), "im:a");
    assert_eq!(message.to().iter().map(Address::uri).collect::<Vec<_>>(), ["im:b", "im:c"]);
    refused(&format!("NS: nothing\n{BODY}"), CpimErrorKind::Namespace, 0);
    refused(&format!("NS: a.b <u:1>\n{BODY}"), CpimErrorKind::Namespace, 0);
    refused(&format!("NS: a <u>\n{BODY}"), CpimErrorKind::Namespace, 0);
}

#[test]
fn r45_unknown_headers_are_kept_in_order() {
    let message = cpim(&format!("X-b: 2\nfrom: who\nX-a:;a=1;lang=de;b=\"x \\\" \\u0041\" \\\"1\\\\\nX-b:\n{BODY}"));
    let seen: Vec<_> = message.headers().iter().map(|header| (header.name(), header.value().into_owned())).collect();
    let expected = [("X-b", "2"), ("from", "who"), ("X-a", "\"1\\"), ("X-b", "")];
    assert_eq!(seen, expected.map(|(name, value)| (name, value.to_owned())));
    let third = &message.headers()[2];
    assert_eq!((third.raw_value(), third.language()), (r#"\"1\\"#, Some("de")));
    assert_eq!(third.parameters().collect::<Vec<_>>(), [("a", "1"), ("lang", "de"), ("b", "x \" A")]);
    // Case counts in the names of headers (RFC 3862 2.2).
    assert_eq!(message.from(), None);
}

#[test]
fn r45_what_is_required() {
    let required = |namespace: Option<&str>, name: &str| CpimErrorKind::Required {
        namespace: namespace.map(Into::into),
        name: name.into(),
    };
    cpim(&format!("Require: From,cc , Subject\nNS: i <urn:ietf:params:imdn>\nRequire: i.Message-ID\n{BODY}"));
    refused(&format!("Require: From,Locale\n{BODY}"), required(Some(CPIM_NAMESPACE), "Locale"), 9);
    refused(&format!("Require: Locale.MustRenderKanji\n{BODY}"), required(None, "MustRenderKanji"), 9);
    refused(
        &format!("NS: i <urn:ietf:params:imdn>\nRequire: i.From\n{BODY}"),
        required(Some(IMDN_NAMESPACE), "From"),
        39,
    );
    refused(&format!("Require: From,\n{BODY}"), CpimErrorKind::Require, 0);
    refused(&format!("Require:\n{BODY}"), CpimErrorKind::Require, 0);
    refused(&format!("Require: a b\n{BODY}"), CpimErrorKind::Require, 0);
    // A name that was not declared is not even asked for.
    assert!(Cpim::parse_understanding(&wire(&format!("Require: a.b\n{BODY}")), |_, _| true).is_err());
    assert!(Cpim::parse_understanding(&wire(&format!("Require: a\n{BODY}")), |_, _| true).is_ok());
    let many = |count| format!("Require: {}\n{BODY}", vec!["From"; count].join(","));
    cpim(&many(MAX_HEADERS));
    refused(&many(MAX_HEADERS + 1), CpimErrorKind::Require, 0);
}

#[test]
fn r45_what_is_no_cpim() {
    use CpimErrorKind::*;
    let control = Head(HeadErrorKind::Control);
    for (text, kind, offset) in [
        ("", ContentTypeMissing, 0),
        ("From: <im:a>\n", ContentTypeMissing, 14),
        ("\n", ContentTypeMissing, 2),
        ("\nContent-ID: <a>\n\nbody", ContentTypeMissing, 2),
        ("\nContent-Type: text\n\n", ContentType(MediaTypeErrorKind::Type), 2),
        ("\nContent-Type: a/b\ncontent-type: a/b\n\n", Duplicate, 2),
        ("From: <im:a>", Head(HeadErrorKind::Cut), 12),
        ("\nContent-Type: a/b", Head(HeadErrorKind::Cut), 19),
        ("From: <im:a>\nFrom: <im:b>\n", Duplicate, 14),
        ("DateTime: 2000-12-13T13:40:00Z\nDateTime: 2000-12-13T13:40:00Z\n", Duplicate, 32),
        ("DateTime: today\n", DateTime, 0),
        ("From: im:a\n", Address, 0),
        ("X: y\nTo: <im:a\n", Address, 6),
        ("X: y\ncc: a <b> <im:c>\n", Address, 6),
        ("nonsense\n", Name, 0),
        (": a\n", Name, 0),
        ("a b: c\n", Name, 0),
        (" a: b\n", Name, 0),
        ("a.b.c: d\n", Name, 0),
        (".b: d\n", Name, 0),
        ("\u{e9}: d\n", Name, 0),
        ("a:;b c\n", Parameter, 2),
        ("a:;=b c\n", Parameter, 2),
        ("a:;b= c\n", Parameter, 2),
        ("a:;b=\"c d\n", Parameter, 2),
        ("a:;b=c@d e\n", Parameter, 6),
        ("a:;b=\"c\"d e\n", Parameter, 8),
        ("a: b\tc\n", control.clone(), 4),
        ("a: b\0c\n", control.clone(), 4),
        ("\nContent-Type: a/b\nX: \0\n\n", control.clone(), 24),
        ("\nContent-Type: a/b\nX y\n\n", Head(HeadErrorKind::Name), 21),
        ("\n Content-Type: a/b\n\n", Head(HeadErrorKind::Name), 2),
    ] {
        refused(text, kind, offset);
    }
    for text in ["a: b\rc\r\n", "a: b\nc\r\n"] {
        assert_eq!(Cpim::parse(&text.into()), Err(CpimError { kind: control.clone(), offset: 4 }));
    }
    let error = Cpim::parse(&Bytes::from_static(b"a: \xff\r\n")).unwrap_err();
    assert_eq!(error, CpimError { kind: Head(HeadErrorKind::Utf8), offset: 3 });
    let error = Cpim::parse(&Bytes::from_static(b"\r\nContent-Type: a/\xff\r\n")).unwrap_err();
    assert_eq!(error, CpimError { kind: Head(HeadErrorKind::Utf8), offset: 18 });
}

#[test]
fn r45_mime_headers_may_go_on_in_the_next_line() {
    let message =
        cpim("\nContent-type: multipart/mixed;\n    boundary=\"b\"\nContent-Description : a\n\t b\n\tc  \n\nbody");
    assert_eq!(message.content_type().parameter("boundary").as_deref(), Some("b"));
    assert_eq!(message.mime_header("Content-Description"), Some("a b c"));
    assert_eq!(message.mime_headers().len(), 1);
    assert_eq!(&message.body()[..], b"body");
    assert_eq!(cpim("\nContent-Type: a/b\n\n\n").body(), "\r\n");
    assert_eq!(cpim("\nContent-Type: a/b\n").body(), "");
}

#[test]
fn r57_headers_have_limits() {
    let many = |count: usize| format!("{}{BODY}", "a: b\n".repeat(count));
    cpim(&many(MAX_HEADERS - 1));
    refused(&many(MAX_HEADERS), CpimErrorKind::Head(HeadErrorKind::Headers), 6 * MAX_HEADERS + 2);
    let folded = |count: usize| BODY.replace("a/b\n", &format!("a/b\n{}", " \n".repeat(count)));
    cpim(&folded(MAX_HEADERS - 1));
    let error = Cpim::parse(&wire(&folded(MAX_HEADERS))).unwrap_err();
    assert_eq!(error.kind(), &CpimErrorKind::Head(HeadErrorKind::Headers));
    let long = |length: usize| format!("a: {}\n{BODY}", "b".repeat(length - 3));
    cpim(&long(MAX_LINE));
    refused(&long(MAX_LINE + 1), CpimErrorKind::Head(HeadErrorKind::Line), MAX_LINE);
    let folded = BODY.replace("a/b\n", &format!("a/b\n {0}\n {0}\n", "b".repeat(MAX_LINE / 2)));
    let error = Cpim::parse(&wire(&folded)).unwrap_err();
    assert_eq!(error.kind(), &CpimErrorKind::Head(HeadErrorKind::Line));
    let line = format!("a: {}\n", "b".repeat(8185));
    let head = |rest: usize| format!("{}c: {}\n{BODY}", line.repeat(7), "b".repeat(rest));
    let rest = MAX_HEAD - wire(&head(0)).len();
    assert_eq!(cpim(&head(rest)).head().len(), MAX_HEAD);
    refused(&head(rest + 1), CpimErrorKind::Head(HeadErrorKind::Head), MAX_HEAD - 1);
    let parameters = |count: usize| format!("a:{} c\n{BODY}", ";a=b".repeat(count));
    assert_eq!(cpim(&parameters(16)).headers()[0].parameters().len(), 16);
    refused(&parameters(17), CpimErrorKind::Parameter, 2 + 16 * 4);
    // A body is not searched for the end of a line that never comes.
    let endless = Bytes::from(vec![b'a'; 1_000_000]);
    let error = Cpim::parse(&endless).unwrap_err();
    assert_eq!(error, CpimError { kind: CpimErrorKind::Head(HeadErrorKind::Line), offset: MAX_LINE });
}

fn builder() -> CpimBuilder {
    Cpim::builder(&Address::new("im:a@b").unwrap(), &Address::new("im:c@d").unwrap())
}

#[test]
fn r45_messages_are_made() {
    let body = Bytes::from_static(b"\r\n\0");
    let message = builder()
        .with_to(&Address::new("im:e").unwrap().with_name("E").unwrap())
        .with_cc(&Address::new("im:f").unwrap())
        .with_date_time(&"2006-05-15T15:02:31-03:00".parse().unwrap())
        .with_subject("a\\b \"c\"")
        .and_then(|it| it.with_subject_in("de-AT", "t\te\u{7f}"))
        .and_then(|it| it.with_namespace("x", "u:1"))
        .and_then(|it| it.with_require("x.Y"))
        .and_then(|it| it.with_header("x.Y", "z\u{e9}"))
        .and_then(|it| it.with_mime_header("Content-ID", "<1@x>"))
        .and_then(|it| it.build(&"text/plain;charset=\"a b\"".parse().unwrap(), body.clone()))
        .unwrap();
    let head = "From: <im:a@b>\nTo: <im:c@d>\nTo: E <im:e>\ncc: <im:f>\nDateTime: 2006-05-15T15:02:31-03:00\n\
                Subject: a\\\\b \"c\"\nSubject:;lang=de-AT t\\te\\u007f\nNS: x <u:1>\nRequire: x.Y\nx.Y: z\u{e9}\n\n\
                Content-Type: text/plain;charset=\"a b\"\nContent-ID: <1@x>\n\n";
    assert_eq!(message.head(), &wire(head));
    assert_eq!(message.body().as_ptr(), body.as_ptr());
    assert_eq!(Cpim::parse_understanding(&message.to_bytes(), |uri, name| (uri, name) == ("u:1", "Y")), Ok(message));
}

#[test]
fn r62_nothing_of_the_application_ends_a_line() {
    use CpimErrorKind::*;
    let is = |result: Result<CpimBuilder, CpimError>, kind| assert_eq!(result.unwrap_err().kind(), &kind);
    let new = || builder().with_namespace("x", "u:1").unwrap();
    for end in ["\r\n", "\r", "\n", "\0"] {
        let text = format!("a{end}b");
        is(new().with_subject(&text), Head(HeadErrorKind::Control));
        is(new().with_subject_in("de", &text), Head(HeadErrorKind::Control));
        is(new().with_subject_in(&text, "a"), Parameter);
        is(new().with_header("x.y", &text), Head(HeadErrorKind::Control));
        is(new().with_header(&format!("x.{text}"), "a"), Name);
        is(new().with_require(&format!("x.{text}")), Name);
        is(new().with_namespace(&text, "u:1"), Namespace);
        is(new().with_namespace("y", &format!("u:{text}")), Namespace);
        is(new().with_mime_header(&text, "a"), Head(HeadErrorKind::Name));
        is(new().with_mime_header("Content-ID", &text), Head(HeadErrorKind::Control));
    }
    is(new().with_namespace("", "u:1"), Namespace);
    is(new().with_header("z.y", "a"), Namespace);
    is(new().with_header("From", "<im:somebody@else>"), Name);
    is(new().with_require("Subject"), Name);
    is(new().with_mime_header("content-type", "a/b"), Duplicate);
}

#[test]
fn r57_what_is_made_has_the_limits_too() {
    let many = |count| {
        let new = builder().with_namespace("x", "u:1").unwrap();
        let new = (0..count).fold(new, |new, _| new.with_header("x.y", "z").unwrap());
        new.build(&MediaType::text_plain(), "")
    };
    assert!(many(MAX_HEADERS - 4).is_ok());
    assert_eq!(many(MAX_HEADERS - 3).unwrap_err().kind(), &CpimErrorKind::Head(HeadErrorKind::Headers));
    let date_time = "2006-05-15T15:02:31-03:00".parse().unwrap();
    let twice = builder().with_date_time(&date_time).with_date_time(&date_time).build(&MediaType::text_plain(), "");
    assert_eq!(twice.unwrap_err().kind(), &CpimErrorKind::Duplicate);
}

proptest! {
    #[test]
    fn r45_round_trip(name in "[^\r\n\0]{0,6}", subject in "[^\r\n\0]{0,8}", value in "[^\r\n\0]{0,8}", body: Vec<u8>) {
        let from = Address::new("im:a@b").unwrap().with_name(&name).unwrap();
        let message = Cpim::builder(&from, &from)
            .with_subject(&subject)
            .and_then(|it| it.with_namespace("p", "u:1"))
            .and_then(|it| it.with_header("p.X", &value))
            .and_then(|it| it.build(&MediaType::text_plain(), body.clone()))
            .unwrap();
        let read = Cpim::parse(&message.to_bytes()).unwrap();
        prop_assert_eq!(&read, &message);
        prop_assert_eq!(read.from(), Some(&from));
        prop_assert_eq!(read.subject(), Some(subject));
        prop_assert_eq!(read.headers_named("u:1", "X").next().unwrap().value(), value);
        prop_assert_eq!(&read.body()[..], &body[..]);
    }

    #[test]
    fn r45_what_is_read_is_kept(text in "((From|To|NS|a\\.b|Require|Content-Type|X)?:;?(lang=e)? ?[ <>a-c:\"\\\\]{0,6}\r?\n|\r\n|a){0,8}") {
        let input = Bytes::from(text);
        if let Ok(message) = Cpim::parse(&input) {
            prop_assert_eq!(message.to_bytes(), input);
        }
    }
}

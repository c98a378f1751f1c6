use bytes::Bytes;
use proptest::prelude::*;

use super::*;
use crate::content::{CpimErrorKind, HeadErrorKind, XmlErrorKind};

fn wire(text: &str) -> Bytes {
    text.replace('\n', "\r\n").into()
}

fn address(text: &str) -> Address {
    text.parse().unwrap()
}

/// The document of the examples of RFC 5438, without what its notification says.
fn document(notification: &str) -> String {
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>
<imdn xmlns=\"urn:ietf:params:xml:ns:imdn\">
      <message-id>34jk324j</message-id>
      <datetime>2008-04-04T12:16:49-05:00</datetime>
     <recipient-uri>im:bob@example.com</recipient-uri>
      <original-recipient-uri
        >im:bob@example.com</original-recipient-uri>
      {notification}
    </imdn>
"
    )
}

const DELIVERED: &str = "<delivery-notification>
         <status>
            <delivered/>
         </status>
      </delivery-notification>";

const DISPLAYED: &str = "<display-notification>
         <status>
            <displayed/>
         </status>
      </display-notification>";

const PROCESSED: &str = "<processing-notification>
         <status>
            <processed/>
         </status>
      </processing-notification>";

#[track_caller]
fn is_the_example(imdn: &Imdn, notification: Notification) {
    assert_eq!((imdn.message_id(), imdn.notification()), ("34jk324j", notification));
    assert_eq!(imdn.date_time(), Some("2008-04-04T12:16:49-05:00".parse().unwrap()));
    assert_eq!((imdn.recipient(), imdn.original_recipient()), (Some("im:bob@example.com"), Some("im:bob@example.com")));
    assert_eq!(imdn.subject(), None);
}

#[test]
fn r45_the_request_of_rfc_5438() {
    // RFC 5438 7.1.1.3.
    let message = Cpim::parse(&wire(
        "From: Alice <im:alice@example.com>
To: Bob <im:bob@example.com>
NS: imdn <urn:ietf:params:imdn>
imdn.Message-ID: 34jk324j
DateTime: 2006-04-04T12:16:49-05:00
imdn.Disposition-Notification: positive-delivery, negative-delivery
Content-type: text/plain
Content-length: 12

Hello World
",
    ))
    .unwrap();
    let headers = ImdnHeaders::of(&message).unwrap();
    assert_eq!(headers.message_id(), Some("34jk324j"));
    assert_eq!(headers.requests(), [Disposition::PositiveDelivery.into(), Disposition::NegativeDelivery.into()]);
    let wanted: Vec<_> =
        NOTIFICATIONS.into_iter().filter(|(it, ..)| headers.wants(*it)).map(|(_, _, status)| status).collect();
    assert_eq!(wanted, ["delivered", "failed", "forbidden", "error"]);
    assert_eq!((message.mime_header("content-length"), &message.body()[..]), (Some("12"), &b"Hello World\r\n"[..]));
    // The answer of 7.2.1.1, but for the time, which there is another one.
    let delivered = Notification::Delivery(DeliveryStatus::Delivered);
    let answer = Imdn::answering(&message, delivered).unwrap().unwrap();
    let example = document(DELIVERED).replace("2008", "2006");
    assert_eq!(Imdn::parse(example.as_bytes()), Ok(answer.clone()));
    assert_eq!(Imdn::parse(answer.to_xml().as_bytes()), Ok(answer));
    assert_eq!(Imdn::answering(&message, Notification::Display(DisplayStatus::Displayed)), Ok(None));
}

#[test]
fn r45_the_notifications_of_rfc_5438() {
    // RFC 5438 7.2.1.1, 7.2.1.2 and 8.1, where the last one has no headers of its own.
    for (headers, body, notification) in [
        (
            "NS: imdn <urn:ietf:params:imdn>\nimdn.Message-ID: d834jied93rf\n",
            DELIVERED,
            Notification::Delivery(DeliveryStatus::Delivered),
        ),
        (
            "NS: imdn <urn:ietf:params:imdn>\nimdn.Message-ID: dfjkleriou432333\n",
            DISPLAYED,
            Notification::Display(DisplayStatus::Displayed),
        ),
        ("", PROCESSED, Notification::Processing(ProcessingStatus::Processed)),
    ] {
        let message = Cpim::parse(&wire(&format!(
            "From: Bob <im:bob@example.com>\nTo: Alice <im:alice@example.com>\n{headers}Content-type: message/imdn+xml\n\
             Content-Disposition: notification\nContent-length: ...\n\n{}",
            document(body)
        )))
        .unwrap();
        let all = Imdn::all_in(&message).unwrap();
        assert_eq!(all.len(), 1);
        is_the_example(&all[0], notification);
        let ids = ["d834jied93rf", "dfjkleriou432333"].into_iter().find(|id| headers.contains(id));
        assert_eq!(ImdnHeaders::of(&message).unwrap().message_id(), ids);
    }
}

#[test]
fn r45_the_aggregate_of_rfc_5438() {
    // RFC 5438 8.3, whose last delimiter does not close.
    let part = |document: String| format!("--imdn-boundary\nContent-type: message/imdn+xml\n\n{document}\n");
    let message = Cpim::parse(&wire(&format!(
        "From: Bob <im:bob@example.com>\nTo: Alice <im:alice@example.com>\nNS: imdn <urn:ietf:params:imdn>\n\
         imdn.Message-ID: d834jied93rf\nContent-type: multipart/mixed;\n                   boundary=\"imdn-boundary\"\n\
         Content-Disposition: notification\nContent-length: ...\n\n{}{}--imdn-boundary\n",
        part(document(DELIVERED)),
        part(document(DISPLAYED))
    )))
    .unwrap();
    let all = Imdn::all_in(&message).unwrap();
    assert_eq!(all.len(), 2);
    is_the_example(&all[0], Notification::Delivery(DeliveryStatus::Delivered));
    is_the_example(&all[1], Notification::Display(DisplayStatus::Displayed));
}

#[test]
fn r45_every_status_is_read_and_written() {
    for (notification, kind, status) in NOTIFICATIONS {
        let imdn = Imdn::new("id", &"2008-04-04T12:16:49-05:00".parse().unwrap(), notification).unwrap();
        assert!(imdn.to_xml().contains(&format!("<{kind}><status><{status}/></status></{kind}>")));
        assert_eq!(Imdn::parse(imdn.to_xml().as_bytes()), Ok(imdn));
    }
}

#[test]
fn r45_all_that_a_notification_may_say() {
    let subject = Subject { text: "<a> & 'b'\"]]>".to_owned(), language: Some("de\"<".to_owned()) };
    let failed = Notification::Delivery(DeliveryStatus::Failed);
    let imdn = Imdn::new("id", &"2008-04-04T12:16:49Z".parse().unwrap(), failed)
        .and_then(|it| it.with_recipient("sip:a@b;x=y&z"))
        .and_then(|it| it.with_original_recipient("im:c@d"))
        .and_then(|it| it.with_subject(subject.clone()))
        .unwrap();
    let read = Imdn::parse(imdn.to_xml().as_bytes()).unwrap();
    assert_eq!(read, imdn);
    assert_eq!((read.subject(), read.recipient()), (Some(&subject), Some("sip:a@b;x=y&z")));
    let without = read.without_recipients();
    assert_eq!((without.recipient(), without.original_recipient()), (None, None));
    // Other namespaces and other prefixes, other places, and what is nobody's business.
    let strange = "<i:imdn xmlns:i='urn:ietf:params:xml:ns:imdn' xmlns:x='u'><x:a><i:message-id>no</i:message-id></x:a>\
                   <i:display-notification><x:y/><i:status><x:displayed/><i:error/><x:z>1</x:z></i:status></i:display-notification>\
                   <i:datetime/><i:message-id> a<!-- -->b </i:message-id><i:later/></i:imdn>";
    let read = Imdn::parse(strange.as_bytes()).unwrap();
    assert_eq!((read.message_id(), read.notification()), ("ab", Notification::Display(DisplayStatus::Error)));
    assert_eq!(read.date_time(), None);
}

#[test]
fn r45_what_is_no_notification() {
    let parse = |text: &str| Imdn::parse(text.as_bytes()).unwrap_err();
    let with = |notification: &str| parse(&document(notification));
    assert_eq!(with(""), ImdnError::Missing("notification"));
    assert_eq!(with(&format!("{DELIVERED}{DISPLAYED}")), ImdnError::Duplicate("notification"));
    assert_eq!(with("<delivery-notification/>"), ImdnError::Missing("status"));
    assert_eq!(with("<delivery-notification><status/></delivery-notification>"), ImdnError::Missing("status"));
    assert_eq!(with(&DELIVERED.replace("delivered", "displayed")), ImdnError::Status);
    assert_eq!(with(&DELIVERED.replace("delivered", "lost")), ImdnError::Status);
    assert_eq!(with(&DELIVERED.replace("<delivered/>", "<failed/><failed/>")), ImdnError::Duplicate("status"));
    let whole = document(DELIVERED);
    assert_eq!(parse(&whole.replace("message-id", "other-id")), ImdnError::Missing("message-id"));
    assert_eq!(parse(&whole.replace("datetime", "other")), ImdnError::Missing("datetime"));
    assert_eq!(parse(&whole.replace("34jk324j", " ")), ImdnError::MessageId);
    assert_eq!(parse(&whole.replace("34jk324j", &"x".repeat(Imdn::MAX_MESSAGE_ID + 1))), ImdnError::MessageId);
    assert_eq!(parse(&whole.replace("original-recipient", "recipient")), ImdnError::Duplicate("recipient-uri"));
    let xml = |text: &str| match parse(text) {
        ImdnError::Xml(error) => (error.kind(), error.offset()),
        other => panic!("{other:?}"),
    };
    assert_eq!(xml(&whole.replace(":ns:imdn", ":ns:other")).0, XmlErrorKind::Root);
    assert_eq!(xml(&whole.replace("?>", "?><!DOCTYPE imdn [<!ENTITY a 'b'>]>")), (XmlErrorKind::Doctype, 38));
    assert_eq!(xml(&format!("{whole}<more/>")), (XmlErrorKind::Markup, whole.len()));
    assert_eq!(xml(&whole.replace("34jk324j", "&a;")).0, XmlErrorKind::Reference);
}

fn message(headers: &ImdnHeaders) -> Cpim {
    Cpim::builder(&address("Alice <im:alice@example.com>"), &address("Bob <im:bob@example.com>"))
        .with_date_time(&"2006-04-04T12:16:49-05:00".parse().unwrap())
        .with_subject_in("en", "Lunch & more")
        .and_then(|it| it.with_imdn(headers))
        .and_then(|it| it.build(&MediaType::text_plain(), "Hello World"))
        .unwrap()
}

#[test]
fn r45_headers_are_written_and_read() {
    let request = DispositionRequest::from(Disposition::other("later").unwrap());
    let request = request.with_parameter("a", "b").unwrap().with_parameter("c", "d, \"e\"; f").unwrap();
    assert_eq!(request.to_string(), r#"later;a=b;c="d, \"e\"; f""#);
    let headers = ImdnHeaders::new("34jk324j")
        .unwrap()
        .with_request(Disposition::Display)
        .with_request(request.clone())
        .with_request(Disposition::Processing)
        .with_original_to(address("<im:list@example.com>"))
        .with_record_route(address("<im:one@example.com>"))
        .with_record_route(address("Two <im:two@example.com>"));
    let message = message(&headers);
    assert_eq!(ImdnHeaders::of(&message), Ok(headers.clone()));
    assert_eq!(headers.requests()[1], request);
    assert_eq!(request.parameters().collect::<Vec<_>>(), [("a", "b"), ("c", "d, \"e\"; f")]);
    // The way back begins with who was the last (RFC 5438 8).
    assert_eq!(headers.record_route()[0].name(), Some("Two"));
    assert!(String::from_utf8(message.head().to_vec()).unwrap().ends_with(
        "NS: imdn <urn:ietf:params:imdn>\r\nimdn.Message-ID: 34jk324j\r\n\
         imdn.Disposition-Notification: display, later;a=b;c=\"d, \\\"e\\\"; f\", processing\r\n\
         imdn.Original-To: <im:list@example.com>\r\nimdn.IMDN-Record-Route: Two <im:two@example.com>\r\n\
         imdn.IMDN-Record-Route: <im:one@example.com>\r\n\r\nContent-Type: text/plain\r\n\r\n"
    ));
}

#[test]
fn r45_a_notification_goes_back_by_the_recorded_route() {
    let asked = ImdnHeaders::new("34jk324j")
        .unwrap()
        .with_request(Disposition::Display)
        .with_original_to(address("<im:list@example.com>"))
        .with_record_route(address("<im:one@example.com>"))
        .with_record_route(address("<im:two@example.com>"));
    let message = message(&asked);
    let displayed = Notification::Display(DisplayStatus::Displayed);
    let imdn = Imdn::answering(&message, displayed).unwrap().unwrap();
    assert_eq!(
        (imdn.recipient(), imdn.original_recipient()),
        (Some("im:bob@example.com"), Some("im:list@example.com"))
    );
    assert_eq!(imdn.subject(), Some(&Subject { text: "Lunch & more".to_owned(), language: Some("en".to_owned()) }));
    let headers = asked.answering("d834jied93rf").unwrap();
    assert_eq!(headers.route(), asked.record_route());
    // What may not be in a notification is not written, whoever asks for it (RFC 5438 7.2.1).
    let wrong = headers.clone().with_request(Disposition::Display).with_record_route(address("<im:x>"));
    let answer = imdn.wrap(&message.to()[0], message.from().unwrap(), &wrong).unwrap();
    assert_eq!(ImdnHeaders::of(&answer), Ok(headers));
    assert_eq!(answer.mime_header("Content-Disposition"), Some("notification"));
    assert_eq!(Imdn::all_in(&Cpim::parse(&answer.to_bytes()).unwrap()), Ok(vec![imdn]));
}

#[test]
fn r45_nobody_is_notified_of_a_notification() {
    let asking = |disposition: &str, content_type: &str| {
        let text = format!(
            "From: <im:a@b>\nTo: <im:c@d>\nNS: i <urn:ietf:params:imdn>\ni.Message-ID: x\ni.Disposition-Notification: display\n\n\
             Content-Type: {content_type}\n{disposition}\n\n"
        );
        Imdn::answering(&Cpim::parse(&wire(&text)).unwrap(), Notification::Display(DisplayStatus::Displayed)).unwrap()
    };
    assert_eq!(asking("Content-Disposition: Notification; x=y", "message/imdn+xml"), None);
    assert!(asking("Content-Disposition: notification", "text/plain").is_some());
    assert!(asking("Content-Disposition: inline", "message/imdn+xml").is_some());
    let silent = Cpim::parse(&wire(
        "NS: i <urn:ietf:params:imdn>\ni.Disposition-Notification: display\n\nContent-Type: a/b\n\n",
    ));
    assert_eq!(Imdn::answering(&silent.unwrap(), Notification::Display(DisplayStatus::Displayed)), Ok(None));
}

fn headers(text: &str) -> Result<ImdnHeaders, ImdnError> {
    ImdnHeaders::of(
        &Cpim::parse(&wire(&format!("NS: i <urn:ietf:params:imdn>\n{text}\n\nContent-Type: a/b\n\n"))).unwrap(),
    )
}

#[test]
fn r45_what_peers_write_in_headers() {
    let all = headers("i.Disposition-Notification:\ni.Disposition-Notification: display ;a=b ; c=d ,later,display\nNS: x <u:1>\nx.Message-ID: no\nMessage-ID: no")
        .unwrap();
    assert_eq!(all.message_id(), None);
    assert_eq!(
        all.requests().iter().map(ToString::to_string).collect::<Vec<_>>(),
        ["display;a=b;c=d", "later", "display"]
    );
    assert_eq!(headers("i.Message-ID: a/b+c==").unwrap().message_id(), Some("a/b+c=="));
    assert_eq!(headers("i.disposition-notification: display").unwrap().requests(), []);
    for text in
        ["display,", ",display", "display display", "a@b", "display;", "display;a", "display;a=", "display;a=\"b"]
    {
        assert_eq!(headers(&format!("i.Disposition-Notification: {text}")), Err(ImdnError::Disposition), "{text}");
    }
    for (text, error) in [
        ("i.Message-ID: a\ni.Message-ID: a", ImdnError::Duplicate("Message-ID")),
        ("i.Message-ID: ", ImdnError::MessageId),
        ("i.Original-To: <im:a>\ni.Original-To: <im:a>", ImdnError::Duplicate("Original-To")),
        ("i.Original-To: im:a", ImdnError::Address("Original-To")),
        ("i.IMDN-Route: a", ImdnError::Address("IMDN-Route")),
        ("i.IMDN-Record-Route: <>", ImdnError::Address("IMDN-Record-Route")),
    ] {
        assert_eq!(headers(text), Err(error), "{text}");
    }
    assert_eq!(headers(&format!("i.Message-ID: {}", "x".repeat(Imdn::MAX_MESSAGE_ID + 1))), Err(ImdnError::MessageId));
    let many = |count| headers(&format!("i.Disposition-Notification: {}", vec!["a"; count].join(",")));
    assert_eq!(many(ImdnHeaders::MAX_REQUESTS).map(|all| all.requests().len()), Ok(ImdnHeaders::MAX_REQUESTS));
    assert_eq!(many(ImdnHeaders::MAX_REQUESTS + 1), Err(ImdnError::Disposition));
}

#[test]
fn r45_a_request_needs_a_time() {
    let build = |headers: &ImdnHeaders| {
        let new = Cpim::builder(&address("<im:a@b>"), &address("<im:c@d>"));
        new.with_imdn(headers).unwrap().build(&MediaType::text_plain(), "")
    };
    assert!(build(&ImdnHeaders::new("x").unwrap()).is_ok());
    let error = build(&ImdnHeaders::new("x").unwrap().with_request(Disposition::Display)).unwrap_err();
    assert_eq!(error.kind(), &CpimErrorKind::DateTimeMissing);
}

#[test]
fn r62_nothing_of_the_application_ends_a_line() {
    let time: DateTime = "2006-04-04T12:16:49-05:00".parse().unwrap();
    let failed = Notification::Delivery(DeliveryStatus::Failed);
    let imdn = || Imdn::new("x", &time, failed).unwrap();
    for end in ["\r\n", "\r", "\n", "\0"] {
        let text = format!("a{end}b");
        assert_eq!(ImdnHeaders::new(&text), Err(ImdnError::MessageId));
        assert_eq!(Imdn::new(&text, &time, failed), Err(ImdnError::MessageId));
        assert_eq!(Disposition::other(&text), Err(ImdnError::Disposition));
        let request = DispositionRequest::from(Disposition::Display);
        assert_eq!(request.clone().with_parameter("a", &text), Err(ImdnError::Disposition));
        assert_eq!(request.with_parameter(&text, "a"), Err(ImdnError::Disposition));
        assert_eq!(imdn().with_recipient(&format!("im:{text}")), Err(ImdnError::Uri));
        assert_eq!(imdn().with_original_recipient(&format!("im:{text}")), Err(ImdnError::Uri));
        let subject =
            |text: &str, language: Option<&str>| Subject { text: text.into(), language: language.map(Into::into) };
        assert_eq!(imdn().with_subject(subject(&text, None)), Err(ImdnError::Control));
        assert_eq!(imdn().with_subject(subject("a", Some(&text))), Err(ImdnError::Control));
    }
    for id in ["", "a b", "a@b", "a=b"] {
        assert_eq!(ImdnHeaders::new(id), Err(ImdnError::MessageId));
    }
    for name in ["a\r\nFrom: b", "a, display", ""] {
        let wrong = Disposition::Other(name.into());
        let new = Cpim::builder(&address("<im:a@b>"), &address("<im:c@d>")).with_date_time(&time);
        let error = new.with_imdn(&ImdnHeaders::new("x").unwrap().with_request(wrong)).unwrap_err();
        assert_eq!(error.kind(), &CpimErrorKind::Head(HeadErrorKind::Name));
    }
    // A peer's escapes stand for what XML cannot say.
    let text = "To: <im:c@d>\nSubject: a\\u0000\nNS: i <urn:ietf:params:imdn>\ni.Message-ID: x\ni.Disposition-Notification: display\n\n\
                Content-Type: a/b\n\n";
    let message = Cpim::parse(&wire(text)).unwrap();
    let imdn = Imdn::answering(&message, Notification::Display(DisplayStatus::Displayed)).unwrap().unwrap();
    assert_eq!(imdn.subject(), None);
    assert!(Imdn::parse(imdn.to_xml().as_bytes()).is_ok());
}

proptest! {
    #[test]
    fn r45_round_trip(id in "[a-z0-9é.!]{1,9}", uri in "[a-z]:[!-;=?-\\[\\]-~&&[^\"]]{1,9}", text in "\\PC{0,9}", which in 0usize..11) {
        let imdn = Imdn::new(&id, &"2006-04-04T12:16:49-05:00".parse().unwrap(), NOTIFICATIONS[which].0)
            .and_then(|it| it.with_recipient(&uri))
            .and_then(|it| it.with_subject(Subject { text: text.trim_matches(' ').to_owned(), language: None }));
        if let Ok(imdn) = imdn {
            prop_assert_eq!(Imdn::parse(imdn.to_xml().as_bytes()), Ok(imdn));
        } else {
            prop_assert!(xml::unwritable(&text).is_some());
        }
    }
}

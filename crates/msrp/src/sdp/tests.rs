//! The examples of the RFCs, and what is said in them.

use std::net::IpAddr;

use proptest::prelude::*;

use super::*;
use crate::{Host, fuzz};

const SHA1: &str = "sha-1:72:24:5F:E8:65:3D:DA:F3:71:36:2F:86:D4:71:91:3E:E4:A2:CE:2E";

/// A description with one media of MSRP, whose lines are these.
fn session(lines: &str) -> String {
    format!(
        "v=0\no=alice 2890844526 2890844527 IN IP4 alice.example.com\ns= -\nc=IN IP4 alice.example.com\nt=0 0\n{lines}"
    )
}

/// What is read, and is the same again when it is written and read.
fn media(lines: &str) -> MediaDescription {
    let text = session(lines);
    fuzz::sdp(text.as_bytes());
    text.parse().unwrap_or_else(|error| panic!("{error}: {text}"))
}

fn fault(lines: &str) -> SdpErrorKind {
    session(lines).parse::<MediaDescription>().expect_err(lines).kind().clone()
}

/// A media at an address, with this path and further lines.
fn at(place: &str, port: u16, path: &str, more: &str) -> MediaDescription {
    media(&format!("m=message {port} TCP/MSRP *\nc=IN IP4 {place}\na=accept-types:*\na=path:{path}\n{more}"))
}

fn nothing(_: &str) -> Vec<IpAddr> {
    Vec::new()
}

const DIRECT: &str = "msrp://192.0.2.1:7654/a;tcp";
const RELAYED: &str = "msrp://192.0.2.9:2855/r;tcp msrp://192.0.2.1:7654/a;tcp";

#[test]
fn r47_examples_of_rfc_4975_and_4976() {
    let media_8_7 = media(
        "m=message 7394 TCP/MSRP *\na=accept-types:message/cpim text/plain text/html\n\
         a=path:msrp://alice.example.com:7394/2s93i93idj;tcp\n",
    );
    assert_eq!((media_8_7.port, media_8_7.protocol), (7394, Protocol::Tcp));
    let types: Vec<_> = media_8_7.accept_types.iter().map(FormatEntry::as_str).collect();
    assert_eq!(types, ["message/cpim", "text/plain", "text/html"]);
    assert_eq!(media_8_7.connection.unwrap().to_string(), "IN IP4 alice.example.com");
    // RFC 4976 11: spaces behind the colon and between the URIs, and a part of a description only.
    let relayed: MediaDescription = "c=IN IP4 bob.example.com\r\nm=message 1234 TCP/TLS/MSRP *\r\n\
         a=accept-types: message/cpim text/plain\r\n\
         a=path:msrps://relay.example.com:9000/hjdhfha;tcp  msrps://bob.example.com:1234/fuige;tcp\r\n"
        .parse()
        .unwrap();
    assert_eq!((relayed.protocol, relayed.accept_types.len()), (Protocol::Tls, 2));
    assert_eq!(relayed.path.unwrap().first().port(), Some(9000));
}

#[test]
fn r47_example_of_rfc_7977_keeps_ws_in_the_path() {
    let alice = media(
        "m=message 1234 TCP/TLS/MSRP *\na=accept-types:message/cpim text/plain text/html\n\
         a=path:msrps://a.example.com:2855/jui787s2f;tcp msrps://df7jal23ls0d.invalid:2855/98cjs;ws\n",
    );
    assert_eq!(alice.path.unwrap().last().transport(), &crate::Transport::Ws);
}

#[test]
fn r46_examples_of_rfc_7701() {
    let head = "m=message 7654 TCP/MSRP *\na=accept-types:message/cpim\na=path:msrp://192.0.2.1:7654/a;tcp\n";
    let room = media(&format!("{head}a=chatroom:nickname private-messages com.example.chat.foo\n"));
    assert!(room.has_nicknames() && room.has_private_messages());
    assert_eq!(room.chatroom.unwrap()[2].as_str(), "com.example.chat.foo");
    let bare = media(&format!("{head}a=chatroom\n"));
    assert_eq!(bare.chatroom, Some(Vec::new()));
    assert!(!bare.has_nicknames());
    assert_eq!(media(head).chatroom, None);
}

#[test]
fn r51_example_of_rfc_5547_6() {
    let push = media(&format!(
        "m=message 7654 TCP/MSRP *\ni=This is my latest picture\na=sendonly\na=accept-types:message/cpim\n\
         a=accept-wrapped-types:*\na=path:msrp://atlanta.example.com:7654/jshA7we;tcp\n\
         a=file-selector:name:\"My cool picture.jpg\" type:image/jpeg size:32349 hash:{SHA1}\n\
         a=file-transfer-id:vBnG916bdberum2fFEABR1FR3ExZMUrd\na=file-disposition:attachment\n\
         a=file-date:creation:\"Mon, 15 May 2006 15:01:31 +0300\"\na=file-icon:cid:id2@alicepc.example.com\n\
         a=file-range:1-32349\n"
    ));
    let FileAttributes { selector, transfer_id, disposition, date, icon, range } = push.file.clone();
    let selector = selector.unwrap();
    assert_eq!(selector.name(), Some("My cool picture.jpg"));
    assert_eq!((selector.size(), selector.media_type().unwrap().as_str()), (Some(32349), "image/jpeg"));
    assert_eq!(selector.hashes()[0].to_string(), SHA1);
    assert_eq!(transfer_id.unwrap().as_str(), "vBnG916bdberum2fFEABR1FR3ExZMUrd");
    assert_eq!(disposition.unwrap().as_str(), "attachment");
    assert_eq!(date.unwrap().creation(), Some("Mon, 15 May 2006 15:01:31 +0300"));
    assert_eq!(icon.unwrap().as_str(), "id2@alicepc.example.com");
    assert_eq!(range.unwrap().len(32349), 32349);
    assert_eq!(
        (push.direction(), push.lines[0].to_string().as_str()),
        (Direction::SendOnly, "i=This is my latest picture")
    );
    // 9.1: the answer repeats selector and id, and takes what is sent.
    let path: crate::Path = "msrp://bobpc.example.com:8888/9di4ea;tcp".parse().unwrap();
    let answer = MediaDescription::new(path, push.accept_types.clone()).unwrap().answer_file(&push);
    assert_eq!(answer.direction, Some(Direction::RecvOnly));
    assert_eq!((&answer.file.selector, answer.file.icon), (&push.file.selector, None));
}

#[test]
fn r51_examples_of_rfc_5547_9_pull_and_capabilities() {
    let pull = media(&format!(
        "m=message 7654 TCP/MSRP *\na=recvonly\na=accept-types:message/cpim\na=accept-wrapped-types:*\n\
         a=path:msrp://alicepc.example.com:7654/jshA7we;tcp\na=file-selector:hash:{SHA1}\n\
         a=file-transfer-id:aCQYuBRVoUPGVsFZkCK98vzcX2FXDIk2\n"
    ));
    let file: FileSelector = format!("type:image/jpeg size:7 hash:{SHA1}").parse().unwrap();
    assert!(pull.file.selector.unwrap().matches(&file));
    let options = media("m=message 0 TCP/MSRP *\na=accept-types:message/cpim\na=max-size:20000\na=file-selector\n");
    assert!(options.is_rejected() && options.file.selector.unwrap().is_empty());
    assert_eq!(options.max_size, Some(20000));
}

#[test]
fn r51_names_are_percent_encoded_and_decoded() {
    let name = "a\0b\rc\nd\"e%f/g\\h é";
    let selector = FileSelector::default().with_name(name).unwrap();
    assert_eq!(selector.to_string(), "name:\"a%00b%0Dc%0Ad%22e%25f%2Fg%5Ch é\"");
    assert_eq!(selector.to_string().parse(), Ok(selector));
    let sly: FileSelector = "name:\"..%2F..%2fetc/passwd\"".parse().unwrap();
    assert_eq!(sly.safe_name().as_deref(), Some("..%2F..%2Fetc%2Fpasswd"));
    assert_eq!("name:\"..\"".parse::<FileSelector>().unwrap().safe_name(), None);
    for wrong in
        ["name:\"\"", "name:\"a%0\"", "name:\"a%zz\"", "name:\"a", "name:a", "name:\"%ff\"", "name:\"a\"b", "what:1"]
    {
        assert_eq!(wrong.parse::<FileSelector>().unwrap_err().kind(), &SdpErrorKind::Selector, "{wrong}");
    }
    assert_eq!("size:1 size:1".parse::<FileSelector>().unwrap_err().kind(), &SdpErrorKind::Repeated);
    assert_eq!("size:+1".parse::<FileSelector>().unwrap_err().kind(), &SdpErrorKind::Number);
}

#[test]
fn r51_a_selector_matches_what_has_all_that_it_says() {
    let file: FileSelector = format!("name:\"x y\" type:text/plain size:5 hash:{SHA1}").parse().unwrap();
    let matches = |text: &str| text.parse::<FileSelector>().unwrap().matches(&file);
    assert!(
        matches("name:\"x y\"") && matches("type:Text/Plain;charset=utf-8 size:5") && matches(&format!("hash:{SHA1}"))
    );
    assert!(!matches("") && !matches("name:\"x\"") && !matches("type:text/html") && !matches("size:6 name:\"x y\""));
    assert!(!matches(&format!("hash:sha-256:{}", ["00"; 32].join(":"))), "nothing to compare is no match");
    assert!(!matches(&format!("hash:sha-1:{}", ["00"; 20].join(":"))));
}

#[test]
fn r51_ranges_resume() {
    assert_eq!("5-9".parse::<FileRange>().unwrap().len(7), 3);
    assert_eq!(FileRange::resume(0).unwrap().to_string(), "1-*");
    assert_eq!(FileRange::resume(u64::MAX), None);
    for wrong in ["0-1", "5-4", "5"] {
        assert_eq!(wrong.parse::<FileRange>().unwrap_err().kind(), &SdpErrorKind::Range, "{wrong}");
    }
}

#[test]
fn r47_fingerprints_are_inherited_and_weak_ones_prove_nothing() {
    let strong = Fingerprint::new(HashFunction::Sha256, [0xab; 32]).unwrap();
    let weak: Fingerprint = format!("SHA-1 {}", ["0a"; 20].join(":")).parse().unwrap();
    assert_eq!(weak.to_string(), format!("sha-1 {}", ["0A"; 20].join(":")));
    assert_eq!(Fingerprint::strongest(&[weak.clone(), strong.clone()]).collect::<Vec<_>>(), [&strong]);
    assert_eq!(Fingerprint::strongest(&[weak]).count(), 0);
    assert_eq!(Fingerprint::new(HashFunction::Sha1, [0; 20]).unwrap_err().kind(), &SdpErrorKind::Weak);
    assert_eq!("sha-256 AB:CD".parse::<Fingerprint>().unwrap_err().kind(), &SdpErrorKind::Hash);
    let text = session(&format!(
        "a=setup:actpass\na=fingerprint:{strong}\nm=audio 1 RTP/AVP 0\nm=message 1 TCP/TLS/MSRP *\n\
         a=path:msrps://a.b:1/c;tcp\n"
    ));
    fuzz::sdp(text.as_bytes());
    let read: MediaDescription = text.parse().unwrap();
    assert_eq!((read.setup, read.fingerprints), (Some(Setup::ActPass), vec![strong]));
}

#[test]
fn r47_unknown_lines_are_kept_connection_and_holdconn_are_ignored() {
    let read = media("m=message 1 TCP/MSRP *\na=z:1\na=path:msrp://a.b:1/c;tcp\na=connection:new\na=y\nb=AS:5\n");
    let held = media("m=message 1 TCP/MSRP *\na=path:msrp://a.b:1/c;tcp\na=setup:holdconn\n");
    assert_eq!((held.setup, held.attributes.len()), (None, 0));
    let names: Vec<_> = read.attributes.iter().map(ToString::to_string).collect();
    assert_eq!((names, read.lines.len()), (vec!["z:1".to_owned(), "y".to_owned()], 1));
}

#[test]
fn r47_the_nth_media_is_found() {
    let text = session(
        "m=audio 1 RTP/AVP 0\nm=message 1 TCP/MSRP *\na=path:msrp://a.b:1/c;tcp\n\
         m=message 2 TCP/MSRP *\na=path:msrp://a.b:2/c;tcp\n",
    );
    assert_eq!(MediaDescription::find(&text, 1).unwrap().port, 2);
    assert_eq!(MediaDescription::find(&text, 2).unwrap_err().kind(), &SdpErrorKind::Missing);
    let all: SessionDescription = text.parse().unwrap();
    let [Media::Other(audio), _, _] = all.media() else { panic!("{all:?}") };
    assert_eq!(audio.rejected().head(), "audio 0 RTP/AVP 0");
}

#[test]
fn r47_what_is_wrong_is_said() {
    let head = "m=message 1 TCP/MSRP *\na=path:msrp://a.b:1/c;tcp\n";
    for (lines, kind) in [
        ("m=message 1 TCP/MSRP *\n".to_owned(), SdpErrorKind::Path),
        ("m=message 70000 TCP/MSRP *\n".to_owned(), SdpErrorKind::Media),
        (format!("{head}a=path:msrp://a.b:1/c;tcp\n"), SdpErrorKind::Repeated),
        (format!("{head}a=setup:never\n"), SdpErrorKind::Setup),
        (format!("{head}a=max-size:x\n"), SdpErrorKind::Number),
        (format!("{head}a=accept-types:text\n"), SdpErrorKind::Type),
        (format!("{head}c=IN IP4\n"), SdpErrorKind::Connection),
        (format!("{head}a=x\ry\n"), SdpErrorKind::Character),
        (format!("{head}a=x\0y\n"), SdpErrorKind::Character),
        (format!("{head}hello\n"), SdpErrorKind::Line),
        (format!("{head}a=file-date:creation:\"Mon, 15 May 2006 15:01:31 GMT\"\n"), SdpErrorKind::Date),
        (format!("{head}a=x:{}\n", "y".repeat(MAX_LINE)), SdpErrorKind::Long),
        (format!("{head}{}", "a=x\n".repeat(MAX_LINES + 1)), SdpErrorKind::Long),
        (head.repeat(MAX_MEDIA + 1), SdpErrorKind::Long),
        (format!("{head}a=chatroom:{}\n", "x ".repeat(MAX_TYPES + 1)), SdpErrorKind::Long),
    ] {
        assert_eq!(fault(&lines), kind, "{}", &lines[..lines.len().min(90)]);
    }
    let error = "v=0\r\nhello".parse::<SessionDescription>().unwrap_err();
    assert_eq!((error.kind(), error.offset()), (&SdpErrorKind::Line, 5));
    assert_eq!("v=1".parse::<SessionDescription>().unwrap_err().hint(), Some("a session description begins with v=0"));
}

#[test]
fn r62_nothing_of_the_application_breaks_a_line() {
    for sly in ["a\r\nb", "a\nb", "a\0b"] {
        assert_eq!(Attribute::new("x", Some(sly)).unwrap_err().kind(), &SdpErrorKind::Character);
        assert_eq!(Line::new('i', sly).unwrap_err().kind(), &SdpErrorKind::Character);
        assert!(sly.parse::<Token>().is_err() && sly.parse::<Word>().is_err() && sly.parse::<HashFunction>().is_err());
        assert!(FileDate::default().with_read(format!("{sly} +0000")).is_err());
        assert!(format!("text/plain;x=\"{sly}\"").parse::<FormatEntry>().is_err());
        assert!(Origin::new(sly, 1, 1, "IN IP4 a".parse().unwrap()).is_err());
    }
}

#[test]
fn r27_roles() {
    use Setup::{ActPass, Active, Passive};
    let roles = |offer, answer| {
        let Roles { offerer, answerer } = Roles::of(offer, answer);
        (offerer == Role::Active, answerer == Role::Active)
    };
    for offer in [None, Some(ActPass), Some(Active)] {
        for answer in [None, Some(ActPass), Some(Passive)] {
            assert_eq!(roles(offer, answer), (true, false), "{offer:?} {answer:?}");
        }
    }
    assert_eq!(roles(Some(ActPass), Some(Active)), (false, true));
    assert_eq!(roles(Some(Active), Some(Active)), (true, true));
    assert_eq!(roles(Some(Passive), None), (false, true));
    assert_eq!((offer_setup(true), offer_setup(false)), (ActPass, Active));
    assert_eq!((answer_setup(Some(ActPass), true), answer_setup(Some(ActPass), false)), (Passive, Active));
    assert_eq!((answer_setup(None, false), answer_setup(Some(Passive), true)), (Passive, Active));
    let offer = LocalEnd::default().offer(at("192.0.2.1", 7654, DIRECT, ""));
    assert_eq!((offer.port, offer.setup, offer.msrp_cema), (9, Some(Active), false));
    let behind = LocalEnd::default().with_relay(true).offer(at("192.0.2.9", 2855, RELAYED, ""));
    assert_eq!((behind.port, behind.setup), (2855, Some(ActPass)));
}

#[test]
fn r28_what_an_offerer_does_with_an_answer() {
    let end = LocalEnd::reachable().with_cema(true);
    let offer = end.offer(at("192.0.2.1", 7654, DIRECT, ""));
    let middlebox = Target::Address { host: Host::Ip("198.51.100.1".parse().unwrap()), port: 4000 };
    let between = |path, more: &str| at("198.51.100.1", 4000, path, more);
    let go = |end: LocalEnd, answer: &MediaDescription| end.answered(&offer, answer, nothing);
    // With the attribute, and in the cases that the list does not have: the c= line.
    assert_eq!(go(end, &between(DIRECT, "a=msrp-cema\na=setup:passive\n")), Ok((Role::Active, middlebox.clone())));
    assert_eq!(go(end, &between(DIRECT, "")), Ok((Role::Active, middlebox)));
    // 4.2, 1 to 3.
    assert_eq!(go(end, &between(DIRECT, "a=setup:active\n")), Err(CemaFallback::NewOffer));
    assert_eq!(go(end.with_relay(true), &between(DIRECT, "")), Err(CemaFallback::NewOffer));
    assert_eq!(go(end, &between(RELAYED, "a=setup:passive\n")), Err(CemaFallback::NewOffer));
    // A relay with its own address: the path.
    let (role, target) = go(end, &at("192.0.2.9", 2855, RELAYED, "")).unwrap();
    assert!(role == Role::Active && matches!(target, Target::Uri(uri) if uri.port() == Some(2855)));
    // Port 9 of an active answerer is no other address.
    assert_eq!(go(end, &at("192.0.2.1", 9, DIRECT, "a=setup:active\n")), Ok((Role::Passive, Target::Wait)));
    assert_eq!(go(end.with_relay(true), &at("192.0.2.1", 7654, DIRECT, "")), Ok((Role::Active, Target::Relay)));
    assert_eq!(go(end, &MediaDescription::reject(&offer)), Err(CemaFallback::Refused));
    // Without the attribute of the offer: the path, whatever the c= line has.
    let plain = LocalEnd::reachable().offer(at("192.0.2.1", 7654, DIRECT, ""));
    let answered = LocalEnd::reachable().answered(&plain, &between(DIRECT, ""), nothing);
    assert_eq!(answered, Ok((Role::Active, Target::Uri(DIRECT.parse().unwrap()))));
}

#[test]
fn r28_what_an_answerer_says() {
    let end = LocalEnd::reachable().with_cema(true);
    let plan = |end: LocalEnd, offer: &MediaDescription| {
        end.plan_answer(offer, nothing).map(|plan| (plan.setup, plan.msrp_cema, plan.target))
    };
    let (cema, actpass) = ("a=msrp-cema\n", "a=msrp-cema\na=setup:actpass\n");
    let uri = |text: &str| Target::Uri(text.parse().unwrap());
    let between = |path, more: &str| at("198.51.100.1", 4000, path, more);
    let middlebox = Target::Address { host: Host::Ip("198.51.100.1".parse().unwrap()), port: 4000 };
    assert_eq!(plan(end, &between(DIRECT, "")), Err(CemaFallback::Reject));
    assert_eq!(plan(LocalEnd::reachable(), &between(DIRECT, "")), Ok((Setup::Passive, false, Target::Wait)));
    assert_eq!(plan(end, &between(DIRECT, actpass)), Ok((Setup::Passive, true, Target::Wait)));
    let hidden = LocalEnd::default().with_cema(true);
    assert_eq!(plan(hidden, &between(DIRECT, actpass)), Ok((Setup::Active, true, middlebox.clone())));
    // 4.3, 1 to 3.
    let relayed = end.with_relay(true);
    assert_eq!(plan(relayed, &between(RELAYED, actpass)), Ok((Setup::Passive, false, Target::Relay)));
    assert_eq!(plan(end, &between(RELAYED, cema)), Ok((Setup::Passive, false, Target::Wait)));
    assert_eq!(
        plan(relayed, &between(DIRECT, "a=msrp-cema\na=setup:passive\n")),
        Ok((Setup::Active, false, Target::Relay))
    );
    // Else: an offerer behind a relay is connected to, an own relay waits.
    assert_eq!(plan(end, &between(RELAYED, actpass)), Ok((Setup::Active, true, middlebox)));
    assert_eq!(plan(relayed, &between(DIRECT, actpass)), Ok((Setup::Passive, true, Target::Relay)));
    let plain = LocalEnd::default();
    assert_eq!(
        plan(plain, &at("192.0.2.1", 7654, DIRECT, "a=setup:actpass\n")),
        Ok((Setup::Active, false, uri(DIRECT)))
    );
}

#[test]
fn r28_addresses_are_compared_by_what_names_resolve_to() {
    let end = LocalEnd::reachable().with_cema(true);
    let named = at("192.0.2.1", 7654, "msrp://alice.example.com:7654/a;tcp", "");
    assert_eq!(end.plan_answer(&named, nothing), Err(CemaFallback::Reject));
    let resolve = |_: &str| vec!["192.0.2.7".parse().unwrap(), "::ffff:192.0.2.1".parse().unwrap()];
    assert!(end.plan_answer(&named, resolve).is_ok());
    let six = media("m=message 1 TCP/MSRP *\nc=IN IP6 2001:db8:0:0::1\na=path:msrp://[2001:DB8::1]:1/c;tcp\n");
    assert!(end.plan_answer(&six, nothing).is_ok());
    assert!(six.to_string().contains("c=IN IP6 2001:db8::1\r\n"));
}

#[test]
fn r29_sessmatch_is_off_by_default() {
    let (given, asked) = (DIRECT.parse().unwrap(), "msrp://198.51.100.1:4000/a;tcp".parse().unwrap());
    assert!(!SessionMatch::default().matches(&given, &asked));
    assert!(SessionMatch::SessionId.matches(&given, &asked));
}

proptest! {
    #[test]
    fn r51_any_name_comes_back(name in ".{1,200}", size in any::<u64>()) {
        let selector = FileSelector::default().with_name(name).unwrap().with_size(size);
        prop_assert_eq!(selector.to_string().parse(), Ok(selector));
    }

    #[test]
    fn r47_any_lines_are_the_same_again(lines in proptest::collection::vec(
        "([a-z]=.{0,20}|a=(setup:active|msrp-cema|sendonly|file-selector:size:1|\
         x:.{0,9}|accept-types:[a-z/*; =\"]{0,12})|\
         c=IN IP[46] [a-z0-9.:]{1,8}|t=1 2|r=1|i=x|m=message 0 TCP/MSRP \\*|m=audio 1 RTP/AVP)", 0..12)) {
        fuzz::sdp(session(&lines.join("\n")).as_bytes());
    }
}

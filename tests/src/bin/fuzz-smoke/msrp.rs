//! The targets of MSRP, with what their inputs begin with and are made of.

use postroad_tests::fuzz::Target;

pub(crate) fn targets() -> Vec<Target> {
    let target = |name, body, seeds, tokens| Target { name, krate: "msrp", body, seeds, tokens };
    vec![
        target("cpim", postroad_msrp::fuzz::cpim, wrapped(), HEADERS),
        target("imdn", postroad_msrp::fuzz::imdn, notifications(), XML),
        target("digest", postroad_msrp::fuzz::digest, digests(), DIGEST),
        target("assembly", postroad_msrp::fuzz::assembly, chunks(), &[]),
        target("parser", postroad_msrp::fuzz::parser, cut_frames(), FRAMES),
        target("uri", postroad_msrp::fuzz::uri, uris(), URIS),
        target("relay", postroad_msrp::fuzz::relay, relayed(), RELAYED),
        target("sdp", postroad_msrp::fuzz::sdp, descriptions(), SDP),
        target("registration", postroad_msrp::fuzz::registration, logins(), LOGIN),
    ]
}

/// What is in the headers of message/cpim and of MIME.
const HEADERS: &[&[u8]] = &[
    b"\r\n",
    b"\r\n\r\n",
    b": ",
    b"From: ",
    b"To: <im:a@b>\r\n",
    b"DateTime: 2006-04-04T12:16:49-05:00\r\n",
    b"Subject:;lang=en ",
    b"NS: a <u:1>\r\n",
    b"NS: <u:1>\r\n",
    b"NS: i <urn:ietf:params:imdn>\r\n",
    b"Require: ",
    b"a.",
    b"Content-Type: text/plain\r\n",
    b"Content-Type: message/cpim\r\n\r\n",
    b"Content-Type: multipart/mixed;boundary=b\r\n\r\n",
    b"\r\n--b\r\n",
    b"--b--",
    b"\"",
    b"\\",
    b"\\u0041",
    b"\\ud83d\\ude00",
    b"\\r",
    b"<",
    b">",
    b";a=b",
    b",",
    "\u{e9}".as_bytes(),
    b"\0",
];

/// What XML is made of, and what a notification and its headers have in it.
const XML: &[&[u8]] = &[
    b"<?xml version=\"1.0\" encoding=\"UTF-8\"?>",
    b"<!-- -->",
    b"<!DOCTYPE a>",
    b"<![CDATA[",
    b"]]>",
    b"<a>",
    b"</a>",
    b"<a/>",
    b" xmlns='u'",
    b" xmlns:p='u'",
    b"p:",
    b" xml:lang=\"en\"",
    b"&lt;",
    b"&#10;",
    b"&#x1f600;",
    b"<status>",
    b"</status>",
    b"<delivered/>",
    b"<failed/>",
    b"<subject>",
    b"</subject>",
    b"<refresh>90</refresh>",
    b"<contenttype>",
    b"</contenttype>",
    b"2003-01-27T10:43:00Z",
    b"imdn.Disposition-Notification: display;a=\"b\", negative-delivery\r\n",
    b"imdn.Original-To: <im:a@b>\r\n",
    b"\r\n",
];

/// Parts of header values of digest authentication.
const DIGEST: &[&[u8]] = &[
    b"Digest ",
    b"Basic ",
    b"realm=\"example.com\"",
    b"nonce=",
    b"qop=\"auth\"",
    b"qop=auth-int",
    b"opaque=",
    b"stale=true",
    b"algorithm=MD5",
    b"algorithm=SHA-256",
    b"algorithm=MD5-sess",
    b"username=\"alice\"",
    b"uri=\"msrps://relay.example.com;tcp\"",
    b"response=",
    b"\"6629fae49393a05397450978507c4ef1\"",
    b"nc=00000001",
    b"cnonce=",
    b"nextnonce=",
    b"rspauth=",
    b", ",
    b"\"",
    b"\\",
    b"=",
    b"\t",
    b"\n",
    b"\0",
    "\u{fc}".as_bytes(),
];

/// What session descriptions are made of.
const SDP: &[&[u8]] = &[
    b"\r\n",
    b"m=message 0 TCP/MSRP *\n",
    b"m=audio 1 RTP/AVP 0\n",
    b"a=setup:active\n",
    b"a=sendonly\n",
    b"a=chatroom\n",
    b"a=file-selector:",
    b"a=fingerprint:md5 0a\n",
    b"c=IN IP6 ::1\n",
    b"t=0 0\n",
    b"%2F",
    b"\"",
];

/// Parts of what relays answer to `AUTH`.
const LOGIN: &[&[u8]] = &[
    b"\n\n",
    b"\n",
    b"200",
    b"401",
    b"403",
    b"408",
    b"423",
    b"501",
    b"wait 30",
    b"wait 540",
    b"WWW-Authenticate: Digest realm=\"x\", nonce=\"n\", qop=\"auth\"",
    b", stale=true",
    b", opaque=\"o\"",
    b"Authentication-Info: nextnonce=\"m\"",
    b"Use-Path: msrps://a:1/x;tcp",
    b" msrps://b:1/y;tcp",
    b"Expires: 600",
    b"Min-Expires: 60",
    b"Max-Expires: 900",
];

/// Parts of frames of MSRP, and of what only looks like their ends.
const FRAMES: &[&[u8]] = &[
    b"MSRP 49fi SEND\r\n",
    b"MSRP 49fi 200 OK\r\n",
    b"To-Path: msrp://b:1/t;tcp\r\n",
    b"From-Path: msrp://a:1/f;tcp\r\n",
    b"Message-ID: m123\r\n",
    b"Byte-Range: 1-*/*\r\n",
    b"Content-Type: a/b\r\n",
    b"-------49fi$\r\n",
    b"\r\n-------49fi+\r\n",
    b"\r\n-------49fi",
    b"-------",
    b"\r\n",
    b"\r",
    b"\n",
    b"#",
];

/// Parts of URIs of MSRP.
const URIS: &[&[u8]] = &[
    b"msrp://",
    b"MSRPS://",
    b"bob@",
    b"%61",
    b"%2f",
    b"[::1]",
    b"127.0.0.1",
    b"a",
    b":1",
    b":65535",
    b"/s",
    b";tcp",
    b";TCP",
    b";ws",
    b";x=y",
    b"\n",
    b" ",
    b"\r",
];

const RELAYED: &[&[u8]] = &[
    b"MSRP abcd SEND\r\n",
    b"MSRP {0} 200 OK\r\n",
    b"-------abcd$\r\n",
    b"-------abcd+\r\n",
    b"-------abcd#\r\n",
    b"-------{0}$\r\n",
    b"To-Path: {a} ",
    b"{a}",
    b"{b}",
    b"From-Path: ",
    b"Byte-Range: 1-*/*\r\n",
    b"Failure-Report: no\r\n",
    b"Content-Type: text/plain\r\n\r\n",
    b"REPORT",
    b"AUTH",
    b"\r\n",
    b"\x10",
    b"\x14",
    b"\x15",
    b"\x18",
    b"\x1c",
];

/// Messages that are wrapped, once and twice, and the texts of media types, lists, addresses and nicknames.
fn wrapped() -> Vec<Vec<u8>> {
    let headers = "From: MR SANDERS <im:piglet@100akerwood.com>\r\nTo: \"a \\\"b\\\"\" <im:eeyore@100akerwood.com>\r\n\
                   DateTime: 2000-12-13T13:40:00-08:00\r\nSubject:;lang=fr beau\\ttemps\r\n\
                   NS: MyFeatures <mid:MessageFeatures@id.foo.com>\r\nRequire: MyFeatures.VitalMessageOption\r\n\
                   MyFeatures.VitalMessageOption: Confirmation-requested\r\n";
    let body = "Content-type: text/xml;\r\n charset=utf-8\r\nContent-ID: <1@foo.com>\r\n\r\n<body>\r\n";
    let part = format!("--b\r\n{body}\r\n--b\r\n\r\n{headers}\r\n--b--\r\n");
    [
        format!("{headers}\r\n{body}"),
        format!("{headers}{body}"),
        format!("{headers}\r\nContent-Type: message/cpim\r\n\r\n{headers}\r\n{body}"),
        format!("{headers}\r\nContent-Type: multipart/mixed; boundary=\"b\"\r\n\r\n{part}"),
        part,
        "message/cpim text/*;a=b *".to_owned(),
        "multipart/signed;boundary=\"a \\\"b\";micalg=sha1;x".to_owned(),
        "\"Winnie \\u0041\" <im:pooh@100akerwood.com>".to_owned(),
        "\"Alice \\\"the\\\" great\"".to_owned(),
    ]
    .map(String::into_bytes)
    .into()
}

/// Notifications by themselves and in messages, a message that asks for them, and statuses of composing.
fn notifications() -> Vec<Vec<u8>> {
    let imdn = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\r\n<imdn xmlns=\"urn:ietf:params:xml:ns:imdn\">\
                <message-id>34jk324j</message-id><datetime>2008-04-04T12:16:49-05:00</datetime>\
                <recipient-uri>im:bob@example.com</recipient-uri><subject xml:lang='en'>a &amp; b</subject>\
                <delivery-notification><status><delivered/></status></delivery-notification></imdn>";
    let composing = "<isComposing xmlns=\"urn:ietf:params:xml:ns:im-iscomposing\"><state>active</state>\
                     <lastactive>2003-01-27T10:43:00Z</lastactive><contenttype>text/plain</contenttype>\
                     <refresh>90</refresh></isComposing>";
    let headers = "From: Bob <im:bob@example.com>\r\nNS: imdn <urn:ietf:params:imdn>\r\nimdn.Message-ID: d834\r\n";
    let notification = "Content-Disposition: notification\r\nContent-type: message/imdn+xml\r\n\r\n";
    [
        imdn.to_owned(),
        composing.to_owned(),
        format!("{headers}\r\n{notification}{imdn}"),
        format!(
            "{headers}\r\nContent-Disposition: notification\r\nContent-type: multipart/mixed;boundary=b\r\n\r\n\
             --b\r\n{notification}{imdn}\r\n--b\r\n{notification}{imdn}\r\n--b\r\n"
        ),
        format!("{headers}\r\nContent-type: application/im-iscomposing+xml\r\n\r\n{composing}"),
        format!(
            "{headers}imdn.Disposition-Notification: positive-delivery, display;a=\"b\\u0041\", later\r\n\
             imdn.Original-To: <im:a@b>\r\nimdn.IMDN-Record-Route: \"x\" <im:c@d>\r\nimdn.IMDN-Route: <im:e@f>\r\n\r\n\
             Content-Type: text/plain\r\n\r\nHello"
        ),
    ]
    .map(String::into_bytes)
    .into()
}

/// Header values of digest authentication, alone and as an exchange.
fn digests() -> Vec<Vec<u8>> {
    const HEX: &str = "6629fae49393a05397450978507c4ef1";
    let challenge = "Digest realm=\"example.com\", qop=\"auth\", nonce=\"dcd98b\"".to_owned();
    let several = "Digest realm=\"a \\\"b\\\"\", nonce=a/b=, qop=\"auth, auth-int\", opaque=\"x\", stale=true, \
                   algorithm=SHA-256, domain=\"y\""
        .to_owned();
    let answer = format!(
        "Digest username=\"alice\", realm=\"example.com\", nonce=\"dcd98b\", uri=\"msrps://relay.example.com;tcp\", \
         response=\"{HEX}\", qop=auth, nc=\"00000001\", cnonce=\"0a4f113b\""
    );
    let info = format!("nextnonce=\"40f2\",rspauth=\"{HEX}\", cnonce=\"0a4f113b\", nc=00000001, qop=auth");
    let silent = "nextnonce=\"40f2\", cnonce=\"0a4f113b\", nc=00000001".to_owned();
    let exchange = [&*challenge, &answer, &silent, &several, &answer, &info].join("\n");
    [challenge, several, answer, info, silent, exchange].map(String::into_bytes).into()
}

/// Logins at one relay and at two, with renewals, in which things go well and wrong.
fn logins() -> Vec<Vec<u8>> {
    const CHALLENGE: &str = "401 x\nWWW-Authenticate: Digest realm=\"x\", nonce=\"n\", qop=\"auth\"";
    const FIRST: &str = "200 OK\nUse-Path: msrps://a:1/x;tcp\nExpires: 900";
    const BOTH: &str = "200 OK\nUse-Path: msrps://a:1/x;tcp msrps://b:1/y;tcp\nExpires: 600";
    const BOUNDS: &str = "423 x\nMin-Expires: 60\nMax-Expires: 120";
    [
        (0, [CHALLENGE, BOUNDS, FIRST, "wait 60", FIRST, "wait 60"]),
        (1, [CHALLENGE, FIRST, CHALLENGE, BOTH, "wait 540", BOTH]),
        (2, [CHALLENGE, "wait 30", FIRST, "wait 810", "wait 30", FIRST]),
        (9, [FIRST, BOTH, "wait 540", "403 no", "500 x", FIRST]),
    ]
    .map(|(choice, answers): (u8, [&str; 6])| [&[choice], answers.join("\n\n").as_bytes()].concat())
    .into()
}

/// Frames with content and without, in two pieces.
fn cut_frames() -> Vec<Vec<u8>> {
    let paths = "To-Path: msrp://b:1/t;tcp\r\nFrom-Path: msrp://a:1/f;tcp\r\n";
    let chunk = format!("MSRP 49fi SEND\r\n{paths}Content-Type: a/b\r\n\r\nx\r\n-------49fi\r\n-------49fi+\r\n");
    let response = format!("MSRP 49fi 200 OK\r\n{paths}-------49fi$\r\n");
    let both = format!("{chunk}{response}");
    let cut = |frames: &String| [0, 128, 250].map(|place| [&[1, place], frames.as_bytes()].concat());
    [chunk, response, both].iter().flat_map(cut).collect()
}

/// URIs, two on a line or on two lines.
fn uris() -> Vec<Vec<u8>> {
    let (one, other) =
        ("msrps://bob@Host.example.com:2855/s8d9fa;tcp;x=1", "MSRPS://host.%65xample.com:2855/s8d9fa;TCP");
    let address = "msrp://[2001:db8::1]:9/Ab/c+d=;ws";
    [format!("{one}\n{other}"), format!("{one} {address}"), address.to_owned()].map(String::into_bytes).into()
}

/// Requests and responses of clients of a relay, each for one connection, up to the end or in pieces.
fn relayed() -> Vec<Vec<u8>> {
    let bob = "msrps://bob.example.com:7654/bob;tcp";
    let from = "From-Path: msrps://alice.example.com:7654/alice;tcp\r\n";
    let send = |to: &str, headers: &str, content: &str| {
        let head = format!("MSRP abcd SEND\r\nTo-Path: {to}\r\n{from}Message-ID: m\r\n{headers}");
        format!("{head}Content-Type: text/plain\r\n\r\n{content}\r\n-------abcd$\r\n")
    };
    let frames = [
        send(&format!("{{a}} {{b}} {bob}"), "Byte-Range: 1-5/5\r\n", "hello"),
        send("{a} msrps://other.example.net:2855/x;tcp", "Failure-Report: partial\r\n", "hello"),
        send(&format!("{{b}} {bob}"), "Failure-Report: no\r\n", &"x".repeat(6000)),
        format!(
            "MSRP abcd REPORT\r\nTo-Path: {{b}} {bob}\r\n{from}Message-ID: m\r\nStatus: 000 200 OK\r\n-------abcd$\r\n"
        ),
        format!("MSRP abcd NICKNAME\r\nTo-Path: {{a}} {{b}} {bob}\r\n{from}Use-Nickname: \"a\"\r\n-------abcd$\r\n"),
        format!(
            "MSRP abcd AUTH\r\nTo-Path: {{a}} msrps://other.example.net;tcp\r\n{from}Expires: 60\r\n-------abcd$\r\n"
        ),
        "MSRP {0} 200 OK\r\nTo-Path: {a}\r\nFrom-Path: {b}\r\n-------{0}$\r\n".to_owned(),
        "MSRP {1} 413\r\nTo-Path: {b} {a} msrps://x.example.com:1/x;tcp\r\nFrom-Path: {b}\r\n-------{1}$\r\n"
            .to_owned(),
    ];
    let mut seeds = Vec::new();
    for frame in &frames {
        for link in 0..3 {
            seeds.push([&[0x80 | link], frame.as_bytes()].concat());
            let pieces = frame
                .as_bytes()
                .chunks(0x0c)
                .flat_map(|piece| [0x0c | link].iter().chain(piece).copied().collect::<Vec<_>>());
            seeds.push([0x14 | link].into_iter().chain(pieces).chain([0x10, 0x1c, 0x14 | link, 0x18 | link]).collect());
        }
    }
    seeds
}

/// A message of 32 units in pieces of eight, in order, in reverse and twice; how it is kept, and how large a unit is.
fn chunks() -> Vec<Vec<u8>> {
    let orders: [&[u8]; 3] = [&[0, 8, 16, 24], &[24, 16, 8, 0], &[0, 16, 4, 16, 8, 24]];
    let mut seeds = Vec::new();
    for setup in [0, 1, 2, 3, 0x14, 0x15, 0x16, 0x17] {
        for order in orders {
            let pieces = order.iter().flat_map(|start| [*start, 8, 0, 0, 0x22]);
            seeds.push(std::iter::once(setup).chain(pieces).collect());
        }
    }
    seeds
}

/// A text session, and one that transfers a file.
fn descriptions() -> Vec<Vec<u8>> {
    let head = "v=0\r\no=alice 1 2 IN IP4 a.example.com\r\ns=-\r\nc=IN IP4 a.example.com\r\nt=0 0\r\n";
    let text = "m=message 7394 TCP/MSRP *\r\na=accept-types:message/cpim text/plain;x=\"y z\"\r\n\
        a=accept-wrapped-types:*\r\n\
        a=path:msrp://r.example.com:2855/r;tcp msrp://[::1]:7394/a;tcp\r\na=setup:actpass\r\na=msrp-cema\r\n\
        a=max-size:2000\r\na=chatroom:nickname private-messages\r\n";
    let file = "m=message 7654 TCP/TLS/MSRP *\r\ni=picture\r\na=sendonly\r\na=path:msrps://a.example.com:7654/b;tcp\r\n\
        a=file-selector:name:\"My%20picture.jpg\" type:image/jpeg size:4 hash:md5:0A:0B\r\na=file-transfer-id:v\r\n\
        a=file-date:read:\"Mon, 15 May 2006 15:01:31 +0300\"\r\na=file-icon:cid:i@a\r\na=file-range:1-*\r\n";
    [[head, text, ""], [head, file, text], [head, "m=audio 1 RTP/AVP 0\r\nc=IN IP4 224.2.1.1/127\r\n", text]]
        .map(|parts| parts.concat().into_bytes())
        .into()
}

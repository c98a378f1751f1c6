//! What sessions carry: message/cpim, notifications, statuses of composing.

use bytes::Bytes;

use crate::content::{
    AcceptTypes, Acceptance, Address, Cpim, CpimHeader, Imdn, ImdnHeaders, IsComposing, MediaType, Multipart,
    UseNickname,
};

/// A message/cpim is refused or kept octet for octet, and what is taken from it can be written again.
///
/// # Panics
/// When something is lost or changed.
pub fn cpim(input: &[u8]) {
    let input = Bytes::copy_from_slice(input);
    let all = Acceptance::new(AcceptTypes::any(), None);
    let _ = all.check(&MediaType::cpim(), &input);
    let multipart = MediaType::new("multipart", "mixed").and_then(|it| it.with_parameter("boundary", "b"));
    if let Ok(parts) = Multipart::parse(&multipart.expect("this is a media type"), &input) {
        assert!(parts.parts().iter().map(|part| part.body().len()).sum::<usize>() <= input.len());
    }
    if let Ok(text) = std::str::from_utf8(&input) {
        texts(text);
    }
    let Ok(message) = Cpim::parse_understanding(&input, |_, _| true) else { return };
    assert_eq!(message.to_bytes(), input);
    assert_eq!(message.body().as_ptr(), input[input.len() - message.body().len()..].as_ptr());
    let nobody = Address::new("im:a@b").expect("this is an address");
    let (from, to) = (message.from().unwrap_or(&nobody), message.to().first().unwrap_or(&nobody));
    let mut copy = Cpim::builder(from, to);
    // What a peer may write with escapes, an application may not: then there is nothing to compare.
    let subject = message.subject().filter(|subject| !subject.contains(['\r', '\n', '\0']));
    if let Some(subject) = &subject {
        copy = copy.with_subject(subject).expect("it has no end of a line");
    }
    // Escaping can make the head too long, and so can what is added to it.
    let Ok(copy) = copy.build(message.content_type(), message.body().clone()) else { return };
    let read = Cpim::parse(&copy.to_bytes()).expect("what is built can be read");
    assert_eq!(read, copy);
    assert_eq!((read.from(), read.to()), (Some(from), std::slice::from_ref(to)));
    assert_eq!((read.subject(), read.content_type(), read.body()), (subject, message.content_type(), message.body()));
    assert!(message.headers().iter().map(CpimHeader::value).map(|value| value.len()).sum::<usize>() <= input.len());
}

fn texts(text: &str) {
    if let Ok(media_type) = text.parse::<MediaType>() {
        assert_eq!(media_type.to_string().parse(), Ok(media_type));
    }
    if let Ok(types) = text.parse::<AcceptTypes>() {
        assert_eq!(types.to_string().parse(), Ok(types));
    }
    if let Ok(address) = text.parse::<Address>() {
        assert_eq!(address.to_string().parse(), Ok(address));
    }
    if let Ok(nickname) = text.parse::<UseNickname>() {
        assert_eq!(nickname.to_string().parse(), Ok(nickname));
    }
}

/// Notifications, the headers that ask for them, and statuses of composing are refused or can be written again.
///
/// # Panics
/// When something is lost or changed.
pub fn imdn(input: &[u8]) {
    if let Ok(imdn) = Imdn::parse(input) {
        again(&imdn.to_xml(), |xml| Imdn::parse(xml).map(|read| read == imdn));
    }
    if let Ok(status) = IsComposing::parse(input) {
        again(&status.to_xml(), |xml| IsComposing::parse(xml).map(|read| read == status));
    }
    let input = Bytes::copy_from_slice(input);
    let _ = IsComposing::in_content(&MediaType::cpim(), &input);
    let Ok(message) = Cpim::parse(&input) else { return };
    let _ = Imdn::all_in(&message);
    let Ok(headers) = ImdnHeaders::of(&message) else { return };
    let nobody = Address::new("im:a@b").expect("this is an address");
    let date_time = "2006-04-04T12:16:49-05:00".parse().expect("this is a time");
    // More may be written than was read, if much of it needs escapes.
    let builder = Cpim::builder(&nobody, &nobody).with_date_time(&date_time).with_imdn(&headers);
    let Ok(copy) = builder.and_then(|builder| builder.build(&MediaType::text_plain(), "")) else { return };
    assert_eq!(ImdnHeaders::of(&copy), Ok(headers));
}

/// A document that was written must be read as what it was, if it is not too long by its escapes.
fn again<E: std::fmt::Debug>(xml: &str, is_same: impl Fn(&[u8]) -> Result<bool, E>) {
    if xml.len() <= crate::content::MAX_XML {
        assert!(is_same(xml.as_bytes()).expect("what is written can be read"));
    }
}

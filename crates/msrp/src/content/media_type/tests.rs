use proptest::prelude::*;

use super::*;

fn media(text: &str) -> MediaType {
    text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
}

#[track_caller]
fn refused(text: &str, kind: MediaTypeErrorKind, offset: usize) {
    let error = text.parse::<MediaType>().expect_err(text);
    assert_eq!((error.kind(), error.offset()), (kind, offset), "{text}");
}

#[test]
fn r44_what_a_media_type_is_made_of() {
    let all = media("Multipart/Signed ;\tboundary=\"a \\\"b\\\" ;\"; micalg=SHA1;x");
    assert_eq!((all.kind(), all.subtype(), all.essence()), ("Multipart", "Signed", "Multipart/Signed"));
    let parameters: Vec<_> = all.parameters().map(|(name, value)| (name, value.map(Cow::into_owned))).collect();
    let expected = [("boundary", Some("a \"b\" ;".to_owned())), ("micalg", Some("SHA1".to_owned())), ("x", None)];
    assert_eq!(parameters, expected);
    assert_eq!(all.to_string(), "Multipart/Signed;boundary=\"a \\\"b\\\" ;\";micalg=SHA1;x");
    assert!(all.is_container() && media("Message/CPIM").is_container() && !media("message/imdn+xml").is_container());
    assert_eq!(media("a/b ").to_string(), "a/b");
}

#[test]
fn r44_case_and_order_do_not_count() {
    for (one, other) in [
        ("text/plain", "TEXT/Plain"),
        ("text/plain;a=1;B=2", "text/plain; b=\"2\"; A=1"),
        ("text/plain;x", "text/plain ;X"),
    ] {
        assert_eq!(media(one), media(other));
        assert_eq!(std::collections::HashSet::from([media(one), media(other)]).len(), 1);
    }
    for other in ["text/html", "x/plain", "text/plain;a", "text/plain;a=X", "text/plain;a=x;b", "text/plain"] {
        assert_ne!(media("text/plain;a=x"), media(other));
    }
}

#[test]
fn r44_what_is_no_media_type() {
    use MediaTypeErrorKind::*;
    refused("", Type, 0);
    refused("text", Type, 4);
    refused("te xt/plain", Type, 2);
    refused("text/", Subtype, 5);
    refused("text/pl@in", Subtype, 7);
    refused("text/plain x", Parameter, 11);
    refused("text/plain;", Parameter, 11);
    refused("text/plain; ;a=b", Parameter, 12);
    refused("text/plain;a=", Parameter, 13);
    refused("text/plain;a=\"b", Parameter, 15);
    refused("text/plain;a=b\r\nX: y", Parameter, 14);
    refused("text/plain;a=b;A=c", Duplicate, 15);
    let many = |count: usize| (0..count).fold("a/b".to_owned(), |text, place| format!("{text};p{place}"));
    assert_eq!(media(&many(MediaType::MAX_PARAMETERS)).parameters().count(), MediaType::MAX_PARAMETERS);
    let long = many(MediaType::MAX_PARAMETERS);
    refused(&format!("{long};x"), Parameters, long.len() + 1);
    let long = format!("a/{}", "b".repeat(MediaType::MAX_LENGTH - 2));
    assert_eq!(media(&long).to_string(), long);
    refused(&format!("{long}b"), Long, MediaType::MAX_LENGTH);
}

#[test]
fn r62_nothing_of_the_application_ends_a_line() {
    let kind = |result: Result<MediaType, MediaTypeError>| result.map_err(|error| error.kind());
    let text = MediaType::text_plain();
    assert_eq!(kind(MediaType::new("text", "plain\r\nX: y")), Err(MediaTypeErrorKind::Subtype));
    assert_eq!(kind(text.clone().with_parameter("a", "b\r\nc")), Err(MediaTypeErrorKind::Parameter));
    assert_eq!(kind(text.clone().with_parameter("a", "\0")), Err(MediaTypeErrorKind::Parameter));
    assert_eq!(kind(text.clone().with_parameter("a;b", "c")), Err(MediaTypeErrorKind::Parameter));
    assert_eq!(kind(text.clone().with_parameter("a=b;c", "d")), Err(MediaTypeErrorKind::Parameter));
    let odd = text.with_parameter("name", "a\"b\\;c").unwrap().with_parameter("x", "").unwrap();
    assert_eq!(odd.to_string(), r#"text/plain;name="a\"b\\;c";x="""#);
    assert_eq!(odd.parameter("NAME").as_deref(), Some("a\"b\\;c"));
}

proptest! {
    #[test]
    fn r44_round_trip(text in "[a-z+*]{1,4}/[a-zA-Z.]{1,4}( ?; ?[a-d]{1,3}(=([x-z]{1,3}|\"[ -!#-\\[é]{0,4}\"))?){0,3}") {
        if let Ok(media) = text.parse::<MediaType>() {
            let again: MediaType = media.to_string().parse().unwrap();
            prop_assert_eq!(&again, &media);
            prop_assert_eq!(again.to_string(), media.to_string());
        } else {
            prop_assert!(text.contains(';'));
        }
    }
}

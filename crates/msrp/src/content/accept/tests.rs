use bytes::Bytes;

use super::*;
use crate::content::MultipartError;

fn types(text: &str) -> AcceptTypes {
    text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn accepts(list: &str, media_type: &str) -> bool {
    types(list).accepts(&media_type.parse().unwrap())
}

#[test]
fn r44_entries_of_lists() {
    for (list, media_type) in [
        ("text/plain", "text/plain"),
        ("Text/Plain", "text/PLAIN"),
        ("text/plain", "text/plain;charset=utf-8"),
        ("text/plain;charset=utf-8", "text/plain"),
        ("text/plain;charset=\"utf 8\"", "text/plain;charset=x"),
        ("image/png text/*", "text/html"),
        ("TEXT/*;x=y", "text/html"),
        ("*", "video/mp4"),
        ("text/plain *", "video/mp4"),
        ("*/*", "video/mp4"),
    ] {
        assert!(accepts(list, media_type), "{list}: {media_type}");
    }
    for (list, media_type) in [
        ("text/plain", "text/html"),
        ("text/*", "application/text"),
        ("text/plain text/html", "text/plain2"),
        ("*/plain", "text/plain"),
    ] {
        assert!(!accepts(list, media_type), "{list}: {media_type}");
    }
}

#[test]
fn r44_lists_are_read_and_written() {
    // RFC 4975 8.7, and quotes with spaces in them.
    for text in ["message/cpim text/plain text/html", "text/plain;a=\"b \\\" c\" *"] {
        assert_eq!(types(text).to_string(), text);
    }
    assert_eq!(types(" text/plain  * ").to_string(), "text/plain *");
    assert!(types("message/CPIM text/plain").prefers_cpim());
    assert!(!types("text/plain message/cpim").prefers_cpim() && !types("*").prefers_cpim());
    assert_eq!("".parse::<AcceptTypes>(), Err(AcceptTypesError::Empty));
    let error = "text".parse::<MediaType>().unwrap_err();
    assert_eq!("* text".parse::<AcceptTypes>(), Err(AcceptTypesError::Entry { place: 1, error }));
    let most = vec!["*"; AcceptTypes::MAX].join(" ");
    assert_eq!(types(&most).entries().len(), AcceptTypes::MAX);
    assert_eq!(format!("{most} *").parse::<AcceptTypes>(), Err(AcceptTypesError::Long));
    assert_eq!(types(&most.replace('*', "a/b")).with_mandatory(), Err(AcceptTypesError::Long));
}

#[test]
fn r44_what_every_end_receives() {
    assert_eq!(types("*").with_mandatory(), Ok(types("*")));
    assert_eq!(
        types("text/plain multipart/*").with_mandatory().unwrap().to_string(),
        "text/plain multipart/* message/cpim"
    );
    let all = types("text/plain").with_mandatory().unwrap();
    for media_type in AcceptTypes::MANDATORY {
        assert!(all.accepts(&media_type.parse().unwrap()), "{media_type}");
    }
}

fn check(list: &str, wrapped: &str, media_type: &str, body: &str) -> Result<(), NotAccepted> {
    let wrapped = Some(wrapped).filter(|list| !list.is_empty()).map(types);
    let body = Bytes::from(body.replace('\n', "\r\n"));
    Acceptance::new(types(list), wrapped).check(&media_type.parse().unwrap(), &body)
}

#[test]
fn r44_wrapped_types_are_for_containers_only() {
    let html: MediaType = "text/html".parse().unwrap();
    let cpim = "From: <im:a@b>\n\nContent-Type: text/html\n\n<p>";
    let mixed = "--b\nContent-Type: text/html\n\n<p>\n--b--\n";
    assert_eq!(check("message/cpim", "text/html", "text/html", ""), Err(NotAccepted::Type(html.clone())));
    assert_eq!(check("message/cpim", "text/html", "message/cpim", cpim), Ok(()));
    assert_eq!(check("message/cpim text/*", "", "message/cpim", cpim), Ok(()));
    assert_eq!(check("message/cpim", "", "message/cpim", cpim), Err(NotAccepted::Wrapped(html.clone())));
    assert_eq!(check("multipart/mixed", "*", "multipart/mixed;boundary=b", mixed), Ok(()));
    assert_eq!(
        check("multipart/mixed", "text/plain", "multipart/mixed;boundary=b", mixed),
        Err(NotAccepted::Wrapped(html.clone()))
    );
    // In a container that may be wrapped itself, all is wrapped in the outermost one.
    let nested = format!("From: <im:a@b>\n\nContent-Type: multipart/mixed; boundary=b\n\n{mixed}");
    assert_eq!(check("message/cpim", "*", "message/cpim", &nested), Ok(()));
    assert_eq!(check("message/cpim", "multipart/*", "message/cpim", &nested), Err(NotAccepted::Wrapped(html)));
    let none = check("*", "", "message/cpim", "nonsense");
    assert!(matches!(none, Err(NotAccepted::Cpim(_))), "{none:?}");
    let none = check("*", "", "multipart/mixed", mixed);
    assert_eq!(none, Err(NotAccepted::Multipart(MultipartError::Boundary)));
}

#[test]
fn r44_what_is_inside_has_its_limits() {
    let nest = |depth: usize| "\n\nContent-Type: message/cpim\n".replacen('\n', "", 1).repeat(depth);
    let deepest = format!("{}\nContent-Type: a/b\n\n", nest(Acceptance::MAX_DEPTH - 1));
    assert_eq!(check("*", "", "message/cpim", &deepest), Ok(()));
    let deeper = format!("{}\nContent-Type: a/b\n\n", nest(Acceptance::MAX_DEPTH));
    assert_eq!(check("*", "", "message/cpim", &deeper), Err(NotAccepted::Deep));
    let parts = |count: usize| "--b\n\nx\n".repeat(count) + "--b--";
    let multipart = "multipart/mixed;boundary=b";
    let inner = |count| format!("Content-Type: multipart/mixed;boundary=b\n\n{}\n", parts(count));
    let outer = |parts: [usize; 4]| parts.map(|count| format!("--c\n{}", inner(count))).concat() + "--c--";
    // The inner delimiters are not the outer ones.
    let full = [63; 4];
    assert_eq!(check("*", "", &multipart.replace("=b", "=c"), &outer(full)), Ok(()));
    let over = [63, 63, 63, 64];
    assert_eq!(check("*", "", &multipart.replace("=b", "=c"), &outer(over)), Err(NotAccepted::Many));
}

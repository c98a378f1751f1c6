use proptest::prelude::*;

use super::*;

/// A document as a line: names with what they belong to, attributes, texts.
fn outline(text: &str) -> Result<String, (XmlErrorKind, usize)> {
    let read = || -> Result<String, XmlError> {
        let mut reader = Reader::new(text.as_bytes())?;
        let mut out = String::new();
        loop {
            match reader.next()? {
                Event::Start(element) => {
                    out += "<";
                    out += &element.namespace.map_or(String::new(), |uri| format!("{{{uri}}}"));
                    out += element.name;
                    for Attribute { namespace, name, value } in &element.attributes {
                        let namespace = namespace.as_ref().map_or(String::new(), |uri| format!("{{{uri}}}"));
                        out += &format!(" {namespace}{name}={value:?}");
                    }
                    out += ">";
                }
                Event::Text(text) => out += &text,
                Event::End => out += "</>",
                Event::Done => return Ok(out),
            }
        }
    };
    read().map_err(|error| (error.kind(), error.offset()))
}

#[track_caller]
fn is(text: &str, expected: &str) {
    assert_eq!(outline(text).as_deref(), Ok(expected));
}

#[track_caller]
fn refused(text: &str, kind: XmlErrorKind, offset: usize) {
    assert_eq!(outline(text), Err((kind, offset)), "{text}");
}

#[test]
fn r45_elements_and_text() {
    is("<a/>", "<a></>");
    is(
        "\u{feff}<?xml version='1.0' encoding = \"utf-8\" standalone='yes'?>\n<a  >x<b />y</a >\n<!-- c --><?xml-p i?>",
        "<a>x<b></>y</>",
    );
    is("<a>x<!-- - -->y<?p ?>z<![CDATA[<&]]]></a>", "<a>xyz<&]</>");
    is("<a>&lt;&gt;&amp;&apos;&quot;&#65;&#x1F600;&#x0D;</a>", "<a><>&'\"A\u{1f600}\r</>");
    is("<a>1\r\n2\r3\n</a>", "<a>1\n2\n3\n</>");
    is("<a b='\"\t\r\n&#10;' c.d = \"'>\"/>", "<a b=\"\\\"  \\n\" c.d=\"'>\"></>");
    is("<\u{e9} _-.1='x'/>", "<\u{e9} _-.1=\"x\"></>");
}

#[test]
fn r45_namespaces() {
    is("<a xmlns='u' b='c'><d xmlns=''/><e/></a>", "<{u}a b=\"c\"><d></><{u}e></></>");
    is("<p:a xmlns:p='u'><p:b xmlns:p='v' p:c=''/><p:d/></p:a>", "<{u}a><{v}b {v}c=\"\"></><{u}d></></>");
    is("<a xml:lang='en'/>", "<a {http://www.w3.org/XML/1998/namespace}lang=\"en\"></>");
    is("<a xmlns:p='u' xmlns='u' p:b='' b=''/>", "<{u}a {u}b=\"\" b=\"\"></>");
    is("<a xmlns:xml='http://www.w3.org/XML/1998/namespace'/>", "<a></>");
    refused("<p:a/>", XmlErrorKind::Namespace, 0);
    refused("<a><b xmlns:p='u'/><p:c/></a>", XmlErrorKind::Namespace, 19);
    refused("<a p:b=''/>", XmlErrorKind::Namespace, 0);
    refused("<a xmlns:p=''/>", XmlErrorKind::Namespace, 3);
    refused("<a xmlns:xmlns='u'/>", XmlErrorKind::Namespace, 3);
    refused("<a xmlns:xml='u'/>", XmlErrorKind::Namespace, 3);
    refused("<a xmlns='u' xmlns='u'/>", XmlErrorKind::Duplicate, 13);
    refused("<a xmlns:p='u' xmlns:q='u' p:b='' q:b=''/>", XmlErrorKind::Duplicate, 0);
}

#[test]
fn r45_a_document_type_is_refused() {
    for text in [
        "<!DOCTYPE a [<!ENTITY b \"c\">]><a>&b;</a>",
        "<!DOCTYPE a SYSTEM \"http://a.example/b\"><a/>",
        "<!doctype a><a/>",
        "<![CDATA[x]]><a/>",
    ] {
        refused(text, XmlErrorKind::Doctype, 0);
    }
    refused("<a><!ENTITY b \"c\"></a>", XmlErrorKind::Doctype, 3);
    refused("<a>&b;</a>", XmlErrorKind::Reference, 3);
}

#[test]
fn r45_what_is_no_xml() {
    use XmlErrorKind::*;
    for (text, kind, offset) in [
        ("", Cut, 0),
        (" <!-- a -->", Cut, 11),
        ("<a>", Cut, 3),
        ("<a", Cut, 2),
        ("<a><b></a></b>", End, 8),
        ("</a>", End, 2),
        ("<a></a", End, 5),
        ("<a/><b/>", Markup, 4),
        ("<a/>x", Markup, 4),
        ("x<a/>", Markup, 0),
        ("<a>]]></a>", Markup, 3),
        ("<a><!-- -- --></a>", Markup, 10),
        ("<a><!-- </a>", Markup, 7),
        ("<a><?b </a>", Cut, 5),
        ("<a><![CDATA[ </a>", Cut, 12),
        ("< a/>", Name, 1),
        ("<1/>", Name, 1),
        ("<a:b:c/>", Name, 1),
        ("<:a/>", Name, 1),
        ("<a:/>", Name, 1),
        ("<a b/>", Attribute, 4),
        ("<a b=c/>", Attribute, 5),
        ("<a b='c/>", Attribute, 6),
        ("<a b='<'/>", Attribute, 6),
        ("<a b=''c=''/>", Name, 7),
        ("<a b='' b=''/>", Duplicate, 0),
        ("<a b='&c;'/>", Reference, 6),
        ("<a>& </a>", Reference, 3),
        ("<a>&#0;</a>", Reference, 3),
        ("<a>&#xd800;</a>", Reference, 3),
        ("<a>&#x110000;</a>", Reference, 3),
        ("<a>&#+65;</a>", Reference, 3),
        ("<a>&#x;</a>", Reference, 3),
        ("<a>&#65</a>", Reference, 3),
        ("<a>\0</a>", Character, 3),
        ("<a>\u{ffff}</a>", Character, 3),
        ("<?xml version='2.0'?><a/>", Declaration, 0),
        ("<?xml version='1.0' encoding='utf-16'?><a/>", Declaration, 0),
        ("<?xml encoding='utf-8'?><a/>", Declaration, 0),
        (" <?xml version='1.0'?><a/>", Declaration, 1),
        ("<a><?XML?></a>", Declaration, 3),
        ("<?>", Cut, 2),
        ("<a><??></a>", Name, 3),
        ("<?xml version='1.0'", Markup, 5),
    ] {
        refused(text, kind, offset);
    }
    let error = Reader::new(b"<a>\xff</a>").unwrap_err();
    assert_eq!((error.kind(), error.offset()), (Utf8, 3));
}

#[test]
fn r57_documents_have_limits() {
    let nested = |depth: usize| format!("{}{}", "<a>".repeat(depth), "</a>".repeat(depth));
    assert!(outline(&nested(MAX_XML_DEPTH)).is_ok());
    refused(&nested(MAX_XML_DEPTH + 1), XmlErrorKind::Depth, 3 * MAX_XML_DEPTH + 1);
    let many = |name: &str, count| (0..count).map(|place| format!(" {name}{place}='u'")).collect::<String>();
    assert!(outline(&format!("<a{}/>", many("b", MAX_XML_ATTRIBUTES))).is_ok());
    let text = format!("<a{}/>", many("b", MAX_XML_ATTRIBUTES + 1));
    refused(&text, XmlErrorKind::Attributes, text.len() - " b32='u'/>".len() + 1);
    let declared = |last| {
        let half = many("xmlns:p", MAX_XML_NAMESPACES / 2);
        format!("<a{half}><b{half}><c{}/><c/></b></a>", many("xmlns:q", last))
    };
    assert!(outline(&declared(0)).is_ok());
    assert_eq!(outline(&declared(1)).unwrap_err().0, XmlErrorKind::Namespaces);
    let text = |length: usize| format!("<a>{}</a>", " ".repeat(length - 7));
    assert!(outline(&text(MAX_XML)).is_ok());
    refused(&text(MAX_XML + 1), XmlErrorKind::Long, MAX_XML);
}

#[test]
fn r45_readers_pass_over_what_they_do_not_know() {
    let mut reader = Reader::new(b"<a xmlns='u'> x <b>1<c>2</c>3</b><d><e/></d><f/> </a>").unwrap();
    assert_eq!(reader.root("u", "a").unwrap().name, "a");
    assert_eq!(reader.child().unwrap().and_then(|child| child.name_in("u")), Some("b"));
    assert_eq!(reader.text().unwrap(), "13");
    assert_eq!(reader.child().unwrap().and_then(|child| child.name_in("v")), None);
    reader.skip().unwrap();
    assert_eq!(reader.child().unwrap().and_then(|child| child.name_in("u")), Some("f"));
    assert_eq!(reader.text().unwrap(), "");
    assert!(reader.child().unwrap().is_none());
    reader.finish().unwrap();
    let error = Reader::new(b"<a/>").unwrap().root("u", "a").unwrap_err();
    assert_eq!((error.kind(), error.offset()), (XmlErrorKind::Root, 0));
}

proptest! {
    #[test]
    fn r45_what_is_escaped_comes_back(text in any::<String>()) {
        let text: String = text.chars().filter(|&character| is_character(character)).collect();
        let mut out = "<a>".to_owned();
        escape(&text, &mut out);
        out += "</a>";
        let mut reader = Reader::new(out.as_bytes()).unwrap();
        reader.next().unwrap();
        prop_assert_eq!(reader.text().unwrap(), text.trim_matches(is_space));
    }

    #[test]
    fn r57_anything_has_an_end(text in "([<>/a='\" !&;?\\[\\]-]|<a|</a>|xmlns|CDATA|&#1){0,40}") {
        let _ = outline(&text);
    }
}

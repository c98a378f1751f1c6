//! A reader of the small XML documents that messages carry (XML 1.0, Namespaces in XML 1.0).
//!
//! It knows elements, attributes, namespaces, text, CDATA, comments, the five entities of XML itself and references to
//! characters. A document type is refused, so there is nothing to expand and nothing to fetch. It works through a document
//! once, without recursion, and gives text as slices where it can.

use std::borrow::Cow;
use std::sync::Arc;

mod error;

pub use error::{XmlError, XmlErrorKind};

/// How many octets a document may have: a notification needs a few hundred.
pub const MAX_XML: usize = 65_536;

/// How deep elements may be in elements: each open one is kept.
pub const MAX_XML_DEPTH: usize = 32;

/// How many attributes an element may have: each is compared with each.
pub const MAX_XML_ATTRIBUTES: usize = 32;

/// How many namespaces may be declared at a place: each name is looked up among them.
pub const MAX_XML_NAMESPACES: usize = 64;

const XML: &str = "http://www.w3.org/XML/1998/namespace";

/// The next thing in a document.
#[derive(Debug)]
enum Event<'a> {
    Start(Element<'a>),
    Text(Cow<'a, str>),
    End,
    Done,
}

/// The start of an element.
#[derive(Debug)]
pub(super) struct Element<'a> {
    namespace: Option<Arc<str>>,
    name: &'a str,
    attributes: Vec<Attribute<'a>>,
}

#[derive(Debug)]
struct Attribute<'a> {
    namespace: Option<Arc<str>>,
    name: &'a str,
    value: Cow<'a, str>,
}

impl<'a> Element<'a> {
    /// The name, if it belongs to this namespace.
    pub(super) fn name_in(&self, namespace: &str) -> Option<&'a str> {
        Some(self.name).filter(|_| self.namespace.as_deref() == Some(namespace))
    }

    /// `xml:lang`.
    pub(super) fn language(&self) -> Option<&str> {
        let is_language =
            |attribute: &&Attribute<'_>| attribute.namespace.as_deref() == Some(XML) && attribute.name == "lang";
        self.attributes.iter().find(is_language).map(|attribute| &*attribute.value)
    }
}

/// Reads a document from its start to its end.
#[derive(Debug)]
pub(super) struct Reader<'a> {
    text: &'a str,
    offset: usize,
    /// The names of the open elements as they were written, and how many namespaces were declared in front of each.
    open: Vec<(&'a str, usize)>,
    /// Prefixes, the empty one for the default, and what they stand for; none undoes a default.
    namespaces: Vec<(&'a str, Option<Arc<str>>)>,
    /// The element that was started last is an empty one.
    empty: bool,
    had_root: bool,
}

impl<'a> Reader<'a> {
    /// Looks at the size and the characters of a document, and at how it declares itself.
    pub(super) fn new(input: &'a [u8]) -> Result<Self, XmlError> {
        if input.len() > MAX_XML {
            return Err(XmlError { kind: XmlErrorKind::Long, offset: MAX_XML });
        }
        let text = std::str::from_utf8(input)
            .map_err(|error| XmlError { kind: XmlErrorKind::Utf8, offset: error.valid_up_to() })?;
        if let Some(offset) = text.find(|character| !is_character(character)) {
            return Err(XmlError { kind: XmlErrorKind::Character, offset });
        }
        let offset = if text.starts_with('\u{feff}') { '\u{feff}'.len_utf8() } else { 0 };
        let mut new = Self { text, offset, open: Vec::new(), namespaces: Vec::new(), empty: false, had_root: false };
        new.declaration()?;
        Ok(new)
    }

    /// Reads up to the outermost element, which is to have this name.
    pub(super) fn root(&mut self, namespace: &str, name: &str) -> Result<Element<'a>, XmlError> {
        let start = self.offset;
        match self.next()? {
            Event::Start(element) if element.name_in(namespace) == Some(name) => Ok(element),
            Event::Start(_) | Event::Text(_) | Event::End | Event::Done => {
                Err(XmlError { kind: XmlErrorKind::Root, offset: start })
            }
        }
    }

    /// The next element in the one that is open; none behind the end of that. Text is passed over.
    pub(super) fn child(&mut self) -> Result<Option<Element<'a>>, XmlError> {
        loop {
            match self.next()? {
                Event::Start(element) => return Ok(Some(element)),
                Event::Text(_) => {}
                Event::End | Event::Done => return Ok(None),
            }
        }
    }

    /// The text of the element that is open, without the spaces around it, up to its end. Elements in it are passed over.
    pub(super) fn text(&mut self) -> Result<String, XmlError> {
        let mut whole = String::new();
        loop {
            match self.next()? {
                Event::Text(text) => whole.push_str(&text),
                Event::Start(_) => self.skip()?,
                Event::End | Event::Done => return Ok(whole.trim_matches(is_space).to_owned()),
            }
        }
    }

    /// Passes over the rest of the element that is open.
    pub(super) fn skip(&mut self) -> Result<(), XmlError> {
        let outside = self.open.len().saturating_sub(1);
        while self.open.len() > outside {
            self.next()?;
        }
        Ok(())
    }

    /// Makes sure that nothing but comments is behind the outermost element.
    pub(super) fn finish(&mut self) -> Result<(), XmlError> {
        match self.next()? {
            Event::Done => Ok(()),
            Event::Start(_) | Event::Text(_) | Event::End => Err(self.wrong(XmlErrorKind::Markup)),
        }
    }

    fn wrong(&self, kind: XmlErrorKind) -> XmlError {
        XmlError { kind, offset: self.offset }
    }

    fn rest(&self) -> &'a str {
        &self.text[self.offset..]
    }

    fn take(&mut self, start: &str) -> bool {
        let is_there = self.rest().starts_with(start);
        self.offset += if is_there { start.len() } else { 0 };
        is_there
    }

    /// What is in front of an end, which is passed.
    fn until(&mut self, end: &str, kind: XmlErrorKind) -> Result<&'a str, XmlError> {
        let place = self.rest().find(end).ok_or_else(|| self.wrong(kind))?;
        let inside = &self.rest()[..place];
        self.offset += place + end.len();
        Ok(inside)
    }

    fn spaces(&mut self) -> bool {
        let rest = self.rest();
        let length = rest.len() - rest.trim_start_matches(is_space).len();
        self.offset += length;
        length > 0
    }

    /// `<?xml ...?>`, of which nothing may differ from XML 1 in UTF-8.
    fn declaration(&mut self) -> Result<(), XmlError> {
        let start = self.offset;
        if !(self.rest().starts_with("<?xml") && self.rest()[5..].starts_with(is_space)) {
            return Ok(());
        }
        self.offset += 5;
        let inside = self.until("?>", XmlErrorKind::Markup)?;
        let value = |name: &str| {
            let (before, behind) = inside.split_once(name)?;
            let value = before.ends_with(is_space).then(|| behind.trim_start_matches(is_space))?.strip_prefix('=')?;
            let value = value.trim_start_matches(is_space);
            let quote = value.chars().next().filter(|quote| matches!(quote, '"' | '\''))?;
            value[1..].split_once(quote).map(|(value, _)| value)
        };
        let is_known = value("version").is_some_and(|version| version.starts_with("1."))
            && (!inside.contains("encoding")
                || value("encoding").is_some_and(|name| ["utf-8", "us-ascii"].contains(&&*name.to_ascii_lowercase())));
        if is_known { Ok(()) } else { Err(XmlError { kind: XmlErrorKind::Declaration, offset: start }) }
    }

    fn next(&mut self) -> Result<Event<'a>, XmlError> {
        if self.empty {
            self.empty = false;
            return Ok(self.close());
        }
        loop {
            if self.rest().is_empty() {
                return match self.open.is_empty() && self.had_root {
                    true => Ok(Event::Done),
                    false => Err(self.wrong(XmlErrorKind::Cut)),
                };
            }
            if !self.rest().starts_with('<') {
                let length = self.rest().find('<').unwrap_or_else(|| self.rest().len());
                let raw = &self.rest()[..length];
                if self.open.is_empty() && !raw.trim_matches(is_space).is_empty() || raw.contains("]]>") {
                    return Err(self.wrong(XmlErrorKind::Markup));
                }
                let text = self.decode(raw, self.offset, false)?;
                self.offset += length;
                if self.open.is_empty() {
                    continue;
                }
                return Ok(Event::Text(text));
            }
            if self.take("<!--") {
                if self.until("--", XmlErrorKind::Cut).is_ok() && self.take(">") {
                    continue;
                }
                return Err(self.wrong(XmlErrorKind::Markup));
            }
            let start = self.offset;
            if self.take("<?") {
                let target = self.until("?>", XmlErrorKind::Cut)?.split(is_space).next().unwrap_or_default();
                match target {
                    "" => return Err(XmlError { kind: XmlErrorKind::Name, offset: start }),
                    _ if target.eq_ignore_ascii_case("xml") => {
                        return Err(XmlError { kind: XmlErrorKind::Declaration, offset: start });
                    }
                    _ => {}
                }
                continue;
            }
            if !self.open.is_empty() && self.take("<![CDATA[") {
                return Ok(Event::Text(Cow::Borrowed(self.until("]]>", XmlErrorKind::Cut)?)));
            }
            if self.rest().starts_with("<!") {
                return Err(self.wrong(XmlErrorKind::Doctype));
            }
            if self.take("</") {
                let start = self.offset;
                let name = self.name()?;
                self.spaces();
                if self.open.last().map(|(open, _)| *open) != Some(name) || !self.take(">") {
                    return Err(XmlError { kind: XmlErrorKind::End, offset: start });
                }
                return Ok(self.close());
            }
            return self.start().map(Event::Start);
        }
    }

    fn close(&mut self) -> Event<'a> {
        if let Some((_, namespaces)) = self.open.pop() {
            self.namespaces.truncate(namespaces);
        }
        Event::End
    }

    /// A name with or without a prefix, as it is written.
    fn name(&mut self) -> Result<&'a str, XmlError> {
        let rest = self.rest();
        let name = &rest[..rest.find(|character| !is_name(character) && character != ':').unwrap_or(rest.len())];
        let is_part =
            |part: &str| part.starts_with(|first: char| is_name(first) && !is_inner(first)) && !part.contains(':');
        let (prefix, local) = split_name(name);
        if !is_part(local) || !prefix.is_none_or(is_part) {
            return Err(self.wrong(XmlErrorKind::Name));
        }
        self.offset += name.len();
        Ok(name)
    }

    fn start(&mut self) -> Result<Element<'a>, XmlError> {
        let start = self.offset;
        if self.open.is_empty() && self.had_root || !self.take("<") {
            return Err(self.wrong(XmlErrorKind::Markup));
        }
        if self.open.len() == MAX_XML_DEPTH {
            return Err(self.wrong(XmlErrorKind::Depth));
        }
        let written = self.name()?;
        self.open.push((written, self.namespaces.len()));
        self.had_root = true;
        let mut attributes: Vec<(&str, Cow<'_, str>)> = Vec::new();
        let mut count = 0;
        loop {
            let spaces = self.spaces();
            if self.take(">") {
                break;
            }
            if self.take("/>") {
                self.empty = true;
                break;
            }
            if !spaces {
                return Err(self.wrong(if self.rest().is_empty() { XmlErrorKind::Cut } else { XmlErrorKind::Name }));
            }
            count += 1;
            if count > MAX_XML_ATTRIBUTES {
                return Err(self.wrong(XmlErrorKind::Attributes));
            }
            let place = self.offset;
            let (name, value) = self.attribute()?;
            let prefix = match split_name(name) {
                (None, "xmlns") => Some(""),
                (Some("xmlns"), prefix) => Some(prefix),
                _ => None,
            };
            match prefix {
                Some(prefix) => self.declare(prefix, &value, place)?,
                None => attributes.push((name, value)),
            }
        }
        let resolved = |prefix| self.resolve(prefix).ok_or(XmlError { kind: XmlErrorKind::Namespace, offset: start });
        let (prefix, name) = split_name(written);
        let namespace = resolved(prefix.unwrap_or_default())?;
        let mut known: Vec<Attribute<'a>> = Vec::with_capacity(attributes.len());
        for (written, value) in attributes {
            let (prefix, name) = split_name(written);
            // The default is not for attributes.
            let namespace = prefix.map(resolved).transpose()?.flatten();
            // Names first: to compare long namespaces is dear.
            if known.iter().any(|other| other.name == name && other.namespace == namespace) {
                return Err(XmlError { kind: XmlErrorKind::Duplicate, offset: start });
            }
            known.push(Attribute { namespace, name, value });
        }
        Ok(Element { namespace, name, attributes: known })
    }

    fn attribute(&mut self) -> Result<(&'a str, Cow<'a, str>), XmlError> {
        let name = self.name()?;
        self.spaces();
        if !self.take("=") {
            return Err(self.wrong(XmlErrorKind::Attribute));
        }
        self.spaces();
        let quote = if self.take("\"") {
            "\""
        } else if self.take("'") {
            "'"
        } else {
            return Err(self.wrong(XmlErrorKind::Attribute));
        };
        let start = self.offset;
        let raw = self.until(quote, XmlErrorKind::Attribute)?;
        match raw.find('<') {
            Some(place) => Err(XmlError { kind: XmlErrorKind::Attribute, offset: start + place }),
            None => Ok((name, self.decode(raw, start, true)?)),
        }
    }

    fn declare(&mut self, prefix: &'a str, uri: &str, offset: usize) -> Result<(), XmlError> {
        let first = self.open.last().map_or(0, |(_, first)| *first);
        let kind = match prefix {
            _ if self.namespaces[first..].iter().any(|(known, _)| *known == prefix) => Some(XmlErrorKind::Duplicate),
            "xmlns" => Some(XmlErrorKind::Namespace),
            "xml" if uri != XML => Some(XmlErrorKind::Namespace),
            // Only a default can be undone.
            _ if uri.is_empty() && !prefix.is_empty() => Some(XmlErrorKind::Namespace),
            _ if self.namespaces.len() == MAX_XML_NAMESPACES => Some(XmlErrorKind::Namespaces),
            _ => None,
        };
        match kind {
            Some(kind) => Err(XmlError { kind, offset }),
            None => {
                self.namespaces.push((prefix, Some(uri).filter(|uri| !uri.is_empty()).map(Into::into)));
                Ok(())
            }
        }
    }

    /// What a prefix stands for, the empty one for the default; nothing if it is not declared.
    fn resolve(&self, prefix: &str) -> Option<Option<Arc<str>>> {
        match self.namespaces.iter().rev().find(|(known, _)| *known == prefix) {
            Some((_, uri)) => Some(uri.clone()),
            None if prefix.is_empty() => Some(None),
            None => (prefix == "xml").then(|| Some(XML.into())),
        }
    }

    /// Text without references, and with the ends of lines as XML has them (2.11, 3.3.3).
    fn decode(&self, raw: &'a str, start: usize, attribute: bool) -> Result<Cow<'a, str>, XmlError> {
        let is_plain = |byte: u8| !(byte == b'&' || byte == b'\r' || attribute && matches!(byte, b'\t' | b'\n'));
        if raw.bytes().all(is_plain) {
            return Ok(Cow::Borrowed(raw));
        }
        let mut text = String::with_capacity(raw.len());
        let mut rest = raw;
        while let Some(place) = rest.bytes().position(|byte| !is_plain(byte)) {
            text.push_str(&rest[..place]);
            rest = &rest[place..];
            if rest.starts_with('&') {
                let wrong = XmlError { kind: XmlErrorKind::Reference, offset: start + raw.len() - rest.len() };
                // The longest is that of the last character there is.
                let end = rest.bytes().take(12).position(|byte| byte == b';').ok_or_else(|| wrong.clone())?;
                text.push(reference(&rest[1..end]).ok_or(wrong)?);
                rest = &rest[end + 1..];
            } else {
                text.push(if attribute { ' ' } else { '\n' });
                rest = rest.strip_prefix("\r\n").unwrap_or_else(|| &rest[1..]);
            }
        }
        text.push_str(rest);
        Ok(text.into())
    }
}

/// What `&name;` stands for.
fn reference(name: &str) -> Option<char> {
    Some(match name {
        "lt" => '<',
        "gt" => '>',
        "amp" => '&',
        "apos" => '\'',
        "quot" => '"',
        _ => {
            let number = name.strip_prefix('#')?;
            let (digits, radix) = number.strip_prefix('x').map_or((number, 10), |digits| (digits, 16));
            let is_number = digits.bytes().all(|byte| byte.is_ascii_hexdigit());
            let code = u32::from_str_radix(Some(digits).filter(|_| is_number)?, radix).ok()?;
            char::from_u32(code).filter(|&character| is_character(character))?
        }
    })
}

/// Writes a text for the inside of an element, or of an attribute in double quotes.
pub(super) fn escape(text: &str, out: &mut String) {
    for character in text.chars() {
        match character {
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '&' => out.push_str("&amp;"),
            '"' => out.push_str("&quot;"),
            // These would not come back as they were.
            '\t' | '\n' | '\r' => out.push_str(&format!("&#{};", u32::from(character))),
            _ => out.push(character),
        }
    }
}

/// The place of a character that no value may have that is written here: controls, and what XML cannot say at all.
pub(super) fn unwritable(text: &str) -> Option<usize> {
    text.find(|character: char| character.is_ascii_control() || !is_character(character))
}

/// `Char` of XML 1.0.
pub(super) fn is_character(character: char) -> bool {
    matches!(character, '\t' | '\n' | '\r' | ' '..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'..)
}

fn is_space(character: char) -> bool {
    matches!(character, ' ' | '\t' | '\r' | '\n')
}

/// Characters of names; of those that are not ASCII, all are taken.
fn is_name(character: char) -> bool {
    character.is_ascii_alphanumeric() || matches!(character, '_' | '-' | '.') || !character.is_ascii()
}

/// What a name cannot begin with.
fn is_inner(character: char) -> bool {
    character.is_ascii_digit() || matches!(character, '-' | '.')
}

fn split_name(name: &str) -> (Option<&str>, &str) {
    name.split_once(':').map_or((None, name), |(prefix, name)| (Some(prefix), name))
}

#[cfg(test)]
mod tests;

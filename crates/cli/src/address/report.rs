//! What is wrong with an address, shown at its place.

use std::fmt;
use std::io::{self, IsTerminal as _, Write as _};
use std::ops::Range;

use miette::{Diagnostic, GraphicalReportHandler, GraphicalTheme, LabeledSpan, SourceCode};
use postroad::address::{OptionFault, OptionsError, ParseError, Role, TokenKind, UrlError, lex};
use postroad::messaging::AddressError;
use serde_json::{Value as Json, json};

/// What is wrong, where, and what to write instead.
#[derive(Debug)]
pub(super) struct Report {
    /// One line.
    message: String,
    hint: Option<String>,
    /// The address, without what would steer a terminal.
    text: String,
    /// The places in it, and what is wrong at each.
    places: Vec<(Range<usize>, String)>,
}

impl Report {
    pub(super) fn of_url(error: &UrlError) -> Self {
        // Without the text, which may hold a password.
        let hint = error.hint().map(ToOwned::to_owned);
        Self { message: error.to_string(), hint, text: String::new(), places: Vec::new() }
    }

    pub(super) fn of_address(error: &ParseError, text: &str) -> Self {
        // The long form has the facts in its first line.
        let facts = format!("{error:#}");
        let message = facts.lines().next().unwrap_or_default();
        let length = error.found().map_or(1, |found| found.text.len().max(1));
        let place = error.offset()..error.offset() + length;
        Self::at(message, Some(error.hint().to_owned()), text, vec![(place, HERE.to_owned())])
    }

    pub(super) fn of_options(error: &OptionsError, role: Role, text: &str) -> Self {
        let place = |fault: &OptionFault| Some((place_of(text, &fault.path)?, harmless(&fault.problem.to_string())));
        let places = error.faults().iter().filter_map(place).collect();
        Self::at(&format!("error in options of a {}: {error}", name_of(role)), error.hint(), text, places)
    }

    pub(super) fn of_resolution(error: &AddressError, role: Role, text: &str) -> Self {
        let path = match error {
            AddressError::Unsupported { option, .. } => option.split('.').map(ToOwned::to_owned).collect(),
            _ => Vec::new(),
        };
        let places = place_of(text, &path).map(|place| (place, HERE.to_owned())).into_iter().collect();
        Self::at(&format!("a {} cannot have this address: {error}", name_of(role)), error.hint(), text, places)
    }

    fn at(message: &str, hint: Option<String>, text: &str, places: Vec<(Range<usize>, String)>) -> Self {
        Self { message: harmless(message), hint, text: harmless(text), places }
    }

    /// Prints it on stderr; with colours when a person reads it.
    pub(super) fn print(&self) {
        let terminal = io::stderr().is_terminal();
        let theme = match terminal {
            true if std::env::var_os("NO_COLOR").is_some() => GraphicalTheme::unicode_nocolor(),
            true => GraphicalTheme::unicode(),
            false => GraphicalTheme::none(),
        };
        let mut out = String::new();
        // Long addresses are not broken into lines: the place would be lost.
        let handler = GraphicalReportHandler::new_themed(theme).with_width(110);
        if handler.render_report(&mut out, self).is_err() {
            out = format!("{self}\n");
        }
        // It does not matter when nobody reads it.
        let _ = io::stderr().write_all(out.as_bytes());
    }

    pub(super) fn json(&self) -> Json {
        let mut object = json!({ "message": self.message });
        if let Some(hint) = &self.hint {
            object["hint"] = json!(hint);
        }
        if let Some((place, _)) = self.places.first() {
            let before = &self.text[..place.start];
            let start = before.rfind('\n').map_or(0, |at| at + 1);
            object["line"] = json!(1 + before.matches('\n').count());
            object["column"] = json!(before[start..].chars().count());
            object["offset"] = json!(place.start);
        }
        object
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Report {}

impl Diagnostic for Report {
    fn help<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        self.hint.as_ref().map(|hint| Box::new(hint) as Box<dyn fmt::Display>)
    }

    fn source_code(&self) -> Option<&dyn SourceCode> {
        let shown = !self.places.is_empty() && self.text.len() <= MAX_SHOWN;
        shown.then_some(&self.text as &dyn SourceCode)
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        let label =
            |(place, what): &(Range<usize>, String)| LabeledSpan::new(Some(what.clone()), place.start, place.len());
        Some(Box::new(self.places.iter().map(label)))
    }
}

pub(super) fn name_of(role: Role) -> &'static str {
    match role {
        Role::Sender => "sender",
        Role::Receiver => "receiver",
    }
}

/// The longest address that is shown with its place, in bytes; a line is shown whole.
const MAX_SHOWN: usize = 1000;

/// What is wrong at a place where the message says it.
const HERE: &str = "here";

/// The same text, as many bytes long, with a `?` for each byte of a character that a terminal obeys.
fn harmless(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '\n' => out.push('\n'),
            c if c.is_control() => out.extend(std::iter::repeat_n('?', c.len_utf8())),
            c => out.push(c),
        }
    }
    out
}

/// Where the key stands that this path of keys leads to. The C++ dialect has texts that are no tokens: no place then.
fn place_of(text: &str, path: &[String]) -> Option<Range<usize>> {
    let tokens = lex(text).ok()?;
    let tokens: Vec<_> = tokens.iter().filter(|token| token.kind != TokenKind::Blank).collect();
    let start = tokens.iter().position(|token| token.kind == TokenKind::Semi)?;
    // The key that each open map is at.
    let mut keys: Vec<&str> = Vec::new();
    for pair in tokens[start..].windows(2) {
        match (pair[0].kind, pair[1].kind) {
            (TokenKind::LBrace, _) => keys.push(""),
            (TokenKind::RBrace, _) => drop(keys.pop()),
            (_, TokenKind::Colon) => {
                if let Some(key) = keys.last_mut() {
                    *key = pair[0].text.trim_matches(['\'', '"']);
                }
                if keys == path {
                    return Some(pair[0].offset..pair[0].offset + pair[0].text.len());
                }
            }
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_of_keys() {
        let text = "a:b; {create: always, 'node': {x-bindings: [{}, {key: 1}], durable: []}, durable: 1}";
        let place = |path: &[&str]| {
            let path: Vec<_> = path.iter().map(|key| (*key).to_owned()).collect();
            place_of(text, &path).map(|place| (place.start, &text[place]))
        };
        assert_eq!(place(&["create"]), Some((6, "create")));
        assert_eq!(place(&["node"]), Some((22, "'node'")));
        assert_eq!(place(&["node", "durable"]), Some((59, "durable")));
        assert_eq!(place(&["node", "x-bindings", "key"]), Some((49, "key")));
        assert_eq!(place(&["durable"]), Some((73, "durable")));
        assert_eq!(place(&["link"]), None);
        assert_eq!(place_of("a", &["b".to_owned()]), None);
    }

    #[test]
    fn nothing_steers_a_terminal() {
        let text = "a\u{1b}[2J\u{9b}é\n";
        assert_eq!(harmless(text), "a?[2J??é\n");
        assert_eq!(harmless(text).len(), text.len());
    }
}

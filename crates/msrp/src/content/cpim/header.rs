//! Headers of message/cpim, and the namespaces of their names (RFC 3862 3).

use std::borrow::Cow;
use std::sync::Arc;

use super::address::check_uri;
use super::escape::{quoted_end, unescape};
use super::{CPIM_NAMESPACE, CpimError, CpimErrorKind};
use crate::content::mime::Line;

/// How many parameters a header may have: each costs memory many times its shortest form.
const MAX_PARAMETERS: usize = 16;

/// The name and the value of a parameter.
pub(in crate::content) type Parameter = (Box<str>, Box<str>);

/// A header of a message/cpim: `imdn.Message-ID: 34jk324j`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CpimHeader {
    namespace: Option<Arc<str>>,
    written: Box<str>,
    /// Where the name begins behind the prefix.
    local: usize,
    parameters: Vec<Parameter>,
    value: Box<str>,
}

/// What a message is about.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Subject {
    /// The text, without escapes. What a peer sent may stand for any character.
    pub text: String,
    /// The tag of the language that it is in (RFC 3066), if that is said.
    pub language: Option<String>,
}

impl CpimHeader {
    /// The URI of the namespace that the name belongs to; none if its prefix was not declared in front of it, and then
    /// nobody can tell what the header means.
    #[must_use]
    pub fn namespace(&self) -> Option<&str> {
        self.namespace.as_deref()
    }

    /// The name in its namespace, in which case counts.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.written[self.local..]
    }

    /// The name with its prefix, which says nothing outside of the message.
    #[must_use]
    pub fn written_name(&self) -> &str {
        &self.written
    }

    /// The value without escapes. What a peer sent may stand for any character.
    #[must_use]
    pub fn value(&self) -> Cow<'_, str> {
        unescape(&self.value)
    }

    /// The value as it was written.
    #[must_use]
    pub fn raw_value(&self) -> &str {
        &self.value
    }

    /// The parameters in front of the value, without quotes and escapes.
    pub fn parameters(&self) -> impl ExactSizeIterator<Item = (&str, &str)> {
        self.parameters.iter().map(|(name, value)| (&**name, &**value))
    }

    /// The tag of the language that the value is in (RFC 3862 3.3).
    #[must_use]
    pub fn language(&self) -> Option<&str> {
        self.parameters().find(|(name, _)| *name == "lang").map(|(_, value)| value)
    }

    pub(super) fn read(line: &Line<'_>, scope: &Scope) -> Result<Self, CpimError> {
        let wrong = |kind, rest: &str| CpimError::new(kind, line.offset + line.text.len() - rest.len());
        if let Some(place) = line.text.bytes().position(|byte| byte.is_ascii_control()) {
            return Err(wrong(CpimErrorKind::Head(super::HeadErrorKind::Control), &line.text[place..]));
        }
        let Some((written, mut rest)) = line.text.split_once(':') else {
            return Err(wrong(CpimErrorKind::Name, line.text));
        };
        let (namespace, local) = scope.resolve(written).map_err(|()| wrong(CpimErrorKind::Name, line.text))?;
        let mut parameters = Vec::new();
        while let Some(behind) = rest.strip_prefix(';') {
            if parameters.len() == MAX_PARAMETERS {
                return Err(wrong(CpimErrorKind::Parameter, rest));
            }
            let (parameter, behind) = read_parameter(behind).ok_or_else(|| wrong(CpimErrorKind::Parameter, rest))?;
            parameters.push(parameter);
            rest = behind;
            if !rest.is_empty() && !rest.starts_with([';', ' ']) {
                return Err(wrong(CpimErrorKind::Parameter, rest));
            }
        }
        // There is one space (RFC 3862 2.2); that some forget it hurts nobody.
        let value = rest.strip_prefix(' ').unwrap_or(rest);
        Ok(Self { namespace, written: written.into(), local, parameters, value: value.into() })
    }
}

/// `Parameter` at the beginning of a text: its name and value, and what is behind it.
pub(in crate::content) fn read_parameter(text: &str) -> Option<(Parameter, &str)> {
    let (name, rest) = text.split_once('=')?;
    if name.is_empty() || !name.chars().all(is_name) {
        return None;
    }
    let (value, rest) = match rest.strip_prefix('"') {
        Some(inside) => {
            let end = quoted_end(inside)?;
            (unescape(&inside[..end]), &inside[end + 1..])
        }
        None => {
            let is_token = |character: char| is_name(character) || character == '.' || !character.is_ascii();
            let end = rest.find(|character| !is_token(character)).unwrap_or(rest.len());
            (Some(&rest[..end]).filter(|value| !value.is_empty())?.into(), &rest[end..])
        }
    };
    Some(((name.into(), value.into()), rest))
}

/// Which namespaces the names of headers belong to, at a place in a message (RFC 3862 3.4).
#[derive(Debug, Clone)]
pub(super) struct Scope {
    default: Arc<str>,
    prefixes: Vec<(Box<str>, Arc<str>)>,
}

impl Default for Scope {
    fn default() -> Self {
        Self { default: CPIM_NAMESPACE.into(), prefixes: Vec::new() }
    }
}

impl Scope {
    /// The namespace of a name, if it has one, and where the name begins behind its prefix; an error if it is no name.
    pub(super) fn resolve(&self, written: &str) -> Result<(Option<Arc<str>>, usize), ()> {
        let (prefix, name) = match written.split_once('.') {
            Some((prefix, name)) => (Some(prefix), name),
            None => (None, written),
        };
        for part in prefix.into_iter().chain([name]) {
            if part.is_empty() || !part.chars().all(is_name) {
                return Err(());
            }
        }
        let Some(prefix) = prefix else { return Ok((Some(self.default.clone()), 0)) };
        // The last declaration of a prefix holds; there are no more than headers.
        let known = self.prefixes.iter().rev().find(|(known, _)| **known == *prefix);
        Ok((known.map(|(_, uri)| uri.clone()), prefix.len() + 1))
    }

    /// Takes the value of `NS` for what follows; nothing if it is none.
    pub(super) fn declare(&mut self, value: &str) -> Option<()> {
        let (prefix, uri) = value.trim_matches(' ').split_once('<')?;
        let (prefix, uri) = (prefix.trim_matches(' '), uri.strip_suffix('>')?);
        check_uri(uri).ok().filter(|()| prefix.chars().all(is_name))?;
        match prefix {
            "" => self.default = uri.into(),
            _ => self.prefixes.push((prefix.into(), uri.into())),
        }
        Some(())
    }
}

/// `NAMECHAR` of RFC 3862 3.6.
pub(super) fn is_name(character: char) -> bool {
    character.is_ascii_graphic() && !"()<>@,;:\\\"/[]?={}.".contains(character)
}

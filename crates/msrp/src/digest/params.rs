//! The lists of `name=value` and `name="value"` that all header values of digest authentication are.

use std::fmt::{self, Write};

use super::{DigestError, DigestErrorKind};
use crate::uri::is_token;

/// How many parameters a header value may have. The standards know eleven; without a limit, each one of a long line would be
/// compared with all others.
pub const MAX_PARAMETERS: usize = 24;

/// How many octets the name of a parameter may have: a peer cannot have longer ones kept.
pub const MAX_NAME: usize = 64;

/// How many octets the value of a parameter may have, without its quotes. All of them go through hashes, and a client writes
/// those of a challenge back: a peer cannot make it write lines that no header may be as long as.
pub const MAX_VALUE: usize = 1024;

const SCHEME: &str = "Digest";

/// The parameters of a header value, to be taken out by their names.
pub(super) struct Parameters {
    list: Vec<(Parameter, usize)>,
    end: usize,
}

/// A parameter that is kept as it came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Parameter {
    name: Box<str>,
    value: String,
    quoted: bool,
}

/// The value of a parameter, and where it stood.
pub(super) struct Found {
    name: &'static str,
    pub(super) value: String,
    offset: usize,
}

impl Parameters {
    /// Reads `Digest name=value, ...`.
    pub(super) fn of_scheme(text: &str) -> Result<Self, DigestError> {
        let wrong = || DigestError::new(DigestErrorKind::Scheme, 0);
        let start = skip(text, 0);
        let (scheme, rest) = text.split_at_checked(start + SCHEME.len()).ok_or_else(wrong)?;
        if !scheme[start..].eq_ignore_ascii_case(SCHEME) || !rest.starts_with([' ', '\t']) {
            return Err(wrong());
        }
        Self::read(text, scheme.len())
    }

    /// Reads `name=value, ...`.
    pub(super) fn bare(text: &str) -> Result<Self, DigestError> {
        Self::read(text, 0)
    }

    fn read(text: &str, mut at: usize) -> Result<Self, DigestError> {
        let mut list: Vec<(Parameter, usize)> = Vec::new();
        loop {
            let start = skip(text, at);
            if list.len() == MAX_PARAMETERS {
                return Err(DigestError::new(DigestErrorKind::Count, start));
            }
            let (parameter, end) = read_one(text, start)?;
            if list.iter().any(|(other, _)| other.name.eq_ignore_ascii_case(&parameter.name)) {
                return Err(DigestError::new(DigestErrorKind::Duplicate, start));
            }
            list.push((parameter, start));
            at = skip(text, end);
            match text.as_bytes().get(at) {
                None => return Ok(Self { list, end: text.len() }),
                Some(b',') => at += 1,
                Some(_) => return Err(character_or(DigestErrorKind::Value, text, at)),
            }
        }
    }

    /// Takes a parameter out; names have no case.
    pub(super) fn take(&mut self, name: &'static str) -> Option<Found> {
        let index = self.list.iter().position(|(parameter, _)| parameter.name.eq_ignore_ascii_case(name))?;
        let (parameter, offset) = self.list.remove(index);
        Some(Found { name, value: parameter.value, offset })
    }

    /// Takes a parameter out that has to be there.
    pub(super) fn require(&mut self, name: &'static str) -> Result<Found, DigestError> {
        self.take(name).ok_or_else(|| DigestError::new(DigestErrorKind::Missing(name), self.end))
    }

    /// Those that nobody took.
    pub(super) fn rest(self) -> Vec<Parameter> {
        self.list.into_iter().map(|(parameter, _)| parameter).collect()
    }
}

impl Parameter {
    pub(super) fn name_and_value(&self) -> (&str, &str) {
        (&self.name, &self.value)
    }
}

impl Found {
    /// An error about this value.
    pub(super) fn error(&self, kind: DigestErrorKind) -> DigestError {
        DigestError::new(kind, self.offset)
    }

    /// An error that says no more than that the parameter cannot have this value.
    pub(super) fn invalid(&self) -> DigestError {
        self.error(DigestErrorKind::Invalid(self.name))
    }

    /// The value, which may not be empty.
    pub(super) fn not_empty(self) -> Result<String, DigestError> {
        if self.value.is_empty() { Err(self.invalid()) } else { Ok(self.value) }
    }

    /// The value of `nc`: eight lower-case digits, from 1 on (RFC 4976 7, `nc-value`). They are hashed as they stand there,
    /// so that other spellings are other values.
    pub(super) fn nonce_count(&self) -> Result<u32, DigestError> {
        let digits = self.value.as_bytes();
        let right = digits.len() == 8 && digits.iter().all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f'));
        match u32::from_str_radix(&self.value, 16) {
            Ok(count) if right && count > 0 => Ok(count),
            _ => Err(self.invalid()),
        }
    }

    /// Checks that the value of a chosen `qop` is `auth`.
    pub(super) fn is_auth(&self) -> Result<(), DigestError> {
        if self.value == super::AUTH { Ok(()) } else { Err(self.error(DigestErrorKind::Qop)) }
    }
}

/// Writes parameters with commas between them.
pub(super) struct Writer<'a, 'f> {
    f: &'a mut fmt::Formatter<'f>,
    before: &'static str,
}

impl<'a, 'f> Writer<'a, 'f> {
    /// Begins with the scheme.
    pub(super) fn of_scheme(f: &'a mut fmt::Formatter<'f>) -> Result<Self, fmt::Error> {
        write!(f, "{SCHEME} ")?;
        Ok(Self::bare(f))
    }

    /// Begins with the first parameter.
    pub(super) fn bare(f: &'a mut fmt::Formatter<'f>) -> Self {
        Self { f, before: "" }
    }

    /// Writes a value as it is.
    pub(super) fn plain(&mut self, name: &str, value: impl fmt::Display) -> fmt::Result {
        write!(self.f, "{}{name}={value}", self.before)?;
        self.before = ", ";
        Ok(())
    }

    /// Writes a value in quotes, where it is there.
    pub(super) fn quoted<'v>(&mut self, name: &str, value: impl Into<Option<&'v str>>) -> fmt::Result {
        value.into().map_or(Ok(()), |value| self.plain(name, Quoted(value)))
    }

    /// Writes those that nobody knows.
    pub(super) fn others(&mut self, others: &[Parameter]) -> fmt::Result {
        others.iter().try_for_each(|Parameter { name, value, quoted }| match quoted {
            true => self.plain(name, Quoted(value)),
            false => self.plain(name, value),
        })
    }
}

/// `quoted-string` of RFC 4975 9.
pub(super) struct Quoted<'a>(pub(super) &'a str);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_char('"')?;
        for character in self.0.chars() {
            if matches!(character, '"' | '\\') {
                f.write_char('\\')?;
            }
            f.write_char(character)?;
        }
        f.write_char('"')
    }
}

/// Checks a value that the application gives: what is written never holds CR, LF or NUL.
pub(super) fn check(value: &str) -> Result<(), DigestError> {
    if value.len() > MAX_VALUE {
        return Err(DigestError::new(DigestErrorKind::Length, MAX_VALUE));
    }
    match value.bytes().position(is_control) {
        Some(offset) => Err(DigestError::new(DigestErrorKind::Control, offset)),
        None => Ok(()),
    }
}

fn read_one(text: &str, start: usize) -> Result<(Parameter, usize), DigestError> {
    let bytes = text.as_bytes();
    let name_end = run(bytes, start, is_token);
    let equals = skip(text, name_end);
    if !(1..=MAX_NAME).contains(&(name_end - start)) || bytes.get(equals) != Some(&b'=') {
        return Err(character_or(DigestErrorKind::Name, text, name_end.min(start + MAX_NAME)));
    }
    let name = text[start..name_end].into();
    let begin = skip(text, equals + 1);
    if bytes.get(begin) == Some(&b'"') {
        let (value, end) = read_quoted(text, begin + 1)?;
        return Ok((Parameter { name, value, quoted: true }, end));
    }
    let end = run(bytes, begin, |byte| byte.is_ascii_graphic() && !matches!(byte, b'"' | b',' | b'\\'));
    let value = &text[begin..end];
    if value.is_empty() {
        return Err(character_or(DigestErrorKind::Value, text, begin));
    }
    if value.len() > MAX_VALUE {
        return Err(DigestError::new(DigestErrorKind::Length, begin));
    }
    // What is no token is written back as a quoted string.
    let quoted = !value.bytes().all(is_token);
    Ok((Parameter { name, value: value.to_owned(), quoted }, end))
}

/// Reads behind the first quote, up to behind the last one.
fn read_quoted(text: &str, start: usize) -> Result<(String, usize), DigestError> {
    let mut value = String::new();
    let mut escaped = false;
    for (index, character) in text[start..].char_indices() {
        let offset = start + index;
        match character {
            _ if u8::try_from(character).is_ok_and(is_control) => {
                return Err(DigestError::new(DigestErrorKind::Control, offset));
            }
            '\\' if !escaped => {
                escaped = true;
                continue;
            }
            '"' if !escaped => return Ok((value, offset + 1)),
            _ if value.len() + character.len_utf8() > MAX_VALUE => {
                return Err(DigestError::new(DigestErrorKind::Length, start - 1));
            }
            _ => value.push(character),
        }
        escaped = false;
    }
    Err(DigestError::new(DigestErrorKind::Unclosed, start - 1))
}

/// A control character is told as such, wherever it stands.
fn character_or(kind: DigestErrorKind, text: &str, at: usize) -> DigestError {
    let control = text.as_bytes().get(at).is_some_and(|&byte| is_control(byte));
    DigestError::new(if control { DigestErrorKind::Control } else { kind }, at)
}

fn is_control(byte: u8) -> bool {
    byte.is_ascii_control() && byte != b'\t'
}

/// Where the spaces and tabs end that begin here.
fn skip(text: &str, at: usize) -> usize {
    run(text.as_bytes(), at, |byte| matches!(byte, b' ' | b'\t'))
}

fn run(bytes: &[u8], at: usize, of: impl Fn(u8) -> bool) -> usize {
    bytes[at..].iter().position(|&byte| !of(byte)).map_or(bytes.len(), |length| at + length)
}

//! Texts cut into lines and sections.

use std::str::FromStr;

use super::error::wrong;
use super::{
    Attribute, Connection, Direction, Fingerprint, Line, MAX_HASHES, MAX_LINE, MAX_LINES, MAX_MEDIA, SdpError,
    SdpErrorKind, Setup,
};

/// A line of a text, and where it begins.
#[derive(Debug, Clone, Copy)]
pub(super) struct RawLine<'a> {
    pub(super) letter: char,
    pub(super) value: &'a str,
    pub(super) offset: usize,
}

/// What a session says for its media, unless they say it themselves.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Level {
    pub(super) connection: Option<Connection>,
    pub(super) setup: Option<Setup>,
    pub(super) direction: Option<Direction>,
    pub(super) fingerprints: Vec<Fingerprint>,
}

impl<'a> RawLine<'a> {
    /// Its error, with the place of the line.
    pub(super) fn wrong(&self, kind: SdpErrorKind) -> SdpError {
        SdpError::new(kind, self.offset)
    }

    /// The value as something else.
    pub(super) fn parse<T: FromStr<Err = SdpError>>(&self, value: &str) -> Result<T, SdpError> {
        value.trim_matches(' ').parse().map_err(|error: SdpError| self.wrong(error.kind().clone()))
    }

    /// Name and value of an attribute.
    pub(super) fn attribute(&self) -> (&'a str, Option<&'a str>) {
        match self.value.split_once(':') {
            Some((name, value)) => (name, Some(value)),
            None => (self.value, None),
        }
    }

    pub(super) fn to_attribute(self) -> Result<Attribute, SdpError> {
        let (name, value) = self.attribute();
        Attribute::new(name, value).map_err(|error| self.wrong(error.kind().clone()))
    }

    pub(super) fn to_line(self) -> Result<Line, SdpError> {
        Line::new(self.letter, self.value).map_err(|error| self.wrong(error.kind().clone()))
    }

    /// Puts in what may be said once.
    pub(super) fn once<T>(&self, place: &mut Option<T>, value: T) -> Result<(), SdpError> {
        match place.replace(value) {
            Some(_) => Err(self.wrong(SdpErrorKind::Repeated)),
            None => Ok(()),
        }
    }
}

impl Level {
    /// Takes what it has a place for; whether it had.
    pub(super) fn take(&mut self, line: &RawLine<'_>) -> Result<bool, SdpError> {
        match (line.letter, line.attribute()) {
            // Of several lines, which are of multicast, the first one counts.
            ('c', _) if self.connection.is_some() => {}
            ('c', _) => self.connection = Some(line.parse(line.value)?),
            // RFC 6135 4.2.1: as if it were not there.
            ('a', ("setup", Some(setup))) if setup.trim().eq_ignore_ascii_case("holdconn") => {}
            ('a', ("setup", Some(setup))) => line.once(&mut self.setup, line.parse(setup)?)?,
            ('a', ("fingerprint", Some(_))) if self.fingerprints.len() == MAX_HASHES => {
                return Err(line.wrong(SdpErrorKind::Long));
            }
            ('a', ("fingerprint", Some(value))) => self.fingerprints.push(line.parse(value)?),
            ('a', (name, None)) => match name.parse() {
                Ok(direction) => line.once(&mut self.direction, direction)?,
                Err(_) => return Ok(false),
            },
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// With what the session says where it says nothing itself.
    pub(super) fn inherit(&mut self, session: &Self) {
        self.connection = self.connection.take().or_else(|| session.connection.clone());
        self.setup = self.setup.or(session.setup);
        self.direction = self.direction.or(session.direction);
        if self.fingerprints.is_empty() {
            self.fingerprints.clone_from(&session.fingerprints);
        }
    }
}

/// The session's lines, and those of each media.
pub(super) fn sections(text: &str) -> Result<(Vec<RawLine<'_>>, Vec<Vec<RawLine<'_>>>), SdpError> {
    let mut session = Vec::new();
    let mut media: Vec<Vec<RawLine<'_>>> = Vec::new();
    let mut offset = 0;
    for whole in text.split_inclusive('\n') {
        let here = offset;
        offset += whole.len();
        let line = whole.strip_suffix('\n').unwrap_or(whole);
        let line = line.strip_suffix('\r').unwrap_or(line);
        if line.is_empty() {
            continue;
        }
        if line.len() > MAX_LINE {
            return Err(SdpError::new(SdpErrorKind::Long, here));
        }
        let mut letters = line.chars();
        let (Some(letter @ 'a'..='z'), Some('=')) = (letters.next(), letters.next()) else {
            return Err(SdpError::new(SdpErrorKind::Line, here));
        };
        let line = RawLine { letter, value: letters.as_str(), offset: here };
        if line.value.bytes().any(|byte| matches!(byte, b'\r' | 0)) {
            return Err(line.wrong(SdpErrorKind::Character));
        }
        if letter == 'm' {
            media.push(Vec::new());
        }
        let section = media.last_mut().unwrap_or(&mut session);
        section.push(line);
        let is_long = section.len() > 3 * MAX_LINES;
        if is_long || media.len() > MAX_MEDIA {
            return Err(line.wrong(SdpErrorKind::Long));
        }
    }
    Ok((session, media))
}

/// Keeps a line that has no other place.
pub(super) fn keep<T>(list: &mut Vec<T>, value: T) -> Result<(), SdpError> {
    if list.len() == MAX_LINES {
        return Err(wrong(SdpErrorKind::Long));
    }
    list.push(value);
    Ok(())
}

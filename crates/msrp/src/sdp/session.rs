//! A whole session description (RFC 8866 5), as two ends give it to each other.

use std::fmt;
use std::str::FromStr;

use super::error::wrong;
use super::file_range::number;
use super::line::text;
use super::media::{is_msrp, line_of};
use super::read::{Level, RawLine, keep, sections};
use super::{
    Attribute, Connection, Direction, Fingerprint, Line, MediaDescription, SdpError, SdpErrorKind, Setup, Word,
};

/// A session description with its media.
///
/// ```
/// use postroad_msrp::sdp::{MediaDescription, Origin, SessionDescription};
///
/// let path: postroad_msrp::Path = "msrp://192.0.2.1:7394/2s93i93idj;tcp".parse().unwrap();
/// let media = MediaDescription::new(path, vec!["text/plain".parse()?])?;
/// let origin = Origin::new("-", 1, 1, media.connection.clone().unwrap())?;
/// let text = SessionDescription::new(origin, media).to_string();
/// assert!(text.starts_with("v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\nm=message "));
/// assert_eq!(text.parse::<SessionDescription>()?.msrp().count(), 1);
/// # Ok::<_, postroad_msrp::sdp::SdpError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionDescription {
    origin: Origin,
    name: Box<str>,
    level: Level,
    lines: Vec<Line>,
    attributes: Vec<Attribute>,
    media: Vec<Media>,
}

/// Who described a session, and which version of it this is.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Origin {
    username: Word,
    session_id: u64,
    version: u64,
    address: Connection,
}

/// A media of a session.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(clippy::large_enum_variant, reason = "a description has few of them, and nearly all are of MSRP")]
pub enum Media {
    /// A session of MSRP.
    Msrp(MediaDescription),
    /// Another one.
    Other(OtherMedia),
}

/// A media that is none of MSRP, kept as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OtherMedia(Vec<Line>);

impl SessionDescription {
    /// A session with one media, whose `c=` line is that of the session.
    #[must_use]
    pub fn new(origin: Origin, media: MediaDescription) -> Self {
        let connection = media.connection.clone().or_else(|| Some(origin.address.clone()));
        let level = Level { connection, ..Level::default() };
        let lines = vec![no_time()];
        let (attributes, media) = (Vec::new(), vec![Media::Msrp(media)]);
        Self { origin, name: "-".into(), level, lines, attributes, media }
    }

    /// With one more media.
    #[must_use]
    pub fn with_media(mut self, media: Media) -> Self {
        self.media.push(media);
        self
    }

    /// With a name for people.
    ///
    /// # Errors
    /// A line end or a NUL, or too long for a line.
    pub fn with_name(mut self, name: &str) -> Result<Self, SdpError> {
        self.name = text(name, 0)?;
        Ok(self)
    }

    /// Who described it.
    #[must_use]
    pub fn origin(&self) -> &Origin {
        &self.origin
    }

    /// The name for people.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The `c=` line for all media without one.
    #[must_use]
    pub fn connection(&self) -> Option<&Connection> {
        self.level.connection.as_ref()
    }

    /// Who connects, for all media that do not say.
    #[must_use]
    pub fn setup(&self) -> Option<Setup> {
        self.level.setup
    }

    /// Who sends, for all media that do not say.
    #[must_use]
    pub fn direction(&self) -> Option<Direction> {
        self.level.direction
    }

    /// By what certificates are known, for all media that do not say.
    #[must_use]
    pub fn fingerprints(&self) -> &[Fingerprint] {
        &self.level.fingerprints
    }

    /// Further lines.
    #[must_use]
    pub fn lines(&self) -> &[Line] {
        &self.lines
    }

    /// Further attributes, in their order.
    #[must_use]
    pub fn attributes(&self) -> &[Attribute] {
        &self.attributes
    }

    /// The media, in their order.
    #[must_use]
    pub fn media(&self) -> &[Media] {
        &self.media
    }

    /// The media of MSRP, in their order.
    pub fn msrp(&self) -> impl Iterator<Item = &MediaDescription> {
        self.media.iter().filter_map(|media| match media {
            Media::Msrp(media) => Some(media),
            Media::Other(_) => None,
        })
    }
}

impl Origin {
    /// Who describes a session, which session, and which version of it.
    ///
    /// # Errors
    /// A user name with spaces or line ends, or an empty one; `-` stands for none.
    pub fn new(username: &str, session_id: u64, version: u64, address: Connection) -> Result<Self, SdpError> {
        let username = username.parse().map_err(|_| wrong(SdpErrorKind::Origin))?;
        Ok(Self { username, session_id, version, address })
    }

    /// The user.
    #[must_use]
    pub fn username(&self) -> &str {
        self.username.as_str()
    }

    /// The number of the session.
    #[must_use]
    pub fn session_id(&self) -> u64 {
        self.session_id
    }

    /// The version, which grows with each change; the same one means that nothing is changed (RFC 4975 8.4).
    #[must_use]
    pub fn version(&self) -> u64 {
        self.version
    }
}

impl OtherMedia {
    /// The value of its `m=` line.
    #[must_use]
    pub fn head(&self) -> &str {
        self.0[0].value()
    }

    /// The answer that refuses it: port 0, and nothing more.
    #[must_use]
    pub fn rejected(&self) -> Self {
        let mut words: Vec<&str> = self.head().split_ascii_whitespace().collect();
        if let Some(port) = words.get_mut(1) {
            *port = "0";
        }
        Self(vec![Line::new('m', &words.join(" ")).expect("words of a line make a line that is no longer")])
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {} {}", self.username, self.session_id, self.version, self.address)
    }
}

impl FromStr for Origin {
    type Err = SdpError;

    fn from_str(text: &str) -> Result<Self, SdpError> {
        let mut words = text.splitn(4, ' ');
        let mut word = || words.next().ok_or_else(|| wrong(SdpErrorKind::Origin));
        let (username, id, version, address) = (word()?, word()?, word()?, word()?);
        Self::new(username, number(id)?, number(version)?, address.parse()?).map_err(|_| wrong(SdpErrorKind::Origin))
    }
}

impl fmt::Display for SessionDescription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Level { connection, setup, direction, fingerprints } = &self.level;
        write!(f, "v=0\r\no={}\r\ns={}\r\n", self.origin, self.name)?;
        let before = self.lines.partition_point(|line| rank(line.letter()) < rank('c'));
        let (before, behind) = self.lines.split_at(before);
        before.iter().try_for_each(|line| line_of(f, "", Some(line)))?;
        line_of(f, "c=", connection.as_ref())?;
        behind.iter().try_for_each(|line| line_of(f, "", Some(line)))?;
        line_of(f, "a=", *direction)?;
        line_of(f, "a=setup:", *setup)?;
        fingerprints.iter().try_for_each(|one| line_of(f, "a=fingerprint:", Some(one)))?;
        self.attributes.iter().try_for_each(|attribute| line_of(f, "a=", Some(attribute)))?;
        self.media.iter().try_for_each(|media| match media {
            Media::Msrp(media) => media.write(f, &self.level),
            Media::Other(OtherMedia(lines)) => lines.iter().try_for_each(|line| line_of(f, "", Some(line))),
        })
    }
}

impl FromStr for SessionDescription {
    type Err = SdpError;

    fn from_str(text: &str) -> Result<Self, SdpError> {
        let (session, sections) = sections(text)?;
        let [version, head @ ..] = session.as_slice() else { return Err(wrong(SdpErrorKind::Version)) };
        if version.letter != 'v' || version.value.trim() != "0" {
            return Err(version.wrong(SdpErrorKind::Version));
        }
        let (mut origin, mut name, mut level) = (None, None, Level::default());
        let (mut lines, mut attributes) = (Vec::new(), Vec::new());
        for line in head {
            match line.letter {
                'o' => line.once(&mut origin, line.parse::<Origin>(line.value)?)?,
                's' => line.once(&mut name, line.value)?,
                _ if level.take(line)? => {}
                'a' => keep(&mut attributes, line.to_attribute()?)?,
                letter if rank(letter).is_some() => keep(&mut lines, line.to_line()?)?,
                _ => return Err(line.wrong(SdpErrorKind::Line)),
            }
        }
        if lines.iter().all(|line: &Line| line.letter() != 't') {
            keep(&mut lines, no_time())?;
        }
        lines.sort_by_key(|line| rank(line.letter()));
        let media = sections.iter().map(|section| media_of(section, &level)).collect::<Result<_, _>>()?;
        let origin = origin.ok_or_else(|| version.wrong(SdpErrorKind::Origin))?;
        Ok(Self { origin, name: name.unwrap_or("-").into(), level, lines, attributes, media })
    }
}

fn media_of(section: &[RawLine<'_>], level: &Level) -> Result<Media, SdpError> {
    if is_msrp(&section[0]) {
        return MediaDescription::read(section, level).map(Media::Msrp);
    }
    section.iter().map(|line| line.to_line()).collect::<Result<_, _>>().map(OtherMedia).map(Media::Other)
}

fn no_time() -> Line {
    Line::new('t', "0 0").expect("a line without limits of time is a line")
}

/// The place of a line in a session (RFC 8866 5); repetitions stay with their times.
fn rank(letter: char) -> Option<usize> {
    "iuepcbtzk".find(if letter == 'r' { 't' } else { letter })
}

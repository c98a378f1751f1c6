//! What is said of a file that is to be transferred (RFC 5547 6).

use std::fmt;
use std::str::FromStr;

use super::error::wrong;
use super::file_range::number;
use super::{FileHash, FileRange, FormatEntry, MAX_FILE_TEXT, MAX_HASHES, SdpError, SdpErrorKind, Token, Word};

/// The attributes of a file transfer.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct FileAttributes {
    /// Which file. One without selectors says that files can be transferred (RFC 5547 8.5).
    pub selector: Option<FileSelector>,
    /// Which transfer: another id is another transfer, the same one a repetition (RFC 5547 8.1).
    pub transfer_id: Option<Token>,
    /// What to do with it, as `attachment` or `render`.
    pub disposition: Option<Token>,
    /// When it was made, changed and read.
    pub date: Option<FileDate>,
    /// The Content-ID of a small picture of it, without `cid:`.
    pub icon: Option<Word>,
    /// Which part of it.
    pub range: Option<FileRange>,
}

/// Which file: each selector that is there narrows the choice.
///
/// ```
/// use postroad_msrp::sdp::FileSelector;
///
/// let file: FileSelector = "name:\"My cool picture.jpg\" type:image/jpeg size:4092".parse()?;
/// assert!("type:image/jpeg".parse::<FileSelector>()?.matches(&file));
/// assert!(!"size:4093".parse::<FileSelector>()?.matches(&file));
/// # Ok::<_, postroad_msrp::sdp::SdpError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct FileSelector {
    name: Option<String>,
    media_type: Option<FormatEntry>,
    size: Option<u64>,
    hashes: Vec<FileHash>,
}

/// Dates of a file, each as RFC 5322 writes them with a numeric zone: `Mon, 15 May 2006 15:01:31 +0300`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct FileDate {
    dates: [Option<String>; 3],
}

const DATES: [&str; 3] = ["creation", "modification", "read"];

impl FileSelector {
    /// By its name. What no quoted name may have is percent-encoded when it is written.
    ///
    /// # Errors
    /// A name that is empty or longer than [`MAX_FILE_TEXT`].
    pub fn with_name(mut self, name: impl Into<String>) -> Result<Self, SdpError> {
        let name = name.into();
        if name.is_empty() {
            return Err(wrong(SdpErrorKind::Selector));
        }
        if name.len() > MAX_FILE_TEXT {
            return Err(wrong(SdpErrorKind::Long));
        }
        self.name = Some(name);
        Ok(self)
    }

    /// By its type.
    #[must_use]
    pub fn with_type(mut self, media_type: FormatEntry) -> Self {
        self.media_type = Some(media_type);
        self
    }

    /// By its size in octets.
    #[must_use]
    pub fn with_size(mut self, size: u64) -> Self {
        self.size = Some(size);
        self
    }

    /// By the hash of the whole of it. SHA-1 is the one that RFC 5547 wants to be there.
    ///
    /// # Errors
    /// More than [`MAX_HASHES`].
    pub fn with_hash(mut self, hash: FileHash) -> Result<Self, SdpError> {
        if self.hashes.len() == MAX_HASHES {
            return Err(wrong(SdpErrorKind::Long));
        }
        self.hashes.push(hash);
        Ok(self)
    }

    /// The name as the peer has it, decoded: never one to give to a file system. [`safe_name`](Self::safe_name) is.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// The name with what leads to other directories, and what no file system likes, percent-encoded; `None` where
    /// there is none, or it is `.` or `..`.
    #[must_use]
    pub fn safe_name(&self) -> Option<String> {
        let name = self.name.as_deref().filter(|name| !matches!(*name, "." | ".."))?;
        Some(encoded(name, |letter| letter.is_control() || "/\\:*?\"<>|%".contains(letter)))
    }

    /// The type.
    #[must_use]
    pub fn media_type(&self) -> Option<&FormatEntry> {
        self.media_type.as_ref()
    }

    /// The size in octets.
    #[must_use]
    pub fn size(&self) -> Option<u64> {
        self.size
    }

    /// The hashes of the whole file.
    #[must_use]
    pub fn hashes(&self) -> &[FileHash] {
        &self.hashes
    }

    /// Whether there is no selector.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Whether a file of which all is known is one of those that are meant: whatever is selected has to be the same.
    /// Parameters of types do not count. Of hashes one at least has to be of a function that both have, and all of
    /// those the same. A selector without selectors means no file.
    #[must_use]
    pub fn matches(&self, file: &Self) -> bool {
        let same_type = |wanted: &FormatEntry| {
            file.media_type.as_ref().is_some_and(|it| it.essence().eq_ignore_ascii_case(wanted.essence()))
        };
        let mut compared = self.hashes.iter().filter_map(|wanted| {
            let own = file.hashes.iter().find(|own| own.function() == wanted.function())?;
            Some(own == wanted)
        });
        let same_hash = self.hashes.is_empty() || (compared.next() == Some(true) && compared.all(|same| same));
        !self.is_empty()
            && self.name.as_ref().is_none_or(|name| file.name.as_ref() == Some(name))
            && self.size.is_none_or(|size| file.size == Some(size))
            && self.media_type.as_ref().is_none_or(same_type)
            && same_hash
    }
}

impl fmt::Display for FileSelector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut space = "";
        if let Some(name) = &self.name {
            // RFC 5547 6: what a system may take for directories is encoded as well.
            write!(f, "name:\"{}\"", encoded(name, |letter| "\0\r\n\"%/\\".contains(letter)))?;
            space = " ";
        }
        if let Some(media_type) = &self.media_type {
            write!(f, "{space}type:{media_type}")?;
            space = " ";
        }
        if let Some(size) = self.size {
            write!(f, "{space}size:{size}")?;
            space = " ";
        }
        for hash in &self.hashes {
            write!(f, "{space}hash:{hash}")?;
            space = " ";
        }
        Ok(())
    }
}

impl FromStr for FileSelector {
    type Err = SdpError;

    fn from_str(text: &str) -> Result<Self, SdpError> {
        let mut selector = Self::default();
        let mut rest = text.trim_matches(' ');
        while !rest.is_empty() {
            let (kind, value) = rest.split_once(':').ok_or_else(|| wrong(SdpErrorKind::Selector))?;
            let end = selector_end(kind, value)?;
            let (value, behind) = value.split_at(end);
            let repeated = match kind {
                "name" => selector.name.is_some(),
                "type" => selector.media_type.is_some(),
                "size" => selector.size.is_some(),
                _ => false,
            };
            if repeated {
                return Err(wrong(SdpErrorKind::Repeated));
            }
            selector = match kind {
                "name" => selector.with_name(decoded(&value[1..value.len() - 1])?)?,
                "type" => selector.with_type(value.parse()?),
                "size" => selector.with_size(number(value)?),
                "hash" => selector.with_hash(value.parse()?)?,
                _ => return Err(wrong(SdpErrorKind::Selector)),
            };
            rest = behind.trim_start_matches(' ');
        }
        Ok(selector)
    }
}

impl FileDate {
    /// With the date at which it was made.
    ///
    /// # Errors
    /// A text that is no date with a numeric zone.
    pub fn with_creation(self, date: impl Into<String>) -> Result<Self, SdpError> {
        self.with(0, date.into())
    }

    /// With the date at which it was changed.
    ///
    /// # Errors
    /// A text that is no date with a numeric zone.
    pub fn with_modification(self, date: impl Into<String>) -> Result<Self, SdpError> {
        self.with(1, date.into())
    }

    /// With the date at which it was read.
    ///
    /// # Errors
    /// A text that is no date with a numeric zone.
    pub fn with_read(self, date: impl Into<String>) -> Result<Self, SdpError> {
        self.with(2, date.into())
    }

    /// When it was made.
    #[must_use]
    pub fn creation(&self) -> Option<&str> {
        self.dates[0].as_deref()
    }

    /// When it was changed.
    #[must_use]
    pub fn modification(&self) -> Option<&str> {
        self.dates[1].as_deref()
    }

    /// When it was read.
    #[must_use]
    pub fn read(&self) -> Option<&str> {
        self.dates[2].as_deref()
    }

    fn with(mut self, place: usize, date: String) -> Result<Self, SdpError> {
        let zone = date.len().checked_sub(5).and_then(|zone| date.as_bytes().get(zone..)).unwrap_or_default();
        let numeric = zone.len() == 5 && b"+-".contains(&zone[0]) && zone[1..].iter().all(u8::is_ascii_digit);
        let plain = date.bytes().all(|byte| byte.is_ascii_alphanumeric() || b" ,:+-".contains(&byte));
        if !numeric || !plain || date.len() > 64 {
            return Err(wrong(SdpErrorKind::Date));
        }
        self.dates[place] = Some(date);
        Ok(self)
    }
}

impl fmt::Display for FileDate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut space = "";
        for (name, date) in DATES.iter().zip(&self.dates) {
            if let Some(date) = date {
                write!(f, "{space}{name}:\"{date}\"")?;
                space = " ";
            }
        }
        Ok(())
    }
}

impl FromStr for FileDate {
    type Err = SdpError;

    fn from_str(text: &str) -> Result<Self, SdpError> {
        let mut dates = Self::default();
        let mut rest = text.trim_matches(' ');
        while !rest.is_empty() {
            let parts = rest.split_once(":\"").and_then(|(name, rest)| Some((name, rest.split_once('"')?)));
            let (name, (date, behind)) = parts.ok_or_else(|| wrong(SdpErrorKind::Date))?;
            let place = DATES.iter().position(|it| *it == name).ok_or_else(|| wrong(SdpErrorKind::Date))?;
            if dates.dates[place].is_some() {
                return Err(wrong(SdpErrorKind::Repeated));
            }
            dates = dates.with(place, date.to_owned())?;
            rest = behind.trim_start_matches(' ');
        }
        if dates == Self::default() { Err(wrong(SdpErrorKind::Date)) } else { Ok(dates) }
    }
}

/// Where a selector ends: at a space that is not quoted.
fn selector_end(kind: &str, value: &str) -> Result<usize, SdpError> {
    let mut quoted = false;
    let end = value.bytes().position(|byte| {
        quoted ^= byte == b'"';
        byte == b' ' && !quoted
    });
    let end = end.unwrap_or(value.len());
    let is_quoted = end > 1 && value.starts_with('"') && value[1..end].find('"') == Some(end - 2);
    if quoted && end == value.len() || (kind == "name" && !is_quoted) {
        return Err(wrong(SdpErrorKind::Selector));
    }
    Ok(end)
}

fn encoded(text: &str, is_coded: impl Fn(char) -> bool) -> String {
    let mut out = String::with_capacity(text.len());
    let mut buffer = [0; 4];
    for letter in text.chars() {
        if is_coded(letter) {
            letter.encode_utf8(&mut buffer).bytes().for_each(|byte| out.push_str(&format!("%{byte:02X}")));
        } else {
            out.push(letter);
        }
    }
    out
}

fn decoded(text: &str) -> Result<String, SdpError> {
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        if byte != b'%' {
            out.push(byte);
            continue;
        }
        let mut digit = || bytes.next().and_then(|digit| char::from(digit).to_digit(16));
        let (Some(high), Some(low)) = (digit(), digit()) else { return Err(wrong(SdpErrorKind::Selector)) };
        out.push(u8::try_from(high * 16 + low).expect("two hexadecimal digits are an octet"));
    }
    String::from_utf8(out).map_err(|_| wrong(SdpErrorKind::Selector))
}

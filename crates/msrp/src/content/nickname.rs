//! Nicknames of chat rooms: what Use-Nickname says (RFC 7701 7.1).

use std::fmt;
use std::str::FromStr;

use super::quoted;

/// The value of Use-Nickname: the wish for a nickname, or to have none any more.
///
/// ```
/// use postroad_msrp::content::{Nickname, UseNickname};
///
/// let wish: UseNickname = "\"Alice the great\"".parse()?;
/// assert_eq!(wish, UseNickname::Take(Nickname::new("Alice the great")?));
/// assert_eq!(UseNickname::Remove.to_string(), "\"\"");
/// # Ok::<_, postroad_msrp::content::NicknameError>(())
/// ```
#[doc(alias = "UseNicknameHeader")]
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum UseNickname {
    /// This one is wanted.
    Take(Nickname),
    /// The one that is there is given up, which the empty string stands for (RFC 7701 7.3).
    Remove,
}

/// A name by which a chat room knows a participant: 1 to 1023 octets of UTF-8 without control characters.
///
/// Names are compared to the letter here; a chat room compares them by RFC 7700.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Nickname(Box<str>);

impl Nickname {
    /// How many octets one may have (RFC 7701 7.1): every participant is shown it.
    pub const MAX_LENGTH: usize = 1023;

    /// A nickname.
    ///
    /// # Errors
    /// None, too long, or with control characters.
    pub fn new(name: &str) -> Result<Self, NicknameError> {
        match name.char_indices().find(|(_, character)| character.is_control()) {
            _ if name.is_empty() => Err(NicknameError::Empty),
            _ if name.len() > Self::MAX_LENGTH => Err(NicknameError::Long),
            Some((offset, _)) => Err(NicknameError::Control { offset }),
            None => Ok(Self(name.into())),
        }
    }

    /// The name, without quotes.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Nickname {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for UseNickname {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Take(name) => quoted::write(&name.0, f),
            Self::Remove => f.write_str("\"\""),
        }
    }
}

impl FromStr for UseNickname {
    type Err = NicknameError;

    fn from_str(text: &str) -> Result<Self, NicknameError> {
        let (name, rest) = quoted::read(text).map_err(|offset| NicknameError::Quoted { offset })?;
        if !rest.is_empty() {
            return Err(NicknameError::Quoted { offset: text.len() - rest.len() });
        }
        if name.is_empty() { Ok(Self::Remove) } else { Nickname::new(&name).map(Self::Take) }
    }
}

/// Why a text is no nickname; a chat room answers 424.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NicknameError {
    /// There is none.
    #[error("an empty nickname")]
    Empty,
    /// It has more than [`Nickname::MAX_LENGTH`] octets.
    #[error("a nickname of more than {} octets", Nickname::MAX_LENGTH)]
    Long,
    /// It has a control character.
    #[error("a control character at offset {offset} of a nickname")]
    Control {
        /// Where, in bytes from the beginning of the name.
        offset: usize,
    },
    /// The value of the header is no text in quotes.
    #[error("no quoted string at offset {offset}")]
    Quoted {
        /// Where, in bytes from the beginning of the value.
        offset: usize,
    },
}

impl NicknameError {
    /// What to write instead, where that can be said.
    #[must_use]
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Empty => Some("a nickname is given up by `UseNickname::Remove`"),
            Self::Quoted { .. } => Some("put it in double quotes, with a backslash before those that are part of it"),
            Self::Long | Self::Control { .. } => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn r46_nicknames_of_the_examples() {
        // RFC 7701 9.2.
        for name in ["Alice the great", "Alice in Wonderland"] {
            let wish: UseNickname = format!("\"{name}\"").parse().unwrap();
            assert_eq!(wish, UseNickname::Take(Nickname::new(name).unwrap()));
            assert_eq!(wish.to_string(), format!("\"{name}\""));
        }
        assert_eq!("\"\"".parse(), Ok(UseNickname::Remove));
        assert_eq!(r#""a \"b\" \\""#.parse(), Ok(UseNickname::Take(Nickname::new(r#"a "b" \"#).unwrap())));
    }

    #[test]
    fn r46_what_is_no_nickname() {
        let read = |text: &str| text.parse::<UseNickname>().unwrap_err();
        assert_eq!(read(""), NicknameError::Quoted { offset: 0 });
        assert_eq!(read("Alice"), NicknameError::Quoted { offset: 0 });
        assert_eq!(read("\"Alice"), NicknameError::Quoted { offset: 6 });
        assert_eq!(read("\"Alice\" "), NicknameError::Quoted { offset: 7 });
        assert_eq!(read("\"a\\b\""), NicknameError::Quoted { offset: 2 });
        assert_eq!(read("\"a\0\""), NicknameError::Quoted { offset: 2 });
        assert_eq!(read("\"\u{e9}\t\""), NicknameError::Control { offset: 2 });
        assert_eq!(read("\"\u{85}\""), NicknameError::Control { offset: 0 });
        assert_eq!(Nickname::new(""), Err(NicknameError::Empty));
    }

    #[test]
    fn r46_octets_of_a_nickname_are_counted_without_quotes_and_escapes() {
        let longest = "\"".repeat(Nickname::MAX_LENGTH);
        let wish = UseNickname::Take(Nickname::new(&longest).unwrap());
        assert_eq!(wish.to_string().len(), 2 * Nickname::MAX_LENGTH + 2);
        assert_eq!(wish.to_string().parse(), Ok(wish));
        assert_eq!(Nickname::new(&"\u{e9}".repeat(512)), Err(NicknameError::Long));
        assert_eq!(format!("\"{}\"", "x".repeat(1024)).parse::<UseNickname>(), Err(NicknameError::Long));
    }

    #[test]
    fn r62_a_nickname_ends_no_line() {
        for (name, offset) in [("a\r\nb", 1), ("\n", 0), ("ab\0", 2)] {
            assert_eq!(Nickname::new(name), Err(NicknameError::Control { offset }));
        }
    }

    proptest! {
        #[test]
        fn r46_round_trip(name in "\\PC{1,20}") {
            let wish = UseNickname::Take(Nickname::new(&name).unwrap());
            prop_assert_eq!(wish.to_string().parse(), Ok(wish));
        }
    }
}

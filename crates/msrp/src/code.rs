//! Status codes of responses and reports (RFC 4975 10, RFC 4976 10.3, RFC 7701).

use std::fmt;
use std::str::FromStr;

/// A status code, from 0 to 999. One that is not known is read by its first digit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Code(u16);

macro_rules! codes {
    ($($name:ident $code:literal $comment:literal $doc:literal)*) => {
        impl Code {
            $(#[doc = $doc] pub const $name: Self = Self($code);)*

            /// What is said of it to people, where it is known.
            #[must_use]
            pub const fn comment(self) -> Option<&'static str> {
                match self.0 {
                    $($code => Some($comment),)*
                    _ => None,
                }
            }
        }
    };
}

codes! {
    OK 200 "OK" "Taken."
    BAD_REQUEST 400 "Bad Request" "Not understood, though it could be told where it came from."
    UNAUTHORIZED 401 "Unauthorized" "A relay wants to know who one is."
    FORBIDDEN 403 "Forbidden" "Not allowed; not to be tried again."
    NOT_FOUND 404 "Not Found" "A chat room does not know whom a message is for."
    TIMEOUT 408 "Request Timeout" "No answer came from farther on; the same as if none came at all."
    STOP 413 "Stop Sending Message" "No more of this message is wanted."
    UNSUPPORTED_MEDIA_TYPE 415 "Unsupported Media Type" "The media type is not understood."
    INTERVAL_OUT_OF_BOUNDS 423 "Interval Out-of-Bounds" "A relay is not to be had for that long, or that short."
    NICKNAME_MALFORMED 424 "Malformed Nickname" "A nickname that cannot be one."
    NICKNAME_RESERVED 425 "Nickname Reserved" "A nickname that is reserved, or taken."
    NO_PRIVATE_MESSAGES 428 "Private Messages Not Supported" "A chat room has no private messages."
    NO_SUCH_SESSION 481 "No Such Session" "There is no such session here."
    UNKNOWN_METHOD 501 "Unknown Method" "The method is not known."
    BOUND_ELSEWHERE 506 "Session Already In Use" "The session is bound to another connection."
}

impl Code {
    /// The code of a number; nothing above 999.
    #[must_use]
    pub const fn new(code: u16) -> Option<Self> {
        if code <= 999 { Some(Self(code)) } else { None }
    }

    /// The number.
    #[must_use]
    pub const fn get(self) -> u16 {
        self.0
    }

    /// Whether it tells of success: all that begin with 2.
    #[must_use]
    pub const fn is_success(self) -> bool {
        self.0 / 100 == 2
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:03}", self.0)
    }
}

/// What a report tells: `000 200 OK` (RFC 4975 7.1.2).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Status {
    namespace: u16,
    code: Code,
    comment: Option<String>,
}

impl Status {
    /// The status of a code in the namespace of MSRP.
    #[must_use]
    pub const fn new(code: Code) -> Self {
        Self { namespace: 0, code, comment: None }
    }

    /// With something for people.
    ///
    /// # Errors
    /// What would end the line, or is no text.
    pub fn with_comment(mut self, comment: impl Into<String>) -> Result<Self, StatusError> {
        let comment = comment.into();
        if comment.chars().any(|c| c.is_control() && c != '\t') {
            return Err(StatusError);
        }
        self.comment = Some(comment);
        Ok(self)
    }

    /// Which codes are meant: 0 for those of MSRP, which alone are to be acted upon.
    #[must_use]
    pub const fn namespace(&self) -> u16 {
        self.namespace
    }

    /// The code.
    #[must_use]
    pub const fn code(&self) -> Code {
        self.code
    }

    /// What is said to people.
    #[must_use]
    pub fn comment(&self) -> Option<&str> {
        self.comment.as_deref()
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:03} {}", self.namespace, self.code)?;
        self.comment.as_ref().map_or(Ok(()), |comment| write!(f, " {comment}"))
    }
}

impl FromStr for Status {
    type Err = StatusError;

    fn from_str(text: &str) -> Result<Self, StatusError> {
        let digits = |text: &str| {
            let three = text.len() == 3 && text.bytes().all(|byte| byte.is_ascii_digit());
            three.then(|| text.parse::<u16>().ok()).flatten().ok_or(StatusError)
        };
        let mut parts = text.splitn(3, ' ');
        let namespace = digits(parts.next().unwrap_or_default())?;
        let code = Code(digits(parts.next().unwrap_or_default())?);
        let status = Self { namespace, code, comment: None };
        match parts.next().filter(|comment| !comment.is_empty()) {
            Some(comment) => status.with_comment(comment),
            None => Ok(status),
        }
    }
}

/// A text that is no status: three digits, a space, three digits, and perhaps a space and text without control characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a status is like `000 200 OK`")]
pub struct StatusError;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn r15_statuses() {
        for (text, namespace, code, comment) in [
            ("000 200 OK", 0, 200, Some("OK")),
            ("000 413", 0, 413, None),
            ("123 000 gen\u{fc}gt das?", 123, 0, Some("gen\u{fc}gt das?")),
        ] {
            let status: Status = text.parse().unwrap();
            assert_eq!((status.namespace(), status.code().get(), status.comment()), (namespace, code, comment));
            assert_eq!(status.to_string(), text);
        }
        assert_eq!("000 200 ".parse::<Status>().unwrap(), Status::new(Code::OK));
        for text in ["", "200 OK", "000  200", "0 200", "000 2000", "000 20x", "+00 200", "000-200", "000 200 a\r\nb"] {
            assert_eq!(text.parse::<Status>(), Err(StatusError), "{text:?}");
        }
    }

    #[test]
    fn r62_a_comment_is_one_line() {
        for comment in ["a\r\nX: y", "a\nb", "a\0"] {
            assert_eq!(Status::new(Code::OK).with_comment(comment), Err(StatusError));
        }
    }

    #[test]
    fn codes_that_are_not_known_go_by_their_first_digit() {
        assert!(Code::new(299).unwrap().is_success() && !Code::new(499).unwrap().is_success());
        assert_eq!((Code::new(1000), Code::new(7).unwrap().to_string().as_str()), (None, "007"));
        assert_eq!((Code::STOP.comment(), Code::new(499).unwrap().comment()), (Some("Stop Sending Message"), None));
    }
}

//! The head of an HTTP/1.1 message (RFC 9112): all that a WebSocket or a proxy needs of HTTP.

use std::fmt;

/// How long a head may be, in bytes. A peer that goes on for longer wants memory, not a connection.
pub(crate) const MAX_HEAD: usize = 16 * 1024;

/// How many fields a head may have.
const MAX_FIELDS: usize = 100;

/// The first line of a message, whose fields are in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Head {
    first_line: String,
}

/// Why there is no head.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum HeadError {
    /// It is longer than [`MAX_HEAD`] or has too many fields.
    TooLong,
    /// It is not HTTP.
    Malformed,
}

impl Head {
    /// Where the head at the beginning of `bytes` ends, its blank line included; `None` while it is not whole. What was
    /// looked at before, `seen` bytes, is not looked at again.
    pub(crate) fn end(bytes: &[u8], seen: usize) -> Result<Option<usize>, HeadError> {
        let from = seen.saturating_sub(3).min(bytes.len());
        let found = bytes[from..].windows(4).position(|window| window == b"\r\n\r\n").map(|at| from + at + 4);
        match found {
            Some(end) if end <= MAX_HEAD => Ok(Some(end)),
            None if bytes.len() < MAX_HEAD => Ok(None),
            _ => Err(HeadError::TooLong),
        }
    }

    /// Reads a whole head, with its blank line.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, HeadError> {
        let text = std::str::from_utf8(bytes).map_err(|_| HeadError::Malformed)?;
        let text = text.strip_suffix("\r\n\r\n").ok_or(HeadError::Malformed)?;
        // A line that ends otherwise could hide a field from one reader and show it to another.
        if text.split("\r\n").any(|line| line.contains(|character: char| character.is_control() && character != '\t')) {
            return Err(HeadError::Malformed);
        }
        let mut lines = text.split("\r\n");
        let first_line = lines.next().ok_or(HeadError::Malformed)?.to_owned();
        for (index, line) in lines.enumerate() {
            let (name, _) = line.split_once(':').ok_or(HeadError::Malformed)?;
            // This refuses folded lines too (RFC 9112 5.2).
            if name.is_empty() || !name.bytes().all(is_token_byte) {
                return Err(HeadError::Malformed);
            }
            if index == MAX_FIELDS {
                return Err(HeadError::TooLong);
            }
        }
        Ok(Self { first_line })
    }

    /// The status of a response.
    pub(crate) fn status(&self) -> Option<u16> {
        let rest = self.first_line.strip_prefix("HTTP/1.")?;
        let (minor, rest) = rest.split_once(' ')?;
        let status = rest.split(' ').next()?;
        let digits = |text: &str, count| text.len() == count && text.bytes().all(|byte| byte.is_ascii_digit());
        if !digits(minor, 1) || !digits(status, 3) {
            return None;
        }
        status.parse().ok()
    }
}

/// A host and a port as a request names them: an IPv6 address stands in brackets.
pub(crate) struct Authority<'a> {
    pub(crate) host: &'a str,
    /// `None` leaves it out.
    pub(crate) port: Option<u16>,
}

impl fmt::Display for Authority<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]", self.host)?;
        } else {
            f.write_str(self.host)?;
        }
        self.port.map_or(Ok(()), |port| write!(f, ":{port}"))
    }
}

/// A character of a token (RFC 9110 5.6.2).
fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_ends_at_its_blank_line_however_it_comes() {
        let text = b"GET / HTTP/1.1\r\nHost: a\r\n\r\nrest";
        for length in 0..text.len() {
            let whole = Head::end(&text[..length], length.saturating_sub(1)).unwrap();
            assert_eq!(whole.is_some(), length == text.len() - 4, "{length}");
            assert_eq!(Head::end(&text[..length], 0).unwrap(), (length >= text.len() - 4).then_some(text.len() - 4));
        }
    }

    #[test]
    fn a_head_without_end_is_given_up() {
        let long = vec![b'a'; MAX_HEAD];
        assert_eq!(Head::end(&long, 0), Err(HeadError::TooLong));
        assert_eq!(Head::end(&long[1..], 0), Ok(None));
        let many = format!("GET / HTTP/1.1\r\n{}\r\n", "a: b\r\n".repeat(MAX_FIELDS + 1));
        assert_eq!(Head::parse(many.as_bytes()), Err(HeadError::TooLong));
    }

    #[test]
    fn what_is_not_http_is_refused() {
        for text in [
            "GET / HTTP/1.1\r\nHost : a\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\n folded\r\n\r\n",
            "GET / HTTP/1.1\r\nnothing\r\n\r\n",
            "GET / HTTP/1.1\r\n: a\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\nX: b\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\rX: b\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: \0\r\n\r\n",
            "GET / HTTP/1.1\r\n",
        ] {
            assert_eq!(Head::parse(text.as_bytes()), Err(HeadError::Malformed), "{text:?}");
        }
        assert_eq!(Head::parse(b"\xff\r\n\r\n"), Err(HeadError::Malformed));
        let status = |line: &str| Head::parse(format!("{line}\r\n\r\n").as_bytes()).unwrap().status();
        for line in ["HTTP/1.1 20 OK", "HTTP/1.1 2000 OK", "HTTP/2 200", "HTTP/1.1", "FTP/1.1 200 OK", "HTTP/1.1 +20 x"]
        {
            assert_eq!(status(line), None, "{line}");
        }
        assert_eq!((status("HTTP/1.0 200"), status("HTTP/1.1 407 No")), (Some(200), Some(407)));
    }

    #[test]
    fn an_authority_has_brackets_where_they_are_needed() {
        let text = |host, port| Authority { host, port }.to_string();
        assert_eq!(text("a.example", Some(8080)), "a.example:8080");
        assert_eq!(text("::1", Some(80)), "[::1]:80");
        assert_eq!(text("127.0.0.1", None), "127.0.0.1");
    }
}

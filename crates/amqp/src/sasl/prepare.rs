//! Preparation of names and passwords (RFC 4013).

use std::borrow::Cow;

use zeroize::Zeroizing;

use super::SaslError;

/// Applies SASLprep to a stored string: both sides of an exchange must come to the same octets.
///
/// # Errors
/// `Prep` with `what` when characters are prohibited, unassigned in Unicode 3.2, or none are left.
pub(super) fn prepare(text: &str, what: &'static str) -> Result<Zeroizing<String>, SaslError> {
    let prepared = match saslprep::saslprep(text) {
        Ok(Cow::Borrowed(same)) => Zeroizing::new(same.to_owned()),
        Ok(Cow::Owned(other)) => Zeroizing::new(other),
        Err(_) => return Err(SaslError::Prep(what)),
    };
    if prepared.is_empty() { Err(SaslError::Prep(what)) } else { Ok(prepared) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The examples of RFC 4013 3.
    #[test]
    fn follows_the_standards_examples() {
        let prepared = |text| prepare(text, "text").map(|text| text.to_string());
        assert_eq!(prepared("I\u{ad}X"), Ok("IX".to_owned()));
        assert_eq!(prepared("user"), Ok("user".to_owned()));
        assert_eq!(prepared("USER"), Ok("USER".to_owned()));
        assert_eq!(prepared("\u{aa}"), Ok("a".to_owned()));
        assert_eq!(prepared("\u{2168}"), Ok("IX".to_owned()));
        assert_eq!(prepared("\u{7}"), Err(SaslError::Prep("text")));
        assert_eq!(prepared("\u{627}1"), Err(SaslError::Prep("text")));
        assert_eq!(prepared(""), Err(SaslError::Prep("text")));
        assert_eq!(prepared("\u{ad}"), Err(SaslError::Prep("text")));
    }
}

//! Session descriptions.

use crate::sdp::{MediaDescription, SessionDescription};

/// Any text that is a session description is the same one when it is written and read again.
///
/// # Panics
/// When it is not.
pub fn sdp(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    if let Ok(session) = text.parse::<SessionDescription>() {
        let written = session.to_string();
        assert_eq!(written.parse().as_ref(), Ok(&session), "{written}");
        assert!(written.ends_with("\r\n") && written.matches('\n').count() == written.matches("\r\n").count());
    }
    if let Ok(media) = text.parse::<MediaDescription>() {
        assert_eq!(media.to_string().parse().as_ref(), Ok(&media), "{media}");
    }
}

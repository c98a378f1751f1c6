//! The bodies of the fuzz targets in `fuzz/`; no part of the API.

use postroad_codec::v1_0::MessageFormat;

use crate::selector::{Candidate, Selector};

/// Reads a selector, and looks at messages with it; the text itself is one of them.
///
/// # Panics
/// When an error points outside of the text, or a selector and its negation are both true.
pub fn selector(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let selector = match Selector::new(text) {
        Ok(selector) => selector,
        Err(error) => {
            assert!(error.offset() <= text.len() && text.is_char_boundary(error.offset()), "{error}");
            return;
        }
    };
    assert_eq!(selector.text(), text);
    let negated = Selector::new(&format!("NOT ({text})")).ok();
    // A header with priority 7, a subject, and two application properties.
    let message = b"\0\x53\x70\xc0\x04\x02\x40\x50\x07\0\x53\x73\xc0\x07\x04\x40\x40\x40\xa1\x01s\0\x53\x74\xc1\x0b\x04\xa1\x01a\x54\x05\xa1\x01b\xa1\x01t\0\x53\x77\x40";
    for payload in [&message[..], b"", bytes] {
        let candidate = Candidate { payload, format: MessageFormat(0), failures: 1 };
        let holds = selector.matches(candidate);
        assert!(!(holds && negated.as_ref().is_some_and(|negated| negated.matches(candidate))), "{text}");
    }
}

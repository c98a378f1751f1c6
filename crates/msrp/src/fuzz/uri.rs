//! URIs and paths.

use std::hash::{BuildHasher, RandomState};

use crate::{Path, Uri};

/// A URI is refused or written as one that is equal, and URIs that are equal have one hash. Lines are compared with each
/// other.
///
/// # Panics
/// When they are not.
pub fn uri(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    let hasher = RandomState::new();
    let uris: Vec<Uri> = text.split('\n').take(8).filter_map(|line| line.parse().ok()).collect();
    for uri in &uris {
        let written = uri.to_string();
        assert!(written.bytes().all(|byte| byte.is_ascii_graphic()), "{written:?}");
        let read: Uri = written.parse().expect("what is written can be read");
        assert_eq!(&read, uri);
        // What does not count in the comparison is kept, too.
        assert_eq!(read.to_string(), written);
        assert_eq!((read.user(), read.port()), (uri.user(), uri.port()));
        for other in uris.iter().chain([&read]) {
            let (one_way, and_back) = (uri == other, other == uri);
            assert_eq!(one_way, and_back, "{uri} {other}");
            assert!(uri != other || hasher.hash_one(uri) == hasher.hash_one(other), "{uri} {other}");
        }
    }
    if let Ok(path) = text.parse::<Path>() {
        assert!((1..=Path::MAX).contains(&path.len()));
        assert_eq!(path.to_string().parse(), Ok(path));
    }
}

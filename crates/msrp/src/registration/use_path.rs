//! The way to a client that relays have given, and the paths that are made of it (RFC 4976 5.1).

use super::UsePathError;
use crate::{Head, HeaderName, Path, PathError, Uri};

/// The path for one's own session description: the way back through the relays, and then oneself.
///
/// ```
/// use postroad_msrp::registration::{path_for_sdp, to_path};
/// use postroad_msrp::Path;
///
/// let use_path: Path = "msrps://b.example.com:9000/b;tcp msrps://c.example.com:9000/c;tcp".parse()?;
/// let own = "msrps://a.example.com:9892/a;tcp".parse()?;
/// assert_eq!(
///     path_for_sdp(&use_path, &own)?.to_string(),
///     "msrps://c.example.com:9000/c;tcp msrps://b.example.com:9000/b;tcp msrps://a.example.com:9892/a;tcp"
/// );
/// let peer: Path = "msrps://f.example.net:2855/f;tcp".parse()?;
/// assert_eq!(to_path(&use_path, &peer)?.to_string(), format!("{use_path} {peer}"));
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// More URIs than a path may have.
pub fn path_for_sdp(use_path: &Path, own: &Uri) -> Result<Path, PathError> {
    let back = use_path.iter().rev().chain([own]);
    Path::new(back.cloned().collect::<Vec<_>>())
}

/// The `To-Path` of requests: through one's own relays, and then along the peer's path.
///
/// [`SessionOptions`](crate::engine::SessionOptions) takes both and puts them together by itself.
///
/// # Errors
/// More URIs than a path may have.
pub fn to_path(use_path: &Path, peer: &[Uri]) -> Result<Path, PathError> {
    Path::new([use_path, peer].concat())
}

/// The `Use-Path` of a response to a request that went along `before`.
///
/// Hosts are not compared with the relay's: behind a name of SRV, or an address, it goes by a name of its own. What is
/// compared is the way there, which a relay farther on must not change. Addresses are taken although RFC 4976 4.2 wants
/// names, as relays without a name exist.
pub(super) fn read(head: &Head, before: Option<&Path>, own: &Uri) -> Result<Path, UsePathError> {
    let text = head.value(HeaderName::UsePath).ok_or(UsePathError::Missing)?;
    // What is no UTF-8 is no ASCII either, which the replacement character tells.
    let path: Path = String::from_utf8_lossy(text).parse().map_err(UsePathError::Text)?;
    if path.len() > Path::MAX - 2 {
        return Err(UsePathError::Long(path.len()));
    }
    for (place, uri) in path.iter().enumerate() {
        if uri.port().is_none() {
            return Err(UsePathError::Port(place));
        }
        if uri.session_id().is_none() {
            return Err(UsePathError::SessionId(place));
        }
        if uri == own || path[..place].contains(uri) {
            return Err(UsePathError::Loop(place));
        }
    }
    let before = before.map_or(&[][..], |before| before);
    if path.len() > before.len() && path.starts_with(before) { Ok(path) } else { Err(UsePathError::Detour) }
}

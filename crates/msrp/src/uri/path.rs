//! Lists of URIs, as `To-Path` and `From-Path` have them.

use std::fmt;
use std::ops::Deref;
use std::str::FromStr;

use super::{Uri, UriError};

/// URIs in the order in which a request visits them; never empty.
///
/// ```
/// use postroad_msrp::Path;
///
/// let path: Path = "msrp://relay.example.com:2855/a;tcp msrp://bob.example.com:7654/b;tcp".parse()?;
/// assert_eq!((path.len(), path.last().session_id()), (2, Some("b")));
/// # Ok::<_, postroad_msrp::PathError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Path(Vec<Uri>);

impl Path {
    /// How many URIs a path may have: each costs time at every hop.
    pub const MAX: usize = 32;

    /// A path of these.
    ///
    /// # Errors
    /// None, or more than [`MAX`](Self::MAX).
    pub fn new(uris: impl Into<Vec<Uri>>) -> Result<Self, PathError> {
        let uris = uris.into();
        match uris.len() {
            0 => Err(PathError::Empty),
            length if length > Self::MAX => Err(PathError::Long),
            _ => Ok(Self(uris)),
        }
    }

    /// The next hop.
    #[must_use]
    pub fn first(&self) -> &Uri {
        &self.0[0]
    }

    /// The far end.
    #[must_use]
    pub fn last(&self) -> &Uri {
        &self.0[self.0.len() - 1]
    }

    /// The URIs.
    #[must_use]
    pub fn into_uris(self) -> Vec<Uri> {
        self.0
    }

    /// The same way from the other end.
    #[must_use]
    pub fn reversed(mut self) -> Self {
        self.0.reverse();
        self
    }
}

impl Deref for Path {
    type Target = [Uri];

    fn deref(&self) -> &[Uri] {
        &self.0
    }
}

impl From<Uri> for Path {
    fn from(uri: Uri) -> Self {
        Self(vec![uri])
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, uri) in self.0.iter().enumerate() {
            if place > 0 {
                f.write_str(" ")?;
            }
            uri.fmt(f)?;
        }
        Ok(())
    }
}

impl FromStr for Path {
    type Err = PathError;

    fn from_str(text: &str) -> Result<Self, PathError> {
        let mut uris = Vec::new();
        for (place, uri) in text.split([' ', '\t']).filter(|uri| !uri.is_empty()).enumerate() {
            if place == Self::MAX {
                return Err(PathError::Long);
            }
            uris.push(uri.parse().map_err(|error| PathError::Uri { place, error })?);
        }
        Self::new(uris)
    }
}

/// Why a text is no path.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PathError {
    /// There is no URI.
    #[error("a path without a URI")]
    Empty,
    /// There are more than [`Path::MAX`].
    #[error("a path of more than {} URIs", Path::MAX)]
    Long,
    /// One of the URIs is none.
    #[error("URI {place} of the path: {error}")]
    Uri {
        /// Which, from 0.
        place: usize,
        /// Why.
        error: UriError,
    },
}

//! What may be inside of containers (RFC 4975 8.6).

use bytes::Bytes;

use super::AcceptTypes;
use crate::content::{Cpim, CpimError, MediaType, Multipart, MultipartError};

/// What an end takes as a message, and what it takes inside of containers only.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Acceptance {
    types: AcceptTypes,
    wrapped: Option<AcceptTypes>,
}

impl Acceptance {
    /// How deep containers may be in containers: to look into each costs time and memory.
    pub const MAX_DEPTH: usize = 8;

    /// How many bodies a message may have inside, at any depth.
    pub const MAX_BODIES: usize = 256;

    /// What the attributes of a session's description say.
    #[must_use]
    pub fn new(types: AcceptTypes, wrapped: Option<AcceptTypes>) -> Self {
        Self { types, wrapped }
    }

    /// What may be a message.
    #[must_use]
    pub fn types(&self) -> &AcceptTypes {
        &self.types
    }

    /// What may be inside of a container too.
    #[must_use]
    pub fn wrapped_types(&self) -> Option<&AcceptTypes> {
        self.wrapped.as_ref()
    }

    /// Whether a message may be of this type.
    #[must_use]
    pub fn accepts(&self, media_type: &MediaType) -> bool {
        self.types.accepts(media_type)
    }

    /// Whether a body inside of a container may be of this type: both lists count there (RFC 4975 8.6).
    #[must_use]
    pub fn accepts_wrapped(&self, media_type: &MediaType) -> bool {
        self.accepts(media_type) || self.wrapped.as_ref().is_some_and(|types| types.accepts(media_type))
    }

    /// Checks a whole message, and what is inside of it if it is a container.
    ///
    /// What is in a container that is in a container is wrapped in the outermost one, and that is the one which has to be
    /// in the list of types.
    ///
    /// # Errors
    /// A type that is not taken where it is, which 415 tells the peer; a container that has not the form of its type; or
    /// more inside than the limits allow.
    pub fn check(&self, media_type: &MediaType, body: &Bytes) -> Result<(), NotAccepted> {
        if !self.accepts(media_type) {
            return Err(NotAccepted::Type(media_type.clone()));
        }
        let mut bodies = vec![(media_type.clone(), body.clone(), 0)];
        let mut seen = 0;
        while let Some((container, body, depth)) = bodies.pop() {
            if !container.is_container() {
                continue;
            }
            if depth == Self::MAX_DEPTH {
                return Err(NotAccepted::Deep);
            }
            let mut inside = Vec::new();
            if container.is("message", "cpim") {
                let message = Cpim::read_any(&body)?;
                inside.push((message.content_type().clone(), message.body().clone()));
            } else {
                let parts = Multipart::parse(&container, &body)?.into_parts();
                inside.extend(parts.into_iter().map(|part| (part.content_type().clone(), part.body().clone())));
            }
            seen += inside.len();
            if seen > Self::MAX_BODIES {
                return Err(NotAccepted::Many);
            }
            if let Some((media_type, _)) = inside.iter().find(|(media_type, _)| !self.accepts_wrapped(media_type)) {
                return Err(NotAccepted::Wrapped(media_type.clone()));
            }
            bodies.extend(inside.into_iter().map(|(media_type, body)| (media_type, body, depth + 1)));
        }
        Ok(())
    }
}

/// Why a message is not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NotAccepted {
    /// Its type is not in the list of types.
    #[error("{0} is not accepted")]
    Type(MediaType),
    /// A type inside of it is in neither list.
    #[error("{0} is not accepted inside of another type")]
    Wrapped(MediaType),
    /// It, or something inside of it, is no message/cpim.
    #[error("no message/cpim: {0}")]
    Cpim(#[from] CpimError),
    /// It, or something inside of it, is no multipart.
    #[error("no multipart: {0}")]
    Multipart(#[from] MultipartError),
    /// Containers are in containers more than [`Acceptance::MAX_DEPTH`] times.
    #[error("more than {} containers in each other", Acceptance::MAX_DEPTH)]
    Deep,
    /// There are more than [`Acceptance::MAX_BODIES`] bodies inside.
    #[error("more than {} bodies in a message", Acceptance::MAX_BODIES)]
    Many,
}

//! What makes an endpoint a WebSocket: a resource and the subprotocols that may run on it.

use crate::endpoint::EndpointError;

/// The resource of a WebSocket (RFC 6455 3) and its subprotocols in order of preference.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct WebSocketResource {
    pub(crate) path: String,
    pub(crate) subprotocols: Vec<String>,
}

impl WebSocketResource {
    /// Both go into the head of an HTTP request as they are, so nothing may pass that ends a line or a field.
    pub(crate) fn check(&self) -> Result<(), EndpointError> {
        // None of these stands in a URI as it is (RFC 3986 2).
        let part_of_a_target = |byte: u8| byte.is_ascii_graphic() && !b"\"#<>`".contains(&byte);
        if !self.path.starts_with('/') || self.path.len() > MAX_PATH || !self.path.bytes().all(part_of_a_target) {
            return Err(EndpointError::WebSocketPath(shortened(&self.path)));
        }
        if self.subprotocols.len() > MAX_SUBPROTOCOLS {
            return Err(EndpointError::TooManySubprotocols { max: MAX_SUBPROTOCOLS });
        }
        for (index, name) in self.subprotocols.iter().enumerate() {
            let wrong = name.is_empty() || name.len() > MAX_SUBPROTOCOL || !name.bytes().all(part_of_a_token);
            if wrong || self.subprotocols[..index].contains(name) {
                return Err(EndpointError::Subprotocol(shortened(name)));
            }
        }
        Ok(())
    }
}

impl Default for WebSocketResource {
    fn default() -> Self {
        Self { path: "/".to_owned(), subprotocols: Vec::new() }
    }
}

/// A character of a token (RFC 9110 5.6.2), which a subprotocol is (RFC 6455 4.1).
fn part_of_a_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// For a message: as much as a person wants to read.
pub(super) fn shortened(text: &str) -> String {
    text.chars().take(80).collect()
}

const MAX_PATH: usize = 8192;
const MAX_SUBPROTOCOLS: usize = 16;
const MAX_SUBPROTOCOL: usize = 128;

//! What is wrong with an endpoint.

use std::net::IpAddr;

use crate::Protocol;

/// An endpoint that contradicts itself or has an identifier that cannot be one; nothing was opened.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EndpointError {
    /// A host name is empty, longer than 253 characters, or has a space or a control character.
    #[error("`{0}` is no host name")]
    HostName(String),
    /// The name of a service is empty, longer than 64 characters, or has a character that is neither letter, digit,
    /// `-` nor `_`.
    #[error("`{0}` is no name of a service: one like `https`")]
    Service(String),
    /// The name of an interface is empty, longer than 255 bytes, or has a `/`, a space or a control character; or
    /// its index is 0.
    #[error("`{0}` is no interface: a name like `lo`, or an index from 1")]
    Interface(String),
    /// The address of a group is none of a multicast group.
    #[error("{0} is no multicast group: 224.0.0.0/4 and ff00::/8 are")]
    NotMulticast(IpAddr),
    /// A multicast address was given where one host is named.
    #[error("{0} is a multicast group: say so with `multicast_group`")]
    Multicast(IpAddr),
    /// The source of a group is a group itself, unspecified, or of the other family.
    #[error("{source_address} cannot be the source of the group {group}")]
    Source {
        /// The group.
        group: IpAddr,
        /// The source that was asked for.
        source_address: IpAddr,
    },
    /// A source was given without a group that could be received from it.
    #[error("a source without a multicast group to receive from it")]
    SourceWithoutGroup,
    /// The path or abstract name of a Unix socket is empty, longer than
    /// [`UnixAddress::MAX_LEN`](crate::UnixAddress::MAX_LEN), or a path with a zero byte.
    #[error("`{0}` cannot be the address of a Unix socket: 1 to 107 bytes are")]
    UnixAddress(String),
    /// The name of a named pipe is empty, has a backslash or a zero character, or more than 247 characters of UTF-16.
    #[error("`{0}` is no name of a pipe: 1 to 247 characters without backslash are")]
    PipeName(String),
    /// A name inside this process is empty or longer than 255 bytes.
    #[error("`{0}` is no name inside this process")]
    MemoryName(String),
    /// The resource of a WebSocket does not begin with `/`, is longer than 8192 bytes, or has one of `"`, `#`, `<`, `>`
    /// and a backtick, a space, or anything but printable ASCII.
    #[error("`{0}` is no resource of a WebSocket: one like `/chat`")]
    WebSocketPath(String),
    /// A subprotocol of WebSocket is no token, longer than 128 bytes, or named twice.
    #[error("`{0}` is no subprotocol, or one that is named twice")]
    Subprotocol(String),
    /// More subprotocols were named than a request should carry.
    #[error("more than {max} subprotocols")]
    TooManySubprotocols {
        /// The most that are taken.
        max: usize,
    },
    /// The endpoint is specific to a protocol that cannot go there.
    #[error("{protocol} cannot be used with `{endpoint}`")]
    Protocol {
        /// The protocol that was asked for.
        protocol: Protocol,
        /// The endpoint as text.
        endpoint: String,
    },
}

//! What a peer tells and allows.

use std::time::Duration;

use postroad_codec::v1_0::{
    ByteString, DeliveryNumber, Encode as _, Fields, FrameHeader, Milliseconds, Multiple, Open, Symbol, TransferNumber,
};

/// The parameters of a connection and of the sessions on it.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Config {
    /// The id of our container.
    pub container_id: ByteString,
    /// The host that we mean to reach; it goes into `open` and `sasl-init`.
    pub hostname: Option<ByteString>,
    /// The largest frame that we take, in bytes; less than 512 counts as 512. A large one leaves few frames
    /// in the window: see `incoming_bytes`.
    pub max_frame_size: u32,
    /// The largest SASL frame that we take, in bytes, where 512 is too little: from a server, which may offer many
    /// mechanisms, and from clients to whom a mechanism is offered that carries a token. Other clients get 512, since
    /// nobody knows yet who they are; and so does everybody where this is less.
    pub max_sasl_frame_size: u32,
    /// The largest channel number that we take: sessions at once, less one.
    pub channel_max: u16,
    /// The largest handle that we take: links on a session, less one. A session holds a table as long as
    /// the largest handle in use, so more than 65 535 counts as that.
    pub handle_max: u32,
    /// Silence after which the peer counts as dead. The peer is told half of it, so that a heartbeat
    /// that is late still arrives in time (part 2, 2.4.5).
    pub idle_timeout: Option<Duration>,
    /// How long headers, SASL and `open` may take in all.
    pub handshake_timeout: Option<Duration>,
    /// Extensions that we support.
    pub offered_capabilities: Multiple<Symbol>,
    /// Extensions that we would use.
    pub desired_capabilities: Multiple<Symbol>,
    /// Properties of the connection, such as `product` and `version`. They and the capabilities are left out of an open
    /// that does not fit into the frames that the peer takes: a client's has 512 bytes, since nobody knows yet
    /// ([`Config::open_len`]).
    pub properties: Option<Fields>,
    /// Transfer frames that a session takes before the application has taken them; 1 at least.
    pub incoming_window: u32,
    /// Bytes of messages that a session takes before the application has taken them. The window is told
    /// in frames, each of which may be full: so it is never above this divided by `max_frame_size`, but
    /// 1 at least. A message that has begun to arrive is not counted before it is there as a whole: the
    /// credit and the largest message size of its link bound it.
    pub incoming_bytes: usize,
    /// Bytes of deliveries of which only a part has come, over all links. Without this bound a peer could
    /// begin a message on every link and end none. A delivery that comes alone is bounded by the largest
    /// message of its link instead.
    pub partial_bytes: usize,
    /// Bytes of memory that small messages which come together share, so that not each takes an allocation: a message that
    /// is kept keeps as much, or eight times its size, beside it. With 0 each has its own, for whoever keeps messages and
    /// counts their bytes.
    pub shared_block: usize,
    /// Bytes that wait for the socket before senders are held back.
    pub outgoing_bytes: usize,
    /// Where sessions start to count transfers; for tests of wrap-around.
    #[doc(hidden)]
    pub initial_outgoing_id: TransferNumber,
    /// Where sessions start to number deliveries; for tests of wrap-around.
    #[doc(hidden)]
    pub initial_delivery_id: DeliveryNumber,
}

impl Config {
    /// Parameters for the container `container_id`: frames of 64 KiB, SASL frames of 8 KiB, 256 sessions of 4096 links, no
    /// idle timeout, half a minute for the handshake.
    #[must_use]
    pub fn new(container_id: impl Into<ByteString>) -> Self {
        Self {
            container_id: container_id.into(),
            hostname: None,
            max_frame_size: 65_536,
            max_sasl_frame_size: 8192,
            channel_max: 255,
            handle_max: 4095,
            idle_timeout: None,
            handshake_timeout: Some(Duration::from_secs(30)),
            offered_capabilities: Multiple::default(),
            desired_capabilities: Multiple::default(),
            properties: None,
            incoming_window: 8192,
            incoming_bytes: 32 * 1024 * 1024,
            partial_bytes: 128 * 1024 * 1024,
            shared_block: 4096,
            outgoing_bytes: 256 * 1024,
            initial_outgoing_id: TransferNumber(0),
            initial_delivery_id: DeliveryNumber(0),
        }
    }

    /// The length of the frame that tells them, in bytes. Up to 512 are taken by every peer (part 2, 2.4.1).
    #[must_use]
    pub fn open_len(&self) -> usize {
        FrameHeader::LENGTH + self.open().encoded_len()
    }

    pub(crate) fn open(&self) -> Open {
        Open {
            container_id: self.container_id.clone(),
            hostname: self.hostname.clone(),
            max_frame_size: self.max_frame_size,
            channel_max: self.channel_max,
            idle_time_out: self.idle_timeout.map(|timeout| Milliseconds(millis(timeout / 2))),
            offered_capabilities: self.offered_capabilities.clone(),
            desired_capabilities: self.desired_capabilities.clone(),
            properties: self.properties.clone(),
            outgoing_locales: Multiple::default(),
            incoming_locales: Multiple::default(),
        }
    }
}

fn millis(duration: Duration) -> u32 {
    u32::try_from(duration.as_millis()).unwrap_or(u32::MAX).max(1)
}
